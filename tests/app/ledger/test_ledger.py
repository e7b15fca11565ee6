"""Double entry: what the database accepts, and what it never does."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from payments.db import Database
from payments.ledger import service
from payments.ledger.service import (
    Entry,
    HoldNotOpenError,
    InsufficientFundsError,
    NotReversibleError,
    Transfer,
    TransferKeyReusedError,
    UnknownAccountError,
)
from payments.money import Money
from tests.app.ledger.books import assert_books_agree, fund, move

SOON = timedelta(hours=1)


async def balance(database: Database, owner: str, purpose: str = "wallet") -> tuple[int, int]:
    async with database.transaction() as session:
        found = [b for b in await service.balances(session, owner) if b.purpose == purpose]
    return (sum(b.balance for b in found), sum(b.held for b in found))


async def test_a_transfer_moves_money_once_however_often_it_is_posted(database: Database) -> None:
    results = []
    for _ in range(3):
        async with database.transaction() as session:
            results += await service.post(session, [fund("alice", 1000)])
    assert [r.replayed for r in results] == [False, True, True]
    assert len({r.id for r in results}) == 1
    assert await balance(database, "alice") == (1000, 0)


async def test_a_key_cannot_be_used_for_another_transfer(database: Database) -> None:
    async with database.transaction() as session:
        await service.post(session, [fund("alice", 1000)])
    with pytest.raises(TransferKeyReusedError):
        async with database.transaction() as session:
            await service.post(session, [fund("alice", 1001)])


async def test_a_thousand_posts_under_one_key_are_one_transfer(database: Database) -> None:
    async def once() -> bool:
        async with database.transaction() as session:
            return (await service.post(session, [fund("alice", 7)]))[0].replayed

    replayed = await asyncio.gather(*(once() for _ in range(1000)))
    assert replayed.count(False) == 1
    assert await balance(database, "alice") == (7, 0)


async def test_an_unbalanced_transfer_fails_at_commit(database: Database) -> None:
    lopsided = Transfer(
        key="k",
        kind="test",
        subject=None,
        entries=(
            Entry("a", "suspense", Money(5, "EUR")),
            Entry("b", "suspense", Money(-4, "EUR")),
        ),
    )
    with pytest.raises(DBAPIError, match="sum to zero"):
        async with database.transaction() as session:
            await service.post(session, [lopsided])
    assert await balance(database, "a", "suspense") == (0, 0)


async def test_currencies_do_not_balance_each_other(database: Database) -> None:
    mixed = Transfer(
        key="k",
        kind="test",
        subject=None,
        entries=(
            Entry("a", "suspense", Money(5, "EUR")),
            Entry("b", "suspense", Money(-5, "USD")),
        ),
    )
    with pytest.raises(DBAPIError, match="sum to zero"):
        async with database.transaction() as session:
            await service.post(session, [mixed])


@pytest.mark.parametrize("entries", [(), (Entry("a", "suspense", Money(5, "EUR")),)])
async def test_a_transfer_has_two_entries_at_least(
    database: Database, entries: tuple[Entry, ...]
) -> None:
    short = Transfer(key="k", kind="test", subject=None, entries=entries)
    with pytest.raises(DBAPIError, match=r"fewer than two|sum to zero"):
        async with database.transaction() as session:
            await service.post(session, [short])


async def test_a_wallet_never_goes_below_zero(database: Database) -> None:
    async with database.transaction() as session:
        await service.post(session, [fund("alice", 100)])
    spend = move("s", 101, debit=("alice", "wallet"), credit=("shop", "merchant"))
    with pytest.raises(InsufficientFundsError):
        async with database.transaction() as session:
            await service.post(session, [spend])
    assert await balance(database, "alice") == (100, 0)


async def test_a_batch_is_posted_whole_and_nets_within_itself(database: Database) -> None:
    async with database.transaction() as session:
        await service.post(
            session,
            [
                fund("alice", 100, "z-in"),
                move("a-out", 100, debit=("alice", "wallet"), credit=("shop", "merchant")),
            ],
        )
    assert await balance(database, "alice") == (0, 0)
    assert await balance(database, "shop", "merchant") == (100, 0)
    async with database.transaction() as session:
        await assert_books_agree(session)
        steps = await session.execute(
            text("SELECT balance_after FROM payments.ledger_entries e JOIN payments.ledger_accounts"
                 " a ON a.id = e.account_id WHERE owner = 'alice' ORDER BY e.id")
        )  # fmt: skip
        assert [step for (step,) in steps] == [100, 0], "statements show both legs"


async def test_an_unknown_purpose_or_currency_is_refused(database: Database) -> None:
    for entry in (
        Entry("a", "mint", Money(1, "EUR")),  # type: ignore[arg-type]
        Entry("a", "wallet", _token()),
    ):
        odd = Transfer(key="k", kind="test", subject=None, entries=(entry, entry))
        with pytest.raises(UnknownAccountError):
            async with database.transaction() as session:
                await service.post(session, [odd])


def _token() -> Money:
    money = Money(1, "EUR")
    object.__setattr__(money, "currency", "QQQ")
    return money


async def test_a_reversal_is_a_new_transfer_and_happens_once(database: Database) -> None:
    async with database.transaction() as session:
        (posted,) = await service.post(session, [fund("alice", 100)])
    for replayed in (False, True):
        async with database.transaction() as session:
            back = await service.reverse(session, posted.id, key="undo")
        assert back.replayed is replayed
    assert await balance(database, "alice") == (0, 0)
    with pytest.raises(NotReversibleError):
        async with database.transaction() as session:
            await service.reverse(session, posted.id, key="undo-again")
    with pytest.raises(NotReversibleError):
        async with database.transaction() as session:
            await service.reverse(session, back.id, key="undo-the-undoing")
    async with database.transaction() as session:
        await assert_books_agree(session)


async def test_a_hold_counts_as_spent_until_it_is_freed(database: Database) -> None:
    async with database.transaction() as session:
        await service.post(session, [fund("alice", 100)])
    hold = await _hold(database, 60)
    assert await _hold(database, 60) == hold, "the same key is the same hold"
    assert await balance(database, "alice") == (100, 60)
    spend = move("s", 41, debit=("alice", "wallet"), credit=("shop", "merchant"))
    with pytest.raises(InsufficientFundsError):
        async with database.transaction() as session:
            await service.post(session, [spend])
    async with database.transaction() as session:
        assert await service.void_hold(session, hold) is True
    async with database.transaction() as session:
        assert await service.void_hold(session, hold) is False
    assert await balance(database, "alice") == (100, 0)


async def test_a_hold_is_posted_in_part_once_and_the_rest_is_free(database: Database) -> None:
    async with database.transaction() as session:
        await service.post(session, [fund("alice", 100)])
    hold = await _hold(database, 100)
    take = move("take", 70, debit=("alice", "wallet"), credit=("shop", "merchant"))
    for replayed in (False, True):
        async with database.transaction() as session:
            assert (await service.post_hold(session, hold, take)).replayed is replayed
    assert await balance(database, "alice") == (30, 0)
    with pytest.raises(HoldNotOpenError):
        async with database.transaction() as session:
            await service.void_hold(session, hold)
    async with database.transaction() as session:
        await assert_books_agree(session)


async def test_a_hold_gives_no_more_than_it_holds(database: Database) -> None:
    async with database.transaction() as session:
        await service.post(session, [fund("alice", 100)])
    hold = await _hold(database, 50)
    too_much = move("take", 51, debit=("alice", "wallet"), credit=("shop", "merchant"))
    with pytest.raises(HoldNotOpenError):
        async with database.transaction() as session:
            await service.post_hold(session, hold, too_much)


async def test_a_hold_that_ran_out_is_freed_and_cannot_be_posted(database: Database) -> None:
    async with database.transaction() as session:
        await service.post(session, [fund("alice", 100)])
    hold = await _hold(database, 50, ends=datetime.now(UTC) - timedelta(seconds=1))
    take = move("take", 50, debit=("alice", "wallet"), credit=("shop", "merchant"))
    with pytest.raises(HoldNotOpenError):
        async with database.transaction() as session:
            await service.post_hold(session, hold, take)
    for freed in (1, 0):
        async with database.transaction() as session:
            assert await service.expire_holds(session, most=10) == freed
    assert await balance(database, "alice") == (100, 0)


async def _hold(database: Database, amount: int, ends: datetime | None = None):  # type: ignore[no-untyped-def]
    async with database.transaction() as session:
        return await service.hold(
            session,
            key="hold",
            owner="alice",
            purpose="wallet",
            money=Money(amount, "EUR"),
            expires_at=ends or datetime.now(UTC) + SOON,
        )


async def test_hot_accounts_are_spread_over_rows(database: Database) -> None:
    for number in range(40):
        async with database.transaction() as session:
            await service.post(session, [fund("alice", 1, f"k{number}")])
    async with database.transaction() as session:
        rows = (
            await session.execute(
                text("SELECT count(*) FROM payments.ledger_accounts WHERE owner = 'gateway'")
            )
        ).scalar_one()
        (clearing,) = await service.balances(session, "gateway")
    assert rows > 3, "one row would make all payments wait for each other"
    assert clearing.balance == -40


async def test_concurrent_transfers_over_the_same_accounts_never_deadlock(
    database: Database,
) -> None:
    owners = [f"wallet-{number}" for number in range(8)]
    async with database.transaction() as session:
        await service.post(session, [fund(o, 10_000, f"fund-{o}") for o in owners])
        before = await _deadlocks(session)
    random_ = random.Random(1)  # noqa: S311 - the same transfers in every run

    async def one(number: int) -> None:
        batch = []
        for part in range(random_.choice((1, 1, 3))):
            source, target = random_.sample(owners, 2)
            batch.append(
                move(
                    f"t-{number}-{part}",
                    random_.randint(1, 5),
                    debit=(source, "wallet"),
                    credit=(target, "wallet"),
                )
            )
        async with database.transaction() as session:
            await service.post(session, batch)

    await asyncio.gather(*(one(number) for number in range(800)))
    async with database.transaction() as session:
        assert await _deadlocks(session) == before
        await assert_books_agree(session)
        total = [b.balance for o in owners for b in await service.balances(session, o)]
    assert sum(total) == 80_000


async def _deadlocks(session) -> int:  # type: ignore[no-untyped-def]
    await session.execute(text("SELECT pg_stat_force_next_flush()"))
    found: int = (
        await session.execute(
            text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        )
    ).scalar_one()
    return found

"""Group commit: many callers, few transactions, and each one's own answer."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from payments.db import Database
from payments.ledger import service
from payments.ledger.batch import Batcher
from payments.ledger.service import (
    Entry,
    InsufficientFundsError,
    Transfer,
    TransferKeyReusedError,
)
from payments.money import Money
from tests.app.ledger.books import assert_books_agree, fund, move


async def test_many_callers_share_few_commits(database: Database) -> None:
    batcher = Batcher(database)
    answers = await asyncio.gather(
        *(batcher.post([fund(f"owner-{n % 20}", 10, key=f"k{n}")]) for n in range(500))
    )
    assert all(len(answer) == 1 and not answer[0].replayed for answer in answers)
    assert batcher.batches <= 100, "a commit each would be 500"
    async with database.transaction() as session:
        await assert_books_agree(session)
        count = await session.scalar(text("SELECT count(*) FROM payments.ledger_transfers"))
    assert count == 500


async def test_who_fails_takes_nobody_along(database: Database) -> None:
    batcher = Batcher(database)
    await batcher.post([fund("alice", 100)])
    unbalanced = Transfer(
        key="odd",
        kind="test",
        subject=None,
        entries=(
            Entry("alice", "wallet", Money(1, "EUR")),
            Entry("house", "fees", Money(1, "EUR")),
        ),
    )
    results = await asyncio.gather(
        batcher.post([move("a", 60, debit=("alice", "wallet"), credit=("s", "merchant"))]),
        batcher.post([move("b", 999, debit=("alice", "wallet"), credit=("s", "merchant"))]),
        batcher.post([unbalanced]),
        batcher.post([fund("alice", 101)]),
        batcher.post([move("c", 40, debit=("alice", "wallet"), credit=("s", "merchant"))]),
        return_exceptions=True,
    )
    kinds = [type(result) for result in results]
    assert kinds == [list, InsufficientFundsError, kinds[2], TransferKeyReusedError, list]
    assert issubclass(kinds[2], DBAPIError), "the database refused it at commit"
    async with database.transaction() as session:
        (wallet,) = await service.balances(session, "alice")
        await assert_books_agree(session)
    assert wallet.balance == 0


async def test_one_key_is_one_transfer_within_a_batch_too(database: Database) -> None:
    batcher = Batcher(database)
    answers = await asyncio.gather(*(batcher.post([fund("alice", 7)]) for _ in range(50)))
    assert [a[0].replayed for a in answers].count(False) == 1
    assert len({a[0].id for a in answers}) == 1
    async with database.transaction() as session:
        (wallet,) = await service.balances(session, "alice")
    assert wallet.balance == 7


async def test_a_caller_that_goes_away_stops_nobody(database: Database) -> None:
    batcher = Batcher(database)
    first = asyncio.create_task(batcher.post([fund("alice", 1, key="first")]))
    second = asyncio.create_task(batcher.post([fund("alice", 2, key="second")]))
    await asyncio.sleep(0)
    first.cancel()
    assert not (await second)[0].replayed
    await batcher.close()
    with pytest.raises(asyncio.CancelledError):
        await first
    async with database.transaction() as session:
        (wallet,) = await service.balances(session, "alice")
    assert wallet.balance in (2, 3), "posted whole or not at all"

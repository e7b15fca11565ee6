"""Tokens, crypto money and exchange: what may be in which account, and what an exchange does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from payments.db import Database
from payments.ledger import exchange, service
from payments.ledger.exchange import NoRateError, NothingLeftError
from payments.ledger.models import ExchangeRate
from payments.ledger.service import InsufficientFundsError, Purpose, UnknownAccountError
from payments.money import EXPONENTS, OTHERS, Money
from tests.app.ledger.books import assert_books_agree, fund, move

EVERY = sorted(EXPONENTS | OTHERS)


@pytest.mark.parametrize(
    ("purpose", "currency"),
    [("wallet", "PTS"), ("wallet", "BTC"), ("token_wallet", "EUR"), ("crypto_wallet", "TOK")],
)
async def test_an_account_holds_only_its_own_kind_of_money(
    database: Database, purpose: Purpose, currency: str
) -> None:
    wrong = move(
        "k", 1, debit=("gateway", "suspense"), credit=("alice", purpose), currency=currency
    )
    with pytest.raises(UnknownAccountError):
        async with database.transaction() as session:
            await service.post(session, [wrong])


@pytest.mark.parametrize(
    ("purpose", "currency"), [("rewards", "PTS"), ("token_wallet", "TOK"), ("crypto_wallet", "BTC")]
)
async def test_no_wallet_of_any_kind_goes_below_zero(
    database: Database, purpose: Purpose, currency: str
) -> None:
    source: Purpose = "suspense" if purpose == "crypto_wallet" else "issued"
    give = move("in", 5, debit=("house", source), credit=("alice", purpose), currency=currency)
    take = move("out", 6, debit=("alice", purpose), credit=("house", source), currency=currency)
    async with database.transaction() as session:
        await service.post(session, [give])
    with pytest.raises(InsufficientFundsError):
        async with database.transaction() as session:
            await service.post(session, [take])


async def test_an_exchange_balances_in_both_currencies(database: Database) -> None:
    source = Money(10_000, "EUR")
    target = exchange.convert(source, "USD", Decimal("1.085"))
    assert target == Money(10_850, "USD")
    async with database.transaction() as session:
        await service.post(session, [fund("alice", 10_000)])
    for replayed in (False, True):
        async with database.transaction() as session:
            (posted,) = await service.post(
                session,
                [exchange.exchange(key="fx", owner="alice", source=source, target=target)],
            )
        assert posted.replayed is replayed
    async with database.transaction() as session:
        held = {
            (b.purpose, b.currency): b.balance for b in await service.balances(session, "alice")
        }
        house = {
            (b.purpose, b.currency): b.balance
            for b in await service.balances(session, service.HOUSE)
        }
        await assert_books_agree(session)
    assert held == {("wallet", "EUR"): 0, ("wallet", "USD"): 10_850}
    assert house == {("exchange", "EUR"): 10_000, ("exchange", "USD"): -10_850}


async def test_the_newest_rate_that_still_holds_is_taken(database: Database) -> None:
    now = datetime.now(UTC)
    rows = [
        ("1.10", now - timedelta(hours=3), now + timedelta(hours=1)),
        ("1.20", now - timedelta(hours=2), now + timedelta(hours=1)),
        ("1.30", now - timedelta(hours=1), now - timedelta(minutes=1)),
        ("1.40", now + timedelta(hours=1), now + timedelta(hours=2)),
    ]
    async with database.transaction() as session:
        for value, since, until in rows:
            await session.execute(
                insert(ExchangeRate).values(
                    base="EUR",
                    quote="USD",
                    rate=Decimal(value),
                    source="test",
                    valid_from=since,
                    valid_until=until,
                )
            )
        assert (await exchange.rate(session, "EUR", "USD")).rate == Decimal("1.2")
        with pytest.raises(NoRateError):
            await exchange.rate(session, "USD", "EUR")


@given(
    st.sampled_from(EVERY),
    st.sampled_from(EVERY),
    st.integers(1, 10**10),
    st.decimals("0.0001", "10000", places=8),
)
def test_exchanging_there_and_back_never_makes_money(
    base: str, quote: str, amount: int, at: Decimal
) -> None:
    source = Money(amount, base)
    if (source.major * at).scaleb(OTHERS.get(quote, EXPONENTS.get(quote, 0))) > 2**53 - 1:
        return
    there = exchange.convert(source, quote, at)
    assert there.major <= source.major * at, "rounded down: what is left stays with the house"
    if there.amount:
        # What it is worth back at the same rate, exactly.
        assert there.major / at <= source.major + Decimal("1e-20")


def test_what_is_worth_less_than_a_unit_is_not_exchanged() -> None:
    source = Money(1, "JPY")
    target = exchange.convert(source, "BTC", Decimal("0.000000001"))
    with pytest.raises(NothingLeftError):
        exchange.exchange(key="fx", owner="alice", source=source, target=target)

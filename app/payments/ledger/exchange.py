"""Exchanging money: two legs, one in each currency, with our position between them.

An exchange of 100.00 EUR at 1.085 is one transfer that balances in both currencies:

    wallet (customer)  -100.00 EUR     exchange (house)  +100.00 EUR
    exchange (house)   -108.50 USD     wallet (customer) +108.50 USD

Rounded once, down, in what the customer gets: what is less than a minor unit stays with the house,
where it can be seen. No sequence of exchanges makes money, as no rate is added by which one would
(`circles`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Context, Decimal
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.errors import UnprocessableError
from payments.ledger.models import ExchangeRate
from payments.ledger.service import HOUSE, Entry, Transfer, wallet_of
from payments.money import EXPONENTS, OTHERS, Money

_EXACT: Final = Context(prec=60, rounding=ROUND_DOWN)
"""Amounts have 16 digits, rates 30: their product fits, so the only rounding is the last one."""


class NoRateError(UnprocessableError):
    """Nobody has said what one currency is worth in the other, or it was said too long ago."""

    code, title = "no_exchange_rate", "There is no current rate between these currencies."


class NothingLeftError(UnprocessableError):
    """What would come out is less than the smallest unit of the other currency."""

    code, title = "amount_too_small", "The amount is too small to be exchanged."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A rate as it was found: `id` names it for ever."""

    id: int
    base: str
    quote: str
    rate: Decimal
    valid_until: datetime


async def rate(session: AsyncSession, base: str, quote: str) -> Rate:
    """Return the newest rate that holds now. Raises `NoRateError`."""
    row = await session.scalar(
        select(ExchangeRate)
        .where(
            ExchangeRate.base == base,
            ExchangeRate.quote == quote,
            ExchangeRate.valid_from <= func.now(),
            ExchangeRate.valid_until > func.now(),
        )
        .order_by(ExchangeRate.valid_from.desc(), ExchangeRate.id.desc())
        .limit(1)
    )
    if row is None:
        raise NoRateError(f"There is no rate from {base} to {quote} now.")
    return Rate(id=row.id, base=base, quote=quote, rate=row.rate, valid_until=row.valid_until)


async def by_id(session: AsyncSession, rate_id: int) -> Rate | None:
    """Return a rate, also one that does not hold any more."""
    row = await session.get(ExchangeRate, rate_id)
    return None if row is None else _rate(row)


async def last(session: AsyncSession, base: str, quote: str, at: datetime) -> Decimal | None:
    """Return what was last said of a pair `at` a moment, held it then or not.

    Of a pair that nobody has said anything of, it is what its other direction makes of it.
    """
    newest = (
        select(ExchangeRate)
        .where(ExchangeRate.valid_from <= at)
        .order_by(ExchangeRate.valid_from.desc(), ExchangeRate.id.desc())
        .limit(1)
    )
    row = await session.scalar(newest.filter_by(base=base, quote=quote))
    if row is not None:
        return row.rate
    row = await session.scalar(newest.filter_by(base=quote, quote=base))
    return None if row is None else 1 / row.rate


async def current(session: AsyncSession) -> list[Rate]:
    """Return the newest rate that holds now of every pair of currencies."""
    rows = await session.scalars(
        select(ExchangeRate)
        .where(ExchangeRate.valid_from <= func.now(), ExchangeRate.valid_until > func.now())
        .distinct(ExchangeRate.base, ExchangeRate.quote)
        .order_by(
            ExchangeRate.base,
            ExchangeRate.quote,
            ExchangeRate.valid_from.desc(),
            ExchangeRate.id.desc(),
        )
    )
    return [_rate(row) for row in rows]


def _rate(row: ExchangeRate) -> Rate:
    return Rate(
        id=row.id, base=row.base, quote=row.quote, rate=row.rate, valid_until=row.valid_until
    )


def convert(money: Money, quote: str, at: Decimal) -> Money:
    """Return what `money` is worth in `quote`, rounded down to a minor unit.

    Raises ValueError for money that is not positive, or a rate that is not.
    """
    if money.amount <= 0 or at <= 0:
        raise ValueError(f"money={money}, at={at}: both must be above zero")
    places = EXPONENTS.get(quote, OTHERS.get(quote, 0))
    exact = _EXACT.multiply(money.major, at)
    return Money(int(_EXACT.scaleb(exact, places).to_integral_value(ROUND_DOWN)), quote)


def exchange(
    *,
    key: str,
    owner: str,
    source: Money,
    target: Money,
    subject: str | None = None,
) -> Transfer:
    """Return the transfer of an exchange. Raises `NothingLeftError`."""
    if target.amount <= 0:
        raise NothingLeftError(f"{source} is worth less than the smallest unit of the other.")
    return Transfer(
        key=key,
        kind="exchange",
        subject=subject,
        entries=(
            Entry(owner, wallet_of(source.currency), -source),
            Entry(HOUSE, "exchange", source),
            Entry(HOUSE, "exchange", -target),
            Entry(owner, wallet_of(target.currency), target),
        ),
    )

"""Exchanging in a circle: it must never give more than went in.

No rate can be judged alone. USD to EUR at 0.965 is fine until EUR to USD holds at 1.08, and then
whoever exchanges there and back has 4 % more each time. So the best way back is looked for, through
any number of currencies and at every moment until a new rate ends: what it is held against changes
when one of those rates ends, and leaves its pair to an earlier one that holds longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from sqlalchemy import exists, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from payments.ledger.models import ExchangeRate

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Way:
    """Exchanges one after the other, and what they make of one of the first currency, exactly."""

    currencies: tuple[str, ...]
    worth: Fraction


async def best_way(
    session: AsyncSession, start: str, end: str, *, since: datetime, until: datetime
) -> tuple[Way, datetime] | None:
    """Return the way that gives most of all between two moments, and from when on it does."""
    newer = aliased(ExchangeRate)
    hidden = exists().where(
        newer.base == ExchangeRate.base,
        newer.quote == ExchangeRate.quote,
        newer.valid_from <= since,
        tuple_(newer.valid_from, newer.id) > tuple_(ExchangeRate.valid_from, ExchangeRate.id),
        newer.valid_until >= ExchangeRate.valid_until,
    )
    query = select(ExchangeRate).where(
        ExchangeRate.valid_from <= since, ExchangeRate.valid_until > since, ~hidden
    )
    rows = (await session.scalars(query.order_by(ExchangeRate.valid_from, ExchangeRate.id))).all()
    ways = []
    for moment in sorted({since, *(row.valid_until for row in rows if row.valid_until < until)}):
        # In their order: of a pair's rates that hold, the newest is left.
        rates = {(row.base, row.quote): row.rate for row in rows if row.valid_until > moment}
        if way := best(rates, start, end):
            ways.append((way, moment))
    return max(ways, key=lambda found: found[0].worth, default=None)


def best(rates: Mapping[Pair, Decimal], start: str, end: str) -> Way | None:
    """Return the way from `start` to `end` that gives most; None where there is none.

    By Bellman and Ford, who go on from every currency as long as that gives more. No way comes to
    a currency twice: that gives more only where a circle gains already.
    """
    ways = {start: Way((start,), Fraction(1))}
    for _ in rates:  # no way is longer
        before = dict(ways)
        for (base, quote), rate in rates.items():
            way = ways.get(base)
            if way is None or quote in way.currencies:
                continue
            longer = Way((*way.currencies, quote), way.worth * Fraction(rate))
            if quote not in ways or longer.worth > ways[quote].worth:
                ways[quote] = longer
        if ways == before:
            break
    return ways.get(end)

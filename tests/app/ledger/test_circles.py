"""The best way through the rates is found, and none that it lets in makes a circle that gains."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise, permutations

from hypothesis import given
from hypothesis import strategies as st

from payments.db import Database
from payments.ledger import circles
from payments.ledger.circles import Pair, Way
from payments.ledger.models import ExchangeRate

FEW = ("AUD", "BRL", "CHF", "DKK")
NOW = datetime.now(UTC)


def every_circle(rates: dict[Pair, Decimal]) -> list[Fraction]:
    """Return what each circle makes of one; those of one circle begin everywhere in it."""
    found = []
    for length in range(2, len(FEW) + 1):
        for passed in permutations(FEW, length):
            worth = Fraction(1)
            for pair in pairwise((*passed, passed[0])):
                worth *= Fraction(rates.get(pair, 0))
            found.append(worth)
    return found


@given(
    st.lists(
        st.tuples(
            st.permutations(FEW).map(lambda mixed: (mixed[0], mixed[1])),
            st.sampled_from([Decimal(n) for n in ("0.5", "0.8", "0.999999999999", "1", "1.25")]),
        ),
        max_size=16,
    )
)
def test_what_the_best_way_back_lets_in_never_gains(asked: list[tuple[Pair, Decimal]]) -> None:
    rates: dict[Pair, Decimal] = {}
    for (base, quote), rate in asked:
        after = rates | {(base, quote): rate}
        back = circles.best(rates, quote, base)
        gains = back is not None and back.worth * Fraction(rate) > 1
        assert gains == any(worth > 1 for worth in every_circle(after))
        if not gains:
            rates = after


async def add(database: Database, base: str, quote: str, rate: str, *hours: float) -> None:
    since, until = (NOW + timedelta(hours=hour) for hour in hours)
    async with database.transaction() as session:
        session.add(
            ExchangeRate(
                base=base,
                quote=quote,
                rate=Decimal(rate),
                source="tests",
                valid_from=since,
                valid_until=until,
            )
        )


async def test_an_earlier_rate_counts_from_when_the_newer_one_ends(database: Database) -> None:
    await add(database, "EUR", "USD", "9", -5, -4)  # has ended
    await add(database, "EUR", "USD", "8", -4, 2)  # the next one holds for longer
    await add(database, "EUR", "USD", "1.08", -3, 9)
    await add(database, "EUR", "USD", "1.03", -2, 3)
    await add(database, "EUR", "USD", "7", 1, 2)  # has not begun
    await add(database, "EUR", "GBP", "0.9", -2, 6)
    await add(database, "GBP", "USD", "1.15", -2, 6)
    through = Way(("EUR", "GBP", "USD"), Fraction("1.035"))
    straight = Way(("EUR", "USD"), Fraction("1.08"))
    async with database.transaction() as session:
        for hours, way, since in ((3, through, 0), (4, straight, 3), (24, straight, 3)):
            found = await circles.best_way(
                session, "EUR", "USD", since=NOW, until=NOW + timedelta(hours=hours)
            )
            assert found == (way, NOW + timedelta(hours=since))
        assert await circles.best_way(session, "USD", "EUR", since=NOW, until=NOW) is None

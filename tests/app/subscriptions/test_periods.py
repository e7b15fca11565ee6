"""Periods and proration: calendars that are honest, and money that adds up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from payments.subscriptions.periods import difference, period_end, unused

MOMENTS = st.integers(1_577_836_800, 2_840_140_800).map(lambda s: datetime.fromtimestamp(s, UTC))
PRICES = st.integers(1, 10**9)


def test_a_subscription_of_the_31st_ends_on_each_months_last_day_and_returns_to_its_own() -> None:
    start = datetime(2026, 1, 31, 12, tzinfo=UTC)
    ends = []
    for _ in range(4):
        start = period_end(start, "month", 31)
        ends.append((start.month, start.day))
    assert ends == [(2, 28), (3, 31), (4, 30), (5, 31)]


def test_a_year_from_a_leap_day_ends_on_the_28th_and_comes_back() -> None:
    start = datetime(2024, 2, 29, tzinfo=UTC)
    one = period_end(start, "year", 29)
    assert (one.year, one.month, one.day) == (2025, 2, 28)
    assert period_end(period_end(period_end(one, "year", 29), "year", 29), "year", 29).day == 29


@given(MOMENTS, st.sampled_from(["month", "year"]))
def test_a_period_is_as_long_as_its_calendar_says(start: datetime, interval: str) -> None:
    end = period_end(start, interval, start.day)  # type: ignore[arg-type]
    days = (end - start).days
    assert (28 <= days <= 31) if interval == "month" else (365 <= days <= 366)
    assert end.time() == start.time()


@given(PRICES, PRICES, st.integers(1, 10**8), st.data())
def test_a_change_costs_between_nothing_and_the_whole_difference(
    old: int, new: int, total: int, data: st.DataObject
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + timedelta(seconds=total)
    now = start + timedelta(seconds=data.draw(st.integers(0, total)))
    rest = {"start": start, "end": end, "now": now}
    cost = difference(old, new, **rest)
    assert min(0, new - old) <= cost <= max(0, new - old)
    assert cost + difference(new, old, **rest) == 0, "there and back costs exactly nothing"
    exact = (new - old) * (end - now).total_seconds() / total
    assert abs(cost - exact) <= 1.001


@given(PRICES, st.integers(1, 10**7), st.lists(st.floats(0, 1), max_size=6))
def test_what_is_used_and_what_is_left_add_up_to_the_price(
    price: int, total: int, parts: list[float]
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + timedelta(seconds=total)
    moments = sorted(start + timedelta(seconds=int(total * part)) for part in parts)
    left = [unused(price, start=start, end=end, now=now) for now in [start, *moments, end]]
    assert left[0] == price
    assert left[-1] == 0
    assert left == sorted(left, reverse=True), "time only takes away"
    used = [before - after for before, after in pairwise(left)]
    assert sum(used) == price, "no unit is lost or made between the changes"

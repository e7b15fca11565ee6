"""Periods and proration. Pure: integers and moments in, integers and moments out."""

from __future__ import annotations

import calendar
from datetime import datetime, timedelta
from typing import Final

from payments.subscriptions.plans import Interval

DUNNING: Final = (timedelta(days=1), timedelta(days=3), timedelta(days=5), timedelta(days=7))
"""Pauses between a failed renewal and its retries; after the last one the subscription ends."""


def period_end(start: datetime, interval: Interval, anchor_day: int) -> datetime:
    """Return when a period that begins at `start` ends.

    `anchor_day` is the day of the month on which the subscription began: one of the 31st ends on
    the 28th of February, and on the 31st of March again.
    """
    months = 12 if interval == "year" else 1
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(anchor_day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)


def unused(amount: int, *, start: datetime, end: datetime, now: datetime) -> int:
    """Return the part of `amount` (minor units) for the time from `now` to `end`, rounded down."""
    total = _seconds(end - start)
    left = min(max(_seconds(end - now), 0), total)
    return amount * left // total if total else 0


def difference(old: int, new: int, *, start: datetime, end: datetime, now: datetime) -> int:
    """Return what changing from one price to the other costs for the rest of the period.

    Below zero when the new plan is cheaper. Each price is rounded once, the same way, so that
    changing there and back at one moment costs exactly nothing.
    """
    rest = {"start": start, "end": end, "now": now}
    return unused(new, **rest) - unused(old, **rest)


def _seconds(span: timedelta) -> int:
    return span.days * 86400 + span.seconds

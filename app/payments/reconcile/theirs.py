"""The gateway's side: its list, slice by slice, and what it answers about one payment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from payments.gateways.protocol import (
    Gateway,
    GatewayRefusedError,
    ListedPayment,
    Listing,
    Unreadable,
)

ONE_SECOND = timedelta(seconds=1)
"""Gateways tell when a payment was made to the second."""


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` to before `until`."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A slice of a list. `rest` is the part of the period that was not heard of; None: all was."""

    rows: list[ListedPayment]
    unreadable: list[Unreadable]
    rest: Period | None


def listing(gateway: Gateway) -> Listing:
    """Return the gateway as one that lists. Raises `GatewayRefusedError`."""
    if not isinstance(gateway, Listing):
        raise GatewayRefusedError("it lists no payments")
    return gateway


async def hear(gateway: Listing, period: Period, *, most: int) -> Heard:
    """Return the first `most` rows of a period's list, whichever end the gateway begins at."""
    rows: list[ListedPayment] = []
    unreadable: list[Unreadable] = []
    cut = False
    # One more than wanted tells whether there are more.
    async for one in gateway.list_payments(period.since, period.until, most=most + 1):
        if len(rows) + len(unreadable) >= most:
            cut = True
        elif isinstance(one, Unreadable):
            unreadable.append(one)
        else:
            rows.append(one)
    rest = _after(period, [row.created for row in rows]) if cut else None
    return Heard(rows=rows, unreadable=unreadable, rest=rest)


def _after(period: Period, moments: list[datetime]) -> Period:
    """Return what is left of a period behind the last row; its second may have more rows."""
    if not moments:
        return period
    if moments[0] >= moments[-1]:
        return Period(period.since, min(*moments, period.until) + ONE_SECOND)
    return Period(max(*moments, period.since), period.until)

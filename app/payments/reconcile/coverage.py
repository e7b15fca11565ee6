"""How far reconciliation has come: the next run goes on there, and one that is late is missed.

A run covers its period when it was complete, repaired, and did not break off. What is covered is
the chain of such periods: one that begins behind the chain's end leaves a gap, and moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.reconcile.models import Run

DEFAULT_PERIOD: Final = timedelta(days=2)
"""The day before last night's run is looked at once more: some payments settle late."""
OVERLAP: Final = timedelta(days=1)
"""How much of what was covered a run looks at again: a list may show a payment late."""
LONGEST: Final = timedelta(days=90)
"""How far back a run goes on by itself; what is older is a person's to ask for."""
LATE: Final = timedelta(hours=26)
"""A daily run that is two hours overdue."""


def chain(periods: Iterable[tuple[datetime, datetime]]) -> datetime | None:
    """Return the end of what periods cover without a gap, in the order in which they were run."""
    end: datetime | None = None
    for since, until in periods:
        if end is None or since <= end < until:
            end = until
    return end


async def reached(session: AsyncSession, gateway: str, account: str) -> datetime | None:
    """Return up to when a gateway account is covered; None when it never was of late."""
    rows = await session.execute(
        select(Run.since, Run.until)
        .where(
            Run.gateway == gateway,
            Run.account == account,
            Run.complete,
            Run.repair,
            Run.error.is_(None),
            Run.started_at >= datetime.now(UTC) - LONGEST,
        )
        .order_by(Run.started_at)
    )
    return chain((since, until) for since, until in rows)


def begin(end: datetime | None, now: datetime) -> datetime:
    """Return where the next run begins, behind or within what is covered."""
    usual = now - DEFAULT_PERIOD
    return usual if end is None else max(min(usual, end - OVERLAP), now - LONGEST)


def is_late(end: datetime | None, now: datetime) -> bool:
    """Whether a run was missed."""
    return end is None or end < now - LATE

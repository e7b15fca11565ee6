"""How payments are going: the share that fails, gateway by gateway, and the week's report.

An alert is a log line at level error under a fixed name and a gauge that is 1: whatever collects
either can wake somebody. The threshold is the hardening checklist's: more than 5 % of an hour's
payments, where there were enough to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from prometheus_client import Gauge
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ops.logs import get_logger
from payments.ops.metrics import REGISTRY
from payments.orders.models import Order, Payment, StatusChange
from payments.reconcile.models import Difference, Run

log = get_logger(__name__)

FAILURE_THRESHOLD: Final = 0.05
FAILURE_WINDOW: Final = timedelta(hours=1)
ENOUGH: Final = 20
"""Payments in the window below which one unlucky customer would be an alert."""

FAILED: Final = ("failed", "remote_failed")

FAILURE_RATIO: Final = Gauge(
    "payment_failure_ratio",
    "Share of the last hour's ended payments that failed.",
    ("gateway",),
    registry=REGISTRY,
)
ALERTING: Final = Gauge(
    "alert_active",
    "1 while a condition that somebody must look at holds.",
    ("alert",),
    registry=REGISTRY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What became of a gateway's payments in a period."""

    gateway: str
    taken: int
    failed: int

    @property
    def ratio(self) -> float:
        """The failed part of those that ended."""
        ended = self.taken + self.failed
        return self.failed / ended if ended else 0.0


async def shares(
    session: AsyncSession, *, since: datetime, until: datetime | None = None
) -> list[Share]:
    """Return how each gateway's payments ended in a period, up to `until` (now).

    Their moves in it tell, and not what they are by now: one that was declined expires with its
    page, and a refund of an old one is no payment of today. One that failed first and was paid
    then is taken.
    """
    taken = func.bool_or(StatusChange.to_status == "paid")
    ended = (
        select(Payment.gateway, taken.label("taken"))
        .join(StatusChange, StatusChange.entity_id == Payment.id)
        .where(
            # Every move touches its payment: this index finds them without reading all there were.
            Payment.updated_at >= since,
            StatusChange.entity == Payment.entity,
            StatusChange.applied,
            StatusChange.to_status.in_(("paid", *FAILED)),
            StatusChange.created_at >= since,
            StatusChange.created_at < (until or datetime.now(UTC)),
        )
        .group_by(Payment.id)
        .subquery()
    )
    rows = await session.execute(
        select(
            ended.c.gateway,
            func.count().filter(ended.c.taken),
            func.count().filter(~ended.c.taken),
        )
        .group_by(ended.c.gateway)
        .order_by(ended.c.gateway)
    )
    return [Share(gateway=name, taken=taken, failed=failed) for name, taken, failed in rows]


async def watch(session: AsyncSession) -> bool:
    """Measure the failures of the last hour; True, and an alert, where there are too many."""
    alarming = False
    found = await shares(session, since=datetime.now(UTC) - FAILURE_WINDOW)
    # Where nothing has ended there is no share, and the last one must not stand for it.
    FAILURE_RATIO.clear()
    for share in found:
        FAILURE_RATIO.labels(share.gateway).set(share.ratio)
        if share.taken + share.failed >= ENOUGH and share.ratio > FAILURE_THRESHOLD:
            alarming = True
            log.error(
                "alert.payment_failures",
                gateway=share.gateway,
                failed=share.failed,
                ended=share.taken + share.failed,
                threshold=FAILURE_THRESHOLD,
            )
    ALERTING.labels("payment_failures").set(int(alarming))
    return alarming


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """The week's report: what came, what failed, what did not agree."""

    since: datetime
    shares: list[Share]
    volume: dict[str, int]
    orders_failed: int
    runs: int
    runs_failed: int
    differences: dict[str, int]


async def week(session: AsyncSession, *, until: datetime | None = None) -> Week:
    """Return the report of the seven days before `until` (now)."""
    until = until or datetime.now(UTC)
    since = until - timedelta(days=7)
    volume = await session.execute(
        select(Order.currency, func.sum(Order.amount))
        .where(Order.paid_at >= since, Order.paid_at < until)
        .group_by(Order.currency)
    )
    runs = (
        await session.execute(
            select(func.count(), func.count(Run.error)).where(
                Run.started_at >= since, Run.started_at < until
            )
        )
    ).one()
    differences = await session.execute(
        select(Difference.kind, func.count())
        .join(Run, Run.id == Difference.run_id)
        .where(Run.started_at >= since, Run.started_at < until, Difference.repaired.is_(False))
        .group_by(Difference.kind)
    )
    failed = await session.scalar(
        select(func.count()).where(
            Order.status == "remote_failed", Order.created_at >= since, Order.created_at < until
        )
    )
    return Week(
        since=since,
        shares=await shares(session, since=since, until=until),
        volume={currency: int(amount) for currency, amount in volume},
        orders_failed=failed or 0,
        runs=runs[0],
        runs_failed=runs[1],
        differences={row[0]: row[1] for row in differences},
    )


async def report_week(session: AsyncSession) -> Week:
    """Write the week's report to the log, where whatever collects logs can mail it."""
    found = await week(session)
    log.info(
        "reconciliation.week",
        since=found.since.isoformat(),
        gateways={
            share.gateway: f"{share.taken} taken, {share.failed} failed" for share in found.shares
        },
        volume=found.volume,
        orders_failed=found.orders_failed,
        runs=found.runs,
        runs_failed=found.runs_failed,
        differences=found.differences,
    )
    return found

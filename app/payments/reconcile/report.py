"""What a run has found: as lines, in the database, and as metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from prometheus_client import Gauge

from payments.db import Database, is_away
from payments.gateways.protocol import ListedPayment
from payments.ops.logs import get_logger
from payments.ops.metrics import REGISTRY
from payments.reconcile import coverage
from payments.reconcile.compare import KINDS, Found, OurPayment
from payments.reconcile.models import Difference, Run
from payments.reconcile.theirs import Period

log = get_logger(__name__)

DIFFERENCES: Final = Gauge(
    "reconciliation_differences",
    "What the last run found and could not repair, by kind.",
    ("gateway", "kind"),
    registry=REGISTRY,
)
COMPLETE: Final = Gauge(
    "reconciliation_complete",
    "1 when the last run held all of its period against our books.",
    ("gateway",),
    registry=REGISTRY,
)
REACHED: Final = Gauge(
    "reconciliation_last_success_timestamp_seconds",
    "Up to when a gateway's payments were held against our books, without a gap.",
    ("gateway",),
    registry=REGISTRY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One difference of a report."""

    kind: str
    payment_ref: str
    payment_id: UUID | None
    ours: str
    theirs: str
    repaired: bool


@dataclass(slots=True, kw_only=True)
class Report:
    """What one run over one gateway found. `error` is set when it could not be done.

    `complete` is False when not everything was looked at: `rest` is then what is left of the list,
    and `since` and `until` what was seen of it. `asked` counts the payments that were asked about
    one by one, beside the list.
    """

    gateway: str
    account: str
    since: datetime
    until: datetime
    repair: bool = True
    complete: bool = True
    rest: Period | None = None
    listed: int = 0
    asked: int = 0
    agreed: int = 0
    fees_booked: int = 0
    error: str | None = None
    lines: list[Line] = field(default_factory=list)

    @property
    def open(self) -> int:
        """How many differences somebody has to look at."""
        return sum(not line.repaired for line in self.lines)

    @property
    def agrees(self) -> bool:
        """Whether all was looked at, and nothing is left for anybody to look at."""
        return self.error is None and self.complete and not self.open

    def add(self, found: Found, *, repaired: bool) -> None:
        """Add a difference."""
        self.add_line(
            Line(
                kind=found.kind,
                payment_ref=found.payment_ref,
                payment_id=found.ours.id if found.ours else None,
                ours=_said(found, found.ours),
                theirs=_said(found, found.theirs),
                repaired=repaired,
            )
        )

    def add_error(self, payment_ref: str | None, ours: OurPayment | None, why: str) -> None:
        """Add what could not be read, compared or repaired."""
        self.add_line(
            Line(
                kind="error",
                payment_ref=payment_ref or "",
                payment_id=ours.id if ours else None,
                ours=_state(ours) if ours else "nothing",
                theirs=why[:200],
                repaired=False,
            )
        )

    def broken(self, error: Exception, payment_ref: str | None, ours: OurPayment | None) -> None:
        """Note what went wrong with one payment; raise where nothing would go right."""
        if is_away(error):
            raise error
        log.error("reconciliation.line_failed", payment_ref=payment_ref, exc_info=error)
        self.add_error(payment_ref, ours, f"not done ({type(error).__name__})")

    def add_line(self, line: Line) -> None:
        """Add a line."""
        self.lines.append(line)
        log.warning(
            "reconciliation.difference",
            gateway=self.gateway,
            kind=line.kind,
            payment_ref=line.payment_ref,
            repaired=line.repaired,
        )


async def keep(database: Database, report: Report, started: datetime) -> None:
    """Write a report down."""
    run = Run(
        id=uuid4(),
        gateway=report.gateway,
        account=report.account,
        since=report.since,
        until=report.until,
        repair=report.repair,
        complete=report.complete,
        listed=report.listed,
        asked=report.asked,
        agreed=report.agreed,
        fees_booked=report.fees_booked,
        error=report.error,
        started_at=started,
    )
    async with database.transaction() as session:
        session.add(run)
        await session.flush()
        session.add_all(
            Difference(
                run_id=run.id,
                kind=line.kind,
                payment_ref=line.payment_ref,
                payment_id=line.payment_id,
                ours=line.ours,
                theirs=line.theirs,
                repaired=line.repaired,
            )
            for line in report.lines
        )


async def measure(database: Database, report: Report) -> None:
    """Set the metrics after a run that is kept."""
    COMPLETE.labels(report.gateway).set(int(report.error is None and report.complete))
    async with database.transaction() as session:
        reached = await coverage.reached(session, report.gateway, report.account)
    if reached is not None:
        REACHED.labels(report.gateway).set(reached.timestamp())
    if report.error is not None:
        log.error("reconciliation.failed", gateway=report.gateway, error=report.error)
        return
    for kind in KINDS:
        DIFFERENCES.labels(report.gateway, kind).set(_open(report.lines, kind))


def _open(lines: Sequence[Line], kind: str) -> int:
    return sum(line.kind == kind and not line.repaired for line in lines)


def _said(found: Found, side: OurPayment | ListedPayment | None) -> str:
    if side is None:
        return "nothing"
    if found.kind == "refunded":
        return f"{side.refunded} refunded"
    if found.kind == "fee_currency" and isinstance(side, ListedPayment):
        return f"a fee of {side.fee}"
    return _state(side)


def _state(side: OurPayment | ListedPayment) -> str:
    if isinstance(side, OurPayment):
        status = "in review" if side.in_review else "paid" if side.paid else "not paid"
    else:
        status = side.status
    return f"{side.money}, {status}"

"""A reconciliation run: list, compare, repair what can be, book the gateway's fees, keep the rest.

What is repaired goes through the inbox as the event that should have come, under a key made of what
it says, so that two runs, or a run and a late event, have one effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from prometheus_client import Gauge
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.gateways.protocol import (
    EventKind,
    Gateway,
    GatewayEvent,
    GatewayRefusedError,
    GatewayUnknownError,
    ListedPayment,
    Listing,
)
from payments.inbox import service as inbox
from payments.ledger import service as ledger
from payments.ledger.service import HOUSE, Entry, Transfer
from payments.money import Money
from payments.ops.logs import get_logger
from payments.ops.metrics import REGISTRY
from payments.orders.models import Order, Payment
from payments.orders.status import TAKEN
from payments.reconcile.compare import Found, OurPayment, compare
from payments.reconcile.models import Difference, Run
from payments.reconcile.options import DAILY_LIMIT
from payments.refunds.models import RefundRow
from payments.resources import Resources

log = get_logger(__name__)

MARGIN: Final = timedelta(minutes=15)
"""Payments this near to the period's ends may stand on the other side of it at the gateway."""
BATCH: Final = 200

DIFFERENCES: Final = Gauge(
    "reconciliation_differences",
    "What the last run found and could not repair, by kind.",
    ("gateway", "kind"),
    registry=REGISTRY,
)
LAST_RUN: Final = Gauge(
    "reconciliation_last_success_timestamp_seconds",
    "When a gateway's list was last held against our books.",
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
    """What one run over one gateway found. `error` is set when it could not be done."""

    gateway: str
    account: str
    since: datetime
    until: datetime
    complete: bool = True
    listed: int = 0
    agreed: int = 0
    fees_booked: int = 0
    error: str | None = None
    lines: list[Line] = field(default_factory=list)

    @property
    def open(self) -> int:
        """How many differences somebody has to look at."""
        return sum(not line.repaired for line in self.lines)


async def reconcile(
    resources: Resources,
    gateway: Gateway,
    *,
    since: datetime,
    until: datetime | None = None,
    limit: int = DAILY_LIMIT,
    repair: bool = True,
) -> Report:
    """Hold a gateway's payments created in `[since, until)` against ours, and keep the report."""
    until = until or datetime.now(UTC)
    report = Report(gateway=gateway.name, account=gateway.account, since=since, until=until)
    started = datetime.now(UTC)
    try:
        theirs = await _listed(gateway, report, limit)
        ours = await _ours(resources, gateway, theirs, report)
        found = compare(theirs, ours)
        report.agreed = report.listed - len({f.payment_ref for f in found if f.theirs is not None})
        for one in found:
            report.lines.append(await _settle(resources, gateway, one, repair=repair))
        if repair:
            report.fees_booked = await _book_fees(resources, gateway, theirs, ours)
    except (GatewayUnknownError, GatewayRefusedError) as error:
        report.error = f"the gateway does not answer: {error}"
    await _keep(resources, report, started)
    _measure(report)
    return report


async def _listed(gateway: Gateway, report: Report, limit: int) -> list[ListedPayment]:
    if not isinstance(gateway, Listing):
        raise GatewayRefusedError("it lists no payments")
    # One more than wanted tells whether there are more.
    theirs = [
        listed async for listed in gateway.list_payments(report.since, report.until, most=limit + 1)
    ]
    if len(theirs) > limit:
        report.complete = False
        theirs = theirs[:limit]
        moments = [listed.created for listed in theirs]
        # Whichever end the gateway begins at: the period is what was seen of it.
        if moments[0] >= moments[-1]:
            report.since = min(moments)
        else:
            report.until = max(moments)
    report.listed = len(theirs)
    return theirs


async def _ours(
    resources: Resources, gateway: Gateway, theirs: Sequence[ListedPayment], report: Report
) -> list[OurPayment]:
    """Return our payments that the list names, and those paid in the period that it does not."""
    here = (Payment.gateway == gateway.name, Payment.account == gateway.account)
    paid_in_period = (
        Payment.status.in_(TAKEN),
        Order.paid_at >= report.since + MARGIN,
        Order.paid_at < report.until - MARGIN,
    )
    rows: dict[UUID, OurPayment] = {}
    async with resources.database.transaction() as session:
        for start in range(0, len(theirs), BATCH):
            part = theirs[start : start + BATCH]
            named = or_(
                Payment.id.in_([t.payment_id for t in part if t.payment_id]),
                Payment.payment_ref.in_([t.payment_ref for t in part]),
                Payment.checkout_ref.in_([t.checkout_ref for t in part if t.checkout_ref]),
            )
            rows |= await _payments(session, *here, named)
        rows |= await _payments(session, *here, *paid_in_period)
    return list(rows.values())


async def _payments(session: AsyncSession, *where: object) -> dict[UUID, OurPayment]:
    returned = (
        select(func.coalesce(func.sum(RefundRow.amount), 0))
        .where(RefundRow.payment_id == Payment.id, RefundRow.status == "returned")
        .scalar_subquery()
    )
    rows = await session.execute(
        select(Payment, Order.paid_at, returned)
        .join(Order, Order.id == Payment.order_id)
        .where(*where)  # type: ignore[arg-type]
    )
    return {
        payment.id: OurPayment(
            id=payment.id,
            payment_ref=payment.payment_ref,
            checkout_ref=payment.checkout_ref,
            paid=payment.status in TAKEN,
            in_review=payment.status == "review",
            money=payment.money,
            refunded=Money(payment.refunded - int(back), payment.currency),
            paid_at=paid_at,
        )
        for payment, paid_at, back in rows
    }


async def _settle(resources: Resources, gateway: Gateway, found: Found, *, repair: bool) -> Line:
    repaired = False
    if repair and found.repairable and found.ours is not None and found.theirs is not None:
        event = _event(gateway, found.ours, found.theirs, refunded=found.kind == "refunded")
        async with resources.database.transaction() as session:
            repaired = await inbox.receive(session, event) in ("applied", "duplicate")
    line = Line(
        kind=found.kind,
        payment_ref=found.payment_ref,
        payment_id=found.ours.id if found.ours else None,
        ours=_said(found, found.ours),
        theirs=_said(found, found.theirs),
        repaired=repaired,
    )
    log.warning(
        "reconciliation.difference",
        gateway=gateway.name,
        kind=line.kind,
        payment_ref=line.payment_ref,
        repaired=repaired,
    )
    return line


def _said(found: Found, side: OurPayment | ListedPayment | None) -> str:
    if side is None:
        return "nothing"
    if isinstance(side, OurPayment):
        status = "in review" if side.in_review else "paid" if side.paid else "not paid"
    else:
        status = side.status
    if found.kind == "refunded":
        return f"{side.refunded} refunded"
    if found.kind == "fee_currency" and isinstance(side, ListedPayment):
        return f"a fee of {side.fee}"
    return f"{side.money}, {status}"


def _event(
    gateway: Gateway, ours: OurPayment, theirs: ListedPayment, *, refunded: bool
) -> GatewayEvent:
    kind: EventKind = "refunded" if refunded else "paid"
    money = theirs.refunded if refunded else theirs.money
    return GatewayEvent(
        gateway=gateway.name,
        account=gateway.account,
        key=f"reconciled:{theirs.payment_ref}:{kind}:{money.amount}",
        type=f"reconciled.{kind}",
        kind=kind,
        created=datetime.now(UTC),
        payment_id=ours.id,
        checkout_ref=theirs.checkout_ref,
        payment_ref=theirs.payment_ref,
        money=money,
    )


async def _book_fees(
    resources: Resources,
    gateway: Gateway,
    theirs: Sequence[ListedPayment],
    ours: Sequence[OurPayment],
) -> int:
    """Book what the gateway kept of each payment, once; returns how many were new."""
    by_ref = {payment.payment_ref: payment for payment in ours if payment.paid}
    transfers = []
    for listed in theirs:
        payment, fee = by_ref.get(listed.payment_ref), listed.fee
        if payment is None or fee is None or fee.amount <= 0:
            continue
        if fee.currency != payment.money.currency:
            continue
        clearing = ledger.gateway(gateway.name, gateway.account)
        transfers.append(
            Transfer(
                key=f"payment:{payment.id}:gateway_fee",
                kind="gateway.fee",
                subject=f"payment:{payment.id}",
                entries=(
                    Entry(HOUSE, "gateway_fees", -fee),
                    Entry(clearing, "gateway_clearing", fee),
                ),
            )
        )
    booked = 0
    for start in range(0, len(transfers), BATCH):
        async with resources.database.transaction() as session:
            posted = await ledger.post(session, transfers[start : start + BATCH])
        booked += sum(not one.replayed for one in posted)
    return booked


async def _keep(resources: Resources, report: Report, started: datetime) -> None:
    run = Run(
        id=uuid4(),
        gateway=report.gateway,
        account=report.account,
        since=report.since,
        until=report.until,
        complete=report.complete,
        listed=report.listed,
        agreed=report.agreed,
        fees_booked=report.fees_booked,
        error=report.error,
        started_at=started,
    )
    async with resources.database.transaction() as session:
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


def _measure(report: Report) -> None:
    if report.error is not None:
        log.error("reconciliation.failed", gateway=report.gateway, error=report.error)
        return
    LAST_RUN.labels(report.gateway).set(datetime.now(UTC).timestamp())
    for kind in ("unknown_here", "unpaid_here", "unpaid_there", "amount", "refunded"):
        number = sum(line.kind == kind and not line.repaired for line in report.lines)
        DIFFERENCES.labels(report.gateway, kind).set(number)

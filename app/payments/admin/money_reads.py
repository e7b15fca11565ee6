"""Reading the money for admins, in the caller's transaction; nothing is changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.admin.money_views import (
    DeliveryLine,
    DifferenceLine,
    DisputeLine,
    Health,
    PayoutLine,
    RateLine,
    RefundLine,
    ReviewLine,
    RunDetail,
    RunLine,
    ShareLine,
    SubscriptionLine,
)
from payments.disputes.models import Dispute
from payments.errors import NotFoundError
from payments.ledger.models import ExchangeRate
from payments.orders import suspense
from payments.orders.models import Order, Payment
from payments.paging import Page, moment, page, row_number
from payments.payouts.models import Payout
from payments.reconcile import health
from payments.reconcile.models import Difference, Run
from payments.refunds.models import RefundRow
from payments.subscriptions.models import Subscription
from payments.webhooks_out.models import Delivery, Endpoint, Message

_MOMENT_AND_ID: Final = (moment, UUID)


async def refunds(
    session: AsyncSession, *, status: str | None, cursor: str | None, limit: int
) -> Page[RefundLine]:
    """List refunds, newest first."""
    query = select(RefundRow, Payment.gateway).join(Payment, Payment.id == RefundRow.payment_id)
    return await page(
        session,
        query.where(RefundRow.status == status) if status else query,
        order=(RefundRow.created_at, RefundRow.id),
        parse=_MOMENT_AND_ID,
        cursor=cursor,
        limit=limit,
        view=lambda row: _refund(row[0], row[1]),
    )


async def refunds_of(session: AsyncSession, payment_id: UUID) -> list[RefundLine]:
    """Return a payment's refunds, oldest first."""
    rows = await session.execute(
        select(RefundRow, Payment.gateway)
        .join(Payment, Payment.id == RefundRow.payment_id)
        .where(RefundRow.payment_id == payment_id)
        .order_by(RefundRow.created_at, RefundRow.id)
    )
    return [_refund(row, gateway) for row, gateway in rows]


def _refund(row: RefundRow, gateway: str) -> RefundLine:
    return RefundLine(
        id=row.id,
        payment_id=row.payment_id,
        gateway=gateway,
        status=row.status,
        reason=row.reason,
        requested_by=row.requested_by,
        last_error=row.last_error,
        currency=row.currency,
        amount=row.amount,
        created_at=row.created_at,
    )


async def disputes(
    session: AsyncSession, *, status: str | None, cursor: str | None, limit: int
) -> Page[DisputeLine]:
    """List disputes, newest first."""
    query = select(Dispute)
    return await page(
        session,
        query.where(Dispute.status == status) if status else query,
        order=(Dispute.created_at, Dispute.id),
        parse=_MOMENT_AND_ID,
        cursor=cursor,
        limit=limit,
        view=lambda row: DisputeLine(
            id=row[0].id,
            payment_id=row[0].payment_id,
            gateway=row[0].gateway,
            dispute_ref=row[0].dispute_ref,
            status=row[0].status,
            currency=row[0].currency,
            amount=row[0].amount,
            created_at=row[0].created_at,
            updated_at=row[0].updated_at,
        ),
    )


async def payouts(
    session: AsyncSession, *, status: str | None, cursor: str | None, limit: int
) -> Page[PayoutLine]:
    """List payouts to merchants, newest first."""
    query = select(Payout)
    return await page(
        session,
        query.where(Payout.status == status) if status else query,
        order=(Payout.created_at, Payout.id),
        parse=_MOMENT_AND_ID,
        cursor=cursor,
        limit=limit,
        view=lambda row: payout_line(row[0]),
    )


def payout_line(row: Payout) -> PayoutLine:
    """Return a payout as an admin sees it."""
    return PayoutLine(
        id=row.id,
        merchant=row.merchant,
        status=row.status,
        requested_by=row.requested_by,
        approved_by=row.approved_by,
        bank_ref=row.bank_ref,
        currency=row.currency,
        amount=row.amount,
        created_at=row.created_at,
    )


async def reviews(session: AsyncSession, *, cursor: str | None, limit: int) -> Page[ReviewLine]:
    """List payments whose money did not fit, newest first, with what of it still waits.

    A payment that came as ordered is among them while a second sum of it waits.
    """
    waits = Payment.id.in_(suspense.of_payments_waiting())
    found = await page(
        session,
        _payments().where(or_(Payment.status == "review", waits)),
        order=(Payment.created_at, Payment.id),
        parse=_MOMENT_AND_ID,
        cursor=cursor,
        limit=limit,
        view=lambda row: (row[0], row[1]),
    )
    return Page(
        data=[await review(session, payment, order) for payment, order in found.data],
        next_cursor=found.next_cursor,
    )


def _payments() -> Select[Payment, Order]:
    return select(Payment, Order).join(Order, Order.id == Payment.order_id)


async def review(session: AsyncSession, payment: Payment, order: Order) -> ReviewLine:
    """Return a payment with what of it waits in suspense."""
    return ReviewLine(
        payment_id=payment.id,
        order_id=order.id,
        customer_id=order.customer_id,
        description=order.description,
        gateway=payment.gateway,
        payment_ref=payment.payment_ref,
        status=payment.status,
        waiting=await suspense.waiting(session, payment),
        currency=payment.currency,
        amount=payment.amount,
        created_at=payment.created_at,
    )


def _runs() -> Select[Run, Any, Any]:
    counts = (
        select(
            Difference.run_id,
            func.count().filter(Difference.repaired).label("repaired"),
            func.count().filter(Difference.repaired.is_(False)).label("open"),
        )
        .group_by(Difference.run_id)
        .subquery()
    )
    return select(
        Run, func.coalesce(counts.c.repaired, 0), func.coalesce(counts.c.open, 0)
    ).outerjoin(counts, counts.c.run_id == Run.id)


def _run(row: Any) -> RunLine:
    run: Run = row[0]
    return RunLine(
        id=run.id,
        gateway=run.gateway,
        since=run.since,
        until=run.until,
        complete=run.complete,
        listed=run.listed,
        agreed=run.agreed,
        repaired=row[1],
        open=row[2],
        fees_booked=run.fees_booked,
        error=run.error,
        started_at=run.started_at,
    )


async def runs(session: AsyncSession, *, cursor: str | None, limit: int) -> Page[RunLine]:
    """List reconciliations, newest first."""
    return await page(
        session,
        _runs(),
        order=(Run.started_at, Run.id),
        parse=_MOMENT_AND_ID,
        cursor=cursor,
        limit=limit,
        view=_run,
    )


async def run(session: AsyncSession, run_id: UUID) -> RunDetail:
    """Return a reconciliation with its differences. Raises `NotFoundError`."""
    row = (await session.execute(_runs().where(Run.id == run_id))).one_or_none()
    if row is None:
        raise NotFoundError("There is no such reconciliation.")
    found = await session.scalars(
        select(Difference).where(Difference.run_id == run_id).order_by(Difference.id)
    )
    return RunDetail(
        run=_run(row),
        differences=[
            DifferenceLine(
                id=one.id,
                kind=one.kind,
                payment_ref=one.payment_ref,
                payment_id=one.payment_id,
                ours=one.ours,
                theirs=one.theirs,
                repaired=one.repaired,
            )
            for one in found
        ],
    )


async def rates(session: AsyncSession, *, cursor: str | None, limit: int) -> Page[RateLine]:
    """List exchange rates, newest first, those that have ended too."""
    return await page(
        session,
        select(ExchangeRate),
        order=(ExchangeRate.id,),
        parse=(row_number,),
        cursor=cursor,
        limit=limit,
        view=lambda row: rate_line(row[0]),
    )


def rate_line(row: ExchangeRate) -> RateLine:
    """Return a rate as an admin sees it."""
    return RateLine(
        id=row.id,
        base=row.base,
        quote=row.quote,
        rate=f"{row.rate.normalize():f}",
        source=row.source,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
    )


async def subscriptions(
    session: AsyncSession, *, status: str | None, cursor: str | None, limit: int
) -> Page[SubscriptionLine]:
    """List subscriptions, newest first."""
    query = select(Subscription)
    return await page(
        session,
        query.where(Subscription.status == status) if status else query,
        order=(Subscription.created_at, Subscription.id),
        parse=_MOMENT_AND_ID,
        cursor=cursor,
        limit=limit,
        view=lambda row: SubscriptionLine(
            id=row[0].id,
            customer_id=row[0].customer_id,
            plan=row[0].plan,
            status=row[0].status,
            attempts=row[0].attempts,
            period_end=row[0].period_end,
            cancel_at_end=row[0].cancel_at_end,
            currency=row[0].currency,
            amount=row[0].amount,
            created_at=row[0].created_at,
        ),
    )


async def deliveries(
    session: AsyncSession, *, state: str | None, cursor: str | None, limit: int
) -> Page[DeliveryLine]:
    """List webhooks to customers' endpoints, newest first."""
    query = (
        select(Delivery, Message.type, Endpoint.url, Endpoint.customer_id)
        .join(Message, Message.id == Delivery.message_id)
        .join(Endpoint, Endpoint.id == Delivery.endpoint_id)
    )
    return await page(
        session,
        query.where(Delivery.state == state) if state else query,
        order=(Delivery.id,),
        parse=(row_number,),
        cursor=cursor,
        limit=limit,
        view=lambda row: DeliveryLine(
            id=row[0].id,
            type=row[1],
            url=row[2],
            customer_id=row[3],
            state=row[0].state,
            attempts=row[0].attempts,
            answer=row[0].answer,
            error=row[0].error,
            created_at=row[0].created_at,
            next_attempt_at=row[0].next_attempt_at,
        ),
    )


async def how_payments_go(session: AsyncSession) -> Health:
    """Return the last hour's failures and the week's report."""
    hour = await health.shares(session, since=datetime.now(UTC) - timedelta(hours=1))
    week = await health.week(session)
    return Health(
        hour=[_share(share) for share in hour],
        threshold_percent=health.FAILURE_THRESHOLD * 100,
        week_since=week.since,
        week=[_share(share) for share in week.shares],
        volume=week.volume,
        orders_failed=week.orders_failed,
        runs=week.runs,
        runs_failed=week.runs_failed,
        differences=week.differences,
    )


def _share(share: health.Share) -> ShareLine:
    return ShareLine(
        gateway=share.gateway,
        taken=share.taken,
        failed=share.failed,
        percent_failed=round(share.ratio * 100, 1),
    )

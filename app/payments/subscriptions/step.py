"""The worker's part: trials that end, renewals, retries after a failure, what was never paid.

Each step claims one due subscription, writes down what is to be charged, commits, charges, and
records. A step that dies in between left a payment with its key: `orders.repair` finishes it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.gateways.protocol import (
    Charging,
    GatewayForbiddenError,
    GatewayRefusedError,
    GatewayUnknownError,
)
from payments.ops.logs import get_logger
from payments.orders.asking import is_over
from payments.orders.models import Payment
from payments.orders.service import last_payment
from payments.resources import Resources
from payments.subscriptions import billing, booking
from payments.subscriptions.models import Invoice, Subscription
from payments.subscriptions.periods import period_end
from payments.subscriptions.plans import find

log = get_logger(__name__)

WAIT: Final = timedelta(hours=1)
"""How long a step waits for a charge or a page before it looks again."""
MOMENT: Final = timedelta(minutes=1)
"""How long it leaves an order alone that somebody else is at."""
LEARNING: Final = timedelta(days=1)
"""How long a step waits for a gateway to say what can be charged; then a page is paid instead."""


async def due(session: AsyncSession, *, most: int, now: datetime | None = None) -> list[UUID]:
    """Return subscriptions whose next step is due."""
    moment = now or datetime.now(UTC)
    found = await session.scalars(
        select(Subscription.id)
        .where(Subscription.next_step_at <= moment)
        .order_by(Subscription.next_step_at)
        .limit(most)
    )
    return list(found)


async def step(
    resources: Resources, subscription_id: UUID, *, now: datetime | None = None
) -> str | None:
    """Take a subscription's next step if it is due; returns its status, None when it was not."""
    moment = now or datetime.now(UTC)
    await _learn_late(resources, subscription_id, moment)
    async with resources.database.transaction() as session:
        subscription = await session.scalar(
            select(Subscription)
            .where(Subscription.id == subscription_id, Subscription.next_step_at <= moment)
            .with_for_update(skip_locked=True, key_share=True)
        )
        if subscription is None:
            return None
        charge = await _next(session, resources, subscription, moment)
    if charge is not None:
        await billing.collect(resources, charge, again=False)
    async with resources.database.transaction() as session:
        return (await session.get_one(Subscription, subscription_id)).status


async def _next(
    session: AsyncSession, resources: Resources, subscription: Subscription, now: datetime
) -> UUID | None:
    """Do what is due on a locked subscription; returns the payment to be charged, if any."""
    if subscription.ended_at is not None or subscription.status == "paused":
        subscription.next_step_at = None
        return None
    if subscription.status == "incomplete":
        await booking.end(session, subscription, "expired", now=now, cause="never paid")
        return None
    # What is under way ends first: paid, the period is had to its end, and it is the last one.
    if subscription.cancel_at_end and not await billing.under_way(session, subscription.id):
        await booking.end(session, subscription, "canceled", now=now, cause="as asked")
        return None
    if subscription.status == "past_due":
        return await _retry(session, resources, subscription, now)
    return await _renew(session, resources, subscription, now)


async def _renew(
    session: AsyncSession, resources: Resources, subscription: Subscription, now: datetime
) -> UUID | None:
    """Invoice the next period, once: it follows the last one, however late this step is."""
    if await billing.open_order(session, subscription.id) is not None:
        # Its charge was made, and nobody has told its end: asking for it is the payment's repair.
        return await _retry(session, resources, subscription, now)
    # A change that nobody has paid by now was one of the period that ends.
    await booking.void_open(session, subscription, kind="change")
    plan = find(subscription.plan)
    start = subscription.period_end or now
    if subscription.status == "trialing":
        subscription.anchor_day = start.day
    invoice = await billing.invoice(
        session,
        subscription,
        plan,
        kind="period",
        start=start,
        end=period_end(start, plan.interval, subscription.anchor_day),
        amount=subscription.amount,
    )
    if invoice.order_id is None:
        await booking.begin(session, subscription, invoice, cause="paid by credit")
        return None
    return await _charge(session, resources, subscription, now)


async def _retry(
    session: AsyncSession, resources: Resources, subscription: Subscription, now: datetime
) -> UUID | None:
    order = await billing.open_order(session, subscription.id)
    if order is None:
        raise LookupError(f"subscription {subscription.id} has nothing to be charged for")
    if not await billing.claim(session, order.id):
        # The customer asks for a page, or an event is being applied. Not waited for: whoever has
        # an order's lock may wait for its subscription's, which is ours.
        subscription.next_step_at = now + MOMENT
        return None
    if not is_over(await last_payment(session, order)):
        subscription.next_step_at = now + WAIT  # the customer may be paying this very moment
        return None
    return await _charge(session, resources, subscription, now)


async def _charge(
    session: AsyncSession, resources: Resources, subscription: Subscription, now: datetime
) -> UUID | None:
    order = await billing.open_order(session, subscription.id)
    charge = None
    if order is not None:
        charge = await billing.intend_charge(session, resources, subscription, order)
    if charge is None:
        # The customer pays on a page, which they are asked to open.
        await booking.missed(session, subscription, now=now, cause="nothing to charge")
    else:
        subscription.next_step_at = now + WAIT
    return charge


async def _learn_late(resources: Resources, subscription_id: UUID, now: datetime) -> None:
    """Ask what a payment has left, if a step needs it and nobody has kept it.

    The job that should have dies with its worker, and gives up while a gateway is away.
    """
    async with resources.database.transaction() as session:
        found = (
            await session.execute(
                select(Payment.id, Subscription.next_step_at)
                .join(Invoice, Invoice.order_id == Payment.order_id)
                .join(Subscription, Subscription.id == Invoice.subscription_id)
                .where(
                    Subscription.id == subscription_id,
                    Subscription.next_step_at <= now,
                    Subscription.ended_at.is_(None),
                    Subscription.method_ref.is_(None),
                    Payment.captured > 0,
                    Payment.request["save_method"].as_boolean(),
                )
                .order_by(Payment.created_at.desc())
                .limit(1)
            )
        ).first()
    if found is None:
        return
    try:
        await learn_method(resources, subscription_id, found.id)
    except GatewayUnknownError:
        if now - found.next_step_at < LEARNING:
            raise  # the sweep comes again; to be asked to pay is for who left nothing to charge


async def learn_method(resources: Resources, subscription_id: UUID, payment_id: UUID) -> None:
    """Keep what the customer's payment has left to be charged again."""
    async with resources.database.transaction() as session:
        payment = await session.get_one(Payment, payment_id)
    gateway = resources.gateways.get(payment.gateway)
    if gateway is None or not isinstance(gateway, Charging) or payment.payment_ref is None:
        return
    try:
        method = await gateway.saved_method(payment.payment_ref)
    except (GatewayUnknownError, GatewayRefusedError) as error:
        # Without it the next period is paid on a page; that is no reason to fail for ever.
        log.warning("subscription.method_unknown", payment_id=str(payment_id), error=str(error))
        if isinstance(error, GatewayForbiddenError):
            raise GatewayUnknownError(str(error)) from error  # nothing was said of the method
        if isinstance(error, GatewayUnknownError):
            raise
        return
    if method is None:
        return  # none was left: what is known from before is charged, as before
    async with resources.database.transaction() as session:
        subscription = await session.get_one(Subscription, subscription_id)
        # Together: a method means something at its own gateway only.
        subscription.method_ref, subscription.gateway = method, payment.gateway

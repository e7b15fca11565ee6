"""Making an invoice and its order, and charging for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID, uuid4

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments import jobs
from payments.gateways.protocol import Charging
from payments.money import Money
from payments.orders.asking import UNFINISHED, ask, locked, record
from payments.orders.models import Order, Payment
from payments.orders.service import intend, last_payment
from payments.resources import Resources
from payments.subscriptions.models import Invoice, Subscription
from payments.subscriptions.plans import Plan


async def invoice(
    session: AsyncSession,
    subscription: Subscription,
    plan: Plan,
    *,
    kind: Literal["period", "change"],
    start: datetime,
    end: datetime,
    amount: int,
    request_key: str | None = None,
) -> Invoice:
    """Write an invoice of a locked subscription, and the order for what credit does not pay.

    The order is found again by `request_key`, where there is one.
    """
    credit = min(subscription.credit, amount)
    subscription.credit -= credit
    made = Invoice(
        id=uuid4(),
        subscription_id=subscription.id,
        kind=kind,
        period_start=start,
        period_end=end,
        currency=subscription.currency,
        amount=amount,
        credit=credit,
        status="open",
    )
    due = Money(amount - credit, subscription.currency)
    if due.amount:
        made.order_id = uuid4()
        what = plan.name if kind == "period" else f"Change to {plan.name}"
        session.add(
            Order(
                id=made.order_id,
                customer_id=subscription.customer_id,
                request_key=request_key
                or f"subscription:{subscription.id}:{kind}:{start.isoformat()}",
                sku=plan.key,
                description=what,
                quantity=1,
                currency=due.currency,
                amount=due.amount,
                kind="purchase",
                merchant=plan.merchant,
                fee=plan.fee(due),
                status="pending",
            )
        )
    else:
        made.status = "paid"
    await session.flush()
    session.add(made)
    await session.flush()
    return made


async def intend_charge(
    session: AsyncSession, resources: Resources, subscription: Subscription, order: Order
) -> UUID | None:
    """Write down a charge of the saved method; None where there is none to be charged."""
    if subscription.method_ref is None or subscription.gateway is None:
        return None
    gateway = resources.gateways.get(subscription.gateway)
    if gateway is None or not isinstance(gateway, Charging):
        return None
    return await _intend(session, resources, order, gateway.name, subscription.method_ref)


async def intend_page(session: AsyncSession, resources: Resources, order: Order) -> UUID:
    """Write down a payment page for an order, on which the customer lets us keep their method."""
    gateway = resources.gateways.choose(order.money, kind=order.kind, saving=True)
    return await _intend(session, resources, order, gateway.name, None)


async def _intend(
    session: AsyncSession, resources: Resources, order: Order, gateway: str, method: str | None
) -> UUID:
    payment = intend(
        session,
        order,
        resources.gateways.need(gateway),
        resources.settings.public_url,
        save_method=method is None,
        method=method,
    )
    await session.flush()
    await jobs.enqueue(
        session, jobs.REPAIR_PAYMENT, {"payment_id": str(payment.id)}, at=payment.next_check_at
    )
    return payment.id


async def collect(resources: Resources, payment_id: UUID, *, again: bool) -> Payment:
    """Ask the gateway for a payment that was written down, and record its answer.

    `again`: it was written down earlier, so that somebody may have asked before.
    """
    async with resources.database.transaction() as session:
        payment = await session.get_one(Payment, payment_id)
    if payment.status in UNFINISHED:
        answer = await ask(resources.gateways.need(payment.gateway), payment, again=again)
        async with resources.database.transaction() as session:
            order, payment = await locked(session, payment_id)
            await record(session, order, payment, answer)
    return payment


async def open_order(
    session: AsyncSession, subscription_id: UUID, kind: Literal["period", "change"] = "period"
) -> Order | None:
    """Return the order of a subscription's open invoice, for a period or for a change."""
    found: Order | None = await session.scalar(
        select(Order)
        .join(Invoice, Invoice.order_id == Order.id)
        .where(
            Invoice.subscription_id == subscription_id,
            Invoice.status == "open",
            Invoice.kind == kind,
        )
        .order_by(Invoice.period_start.desc())
        .limit(1)
    )
    return found


async def due_order(session: AsyncSession, subscription_id: UUID) -> Order | None:
    """Return the order that is to be paid now: for the period before one for a change in it."""
    return await open_order(session, subscription_id) or await open_order(
        session, subscription_id, "change"
    )


async def under_way(session: AsyncSession, subscription_id: UUID) -> bool:
    """Whether a charge for a period was made, or will be, and nobody has told its end."""
    order = await open_order(session, subscription_id)
    last = await last_payment(session, order) if order else None
    return last is not None and last.status in UNFINISHED | {"processing"}


async def has_paid_period(session: AsyncSession, subscription_id: UUID) -> bool:
    """Whether a period was ever paid: what runs without is a trial."""
    return bool(
        await session.scalar(
            select(
                exists().where(
                    Invoice.subscription_id == subscription_id,
                    Invoice.kind == "period",
                    Invoice.status == "paid",
                )
            )
        )
    )


async def claim(session: AsyncSession, order_id: UUID) -> bool:
    """Lock an order unless somebody has it: nobody else adds a payment to it meanwhile."""
    found = await session.scalar(
        select(Order.id)
        .where(Order.id == order_id)
        .with_for_update(skip_locked=True, key_share=True)
    )
    return found is not None


def now() -> datetime:
    """Return the moment; tests of the schedule hand in their own."""
    return datetime.now(UTC)

"""Changing a subscription's plan within a period, and what that costs or leaves over."""

from __future__ import annotations

import hashlib
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.db import changed, one_at_a_time
from payments.orders.models import Order
from payments.orders.service import last_payment
from payments.resources import Resources
from payments.subscriptions import billing, booking, credit
from payments.subscriptions.models import Subscription
from payments.subscriptions.periods import difference
from payments.subscriptions.plans import Plan, find
from payments.subscriptions.service import (
    RUNNING,
    Finish,
    SubscriptionStateError,
    SubscriptionView,
    owned,
    require_free,
    view_of,
)


async def change_plan(
    resources: Resources,
    *,
    customer_id: UUID,
    subscription_id: UUID,
    plan_key: str,
    request_key: str | None = None,
    finish: Finish | None = None,
) -> SubscriptionView:
    """Change to another plan of the same interval, at once; one `request_key` changes once.

    A dearer one is charged for the rest of the period and begins when that is paid; a cheaper one
    leaves credit for the next periods, of what was paid for this one. `finish` runs in the last
    transaction. Raises `NotFoundError`, `SubscriptionStateError`, `AlreadySubscribedError`,
    `UnknownPlanError`, `PlanPriceError`, `GatewayUnavailableError`.
    """
    plan = find(plan_key)
    order_key = _order_key(subscription_id, request_key) if request_key else None
    async with resources.database.transaction() as session:
        await one_at_a_time(session, f"subscriptions:{customer_id}")
        row = await owned(session, customer_id, subscription_id)
        # An earlier run of the same request may have died after it had this written down.
        order = await session.scalar(select(Order).where(Order.request_key == order_key))
        again = order is not None
        if order is None:
            order = await _change(session, resources, row, plan, order_key)
        changed(session, booking.topic(row))
        if order is None:
            return await _finished(session, row, finish)
        payment = await last_payment(session, order)
    if payment is not None:
        await billing.collect(resources, payment.id, again=again)
    async with resources.database.transaction() as session:
        return await _finished(session, await session.get_one(Subscription, row.id), finish)


async def _change(
    session: AsyncSession,
    resources: Resources,
    row: Subscription,
    plan: Plan,
    order_key: str | None,
) -> Order | None:
    """Change a locked subscription, or write down how it is paid; returns what is to be paid."""
    price = plan.price(row.currency)
    if row.status not in RUNNING or row.next_plan is not None:
        raise SubscriptionStateError(f"The subscription is {row.status}, or is being changed.")
    if plan.key == row.plan or plan.interval != find(row.plan).interval:
        raise SubscriptionStateError("Choose another plan of the same interval.")
    if row.period_start is None or row.period_end is None:
        raise LookupError(f"subscription {row.id} runs without a period")
    if await billing.open_order(session, row.id) is not None:
        # Of the plan as it was; the other one would be had for that price.
        raise SubscriptionStateError("Its next period is being paid. Try again when it is.")
    await require_free(session, row.customer_id, plan.key)
    now = billing.now()
    due = 0
    if row.status == "active":
        rest = {"start": row.period_start, "end": row.period_end, "now": now}
        due = difference(row.amount, price.amount, **rest)
    if due <= 0:
        row.plan, row.amount = plan.key, price.amount
        row.credit += min(-due, await credit.paid_for_period(session, row))
        return None
    row.next_plan = plan.key
    made = await billing.invoice(
        session,
        row,
        plan,
        kind="change",
        start=now,
        end=row.period_end,
        amount=due,
        request_key=order_key,
    )
    if made.order_id is None:
        row.plan, row.amount, row.next_plan = plan.key, price.amount, None
        return None
    order = await session.get_one(Order, made.order_id)
    if await billing.intend_charge(session, resources, row, order) is None:
        await billing.intend_page(session, resources, order)
    return order


async def _finished(
    session: AsyncSession, row: Subscription, finish: Finish | None
) -> SubscriptionView:
    view = await view_of(session, row)
    if finish is not None:
        await finish(session, view)
    return view


def _order_key(subscription_id: UUID, request_key: str) -> str:
    digest = hashlib.sha256(request_key.encode()).hexdigest()
    return f"subscription:{subscription_id}:change:{digest}"

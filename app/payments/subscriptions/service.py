"""What a customer does with a subscription: begin, pay, change, pause, resume, cancel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.db import changed, one_at_a_time
from payments.errors import ConflictError, NotFoundError
from payments.idempotency.store import KeyReusedError
from payments.money import Money
from payments.orders import service as orders
from payments.orders.asking import UNFINISHED
from payments.orders.models import Order
from payments.orders.service import PAYABLE, last_payment
from payments.orders.status import advance
from payments.resources import Resources
from payments.subscriptions import billing, booking
from payments.subscriptions.models import Subscription
from payments.subscriptions.periods import difference, period_end
from payments.subscriptions.plans import find

INCOMPLETE_FOR: Final = timedelta(hours=24)
RUNNING: Final = frozenset({"trialing", "active"})


class AlreadySubscribedError(ConflictError):
    """The customer has this plan, or a subscription that is being changed to it."""

    code, title = "already_subscribed", "You have this subscription already."


class SubscriptionStateError(ConflictError):
    """What is asked is not possible in the subscription's state."""

    code, title = "subscription_state", "This is not possible with the subscription now."


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionView:
    """A subscription as its customer sees it; `checkout_url` is set while something is to pay."""

    id: UUID
    plan: str
    next_plan: str | None
    money: Money
    status: str
    period_end: datetime | None
    cancel_at_end: bool
    credit: Money
    order_id: UUID | None
    checkout_url: str | None


Finish = Callable[[AsyncSession, SubscriptionView], Awaitable[None]]


async def create(
    resources: Resources,
    *,
    customer_id: UUID,
    request_key: str,
    plan_key: str,
    currency: str,
    finish: Finish | None = None,
) -> SubscriptionView:
    """Begin a subscription; the same `request_key` is the same one.

    With a trial (once per customer) it begins at once; else when its first period is paid. Raises
    `UnknownPlanError`, `PlanPriceError`, `AlreadySubscribedError`, `KeyReusedError`,
    `GatewayUnavailableError`.
    """
    plan = find(plan_key)
    price = plan.price(currency)
    now = billing.now()
    payment_id = None
    async with resources.database.transaction() as session:
        await one_at_a_time(session, f"subscriptions:{customer_id}")
        known = await session.scalar(
            select(Subscription).where(Subscription.request_key == request_key)
        )
        if known is not None and (known.customer_id, known.currency) != (customer_id, currency):
            raise KeyReusedError
        subscription = known or await _insert(
            session, customer_id, request_key, plan_key, price, now
        )
        if known is None and subscription.status == "incomplete":
            await billing.invoice(
                session,
                subscription,
                plan,
                kind="period",
                start=now,
                end=period_end(now, plan.interval, now.day),
                amount=price.amount,
            )
        order = await billing.open_order(session, subscription.id)
        if order is not None and subscription.status == "incomplete":
            last = await last_payment(session, order)
            payment_id = last.id if last else await billing.intend_page(session, resources, order)
        subscription_id = subscription.id
    if payment_id is not None:
        await billing.collect(resources, payment_id)
    async with resources.database.transaction() as session:
        view = await _view(session, await session.get_one(Subscription, subscription_id))
        if finish is not None:
            await finish(session, view)
    return view


async def pay(resources: Resources, *, customer_id: UUID, subscription_id: UUID) -> str | None:
    """Return a page on which what is due is paid; None while the gateway's answer is unknown.

    Raises `NotFoundError`, `SubscriptionStateError`, `GatewayUnavailableError`.
    """
    async with resources.database.transaction() as session:
        await _mine(session, customer_id, subscription_id, lock=False)
        order = await billing.open_order(session, subscription_id)
        if order is None:
            raise SubscriptionStateError("Nothing is due.")
        last = await last_payment(session, order)
        if last is not None and (last.status in PAYABLE | UNFINISHED) and last.checkout_url:
            return last.checkout_url
    retried = await orders.retry(
        resources, order_id=order.id, customer_id=customer_id, save_method=True
    )
    return retried.checkout_url


async def change_plan(
    resources: Resources, *, customer_id: UUID, subscription_id: UUID, plan_key: str
) -> SubscriptionView:
    """Change to another plan of the same interval, at once.

    A dearer one is charged for the rest of the period and begins when that is paid; a cheaper one
    leaves credit for the next periods. Raises `NotFoundError`, `SubscriptionStateError`,
    `AlreadySubscribedError`, `UnknownPlanError`, `PlanPriceError`.
    """
    plan = find(plan_key)
    payment_id = None
    async with resources.database.transaction() as session:
        await one_at_a_time(session, f"subscriptions:{customer_id}")
        row = await _mine(session, customer_id, subscription_id)
        price = plan.price(row.currency)
        if row.status not in RUNNING or row.next_plan is not None:
            raise SubscriptionStateError(f"The subscription is {row.status}, or is being changed.")
        if plan.key == row.plan or plan.interval != find(row.plan).interval:
            raise SubscriptionStateError("Choose another plan of the same interval.")
        if row.period_start is None or row.period_end is None:
            raise LookupError(f"subscription {row.id} runs without a period")
        await _require_free(session, customer_id, plan.key)
        now = billing.now()
        due = 0
        if row.status == "active":
            rest = {"start": row.period_start, "end": row.period_end, "now": now}
            due = difference(row.amount, price.amount, **rest)
        if due <= 0:
            row.plan, row.amount, row.credit = plan.key, price.amount, row.credit - due
        else:
            row.next_plan = plan.key
            made = await billing.invoice(
                session, row, plan, kind="change", start=now, end=row.period_end, amount=due
            )
            payment_id = await _begin_change(session, resources, row, made.order_id)
        changed(session, booking.topic(row))
    if payment_id is not None:
        await billing.collect(resources, payment_id)
    async with resources.database.transaction() as session:
        return await _view(session, await session.get_one(Subscription, subscription_id))


async def cancel(
    session: AsyncSession, *, customer_id: UUID, subscription_id: UUID, now: bool
) -> SubscriptionView:
    """Cancel at the end of what is paid, or now. Raises `NotFoundError`."""
    row = await _mine(session, customer_id, subscription_id)
    if now or row.status not in RUNNING:
        await booking.end(session, row, "canceled", now=billing.now(), cause="asked by customer")
    else:
        row.cancel_at_end = True
    changed(session, booking.topic(row))
    return await _view(session, row)


async def pause(
    session: AsyncSession, *, customer_id: UUID, subscription_id: UUID
) -> SubscriptionView:
    """Stop renewing; what is paid can be used to its end. Raises `SubscriptionStateError`."""
    row = await _mine(session, customer_id, subscription_id)
    if not await advance(session, row, "paused", cause="asked by customer"):
        raise SubscriptionStateError(f"The subscription is {row.status}.")
    row.next_step_at = None
    changed(session, booking.topic(row))
    return await _view(session, row)


async def resume(
    session: AsyncSession, *, customer_id: UUID, subscription_id: UUID
) -> SubscriptionView:
    """Go on: with what is left of the period, or with a new one from now on."""
    row = await _mine(session, customer_id, subscription_id)
    now = billing.now()
    row.cancel_at_end = False
    if row.status == "paused":
        await advance(session, row, "active", cause="asked by customer")
        if row.period_end is None or row.period_end <= now:
            row.period_end = now  # the next step invoices a period that begins here
            row.period_start = now - timedelta(microseconds=1)
            row.anchor_day = now.day
        row.next_step_at = row.period_end
    elif row.status not in RUNNING:
        raise SubscriptionStateError(f"The subscription is {row.status}.")
    changed(session, booking.topic(row))
    return await _view(session, row)


async def list_for(session: AsyncSession, customer_id: UUID) -> list[SubscriptionView]:
    """Return a customer's subscriptions, newest first."""
    rows = await session.scalars(
        select(Subscription)
        .where(Subscription.customer_id == customer_id)
        .order_by(Subscription.created_at.desc(), Subscription.id)
    )
    return [await _view(session, row) for row in rows.all()]


async def _insert(
    session: AsyncSession,
    customer_id: UUID,
    request_key: str,
    plan_key: str,
    price: Money,
    now: datetime,
) -> Subscription:
    plan = find(plan_key)
    await _require_free(session, customer_id, plan_key)
    had_one = await session.scalar(select(exists().where(Subscription.customer_id == customer_id)))
    trial = bool(plan.trial_days) and not had_one
    ends = now + timedelta(days=plan.trial_days) if trial else None
    row = Subscription(
        id=uuid4(),
        customer_id=customer_id,
        request_key=request_key,
        plan=plan_key,
        currency=price.currency,
        amount=price.amount,
        status="trialing" if trial else "incomplete",
        anchor_day=now.day,
        period_start=now if trial else None,
        period_end=ends,
        credit=0,
        attempts=0,
        cancel_at_end=False,
        next_step_at=ends or now + INCOMPLETE_FOR,
    )
    session.add(row)
    await session.flush()
    changed(session, booking.topic(row))
    return row


async def _require_free(session: AsyncSession, customer_id: UUID, plan_key: str) -> None:
    """Refuse a plan that the customer has, or will have once a change is paid.

    The second is why the index over plans is not enough: the payment of a change must not find the
    plan taken, because the money has come by then.
    """
    taken = exists().where(
        Subscription.customer_id == customer_id,
        Subscription.ended_at.is_(None),
        or_(Subscription.plan == plan_key, Subscription.next_plan == plan_key),
    )
    if await session.scalar(select(taken)):
        raise AlreadySubscribedError


async def _begin_change(
    session: AsyncSession, resources: Resources, row: Subscription, order_id: UUID | None
) -> UUID | None:
    """Write down how a change is paid; by credit alone it happens at once."""
    if order_id is None:
        row.plan, row.next_plan = row.next_plan or row.plan, None
        row.amount = find(row.plan).price(row.currency).amount
        return None
    order = await session.get_one(Order, order_id)
    charge = await billing.intend_charge(session, resources, row, order)
    return charge or await billing.intend_page(session, resources, order)


async def _mine(
    session: AsyncSession, customer_id: UUID, subscription_id: UUID, *, lock: bool = True
) -> Subscription:
    query = select(Subscription).where(
        Subscription.id == subscription_id, Subscription.customer_id == customer_id
    )
    row = await session.scalar(query.with_for_update(key_share=True) if lock else query)
    if row is None:
        raise NotFoundError(f"There is no subscription {subscription_id}.")
    return row


async def _view(session: AsyncSession, row: Subscription) -> SubscriptionView:
    order = await billing.open_order(session, row.id)
    last = await last_payment(session, order) if order else None
    return SubscriptionView(
        id=row.id,
        plan=row.plan,
        next_plan=row.next_plan,
        money=row.money,
        status=row.status,
        period_end=row.period_end,
        cancel_at_end=row.cancel_at_end,
        credit=Money(row.credit, row.currency),
        order_id=order.id if order else None,
        checkout_url=last.checkout_url if last and last.status in PAYABLE else None,
    )

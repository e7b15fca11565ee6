"""What a customer does with a subscription: begin, pay, pause, resume, cancel.

Changing its plan is in `changes`.
"""

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
from payments.orders.service import PAYABLE, last_payment
from payments.orders.status import advance
from payments.resources import Resources
from payments.subscriptions import billing, booking
from payments.subscriptions.models import Subscription
from payments.subscriptions.periods import period_end
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
    payment_id, again = None, False
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
            again = last is not None
            payment_id = last.id if last else await billing.intend_page(session, resources, order)
        subscription_id = subscription.id
    if payment_id is not None:
        await billing.collect(resources, payment_id, again=again)
    async with resources.database.transaction() as session:
        view = await view_of(session, await session.get_one(Subscription, subscription_id))
        if finish is not None:
            await finish(session, view)
    return view


async def pay(resources: Resources, *, customer_id: UUID, subscription_id: UUID) -> str | None:
    """Return a page on which what is due is paid; None while the gateway's answer is unknown.

    Due is a period, or else a change. Asked again while the page is open, it is the same one.
    Raises `NotFoundError`, `SubscriptionStateError`, `GatewayUnavailableError`.
    """
    async with resources.database.transaction() as session:
        await owned(session, customer_id, subscription_id, lock=False)
        order = await billing.due_order(session, subscription_id)
        if order is None:
            raise SubscriptionStateError("Nothing is due.")
        last = await last_payment(session, order)
    if last is not None and last.status in PAYABLE | UNFINISHED:
        if last.checkout_url is None and not last.request.get("method"):
            last = await billing.collect(resources, last.id, again=True)  # the answer was lost
        if last.checkout_url is not None or last.status in UNFINISHED:
            return last.checkout_url
    retried = await orders.retry(
        resources, order_id=order.id, customer_id=customer_id, save_method=True
    )
    return retried.checkout_url


async def cancel(
    session: AsyncSession, *, customer_id: UUID, subscription_id: UUID, now: bool
) -> SubscriptionView:
    """Cancel at the end of what is paid, or now; credit goes into the wallet when it ends.

    While the next period is being paid, it is the last one; cancelled now, its money comes back.
    Raises `NotFoundError`.
    """
    row = await owned(session, customer_id, subscription_id)
    if now or row.status not in RUNNING:
        await booking.end(session, row, "canceled", now=billing.now(), cause="asked by customer")
    else:
        row.cancel_at_end = True
    changed(session, booking.topic(row))
    return await view_of(session, row)


async def pause(
    session: AsyncSession, *, customer_id: UUID, subscription_id: UUID
) -> SubscriptionView:
    """Stop renewing; what is paid can be used to its end, also by a charge that is under way.

    Raises `NotFoundError`, `SubscriptionStateError`.
    """
    row = await owned(session, customer_id, subscription_id)
    if not await advance(session, row, "paused", cause="asked by customer"):
        raise SubscriptionStateError(f"The subscription is {row.status}.")
    row.next_step_at = None
    changed(session, booking.topic(row))
    return await view_of(session, row)


async def resume(
    session: AsyncSession, *, customer_id: UUID, subscription_id: UUID
) -> SubscriptionView:
    """Go on: as before with what is left of the period, or with a new one, once that is paid.

    Until then nothing is open: of the period before the pause nothing is left. While the next one
    is being paid it goes on as before, too: a new one beside it would be charged for twice.
    """
    row = await owned(session, customer_id, subscription_id)
    now = billing.now()
    row.cancel_at_end = False
    lasts = row.period_end is not None and row.period_end > now
    if row.status == "paused" and (lasts or await billing.under_way(session, row.id)):
        had_paid = await billing.has_paid_period(session, row.id)
        await advance(session, row, "active" if had_paid else "trialing", cause="asked by customer")
        row.next_step_at = row.period_end
    elif row.status == "paused":
        await _begin_anew(session, row, now)
    elif row.status not in RUNNING:
        raise SubscriptionStateError(f"The subscription is {row.status}.")
    changed(session, booking.topic(row))
    return await view_of(session, row)


async def _begin_anew(session: AsyncSession, row: Subscription, now: datetime) -> None:
    """Invoice a period of a subscription that has none; the worker charges for it at once."""
    await booking.void_open(session, row)
    row.period_start = row.period_end = None
    row.attempts, row.next_step_at = 0, now
    await advance(session, row, "past_due", cause="asked by customer")
    plan = find(row.plan)
    made = await billing.invoice(
        session,
        row,
        plan,
        kind="period",
        start=now,
        end=period_end(now, plan.interval, now.day),
        amount=row.amount,
    )
    if made.order_id is None:
        await booking.begin(session, row, made, cause="paid by credit")


async def list_for(session: AsyncSession, customer_id: UUID) -> list[SubscriptionView]:
    """Return a customer's subscriptions, newest first."""
    rows = await session.scalars(
        select(Subscription)
        .where(Subscription.customer_id == customer_id)
        .order_by(Subscription.created_at.desc(), Subscription.id)
    )
    return [await view_of(session, row) for row in rows.all()]


async def _insert(
    session: AsyncSession,
    customer_id: UUID,
    request_key: str,
    plan_key: str,
    price: Money,
    now: datetime,
) -> Subscription:
    plan = find(plan_key)
    await require_free(session, customer_id, plan_key)
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


async def require_free(session: AsyncSession, customer_id: UUID, plan_key: str) -> None:
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


async def owned(
    session: AsyncSession, customer_id: UUID, subscription_id: UUID, *, lock: bool = True
) -> Subscription:
    """Return a customer's subscription; raises `NotFoundError`, also for somebody else's."""
    query = select(Subscription).where(
        Subscription.id == subscription_id, Subscription.customer_id == customer_id
    )
    row = await session.scalar(query.with_for_update(key_share=True) if lock else query)
    if row is None:
        raise NotFoundError(f"There is no subscription {subscription_id}.")
    return row


async def view_of(session: AsyncSession, row: Subscription) -> SubscriptionView:
    """Return a subscription as its customer sees it."""
    order = await billing.due_order(session, row.id)
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

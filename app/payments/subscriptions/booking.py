"""What the payment of an invoice does to its subscription, in the payment's own transaction.

Locks: the payment and the order are locked by then; the subscription comes after them, and nothing
that holds a subscription's lock takes one of theirs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments import jobs
from payments.db import changed
from payments.ops.logs import get_logger
from payments.orders.models import Order, Payment
from payments.orders.status import advance
from payments.subscriptions import credit
from payments.subscriptions.models import Invoice, Subscription
from payments.subscriptions.periods import DUNNING, period_end
from payments.subscriptions.plans import find

log = get_logger(__name__)


async def paid(session: AsyncSession, order: Order, payment: Payment) -> None:
    """Note that an order was paid, if it is a subscription's."""
    invoice, subscription = await _of(session, order)
    if invoice is None or subscription is None or invoice.status in ("paid", "unwanted"):
        return
    changed(session, topic(subscription))
    stale = invoice.kind == "change" and invoice.period_end != subscription.period_end
    if invoice.status == "open" and stale:
        credit.void(subscription, invoice)  # its difference was for a period that is over
    if invoice.status == "void":
        log.warning("subscription.paid_for_nothing", subscription_id=str(subscription.id))
        invoice.status = "unwanted"
        return
    invoice.status = "paid"
    if invoice.kind == "change":
        _change(subscription)
    else:
        await begin(session, subscription, invoice, cause=f"order {order.id}")
    if payment.request.get("save_method"):
        await jobs.enqueue(
            session,
            jobs.LEARN_METHOD,
            {"subscription_id": str(subscription.id), "payment_id": str(payment.id)},
        )


async def unpaid(session: AsyncSession, order: Order, payment: Payment, kind: str) -> None:
    """Note that a payment of an order came to nothing, if it is a subscription's."""
    invoice, subscription = await _of(session, order)
    if invoice is None or subscription is None or invoice.status != "open":
        return
    on_page = payment.request.get("method") is None
    if invoice.kind == "change" and (kind == "expired" or not on_page):
        credit.void(subscription, invoice)
        changed(session, topic(subscription))
        return
    if on_page or subscription.ended_at is not None:
        return  # a page that nobody paid: the schedule goes on
    await missed(session, subscription, now=datetime.now(UTC), cause=f"payment {payment.id} {kind}")


async def begin(
    session: AsyncSession, subscription: Subscription, invoice: Invoice, *, cause: str
) -> None:
    """Begin the period that an invoice was for; one that is paused has it, and stays so."""
    start, end = invoice.period_start, invoice.period_end
    if subscription.period_end is None:
        # The first one, and the first after a long pause, begin when they are paid and not when
        # they were asked for: nothing was open meanwhile.
        start = datetime.now(UTC)
        subscription.anchor_day = start.day
        end = period_end(start, find(subscription.plan).interval, start.day)
    subscription.period_start, subscription.period_end = start, end
    if subscription.status == "paused":
        return  # while the charge was under way: no other follows
    await advance(session, subscription, "active", cause=cause)
    subscription.attempts, subscription.next_step_at = 0, end


async def missed(
    session: AsyncSession, subscription: Subscription, *, now: datetime, cause: str
) -> None:
    """Count an attempt that brought nothing; plan the next one, or end it after the last.

    Nothing more is tried where the customer paused or cancelled while it was under way.
    """
    changed(session, topic(subscription))
    if subscription.status == "paused":
        await void_open(session, subscription)
        return
    if subscription.cancel_at_end:
        await end(session, subscription, "canceled", now=now, cause="as asked")
        return
    subscription.attempts += 1
    if subscription.attempts > len(DUNNING):
        await end(session, subscription, "canceled", now=now, cause="not paid")
        return
    await advance(session, subscription, "past_due", cause=cause)
    subscription.next_step_at = now + DUNNING[subscription.attempts - 1]


async def end(
    session: AsyncSession,
    subscription: Subscription,
    to: Literal["canceled", "expired"],
    *,
    now: datetime,
    cause: str,
) -> bool:
    """End a subscription: void what is open of it, give its credit back; False when it had."""
    if not await advance(session, subscription, to, cause=cause):
        return False
    subscription.ended_at, subscription.next_step_at = now, None
    await void_open(session, subscription)
    await credit.to_wallet(session, subscription)
    changed(session, topic(subscription))
    return True


async def void_open(
    session: AsyncSession, subscription: Subscription, *, kind: str | None = None
) -> None:
    """Give up the open invoices of a locked subscription, or those of one kind."""
    wanted = [Invoice.subscription_id == subscription.id, Invoice.status == "open"]
    if kind is not None:
        wanted.append(Invoice.kind == kind)
    for invoice in await session.scalars(select(Invoice).where(*wanted)):
        credit.void(subscription, invoice)


async def is_void(session: AsyncSession, order_id: UUID) -> bool:
    """Whether an order is for an invoice that was given up: nobody may pay for it any more."""
    return bool(
        await session.scalar(
            select(
                exists().where(
                    Invoice.order_id == order_id, Invoice.status.in_(("void", "unwanted"))
                )
            )
        )
    )


def topic(subscription: Subscription) -> str:
    """Return the name under which copies of a customer's subscriptions are kept."""
    return f"subscriptions:{subscription.customer_id}"


def _change(subscription: Subscription) -> None:
    if subscription.next_plan is None:
        return
    subscription.plan, subscription.next_plan = subscription.next_plan, None
    subscription.amount = find(subscription.plan).price(subscription.currency).amount


async def _of(
    session: AsyncSession, order: Order
) -> tuple[Invoice, Subscription] | tuple[None, None]:
    of_order = Invoice.order_id == order.id
    owner = await session.scalar(select(Invoice.subscription_id).where(of_order))
    if owner is None:
        return None, None
    # The subscription's lock stands for its invoices: what they are is read under it.
    subscription = (
        await session.execute(
            select(Subscription)
            .where(Subscription.id == owner)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
    ).scalar_one()
    invoice = (
        await session.execute(
            select(Invoice).where(of_order).execution_options(populate_existing=True)
        )
    ).scalar_one()
    return invoice, subscription

"""What an event does to a payment, its order and the books. One place, whoever brings the event.

Locks, in this order: the event's row, the payment, its order, the ledger's accounts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments import jobs
from payments.disputes import booking as disputes
from payments.gateways.protocol import GatewayEvent
from payments.ledger import owing
from payments.ledger import service as ledger
from payments.money import Money
from payments.ops import metrics
from payments.ops.logs import get_logger
from payments.orders import postings, suspense
from payments.orders.models import Order, Payment
from payments.orders.status import TAKEN, advance
from payments.payouts import gateway as gateway_payouts
from payments.refunds import booking, news
from payments.refunds.models import RefundRow
from payments.subscriptions import booking as subscriptions

log = get_logger(__name__)

State = Literal["applied", "refused", "ignored", "parked", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event, and why."""

    state: State
    reason: str | None = None
    payment_id: UUID | None = None


async def apply(session: AsyncSession, event: GatewayEvent) -> Outcome:
    """Apply an event in the caller's transaction.

    Applied again, it changes nothing more; whatever the order of events, the end is the same.
    """
    if event.kind == "ignored":
        return Outcome("ignored", "no effect on a payment")
    if event.kind in ("payout_paid", "payout_failed"):
        return Outcome(*await gateway_payouts.apply(session, event))
    payment = await _find(session, event)
    if payment is None:
        return Outcome("parked", "no payment is known by these ids")
    order = await session.scalar(
        select(Order).where(Order.id == payment.order_id).with_for_update(key_share=True)
    )
    if order is None:
        raise LookupError(f"payment {payment.id} has no order")
    handler = _HANDLERS.get(event.kind)
    if handler is None:
        return Outcome("ignored", f"{event.kind} has no effect here", payment.id)
    state, reason = await handler(session, order, payment, event)
    if state == "applied":
        metrics.PAYMENT_ATTEMPTS.labels(payment.gateway, "payment", event.kind).inc()
    return Outcome(state, reason, payment.id)


Result = tuple[State, str | None]


async def _find(session: AsyncSession, event: GatewayEvent) -> Payment | None:
    """Return the event's payment, locked: by our own id, else by the gateway's."""
    here = (Payment.gateway == event.gateway, Payment.account == event.account)
    if event.payment_id is not None:
        match = Payment.id == event.payment_id
    else:
        refs = []
        if event.checkout_ref is not None:
            refs.append(Payment.checkout_ref == event.checkout_ref)
        if event.payment_ref is not None:
            refs.append(Payment.payment_ref == event.payment_ref)
        if not refs:
            return None
        match = or_(*refs)
    found: Payment | None = await session.scalar(
        select(Payment).where(*here, match).with_for_update(key_share=True)
    )
    return found


async def _on_paid(
    session: AsyncSession, order: Order, payment: Payment, event: GatewayEvent
) -> Result:
    money = event.money
    if money is None:
        return "failed", "a payment without an amount"
    if payment.status in TAKEN and _is_the_same(payment, event):
        return "refused", "paid already"
    # An order may have several payments, when an earlier one failed; only one of them settles it.
    twice = order.status in TAKEN and payment.status not in TAKEN
    if (
        twice
        or money != payment.money
        or not await advance(session, payment, "paid", cause=event.key)
    ):
        return await _on_unexpected(session, order, payment, event, money)
    payment.captured = payment.amount
    _learn_refs(payment, event)
    if await advance(session, order, "paid", cause=event.key):
        order.paid_at = datetime.now(UTC)
    await _book_captured(session, order, payment)
    await subscriptions.paid(session, order, payment)
    return "applied", None


async def _book_captured(session: AsyncSession, order: Order, payment: Payment) -> None:
    if order.kind == "purchase":
        through = (postings.wallet(order, payment.money),)
        await ledger.post(session, postings.captured(order, payment, through))
    else:
        await owing.post_to(
            session,
            order.customer_id,
            payment.money,
            lambda given: postings.captured(order, payment, given),
        )


async def _on_unexpected(
    session: AsyncSession, order: Order, payment: Payment, event: GatewayEvent, money: Money
) -> Result:
    """Book money that is not what was ordered (another amount, a second payment) as such."""
    log.error(
        "payment.unexpected",
        payment_id=str(payment.id),
        expected=str(payment.money),
        received=str(money),
        status=payment.status,
    )
    if payment.status not in TAKEN:
        await advance(session, payment, "review", cause=event.key)
        payment.last_error = f"received {money}, expected {payment.money}"
        _learn_refs(payment, event)
        await advance(session, order, "review", cause=event.key)
    # The payment's own id first: one page may be paid twice, and of two events that tell of one
    # payment only one may name its page.
    ref = event.payment_ref or event.checkout_ref or event.key
    await ledger.post(session, [postings.unexpected(order, payment, money, ref=ref)])
    return "applied", "not what was ordered: in suspense"


async def _on_refunded(
    session: AsyncSession, order: Order, payment: Payment, event: GatewayEvent
) -> Result:
    """Book what a payment's total says of refunds that are none of ours; ours tell themselves."""
    total = event.money
    if _waits(payment, event):
        return await _on_waiting_refunded(session, order, payment, event)
    if payment.status not in TAKEN:
        return "parked", "refunded before it is known to be paid"
    if total is None or total.currency != payment.currency:
        return "failed", "refunded in another currency"
    try:
        moved = await booking.told_total(
            session, order, payment, total, at=event.created, cause=event.key
        )
    except booking.TooMuchGivenBackError:
        return "failed", "refunded more than was captured"
    return ("applied", None) if moved else ("refused", "that much is booked, or is on its way")


async def _on_waiting_refunded(
    session: AsyncSession, order: Order, payment: Payment, event: GatewayEvent
) -> Result:
    """Book what the gateway has given back of money that waits in suspense."""
    total, ref = event.money, event.payment_ref
    if total is not None and await suspense.give_back(session, order, payment, total, ref=ref):
        return "applied", "given back out of suspense"
    if payment.status in TAKEN and ref and not await suspense.has_come(session, payment, ref):
        return "parked", "given back before it is known to have come"
    return "refused", "under review, and not what waits in suspense: a person books it"


async def _on_refunded_whole(
    session: AsyncSession, order: Order, payment: Payment, event: GatewayEvent
) -> Result:
    """Book that everything was given back, of what was ordered or of what waits in suspense."""
    if payment.status == "review":
        if await suspense.give_back_whole(session, order, payment, ref=event.payment_ref):
            return "applied", "given back out of suspense"
        return "refused", "nothing waits in suspense: a person books it"
    whole = replace(event, money=Money(payment.captured, payment.currency))
    return await _on_refunded(session, order, payment, whole)


async def _on_refund(
    session: AsyncSession, order: Order, payment: Payment, event: GatewayEvent
) -> Result:
    """Note what became of one refund: of ours, or of one that somebody made there."""
    by_id = RefundRow.id == event.refund_id
    match = by_id if event.refund_id else RefundRow.refund_ref == event.refund_ref
    row = await session.scalar(
        select(RefundRow)
        # One that was never made, by our books, and was: it is not booked as ours.
        .where(RefundRow.payment_id == payment.id, match, RefundRow.status != news.NEVER_MADE)
        .with_for_update(key_share=True)
    )
    if row is None:
        return await _on_refund_elsewhere(session, order, payment, event)
    row.refund_ref = row.refund_ref or event.refund_ref
    if event.money is not None and event.money != row.money:
        return "failed", f"refunded {event.money}, asked for {row.money}"
    if event.kind == "refund_settled":
        moved = await booking.settled(session, order, payment, row, cause=event.key)
        if event.total is not None:
            told = replace(event, money=event.total)
            state, reason = await _on_refunded(session, order, payment, told)
            if state == "failed":
                return state, reason
            moved = moved or state == "applied"
    else:
        moved = await booking.failed(
            session, order, payment, row, at=event.created, cause=event.key
        )
    return ("applied", None) if moved else ("refused", f"the refund is {row.status}")


async def _on_refund_elsewhere(
    session: AsyncSession, order: Order, payment: Payment, event: GatewayEvent
) -> Result:
    """Follow a refund that is none of ours: totals tell that it was made, it tells that it failed.

    `refund_ref` is its name there; without it nobody could tell that the same news comes again.
    """
    if event.kind == "refund_settled":
        if event.total is not None:
            return await _on_refunded(session, order, payment, replace(event, money=event.total))
        return "ignored", "not one of our refunds: the payment's total tells of it"
    if event.money is None or event.refund_ref is None:
        return "failed", "a refund without an amount or an id"
    if _waits(payment, event):
        back = await suspense.take_back(
            session,
            order,
            payment,
            event.money,
            ref=event.payment_ref,
            refund_ref=event.refund_ref,
        )
        return ("applied", "in suspense again") if back else ("refused", "it was not booked")
    if payment.status not in TAKEN:
        return "parked", "a refund failed before the payment is known to be paid"
    if event.money.currency != payment.currency:
        return "failed", "refunded in another currency"
    moved = await booking.failed_elsewhere(
        session,
        order,
        payment,
        event.refund_ref,
        event.money,
        # An event of an earlier release does not say: every total before may have counted it.
        made=event.begun or datetime.fromtimestamp(0, UTC),
        at=event.created,
        cause=event.key,
    )
    return ("applied", None) if moved else ("refused", "that it failed is known")


async def _on_attempt(
    session: AsyncSession, order: Order, payment: Payment, event: GatewayEvent
) -> Result:
    """Note that the payment is under way, or that an attempt came to nothing."""
    if not await advance(session, payment, event.kind, cause=event.key):
        return "refused", f"the payment is {payment.status}"
    _learn_refs(payment, event)
    if event.kind in ("failed", "expired") and await _is_last(session, order, payment):
        await advance(session, order, event.kind, cause=event.key)
        await subscriptions.unpaid(session, order, payment, event.kind)
    return "applied", None


async def _on_failed_for_good(
    session: AsyncSession, order: Order, payment: Payment, event: GatewayEvent
) -> Result:
    """Note that a payment failed whose page takes no other: it is over, as one that expired.

    The failure is a move of its own: whoever counts failures must not take it for a page that
    nobody paid.
    """
    await advance(session, payment, "failed", cause=event.key)
    return await _on_attempt(session, order, payment, replace(event, kind="expired"))


async def _is_last(session: AsyncSession, order: Order, payment: Payment) -> bool:
    """Whether no later payment was made for the order: an earlier one's end is not the order's."""
    later = exists().where(Payment.order_id == order.id, Payment.created_at > payment.created_at)
    return not await session.scalar(select(later))


async def _on_look(
    session: AsyncSession, order: Order, payment: Payment, event: GatewayEvent
) -> Result:
    """Have the gateway asked, now: the event says that something happened, not what."""
    _learn_refs(payment, event)
    payment.next_check_at = datetime.now(UTC)
    await session.flush()
    await jobs.enqueue(session, jobs.REPAIR_PAYMENT, {"payment_id": str(payment.id)})
    return "applied", "the gateway is asked"


_HANDLERS: Final[
    dict[str, Callable[[AsyncSession, Order, Payment, GatewayEvent], Awaitable[Result]]]
] = {
    "paid": _on_paid,
    "refunded": _on_refunded,
    "refunded_whole": _on_refunded_whole,
    "refund_settled": _on_refund,
    "refund_failed": _on_refund,
    "dispute_opened": disputes.apply,
    "dispute_won": disputes.apply,
    "dispute_lost": disputes.apply,
    "processing": _on_attempt,
    "failed": _on_attempt,
    "failed_for_good": _on_failed_for_good,
    "expired": _on_attempt,
    "look": _on_look,
}


def _waits(payment: Payment, event: GatewayEvent) -> bool:
    """Whether an event is of money that did not fit: all of a payment, or a second sum of it."""
    if payment.status == "review":
        return True
    return payment.status in TAKEN and not _is_the_same(payment, event)


def _is_the_same(payment: Payment, event: GatewayEvent) -> bool:
    """Whether an event tells of the money that is booked, and not of more that came."""
    if event.payment_ref is not None and payment.payment_ref is not None:
        return event.payment_ref == payment.payment_ref
    return event.checkout_ref is None or payment.checkout_ref in (None, event.checkout_ref)


def _learn_refs(payment: Payment, event: GatewayEvent) -> None:
    """Keep the gateway's ids: later events may name nothing else."""
    payment.checkout_ref = payment.checkout_ref or event.checkout_ref
    if payment.payment_ref is None or event.kind == "paid":
        payment.payment_ref = event.payment_ref or payment.payment_ref
    payment.updated_at = datetime.now(UTC)

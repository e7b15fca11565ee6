"""What a refund does to its payment and the books, on locked rows.

Two kinds of news tell of one refund: its own (by id) and the payment's total. Either may come
first, or be the only one (somebody refunds at the gateway's own pages). The books follow the
larger of the two, so that each refund is booked once, whatever comes in which order.

A refund that comes back after it went through (the customer's card was closed) is not undone: the
customer still has not got the money, so it goes to their wallet.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ledger import service as ledger
from payments.money import Money
from payments.orders import postings
from payments.orders.models import Order, Payment
from payments.orders.status import advance
from payments.refunds.models import RefundRow


async def book_total(
    session: AsyncSession, order: Order, payment: Payment, total: Money, *, cause: str
) -> bool:
    """Book what is missing until `total` is refunded; False when nothing is.

    `total` counts everything that was ever given back, also what came back again.
    """
    if total.amount <= payment.refunded:
        return False
    try:
        async with session.begin_nested():
            await ledger.post(session, [postings.refunded(order, payment, total)])
    except ledger.InsufficientFundsError:
        # The gateway has given back what the customer has spent meanwhile: they owe it to us.
        owed = postings.refunded(order, payment, total, source="receivable")
        await ledger.post(session, [owed])
    payment.refunded, payment.updated_at = total.amount, datetime.now(UTC)
    status = "refunded" if total.amount == payment.captured else "partially_refunded"
    await advance(session, payment, status, cause=cause)
    await advance(session, order, status, cause=cause)
    return True


async def without_ours(session: AsyncSession, payment: Payment, total: Money) -> Money:
    """Return a gateway's total without what it counts of our refunds that are still under way.

    One of them may fail yet. At least nothing: the total may be older than the refund.
    """
    pending = await session.scalar(
        select(func.sum(RefundRow.amount)).where(
            RefundRow.payment_id == payment.id,
            RefundRow.status.in_(("intended", "unknown", "pending")),
        )
    )
    return Money(max(total.amount - int(pending or 0), 0), total.currency)


async def returned_before(session: AsyncSession, payment: Payment, moment: datetime) -> int:
    """Return how much had come back by then: a gateway's total does not count it any more."""
    amount: int = (
        await session.scalar(
            select(func.coalesce(func.sum(RefundRow.amount), 0)).where(
                RefundRow.payment_id == payment.id, RefundRow.returned_at <= moment
            )
        )
    ) or 0
    return int(amount)


async def settled(
    session: AsyncSession, order: Order, payment: Payment, row: RefundRow, *, cause: str
) -> bool:
    """Note that a refund went through, and book it unless the payment's total told before."""
    if not await advance(session, row, "succeeded", cause=cause):
        return False
    row.next_check_at = None
    await session.flush()
    done = await session.scalar(
        select(func.sum(RefundRow.amount)).where(
            RefundRow.payment_id == payment.id, RefundRow.status.in_(("succeeded", "returned"))
        )
    )
    total = Money(int(done or 0), payment.currency)
    await book_total(session, order, payment, total, cause=cause)
    return True


async def failed(
    session: AsyncSession,
    order: Order,
    payment: Payment,
    row: RefundRow,
    *,
    at: datetime,
    cause: str,
) -> bool:
    """Note that a refund came to nothing, or came back."""
    row.updated_at = datetime.now(UTC)
    if row.status == "succeeded":
        await advance(session, row, "returned", cause=cause)
        row.returned_at = at
        await session.flush()
        await ledger.post(session, [postings.refund_returned(order, payment, row.id, row.money)])
        return True
    if not await advance(session, row, "failed", cause=cause):
        return False
    payment.refund_reserved -= row.amount
    row.next_check_at = None
    return True

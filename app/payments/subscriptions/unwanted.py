"""Money that came for nothing: its subscription has ended, or what it was for was given up.

A page stays open at the gateway for a while after what it was for is gone, and a bank may settle
days later. Nobody keeps such money: it is refunded, by the same way as it came. Not into the
wallet, where it could be, too: a later refund or dispute of that payment would give it a second
time, whereas a refund counts against both. Only where the gateway refunds nothing it becomes the
customer's wallet credit. A refund that the gateway refuses stays in the list of refunds as such,
and a person decides.

The invoice is `unwanted` from the payment's transaction on until the refund is asked for, so that
the sweep finds it, whoever dies in between.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ops.logs import get_logger
from payments.orders.models import Order, Payment
from payments.refunds import service as refunds
from payments.refunds.service import (
    NotRefundableError,
    RefundNotOfferedError,
    RefundTooLargeError,
)
from payments.resources import Resources
from payments.subscriptions import credit
from payments.subscriptions.models import Invoice, Subscription

log = get_logger(__name__)


async def due(session: AsyncSession, *, most: int) -> list[UUID]:
    """Return invoices that were paid for nothing, and whose money nobody has given back yet."""
    found = await session.scalars(
        select(Invoice.id).where(Invoice.status == "unwanted").limit(most)
    )
    return list(found)


async def give_back(resources: Resources, invoice_id: UUID) -> None:
    """Refund what was paid for an unwanted invoice, once."""
    async with resources.database.transaction() as session:
        invoice = await session.get_one(Invoice, invoice_id)
        payment_id = await session.scalar(
            select(Payment.id).where(Payment.order_id == invoice.order_id, Payment.captured > 0)
        )
    if payment_id is None or invoice.status != "unwanted":
        return
    refundable = True
    try:
        await refunds.request(
            resources,
            payment_id=payment_id,
            money=None,
            reason="Paid after it had ended.",
            requested_by="subscriptions",
            request_key=f"unwanted:{payment_id}",
        )
    except (NotRefundableError, RefundTooLargeError):
        log.info("subscription.given_back_already", payment_id=str(payment_id))
    except RefundNotOfferedError:
        refundable = False
    async with resources.database.transaction() as session:
        await _done(session, invoice_id, payment_id, refundable=refundable)


async def _done(
    session: AsyncSession, invoice_id: UUID, payment_id: UUID, *, refundable: bool
) -> None:
    invoice = await session.get_one(Invoice, invoice_id)
    # The subscription's lock stands for its invoices.
    await session.execute(
        select(Subscription.id)
        .where(Subscription.id == invoice.subscription_id)
        .with_for_update(key_share=True)
    )
    await session.refresh(invoice)
    if invoice.status != "unwanted":
        return
    invoice.status = "void"
    if not refundable:
        payment = await session.get_one(Payment, payment_id)
        order = await session.get_one(Order, payment.order_id)
        await credit.give_back(session, order, payment.money, key=f"unwanted:{payment_id}")

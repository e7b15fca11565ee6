"""What a cheaper plan leaves over of what was paid, and where it ends up.

While a subscription lives, its credit pays its next invoices. It is the customer's own money, which
a merchant has got: when the subscription ends, it goes from there into the customer's wallet, with
the part of it that we had kept as our fee. A wallet and not the card: it may come of several
payments, of which none has to be refundable any more. Somebody who refunds such a payment later
gives more than is owed; that is theirs to decide, and both are in the customer's statement.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ledger import owing
from payments.ledger import service as ledger
from payments.ledger.service import HOUSE, Entry, Transfer
from payments.money import Money
from payments.ops.logs import get_logger
from payments.orders.models import Order, Payment
from payments.refunds.amounts import UNDER_WAY, asked_back
from payments.subscriptions.models import Invoice, Subscription

log = get_logger(__name__)


async def paid_for_period(session: AsyncSession, subscription: Subscription) -> int:
    """Return what was really paid for the current period, in minor units: 0 in a trial.

    With credit or with money; what was given back, is being given back or is disputed is not.
    """
    of_it = (Invoice.subscription_id == subscription.id, Invoice.status == "paid")
    begun = (
        select(func.max(Invoice.period_start))
        .where(*of_it, Invoice.kind == "period")
        .scalar_subquery()
    )
    back = Payment.refunded + asked_back(*UNDER_WAY) + Payment.disputed
    amount = await session.scalar(
        select(func.sum(Invoice.credit + func.coalesce(Payment.captured - back, 0)))
        .outerjoin(Payment, (Payment.order_id == Invoice.order_id) & (Payment.captured > 0))
        # With the changes within it. In a trial nothing was paid yet: there is no such beginning.
        .where(*of_it, Invoice.period_start >= begun)
    )
    return max(int(amount or 0), 0)


def void(subscription: Subscription, invoice: Invoice) -> None:
    """Give up an open invoice of a locked subscription: the credit that it took is free again."""
    invoice.status = "void"
    subscription.credit += invoice.credit
    if invoice.kind == "change":
        subscription.next_plan = None


async def to_wallet(session: AsyncSession, subscription: Subscription) -> None:
    """Move the credit of a locked subscription that ends into the customer's wallet, once."""
    money = Money(subscription.credit, subscription.currency)
    if not money.amount:
        return
    order = await session.scalar(
        select(Order)
        .join(Invoice, Invoice.order_id == Order.id)
        .where(Invoice.subscription_id == subscription.id, Invoice.status == "paid")
        .order_by(Invoice.created_at.desc())
        .limit(1)
    )
    if order is None:
        log.error("subscription.credit_of_nothing", subscription_id=str(subscription.id))
        return
    subscription.credit = 0
    await give_back(session, order, money, key=f"subscription:{subscription.id}:credit")


async def give_back(session: AsyncSession, order: Order, money: Money, *, key: str) -> None:
    """Move money from who was paid for an order back to its customer; a debt to us is paid first.

    The fee goes back in proportion, as with a refund. `key` does it once.
    """
    if order.merchant is None:
        raise ValueError(f"order {order.id} is a purchase without a merchant")
    fee = Money(order.fee * money.amount // order.amount, money.currency)
    paid = (
        Entry(ledger.merchant(order.merchant), "merchant", fee - money),
        Entry(HOUSE, "fees", -fee),
    )
    subject = f"order:{order.id}"

    def transfers(given: owing.Given) -> list[Transfer]:
        entries = tuple(entry for entry in (*paid, *given) if entry.money.amount)
        kind = "subscription.returned"
        return [Transfer(key=key, kind=kind, subject=subject, entries=entries)]

    await owing.post_to(session, order.customer_id, money, transfers)

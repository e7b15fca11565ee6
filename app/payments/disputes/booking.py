"""What the news of a dispute does to the books.

    opened   disputed (house)            -24.90     gateway_clearing (gateway)  +24.90
    won      gateway_clearing (gateway)  -24.90     disputed (house)            +24.90
    lost     merchant                    -24.90     disputed (house)            +24.90

The gateway takes the money when the dispute opens and gives it back when it is won, so meanwhile it
is neither theirs nor ours. Who sold bears the loss; for wallet credit it is the customer, who owes
it where the wallet no longer has it. News may come in any order: the first makes the dispute.

Some gateways give a lost dispute's money back as a refund of the payment (`refunds.news`). The
dispute has booked that already, so the refunds follow when one opens, and when it is won.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.disputes.models import Dispute
from payments.gateways.protocol import GatewayEvent
from payments.ledger import owing
from payments.ledger import service as ledger
from payments.ledger.service import HOUSE, Entry, Transfer
from payments.money import Money
from payments.orders.models import Order, Payment
from payments.orders.status import TAKEN, advance
from payments.refunds import booking as refunds

Result = tuple[Literal["applied", "refused", "parked", "failed"], str | None]


async def apply(
    session: AsyncSession, order: Order, payment: Payment, event: GatewayEvent
) -> Result:
    """Apply an event on a locked payment and order."""
    if payment.status not in TAKEN:
        return "parked", "disputed before it is known to be paid"
    if event.money is None or event.dispute_ref is None or event.money.amount <= 0:
        return "failed", "a dispute without an amount or an id"
    if event.money.currency != payment.currency:
        return "failed", "disputed in another currency"
    # The payment's lock stands for all its disputes: two first events cannot both make one.
    dispute = await session.scalar(
        select(Dispute).where(
            Dispute.gateway == event.gateway,
            Dispute.account == event.account,
            Dispute.dispute_ref == event.dispute_ref,
        )
    )
    opened = dispute is None
    transfers: list[Transfer] = []
    if dispute is None:
        dispute = await _open(session, payment, event, event.dispute_ref, event.money)
        await refunds.disputed(session, order, payment, cause=event.key)
        taken = (Entry(HOUSE, "disputed", -dispute.money), _clearing(payment, dispute.money))
        transfers.append(_transfer(dispute, "opened", *taken))
    elif dispute.money != event.money:
        return "failed", f"disputed {event.money}, and {dispute.money} before"
    moved = opened
    if event.kind == "dispute_won":
        moved = await _won(session, order, payment, dispute, event, transfers)
    elif event.kind == "dispute_lost":
        moved = await _lost(session, order, dispute, event, transfers)
    elif transfers:
        await ledger.post(session, transfers)
    if moved:
        payment.updated_at = datetime.now(UTC)  # a dispute costs a fee: the next run looks for it
    return ("applied", None) if moved else ("refused", f"the dispute is {dispute.status}")


async def _open(
    session: AsyncSession, payment: Payment, event: GatewayEvent, ref: str, money: Money
) -> Dispute:
    dispute = Dispute(
        id=uuid4(),
        payment_id=payment.id,
        gateway=event.gateway,
        account=event.account,
        dispute_ref=ref,
        status="open",
        currency=money.currency,
        amount=money.amount,
        begun_at=event.begun or event.created,
    )
    session.add(dispute)
    payment.disputed += money.amount
    await session.flush()
    return dispute


async def _won(
    session: AsyncSession,
    order: Order,
    payment: Payment,
    dispute: Dispute,
    event: GatewayEvent,
    before: list[Transfer],
) -> bool:
    """Take the money back; `before` is posted in the same step, as one lock of all accounts."""
    was = dispute.status
    if not await advance(session, dispute, "won", cause=event.key):
        return False
    payment.disputed -= dispute.amount

    def won(back: tuple[Entry, ...]) -> list[Transfer]:
        return [*before, _transfer(dispute, "won", _clearing(payment, -dispute.money), *back)]

    if was != "lost":
        await ledger.post(session, won((Entry(HOUSE, "disputed", dispute.money),)))
    elif order.kind == "purchase":
        await ledger.post(session, won((_bearer(order, dispute.money),)))
    else:
        await owing.post_to(session, order.customer_id, dispute.money, won)
    await refunds.disputed(session, order, payment, cause=event.key)
    return True


async def _lost(
    session: AsyncSession,
    order: Order,
    dispute: Dispute,
    event: GatewayEvent,
    before: list[Transfer],
) -> bool:
    """Take the loss from who bears it; what a wallet no longer has, its owner owes us."""
    if not await advance(session, dispute, "lost", cause=event.key):
        return False
    closed = Entry(HOUSE, "disputed", dispute.money)
    try:
        async with session.begin_nested():
            borne = _bearer(order, -dispute.money)
            await ledger.post(session, [*before, _transfer(dispute, "lost", borne, closed)])
    except ledger.InsufficientFundsError:
        owed = Entry(ledger.customer(order.customer_id), "receivable", -dispute.money)
        await ledger.post(session, [*before, _transfer(dispute, "lost", owed, closed)])
    return True


def _bearer(order: Order, money: Money) -> Entry:
    if order.kind == "purchase" and order.merchant is not None:
        return Entry(ledger.merchant(order.merchant), "merchant", money)
    return Entry(ledger.customer(order.customer_id), "wallet", money)


def _clearing(payment: Payment, money: Money) -> Entry:
    return Entry(ledger.gateway(payment.gateway, payment.account), "gateway_clearing", money)


def _transfer(dispute: Dispute, what: str, *entries: Entry) -> Transfer:
    return Transfer(
        key=f"dispute:{dispute.id}:{what}",
        kind=f"dispute.{what}",
        subject=f"payment:{dispute.payment_id}",
        entries=entries,
    )

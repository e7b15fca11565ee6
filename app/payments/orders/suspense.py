"""Money that came and fits no order: where it waits, and the two ways out of suspense.

A person decides: it is given back at the gateway (whose event books it), or it becomes the
customer's wallet credit. Both are transfers under keys of their own, and neither takes more than
waits.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.errors import ConflictError
from payments.ledger import service as ledger
from payments.ledger.models import Account, EntryRow, TransferRow
from payments.ledger.service import HOUSE, Entry, Transfer
from payments.money import Money
from payments.orders.models import Order, Payment


class NothingWaitsError(ConflictError):
    """There is nothing of this payment in suspense (any more)."""

    code, title = "nothing_in_suspense", "Nothing of this payment waits for a decision."


async def waiting(session: AsyncSession, payment: Payment) -> dict[str, int]:
    """Return what waits of a payment, in minor units by currency."""
    rows = await session.execute(
        select(EntryRow.currency, func.sum(EntryRow.amount))
        .join(TransferRow, TransferRow.id == EntryRow.transfer_id)
        .join(Account, Account.id == EntryRow.account_id)
        .where(
            TransferRow.key.like(f"suspense:{payment.id}:%"),
            Account.purpose == "suspense",
        )
        .group_by(EntryRow.currency)
    )
    return {currency: int(amount) for currency, amount in rows if amount > 0}


async def give_back(session: AsyncSession, order: Order, payment: Payment, total: Money) -> bool:
    """Book what the gateway has given back, `total` so far; on a locked payment.

    False when that is booked already, or more than waits: then a person looks.
    """
    part = total - Money(await _given_back(session, payment, total.currency), total.currency)
    waits = (await waiting(session, payment)).get(total.currency, 0)
    if not 0 < part.amount <= waits:
        return False
    clearing = Entry(ledger.gateway(payment.gateway, payment.account), "gateway_clearing", part)
    await ledger.post(session, [_out(order, payment, f"refunded:{total.amount}", part, clearing)])
    return True


async def give_back_whole(session: AsyncSession, order: Order, payment: Payment) -> bool:
    """Book that the gateway has given back all that waits; False when nothing does."""
    waits = await waiting(session, payment)
    for currency, amount in waits.items():
        total = await _given_back(session, payment, currency) + amount
        await give_back(session, order, payment, Money(total, currency))
    return bool(waits)


async def credit_wallet(
    session: AsyncSession, order: Order, payment: Payment, *, by: str
) -> list[Money]:
    """Make what waits the customer's credit, coins as coins; on a locked payment.

    Returns what was credited. Raises `NothingWaitsError`.
    """
    credited = [
        Money(amount, currency) for currency, amount in (await waiting(session, payment)).items()
    ]
    if not credited:
        raise NothingWaitsError
    customer = ledger.customer(order.customer_id)
    # Numbered: the same amount may come, and be credited, again.
    number = await _count(session, payment)
    transfers = [
        _out(
            order,
            payment,
            f"credited:{money.currency}:{number}",
            money,
            Entry(customer, ledger.wallet_of(money.currency), money),
        )
        for money in credited
    ]
    await ledger.post(session, transfers)
    payment.last_error = f"{', '.join(map(str, credited))} credited to the wallet by {by}"[:200]
    return credited


async def _given_back(session: AsyncSession, payment: Payment, currency: str) -> int:
    amount = await session.scalar(
        select(func.coalesce(func.sum(-EntryRow.amount), 0))
        .join(TransferRow, TransferRow.id == EntryRow.transfer_id)
        .join(Account, Account.id == EntryRow.account_id)
        .where(
            TransferRow.key.like(f"suspense:{payment.id}:refunded:%"),
            Account.purpose == "suspense",
            EntryRow.currency == currency,
        )
    )
    return int(amount or 0)


async def _count(session: AsyncSession, payment: Payment) -> int:
    number = await session.scalar(
        select(func.count())
        .select_from(TransferRow)
        .where(TransferRow.key.like(f"suspense:{payment.id}:%"))
    )
    return int(number or 0)


def _out(order: Order, payment: Payment, how: str, money: Money, to: Entry) -> Transfer:
    return Transfer(
        key=f"suspense:{payment.id}:{how}",
        kind="suspense.resolved",
        subject=f"order:{order.id}",
        entries=(Entry(HOUSE, "suspense", -money), to),
    )

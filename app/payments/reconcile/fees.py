"""What a gateway keeps of a payment: booked once, and again by the difference when it changes.

A fee is not final when the payment is: Stripe settles some network costs later, a plan's price is
put right at the month's end. What is booked of a payment follows what the gateway says now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.db import Database
from payments.gateways.protocol import Gateway
from payments.ledger import service as ledger
from payments.ledger.models import Account, EntryRow, TransferRow
from payments.ledger.service import HOUSE, Entry, Transfer
from payments.money import Money
from payments.orders.models import Payment

KIND = "gateway.fee"


async def differing(database: Database, kept: Mapping[UUID, Money]) -> list[UUID]:
    """Return the payments of which something else is booked than what the gateway keeps."""
    async with database.transaction() as session:
        booked = await _booked(session, kept)
    return [id for id, fee in kept.items() if booked.get(id, (0, 0))[0] != fee.amount]


async def book(database: Database, gateway: Gateway, payment_id: UUID, fee: Money) -> bool:
    """Bring what is booked of a payment to `fee`, in the payment's currency; False when it is."""
    async with database.transaction() as session:
        # Two runs at once would book the same difference under two numbers.
        await session.execute(
            select(Payment.id).where(Payment.id == payment_id).with_for_update(key_share=True)
        )
        amount, number = (await _booked(session, [payment_id])).get(payment_id, (0, 0))
        part = Money(fee.amount - amount, fee.currency)
        if not part.amount:
            return False
        key = f"payment:{payment_id}:gateway_fee"
        clearing = ledger.gateway(gateway.name, gateway.account)
        transfer = Transfer(
            key=f"{key}:{number}" if number else key,
            kind=KIND,
            subject=f"payment:{payment_id}",
            entries=(
                Entry(HOUSE, "gateway_fees", -part),
                Entry(clearing, "gateway_clearing", part),
            ),
        )
        await ledger.post(session, [transfer])
    return True


async def _booked(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, tuple[int, int]]:
    """Return how much is booked of each payment, and in how many transfers."""
    rows = await session.execute(
        select(TransferRow.subject, -func.sum(EntryRow.amount), func.count())
        .join(EntryRow, EntryRow.transfer_id == TransferRow.id)
        .join(Account, Account.id == EntryRow.account_id)
        .where(
            TransferRow.subject.in_([f"payment:{id}" for id in ids]),
            TransferRow.kind == KIND,
            Account.purpose == "gateway_fees",
        )
        .group_by(TransferRow.subject)
    )
    return {
        UUID(str(subject).removeprefix("payment:")): (int(amount), number)
        for subject, amount, number in rows
    }

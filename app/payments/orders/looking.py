"""Asking the gateway sooner: somebody comes back from a checkout, and may have paid there.

What comes back with the customer is a hint and nothing more; whoever asks the gateway learns what
is true. The worker asks, so that the same thing happens when the customer never comes back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments import jobs
from payments.orders.models import Payment

OPEN: Final = frozenset({"open", "processing", "failed"})
MOST_CHECKS: Final = 40
"""Looks after which nobody hastens any more: the address is guessed by nobody, but reloaded."""


async def find(session: AsyncSession, payment_id: UUID, gateway: str) -> Payment | None:
    """Return a gateway's payment."""
    found: Payment | None = await session.scalar(
        select(Payment).where(Payment.id == payment_id, Payment.gateway == gateway)
    )
    return found


async def hasten(session: AsyncSession, payment_id: UUID) -> bool:
    """Have the gateway asked now what became of a payment; False when that would tell nothing."""
    payment = await session.scalar(
        select(Payment).where(Payment.id == payment_id).with_for_update(key_share=True)
    )
    if payment is None or payment.status not in OPEN or payment.checks >= MOST_CHECKS:
        return False
    payment.next_check_at = datetime.now(UTC)
    await session.flush()
    await jobs.enqueue(session, jobs.REPAIR_PAYMENT, {"payment_id": str(payment_id)})
    return True

"""Setting credit aside while its top-up is being given back, so that nobody spends it meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ledger import service as ledger
from payments.ledger.models import Hold
from payments.orders.models import Order
from payments.refunds.models import RefundRow

LIFETIME: Final = timedelta(days=180)
"""Longer than any bank takes. A refund that settles later still takes it from the wallet, or from
what the customer owes."""


async def hold(session: AsyncSession, order: Order, row: RefundRow) -> None:
    """Set the refund's amount aside in its customer's wallet. Raises `InsufficientFundsError`."""
    try:
        await ledger.hold(
            session,
            key=_key(row),
            owner=ledger.customer(order.customer_id),
            purpose=ledger.wallet_of(row.currency),
            money=row.money,
            expires_at=datetime.now(UTC) + LIFETIME,
            subject=f"order:{order.id}",
        )
    except ledger.InsufficientFundsError:
        raise ledger.InsufficientFundsError(
            "The credit was spent; the wallet does not hold it."
        ) from None


async def take(session: AsyncSession, row: RefundRow, transfer: ledger.Transfer) -> bool:
    """Post a refund's transfer out of what was held for it; False when that is not to be done.

    Rows of earlier releases have no hold; another one may have run out, or be too small.
    """
    held = await _open(session, row)
    if held is None:
        return False
    try:
        async with session.begin_nested():
            await ledger.post_hold(session, held, transfer)
    except ledger.HoldNotOpenError:
        return False
    return True


async def release(session: AsyncSession, row: RefundRow) -> None:
    """Free what is still held for a refund. After every other posting: it locks an account, too."""
    held = await _open(session, row)
    if held is not None:
        await ledger.void_hold(session, held)


async def _open(session: AsyncSession, row: RefundRow) -> UUID | None:
    found: UUID | None = await session.scalar(
        select(Hold.id).where(Hold.key == _key(row), Hold.state == "held")
    )
    return found


def _key(row: RefundRow) -> str:
    return f"refund:{row.id}"

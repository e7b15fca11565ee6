"""What was asked back of a payment, added up where the payment stands in a statement."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.orders.models import Payment
from payments.refunds.models import RefundRow

UNDER_WAY: Final = ("intended", "unknown", "pending")
"""A refund of ours that has neither gone through nor failed: it is in no payment's `refunded`."""


def asked_back(*statuses: str) -> ColumnElement[int]:
    """Return the sum of our refunds that stand so, of the payment that a statement selects."""
    return (
        select(func.coalesce(func.sum(RefundRow.amount), 0))
        .where(RefundRow.payment_id == Payment.id, RefundRow.status.in_(statuses))
        .correlate(Payment)
        .scalar_subquery()
    )


async def under_way(session: AsyncSession, payment: Payment) -> int:
    """Return what of our refunds has been asked for, and has neither gone through nor failed."""
    amount = await session.scalar(select(asked_back(*UNDER_WAY)).where(Payment.id == payment.id))
    return int(amount or 0)

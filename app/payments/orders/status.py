"""Moving a status: forward only, by the table in the database; what is refused is kept."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.orders.models import Order, Payment, StatusChange, StatusMove

TAKEN = frozenset({"paid", "partially_refunded", "refunded"})
"""Statuses in which the whole amount has come."""


async def advance(session: AsyncSession, row: Order | Payment, to: str, *, cause: str) -> bool:
    """Move a locked order or payment to a status; False when it is there or may not go there.

    Whatever else changes with the status (amounts, times) is set by the caller right afterwards:
    it must reach the database in the same statement.
    """
    if row.status == to:
        return False
    entity = "order" if isinstance(row, Order) else "payment"
    allowed = bool(
        await session.scalar(
            select(
                exists().where(
                    StatusMove.entity == entity,
                    StatusMove.from_status == row.status,
                    StatusMove.to_status == to,
                )
            )
        )
    )
    session.add(
        StatusChange(
            entity=entity,
            entity_id=row.id,
            from_status=row.status,
            to_status=to,
            applied=allowed,
            cause=cause,
        )
    )
    if allowed:
        row.status = to
        row.updated_at = datetime.now(UTC)
    return allowed

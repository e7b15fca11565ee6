"""Moving a status: forward only, by the table in the database; what is refused is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import ClassVar, Protocol
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.orders.models import StatusChange, StatusMove

TAKEN = frozenset({"paid", "partially_refunded", "refunded"})
"""Statuses in which the whole amount has come."""


def shown(status: str, *, amount: int, refunded: int) -> str:
    """Return the status of an order as it is shown: of what was paid, the amounts decide.

    A status moves forward only, and stays `refunded` when a refund has come to nothing.
    """
    if status not in TAKEN:
        return status
    if not refunded:
        return "paid"
    return "refunded" if refunded >= amount else "partially_refunded"


class Moving(Protocol):
    """A row with a status that only moves forward; `entity` is its name in the table of moves."""

    entity: ClassVar[str]
    id: UUID
    status: str
    updated_at: datetime


async def advance(session: AsyncSession, row: Moving, to: str, *, cause: str) -> bool:
    """Move a locked row to a status; False when it is there or may not go there.

    Whatever else changes with the status (amounts, times) is set by the caller right afterwards:
    it must reach the database in the same statement.
    """
    if row.status == to:
        return False
    allowed = bool(
        await session.scalar(
            select(
                exists().where(
                    StatusMove.entity == row.entity,
                    StatusMove.from_status == row.status,
                    StatusMove.to_status == to,
                )
            )
        )
    )
    session.add(
        StatusChange(
            entity=row.entity,
            entity_id=row.id,
            from_status=row.status,
            to_status=to,
            applied=allowed,
            cause=cause,
        )
    )
    if allowed:
        for hear in _LISTENERS:
            # Before: they ask the database, which must not see a status without its amounts.
            await hear(session, row, to)
        row.status = to
        row.updated_at = datetime.now(UTC)
    return allowed


Listener = Callable[[AsyncSession, Moving, str], Awaitable[None]]
_LISTENERS: list[Listener] = []


def listen(listener: Listener) -> None:
    """Have `listener` called in the transaction of every move that is made. Once per process."""
    if listener not in _LISTENERS:
        _LISTENERS.append(listener)

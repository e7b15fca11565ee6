"""Issuing a receipt: once for an order, when it is first asked for.

Numbers have no gaps: the next one is counted under the year's own lock, in a transaction that does
nothing else, so none is lost with something that fails. (A sequence would lose one with every
rollback, and a tax office asks where it went.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.db import Database, one_at_a_time
from payments.errors import ConflictError
from payments.orders import service as orders
from payments.orders.service import OrderView
from payments.receipts.models import Receipt
from payments.refunds import service as refunds
from payments.refunds.service import RefundView

PAID: Final = frozenset({"paid", "partially_refunded", "refunded"})
SETTLED: Final = "succeeded"
"""The status of a refund whose money is with the customer."""


class NotPaidError(ConflictError):
    """There is no receipt for what was not paid."""

    code, title = "not_paid", "The order is not paid."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptView:
    """A receipt: its number, what was paid, what was given back until now."""

    number: str
    issued_at: datetime
    order: OrderView
    refunds: Sequence[RefundView]


async def receipt(database: Database, *, customer_id: UUID, order_id: UUID) -> ReceiptView:
    """Return the receipt of a customer's order. Raises `NotFoundError`, `NotPaidError`."""
    async with database.transaction() as session:
        order = await orders.get(session, customer_id=customer_id, order_id=order_id)
        if order.status not in PAID:
            raise NotPaidError(f"The order is {order.status}.")
        given_back = await refunds.list_for_order(session, order_id)
        known = await session.get(Receipt, order_id)
    if known is None:
        known = await _issue(database, order_id)
    return ReceiptView(
        number=known.name,
        issued_at=known.issued_at,
        order=order,
        refunds=[refund for refund in given_back if refund.status == SETTLED],
    )


async def _issue(database: Database, order_id: UUID) -> Receipt:
    """Give the order the next number, or return what somebody else has just given it."""
    async with database.transaction() as session:
        await one_at_a_time(session, "receipts")
        known = await session.get(Receipt, order_id)
        return known or await _next(session, order_id, datetime.now(UTC))


async def _next(session: AsyncSession, order_id: UUID, now: datetime) -> Receipt:
    """Insert the next number of the year, under the lock."""
    last = await session.scalar(select(func.max(Receipt.number)).where(Receipt.year == now.year))
    made = Receipt(order_id=order_id, year=now.year, number=(last or 0) + 1, issued_at=now)
    session.add(made)
    await session.flush()
    return made

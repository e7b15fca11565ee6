"""A customer's orders in pages, each once, however often it was tried to pay."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from payments import paging
from payments.orders.models import Order, Payment
from payments.orders.service import OrderView, refunded, view_of
from payments.paging import Page


async def page_for(
    session: AsyncSession, *, customer_id: UUID, cursor: str | None, limit: int
) -> Page[OrderView]:
    """Return a page of the customer's orders, newest first. Raises `BadCursorError`."""
    other = aliased(Payment)
    last = (
        select(other.id)
        .where(other.order_id == Order.id)
        .order_by(other.created_at.desc(), other.id)
        .limit(1)
        .correlate(Order)
        .scalar_subquery()
    )
    return await paging.page(
        session,
        select(Order, Payment, refunded())
        .join(Payment, Payment.id == last)
        .where(Order.customer_id == customer_id),
        order=(Order.created_at, Order.id),
        parse=(paging.moment, UUID),
        cursor=cursor,
        limit=limit,
        view=lambda row: view_of(row[0], row[1], row[2]),
    )

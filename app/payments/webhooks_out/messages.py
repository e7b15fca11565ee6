"""What is told to whom: written in the transaction of what happened, so neither is there alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments import jobs
from payments.orders.models import Order
from payments.orders.status import Moving, listen
from payments.subscriptions.models import Subscription
from payments.webhooks_out.models import Delivery, Endpoint, Message

TYPES: Final = (
    "order.pending",
    "order.remote_failed",
    "order.failed",
    "order.expired",
    "order.review",
    "order.paid",
    "order.partially_refunded",
    "order.refunded",
    "subscription.active",
    "subscription.past_due",
    "subscription.paused",
    "subscription.canceled",
    "subscription.expired",
)
"""Everything that can be told."""


async def tell(
    session: AsyncSession, *, customer_id: UUID, type: str, data: Mapping[str, Any]
) -> int:
    """Write a message for a customer's endpoints that want its type; returns how many do."""
    endpoints = (
        await session.scalars(
            select(Endpoint.id).where(
                Endpoint.customer_id == customer_id,
                Endpoint.enabled.is_(True),
                Endpoint.events.contains([type]),
            )
        )
    ).all()
    if not endpoints:
        return 0
    message = Message(id=uuid4(), customer_id=customer_id, type=type, data=dict(data))
    session.add(message)
    await session.flush()
    for endpoint_id in endpoints:
        delivery = Delivery(
            message_id=message.id, endpoint_id=endpoint_id, next_attempt_at=datetime.now(UTC)
        )
        session.add(delivery)
        await session.flush()
        await jobs.enqueue(session, jobs.DELIVER_WEBHOOK, {"delivery_id": delivery.id})
    return len(endpoints)


async def on_move(session: AsyncSession, row: Moving, to: str) -> None:
    """Tell of a status that has moved, where that is anybody's business."""
    type = f"{row.entity}.{to}"
    if type not in TYPES:
        return
    if isinstance(row, Order):
        await tell(session, customer_id=row.customer_id, type=type, data=_order(row, to))
    elif isinstance(row, Subscription):
        await tell(session, customer_id=row.customer_id, type=type, data=_subscription(row, to))


def _order(order: Order, status: str) -> dict[str, Any]:
    return {
        "id": str(order.id),
        "sku": order.sku,
        "quantity": order.quantity,
        "amount": order.amount,
        "currency": order.currency,
        "status": status,
    }


def _subscription(subscription: Subscription, status: str) -> dict[str, Any]:
    end = subscription.period_end
    return {
        "id": str(subscription.id),
        "plan": subscription.plan,
        "amount": subscription.amount,
        "currency": subscription.currency,
        "status": status,
        "period_end": end.isoformat() if end else None,
    }


def start() -> None:
    """Tell of every move from now on; both the api and the worker make some."""
    listen(on_move)

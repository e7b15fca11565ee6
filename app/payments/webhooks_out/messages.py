"""What is told to whom: written in the transaction of what happened, so neither is there alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments import jobs
from payments.disputes.models import Dispute
from payments.gateways.protocol import GatewayEvent
from payments.inbox import service as inbox
from payments.orders.models import Order, Payment
from payments.orders.status import Moving, listen
from payments.refunds.models import RefundRow
from payments.subscriptions.models import Subscription
from payments.webhooks_out.models import Delivery, Endpoint, Message
from payments.webhooks_out.payloads import DisputeTold, OrderTold, RefundTold, SubscriptionTold

TYPES: Final = (
    "order.pending",
    "order.remote_failed",
    "order.failed",
    "order.expired",
    "order.review",
    "order.paid",
    "order.partially_refunded",
    "order.refunded",
    "refund.pending",
    "refund.succeeded",
    "refund.failed",
    "refund.remote_failed",
    "refund.returned",
    "dispute.opened",
    "dispute.won",
    "dispute.lost",
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
        await _tell(session, row.customer_id, type, OrderTold.model_validate(row), to)
    elif isinstance(row, Subscription):
        await _tell(session, row.customer_id, type, SubscriptionTold.model_validate(row), to)
    elif isinstance(row, RefundRow | Dispute):
        await _tell_of_part(session, row, type, to)


async def on_event(session: AsyncSession, event: GatewayEvent) -> None:
    """Tell of a dispute that an event has opened: it began, so no status has moved."""
    if event.kind != "dispute_opened":
        return
    dispute = await session.scalar(
        select(Dispute).where(
            Dispute.gateway == event.gateway,
            Dispute.account == event.account,
            Dispute.dispute_ref == event.dispute_ref,
        )
    )
    if dispute is not None:
        await _tell_of_part(session, dispute, "dispute.opened", dispute.status)


async def _tell_of_part(
    session: AsyncSession, row: RefundRow | Dispute, type: str, status: str
) -> None:
    """Tell an order's customer of something that is about its payment."""
    found = await session.execute(
        select(Order.id, Order.customer_id)
        .join(Payment, Payment.order_id == Order.id)
        .where(Payment.id == row.payment_id)
    )
    order_id, customer_id = found.one()
    kind = RefundTold if isinstance(row, RefundRow) else DisputeTold
    told = kind(
        id=row.id, order=order_id, amount=row.amount, currency=row.currency, status=row.status
    )
    await _tell(session, customer_id, type, told, status)


async def _tell(
    session: AsyncSession, customer_id: UUID, type: str, told: BaseModel, status: str
) -> None:
    """Tell it under the status that it is about to have."""
    data = told.model_copy(update={"status": status}).model_dump(mode="json")
    await tell(session, customer_id=customer_id, type=type, data=data)


def start() -> None:
    """Tell of everything from now on; both the api and the worker move something."""
    listen(on_move)
    inbox.listen(on_event)

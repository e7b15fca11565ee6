"""What a client does with its endpoints."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments import paging
from payments.errors import ConflictError, NotFoundError, UnprocessableError
from payments.paging import Page
from payments.people import audit
from payments.webhooks_out import addresses, deliver, signing
from payments.webhooks_out.messages import TYPES
from payments.webhooks_out.models import Delivery, Endpoint, Message

MOST: Final = 10
OVERLAP: Final = timedelta(hours=24)


class UnknownEventError(UnprocessableError):
    """Not one of the events."""

    code, title = "unknown_event", "There is no such event."


class TooManyEndpointsError(ConflictError):
    """A customer has a bounded number of endpoints."""

    code, title = "too_many_endpoints", "Delete an endpoint before you add another one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A delivery and what it is of."""

    delivery: Delivery
    type: str


async def add(
    session: AsyncSession,
    seal: signing.Seal,
    *,
    customer_id: UUID,
    url: str,
    events: Collection[str],
    allow_private: bool = False,
) -> tuple[Endpoint, str]:
    """Add an endpoint; returns it and its secret, which is shown this once.

    Raises `BadAddressError`, `UnknownEventError`, `TooManyEndpointsError`.
    """
    addresses.check(url, allow_private=allow_private)
    unknown = sorted(set(events) - set(TYPES))
    if unknown:
        raise UnknownEventError(f"{', '.join(unknown)}: choose from {', '.join(TYPES)}.")
    number = await session.scalar(
        select(func.count()).select_from(Endpoint).where(Endpoint.customer_id == customer_id)
    )
    if (number or 0) >= MOST:
        raise TooManyEndpointsError(f"You have {number} endpoints; {MOST} are the most.")
    secret = signing.new_secret()
    endpoint = Endpoint(
        id=uuid4(),
        customer_id=customer_id,
        url=url,
        events=sorted(set(events) or TYPES),
        secret=seal.close(secret),
        enabled=True,
    )
    session.add(endpoint)
    await session.flush()
    await session.refresh(endpoint)
    await audit.append(
        session, action="webhook_endpoint.added", actor=customer_id, subject=endpoint.id
    )
    return endpoint, signing.shown(secret)


async def rotate(
    session: AsyncSession, seal: signing.Seal, *, customer_id: UUID, endpoint_id: UUID
) -> tuple[Endpoint, str]:
    """Give an endpoint a new secret; the old one signs too for a day. Raises `NotFoundError`."""
    endpoint = await mine(session, customer_id, endpoint_id)
    secret = signing.new_secret()
    endpoint.old_secret = endpoint.secret
    endpoint.old_secret_until = datetime.now(UTC) + OVERLAP
    endpoint.secret = seal.close(secret)
    await session.flush()
    await audit.append(
        session, action="webhook_endpoint.rotated", actor=customer_id, subject=endpoint.id
    )
    return endpoint, signing.shown(secret)


async def reseal(session: AsyncSession, seal: signing.Seal, endpoint_id: UUID) -> bool:
    """Seal an endpoint's secrets under the newest key; False when they are. As `Seal.renew`."""
    endpoint = await session.get_one(Endpoint, endpoint_id, with_for_update={"key_share": True})
    secret = seal.renew(endpoint.secret)
    old_secret = None if endpoint.old_secret is None else seal.renew(endpoint.old_secret)
    endpoint.secret = secret or endpoint.secret
    endpoint.old_secret = old_secret or endpoint.old_secret
    return bool(secret or old_secret)


async def enable(
    session: AsyncSession, *, customer_id: UUID, endpoint_id: UUID, enabled: bool
) -> Endpoint:
    """Switch an endpoint on or off. Raises `NotFoundError`."""
    endpoint = await mine(session, customer_id, endpoint_id)
    endpoint.enabled = enabled
    endpoint.disabled_reason = None if enabled else "switched off by its owner"
    endpoint.failing_since = None
    return endpoint


async def list_for(session: AsyncSession, customer_id: UUID) -> Sequence[Endpoint]:
    """Return a customer's endpoints, oldest first."""
    found = await session.scalars(
        select(Endpoint)
        .where(Endpoint.customer_id == customer_id)
        .order_by(Endpoint.created_at, Endpoint.id)
    )
    return found.all()


async def deliveries(
    session: AsyncSession,
    *,
    customer_id: UUID,
    endpoint_id: UUID,
    cursor: str | None = None,
    limit: int = paging.SIZE,
) -> Page[Sent]:
    """Return an endpoint's deliveries, newest first. Raises `NotFoundError`, `BadCursorError`."""
    await mine(session, customer_id, endpoint_id, lock=False)
    return await paging.page(
        session,
        select(Delivery, Message.type)
        .join(Message, Message.id == Delivery.message_id)
        .where(Delivery.endpoint_id == endpoint_id),
        order=(Delivery.id,),
        parse=(paging.row_number,),
        cursor=cursor,
        limit=limit,
        view=lambda row: Sent(delivery=row[0], type=row[1]),
    )


async def redeliver(
    session: AsyncSession, *, customer_id: UUID, endpoint_id: UUID, message_id: UUID
) -> Delivery:
    """Have a message delivered once more. Raises `NotFoundError`."""
    await mine(session, customer_id, endpoint_id, lock=False)
    delivery = await session.scalar(
        select(Delivery)
        .where(Delivery.endpoint_id == endpoint_id, Delivery.message_id == message_id)
        .with_for_update()
    )
    if delivery is None:
        raise NotFoundError(f"The endpoint was never told of {message_id}.")
    await deliver.again(session, delivery)
    return delivery


async def mine(
    session: AsyncSession, customer_id: UUID, endpoint_id: UUID, *, lock: bool = True
) -> Endpoint:
    """Return one of a customer's endpoints; raises `NotFoundError`, also for somebody else's."""
    query = select(Endpoint).where(Endpoint.id == endpoint_id, Endpoint.customer_id == customer_id)
    endpoint = await session.scalar(query.with_for_update(key_share=True) if lock else query)
    if endpoint is None:
        raise NotFoundError(f"There is no endpoint {endpoint_id}.")
    return endpoint

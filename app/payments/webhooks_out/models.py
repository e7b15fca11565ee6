"""The tables of outgoing webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from payments.schema.base import SCHEMA, Base, BigId, Created, RandomId


class Endpoint(Base):
    """An address that is told what happens, and the secrets that sign it."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index(None, "customer_id"),)

    id: Mapped[RandomId]
    customer_id: Mapped[UUID]
    url: Mapped[str]
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    old_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    old_secret_until: Mapped[datetime | None]
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    disabled_reason: Mapped[str | None]
    failing_since: Mapped[datetime | None]
    created_at: Mapped[Created]


class Message(Base):
    """Something that happened, as it is told."""

    __tablename__ = "webhook_messages"

    id: Mapped[RandomId]
    customer_id: Mapped[UUID]
    type: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[Created]


class Delivery(Base):
    """One message to one endpoint, and how that went."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("message_id", "endpoint_id"),
        Index(None, "endpoint_id", "id"),
        Index(None, "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL")),
    )

    id: Mapped[BigId]
    message_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.webhook_messages.id"))
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.webhook_endpoints.id"))
    state: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime | None]
    answer: Mapped[int | None]
    error: Mapped[str | None]
    created_at: Mapped[Created]
    delivered_at: Mapped[datetime | None]

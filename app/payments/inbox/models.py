"""The inbox's table."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from payments.schema.base import Base, BigId, Created


class InboxRow(Base):
    """One event of a gateway, once, and what became of it."""

    __tablename__ = "webhook_inbox"
    __table_args__ = (
        UniqueConstraint("provider", "account", "event_key"),
        Index(None, "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL")),
        Index(None, "payment_id"),
    )

    id: Mapped[BigId]
    provider: Mapped[str]
    account: Mapped[str]
    event_key: Mapped[str]
    event_type: Mapped[str]
    event: Mapped[dict[str, Any]] = mapped_column(JSONB)
    payment_id: Mapped[UUID | None]
    state: Mapped[str]
    reason: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default=text("1"))
    next_attempt_at: Mapped[datetime | None]
    received_at: Mapped[Created]
    handled_at: Mapped[datetime | None]

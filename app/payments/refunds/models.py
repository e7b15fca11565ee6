"""The tables of refunds, and of what gateways say of those that are none of ours."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from payments.money import Money
from payments.schema.base import SCHEMA, Base, Created, RandomId


class RefundRow(Base):
    """One refund that we asked for, or are about to."""

    __tablename__ = "refunds"
    __table_args__ = (
        UniqueConstraint("request_key"),
        UniqueConstraint("gateway_key"),
        UniqueConstraint("payment_id", "refund_ref"),
        Index(None, "payment_id"),
        Index(None, "next_check_at", postgresql_where=text("next_check_at IS NOT NULL")),
    )
    entity: ClassVar[str] = "refund"

    id: Mapped[RandomId]
    payment_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.payments.id"))
    request_key: Mapped[str]
    requested_by: Mapped[str]
    reason: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'intended'"))
    gateway_key: Mapped[str]
    request: Mapped[dict[str, Any]] = mapped_column(JSONB)
    currency: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.currencies.code"))
    amount: Mapped[int] = mapped_column(BigInteger)
    refund_ref: Mapped[str | None]
    checks: Mapped[int] = mapped_column(server_default=text("0"))
    next_check_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    created_at: Mapped[Created]
    updated_at: Mapped[Created]
    returned_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]

    @property
    def money(self) -> Money:
        """What is given back."""
        return Money(self.amount, self.currency)


class RefundTotal(Base):
    """What a gateway said was given back of a payment in all, at its own time."""

    __tablename__ = "refund_totals"

    payment_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.payments.id"), primary_key=True)
    told_at: Mapped[datetime] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    received_at: Mapped[Created]


class RefundUndone(Base):
    """A refund made at the gateway's own pages that came to nothing."""

    __tablename__ = "refunds_undone"

    payment_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.payments.id"), primary_key=True)
    refund_ref: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    made_at: Mapped[datetime] = mapped_column(server_default=text("'epoch'"))
    failed_at: Mapped[datetime]

"""The tables of orders, payments and what happened to their status."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from payments.money import Money
from payments.schema.base import SCHEMA, Base, BigId, Created, RandomId


class Order(Base):
    """What a customer wants to pay for; only its status ever changes."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("request_key"),
        Index(None, "customer_id", "created_at"),
        Index(None, "updated_at"),
    )
    entity: ClassVar[str] = "order"

    id: Mapped[RandomId]
    customer_id: Mapped[UUID]
    request_key: Mapped[str]
    sku: Mapped[str]
    description: Mapped[str]
    quantity: Mapped[int]
    currency: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.currencies.code"))
    amount: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str]
    merchant: Mapped[str | None]
    fee: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    created_at: Mapped[Created]
    updated_at: Mapped[Created]
    paid_at: Mapped[datetime | None]

    @property
    def money(self) -> Money:
        """What it costs."""
        return Money(self.amount, self.currency)


class Payment(Base):
    """One attempt to be paid for an order, at one gateway."""

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("gateway_key"),
        UniqueConstraint("gateway", "account", "checkout_ref"),
        UniqueConstraint("gateway", "account", "payment_ref"),
        Index(None, "order_id"),
        Index(None, "updated_at"),
        Index(None, "next_check_at", postgresql_where=text("next_check_at IS NOT NULL")),
        Index(
            "ix_payments_without_end",
            "created_at",
            postgresql_where=text("status IN ('open', 'processing')"),
        ),
    )
    entity: ClassVar[str] = "payment"

    id: Mapped[RandomId]
    order_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.orders.id"))
    gateway: Mapped[str]
    account: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'intended'"))
    gateway_key: Mapped[str]
    request: Mapped[dict[str, Any]] = mapped_column(JSONB)
    currency: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.currencies.code"))
    amount: Mapped[int] = mapped_column(BigInteger)
    captured: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    refunded: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    refund_reserved: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    disputed: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    checkout_ref: Mapped[str | None]
    checkout_url: Mapped[str | None]
    payment_ref: Mapped[str | None]
    expires_at: Mapped[datetime]
    checks: Mapped[int] = mapped_column(server_default=text("0"))
    next_check_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    created_at: Mapped[Created]
    updated_at: Mapped[Created]

    @property
    def money(self) -> Money:
        """What is to be paid."""
        return Money(self.amount, self.currency)


class StatusMove(Base):
    """A move that a status may make; there is no other."""

    __tablename__ = "status_moves"

    entity: Mapped[str] = mapped_column(primary_key=True)
    from_status: Mapped[str] = mapped_column(primary_key=True)
    to_status: Mapped[str] = mapped_column(primary_key=True)


class StatusChange(Base):
    """A move that was made, or refused."""

    __tablename__ = "status_changes"
    __table_args__ = (Index(None, "entity_id"),)

    id: Mapped[BigId]
    entity: Mapped[str]
    entity_id: Mapped[UUID]
    from_status: Mapped[str]
    to_status: Mapped[str]
    applied: Mapped[bool]
    cause: Mapped[str]
    created_at: Mapped[Created]

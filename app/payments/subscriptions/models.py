"""The tables of subscriptions."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from payments.money import Money
from payments.schema.base import SCHEMA, Base, Created, RandomId


class Subscription(Base):
    """What a customer pays for again and again."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        UniqueConstraint("request_key"),
        Index(None, "customer_id"),
        Index(None, "next_step_at", postgresql_where=text("next_step_at IS NOT NULL")),
        Index(
            "uq_subscriptions_customer_id_plan_live",
            "customer_id",
            "plan",
            unique=True,
            postgresql_where=text("status NOT IN ('expired', 'canceled')"),
        ),
    )
    entity: ClassVar[str] = "subscription"

    id: Mapped[RandomId]
    customer_id: Mapped[UUID]
    request_key: Mapped[str]
    plan: Mapped[str]
    next_plan: Mapped[str | None]
    currency: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.currencies.code"))
    amount: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str]
    method_ref: Mapped[str | None]
    gateway: Mapped[str | None]
    anchor_day: Mapped[int] = mapped_column(SmallInteger)
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    cancel_at_end: Mapped[bool] = mapped_column(server_default=text("false"))
    credit: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    next_step_at: Mapped[datetime | None]
    created_at: Mapped[Created]
    updated_at: Mapped[Created]
    ended_at: Mapped[datetime | None]

    @property
    def money(self) -> Money:
        """What one period costs."""
        return Money(self.amount, self.currency)


class Invoice(Base):
    """One period of a subscription, or a change of plan within it, and the order that pays."""

    __tablename__ = "subscription_invoices"
    __table_args__ = (
        UniqueConstraint("order_id"),
        UniqueConstraint("subscription_id", "kind", "period_start"),
        Index(
            "ix_subscription_invoices_unwanted",
            "id",
            postgresql_where=text("status = 'unwanted'"),
        ),
    )

    id: Mapped[RandomId]
    subscription_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.subscriptions.id"))
    kind: Mapped[str]
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    currency: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.currencies.code"))
    amount: Mapped[int] = mapped_column(BigInteger)
    credit: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{SCHEMA}.orders.id"))
    status: Mapped[str] = mapped_column(server_default=text("'open'"))
    created_at: Mapped[Created]

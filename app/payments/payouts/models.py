"""The tables of payouts."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from payments.money import Money
from payments.schema.base import SCHEMA, Base, Created, RandomId


class GatewayPayout(Base):
    """What a gateway has sent to our bank, or taken from it (below zero), and whether it did."""

    __tablename__ = "gateway_payouts"
    __table_args__ = (UniqueConstraint("gateway", "account", "payout_ref"),)

    id: Mapped[RandomId]
    gateway: Mapped[str]
    account: Mapped[str]
    payout_ref: Mapped[str]
    status: Mapped[str]
    currency: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.currencies.code"))
    amount: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[Created]
    updated_at: Mapped[Created]


class Payout(Base):
    """What we pay out to a merchant: asked for by one person, approved by another."""

    __tablename__ = "payouts"
    __table_args__ = (UniqueConstraint("request_key"), Index(None, "merchant", "created_at"))
    entity: ClassVar[str] = "payout"

    id: Mapped[RandomId]
    merchant: Mapped[str]
    request_key: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'requested'"))
    currency: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.currencies.code"))
    amount: Mapped[int] = mapped_column(BigInteger)
    requested_by: Mapped[str]
    approved_by: Mapped[str | None]
    bank_ref: Mapped[str | None]
    created_at: Mapped[Created]
    updated_at: Mapped[Created]

    @property
    def money(self) -> Money:
        """What is paid out."""
        return Money(self.amount, self.currency)

"""The table of disputes."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from payments.money import Money
from payments.schema.base import SCHEMA, Base, Created, RandomId


class Dispute(Base):
    """One dispute of a payment; `amount` is what the gateway has taken back while it lasts.

    `begun_at` is the gateway's time, `created_at` ours.
    """

    __tablename__ = "disputes"
    __table_args__ = (
        UniqueConstraint("gateway", "account", "dispute_ref"),
        Index(None, "payment_id"),
    )
    entity: ClassVar[str] = "dispute"

    id: Mapped[RandomId]
    payment_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.payments.id"))
    gateway: Mapped[str]
    account: Mapped[str]
    dispute_ref: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'open'"))
    currency: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.currencies.code"))
    amount: Mapped[int] = mapped_column(BigInteger)
    begun_at: Mapped[Created]
    created_at: Mapped[Created]
    updated_at: Mapped[Created]

    @property
    def money(self) -> Money:
        """What is disputed."""
        return Money(self.amount, self.currency)

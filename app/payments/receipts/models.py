"""The table of receipts."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from payments.schema.base import SCHEMA, Base, Created


class Receipt(Base):
    """The number of an order's receipt."""

    __tablename__ = "receipts"
    __table_args__ = (UniqueConstraint("year", "number"),)

    order_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.orders.id"), primary_key=True)
    year: Mapped[int]
    number: Mapped[int]
    issued_at: Mapped[Created]

    @property
    def name(self) -> str:
        """The number as it is printed: `2026-000017`."""
        return f"{self.year}-{self.number:06}"

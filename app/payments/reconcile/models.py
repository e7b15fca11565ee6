"""The tables of reconciliation."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from payments.schema.base import SCHEMA, Base, BigId, Created, RandomId


class Run(Base):
    """One gateway's payments of a period, held against ours."""

    __tablename__ = "reconciliation_runs"
    __table_args__ = (Index(None, "started_at"),)

    id: Mapped[RandomId]
    gateway: Mapped[str]
    account: Mapped[str]
    since: Mapped[datetime]
    until: Mapped[datetime]
    repair: Mapped[bool] = mapped_column(server_default=text("true"))
    complete: Mapped[bool]
    listed: Mapped[int]
    asked: Mapped[int] = mapped_column(server_default=text("0"))
    agreed: Mapped[int]
    fees_booked: Mapped[int]
    error: Mapped[str | None]
    started_at: Mapped[Created]
    finished_at: Mapped[Created]


class Difference(Base):
    """One thing the two sides say differently, and whether that was repaired at once."""

    __tablename__ = "reconciliation_differences"
    __table_args__ = (Index(None, "run_id"),)

    id: Mapped[BigId]
    run_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.reconciliation_runs.id"))
    kind: Mapped[str]
    payment_ref: Mapped[str]
    payment_id: Mapped[UUID | None]
    ours: Mapped[str]
    theirs: Mapped[str]
    repaired: Mapped[bool]

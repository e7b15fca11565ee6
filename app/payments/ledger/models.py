"""The ledger's tables, for reading; only the functions of the schema write them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from payments.schema.base import SCHEMA, Base, BigId, Created, RandomId


class Currency(Base):
    """A currency with its real exponent; tokens and crypto money join the ISO codes here."""

    __tablename__ = "currencies"

    code: Mapped[str] = mapped_column(primary_key=True)
    exponent: Mapped[int] = mapped_column(SmallInteger)
    kind: Mapped[str]


class Purpose(Base):
    """What accounts are for, and the rule that follows: how far below zero, in how many rows."""

    __tablename__ = "ledger_purposes"

    purpose: Mapped[str] = mapped_column(primary_key=True)
    normal_side: Mapped[str]
    floor: Mapped[int | None] = mapped_column(BigInteger)
    shards: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    description: Mapped[str]
    holds: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{iso}'"))


class Account(Base):
    """One row of an account; a hot account has several (`shard`), and its balance is their sum."""

    __tablename__ = "ledger_accounts"
    __table_args__ = (
        UniqueConstraint("owner", "purpose", "currency", "shard"),
        UniqueConstraint("id", "currency"),
        CheckConstraint("held >= 0", name="held"),
    )

    id: Mapped[BigId]
    public_id: Mapped[UUID] = mapped_column(unique=True, server_default=text("gen_random_uuid()"))
    owner: Mapped[str]
    purpose: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.ledger_purposes.purpose"))
    currency: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.currencies.code"))
    shard: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    floor: Mapped[int | None] = mapped_column(BigInteger)
    balance: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    held: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[Created]


class Hold(Base):
    """An amount set aside on an account until it is posted, voided or expired."""

    __tablename__ = "ledger_holds"
    __table_args__ = (
        UniqueConstraint("key"),
        Index(None, "expires_at", postgresql_where=text("state = 'held'")),
        Index(None, "account_id", postgresql_where=text("state = 'held'")),
    )

    id: Mapped[RandomId]
    key: Mapped[str]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    account_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.ledger_accounts.id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    captured: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    state: Mapped[str] = mapped_column(server_default=text("'held'"))
    subject: Mapped[str | None]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[Created]
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class TransferRow(Base):
    """What moved, once: its key is unique, its digest tells a replay from a mistake."""

    __tablename__ = "ledger_transfers"
    __table_args__ = (
        UniqueConstraint("key"),
        UniqueConstraint("reverses"),
        UniqueConstraint("hold_id"),
        Index(None, "subject"),
    )

    id: Mapped[RandomId]
    key: Mapped[str]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    kind: Mapped[str]
    subject: Mapped[str | None]
    reverses: Mapped[UUID | None] = mapped_column(ForeignKey(f"{SCHEMA}.ledger_transfers.id"))
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{SCHEMA}.ledger_holds.id"))
    created_at: Mapped[Created]


class EntryRow(Base):
    """One side of a transfer; appended, never changed."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        PrimaryKeyConstraint("account_id", "id"),
        Index(None, "created_at", postgresql_using="brin"),
        UniqueConstraint("transfer_id", "account_id"),
        ForeignKeyConstraint(
            ["account_id", "currency"],
            [f"{SCHEMA}.ledger_accounts.id", f"{SCHEMA}.ledger_accounts.currency"],
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    transfer_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.ledger_transfers.id"))
    account_id: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    balance_after: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[Created]


class ExchangeRate(Base):
    """How much of `quote` one `base` is worth to a customer, in major units, for a while."""

    __tablename__ = "exchange_rates"
    __table_args__ = (Index(None, "base", "quote", "valid_from"),)

    id: Mapped[BigId]
    base: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.currencies.code"))
    quote: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.currencies.code"))
    rate: Mapped[Decimal] = mapped_column(Numeric(30, 12))
    source: Mapped[str]
    valid_from: Mapped[Created]
    valid_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))

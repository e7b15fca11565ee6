"""What an admin reads: plain rows, as pages and API show them. Amounts in minor units."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from payments.money import Money


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many payments of today are in one status and currency, and their sum."""

    status: str
    currency: str
    number: int
    amount: int

    @property
    def money(self) -> Money:
        """The sum."""
        return Money(self.amount, self.currency)


@dataclass(frozen=True, kw_only=True)
class Overview:
    """How the service is at the moment. Violations and waiting things by name; 0 is well."""

    payments_today: list[Count]
    webhooks: dict[str, int]
    waiting: dict[str, int]
    violations: dict[str, int]
    worker_seen: datetime | None
    worker_alive: bool
    jobs_late: int
    jobs_failed: int


@dataclass(frozen=True, kw_only=True)
class PaymentRow:
    """One payment in a list."""

    id: UUID
    order_id: UUID
    customer_id: UUID
    description: str
    gateway: str
    status: str
    currency: str
    amount: int
    captured: int
    refunded: int
    created_at: datetime

    @property
    def money(self) -> Money:
        """What is to be paid."""
        return Money(self.amount, self.currency)

    @property
    def captured_money(self) -> Money:
        """What was paid."""
        return Money(self.captured, self.currency)

    @property
    def refunded_money(self) -> Money:
        """What of it was given back."""
        return Money(self.refunded, self.currency)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A status that changed, or was refused to."""

    entity: str
    before: str
    after: str
    applied: bool
    cause: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One side of a transfer."""

    transfer_id: UUID
    kind: str
    owner: str
    purpose: str
    currency: str
    amount: int
    at: datetime

    @property
    def money(self) -> Money:
        """What moved."""
        return Money(self.amount, self.currency)


@dataclass(frozen=True, kw_only=True)
class WebhookRow:
    """One event of the inbox, without what it said."""

    id: int
    provider: str
    event_key: str
    event_type: str
    state: str
    reason: str | None
    attempts: int
    payment_id: UUID | None
    received_at: datetime
    handled_at: datetime | None
    next_attempt_at: datetime | None
    replayable: bool


@dataclass(frozen=True, kw_only=True)
class PaymentDetail:
    """One payment with what happened to it."""

    payment: PaymentRow
    order_status: str
    checkout_ref: str | None
    payment_ref: str | None
    checks: int
    next_check_at: datetime | None
    last_error: str | None
    expires_at: datetime
    changes: list[Change] = field(default_factory=list)
    webhooks: list[WebhookRow] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class UserRow:
    """One account."""

    id: UUID
    email: str
    role: str
    locked_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One link of the audit chain; `actor_email` where the actor is a person we know."""

    id: int
    at: datetime
    actor: str
    actor_email: str | None
    action: str
    subject: str | None
    detail: dict[str, Any]
    digest: str


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Whether the audit chain holds, and else where it first does not and why."""

    holds: bool
    broken_at: int | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class AccountRow:
    """One row of an account; hot accounts have several."""

    id: UUID
    owner: str
    purpose: str
    currency: str
    shard: int
    balance: int
    held: int

    @property
    def money(self) -> Money:
        """What is in it."""
        return Money(self.balance, self.currency)

    @property
    def set_aside(self) -> Money:
        """What of it is held."""
        return Money(self.held, self.currency)

"""What an admin reads of the money: plain rows, as pages and API show them. Minor units."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from payments.money import Money


@dataclass(frozen=True, kw_only=True)
class _OfMoney:
    currency: str
    amount: int

    @property
    def money(self) -> Money:
        """The amount with its currency."""
        return Money(self.amount, self.currency)


@dataclass(frozen=True, kw_only=True)
class RefundLine(_OfMoney):
    """One refund; `requested_by` is an admin's id, a service token or `gateway`."""

    id: UUID
    payment_id: UUID
    gateway: str
    status: str
    reason: str
    requested_by: str
    last_error: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class DisputeLine(_OfMoney):
    """One dispute; `amount` is what the gateway holds while it lasts."""

    id: UUID
    payment_id: UUID
    gateway: str
    dispute_ref: str
    status: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class PayoutLine(_OfMoney):
    """One payout to a merchant."""

    id: UUID
    merchant: str
    status: str
    requested_by: str
    approved_by: str | None
    bank_ref: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class ReviewLine(_OfMoney):
    """A payment that did not fit its order; `waiting` is what is in suspense, by currency."""

    payment_id: UUID
    order_id: UUID
    customer_id: UUID
    description: str
    gateway: str
    payment_ref: str | None
    status: str
    waiting: dict[str, int]
    created_at: datetime

    @property
    def waits(self) -> list[Money]:
        """What waits for a decision."""
        return [Money(amount, currency) for currency, amount in self.waiting.items()]


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """One reconciliation; `open` differences are for a person."""

    id: UUID
    gateway: str
    since: datetime
    until: datetime
    complete: bool
    listed: int
    agreed: int
    repaired: int
    open: int
    fees_booked: int
    error: str | None
    started_at: datetime


@dataclass(frozen=True, kw_only=True)
class DifferenceLine:
    """One thing that the gateway and the books say differently."""

    id: int
    kind: str
    payment_ref: str
    payment_id: UUID | None
    ours: str
    theirs: str
    repaired: bool


@dataclass(frozen=True, kw_only=True)
class RunDetail:
    """A reconciliation with what it found."""

    run: RunLine
    differences: list[DifferenceLine]


@dataclass(frozen=True, kw_only=True)
class RateLine:
    """An exchange rate; `rate` is an exact decimal number."""

    id: int
    base: str
    quote: str
    rate: str
    source: str
    valid_from: datetime
    valid_until: datetime


@dataclass(frozen=True, kw_only=True)
class SubscriptionLine(_OfMoney):
    """One subscription; `amount` is a period's price."""

    id: UUID
    customer_id: UUID
    plan: str
    status: str
    attempts: int
    period_end: datetime | None
    cancel_at_end: bool
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class DeliveryLine:
    """One webhook to a customer's endpoint, without what it said."""

    id: int
    type: str
    url: str
    customer_id: UUID
    state: str
    attempts: int
    answer: int | None
    error: str | None
    created_at: datetime
    next_attempt_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ShareLine:
    """What became of a gateway's payments in a period."""

    gateway: str
    taken: int
    failed: int
    percent_failed: float


@dataclass(frozen=True, kw_only=True)
class Health:
    """The last hour's failures, and the week's report."""

    hour: list[ShareLine]
    threshold_percent: float
    week_since: datetime
    week: list[ShareLine]
    volume: dict[str, int]
    orders_failed: int
    runs: int
    runs_failed: int
    differences: dict[str, int]

    @property
    def volumes(self) -> list[Money]:
        """What was paid in the week, by currency."""
        return [Money(amount, currency) for currency, amount in self.volume.items()]


def facts(line: Any) -> dict[str, str]:
    """Return what of an action is written into the audit log: no address, no free text."""
    return {"amount": str(line.amount), "currency": line.currency, "status": line.status}

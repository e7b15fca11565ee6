"""What every gateway is to the rest of the service.

A gateway's answer to a call is one of three: it did it, it refuses, or nobody knows. The third is
the dangerous one: the call may have taken effect. Whoever calls has therefore committed what it is
about to ask, with the key it asks under, and repairs later by asking again under the same key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable
from uuid import UUID

from payments.money import Money

if TYPE_CHECKING:
    from payments.gateways.breaker import Breaker

EventKind = Literal[
    # a payment; `failed_for_good` ends its page, too; `look`: something happened, ask the gateway
    "paid",
    "authorized",
    "processing",
    "failed",
    "failed_for_good",
    "expired",
    "look",
    # money that goes back: all of a payment so far, everything that came, or one refund by its id
    "refunded",
    "refunded_whole",
    "refund_settled",
    "refund_failed",
    "dispute_opened",
    "dispute_won",
    "dispute_lost",
    # what the gateway pays out to us
    "payout_paid",
    "payout_failed",
    "ignored",
]


class GatewayUnknownError(Exception):
    """No answer, or one that leaves open whether the call took effect. Ask again, same key."""


class GatewayBusyError(GatewayUnknownError):
    """The gateway answers, but not this: too many requests, or the key is in use. Ask later."""


class GatewayUnreadableError(GatewayUnknownError):
    """An answer came and is not as documented: of this one thing nobody knows."""


class GatewayRefusedError(Exception):
    """The gateway refused, and nothing happened. `code` is the gateway's own, fit for a log."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class GatewayForbiddenError(GatewayRefusedError):
    """We are not let in, or not to this: of earlier calls under the key that says nothing."""


class InvalidWebhookError(Exception):
    """The delivery is not from the gateway, not fresh, or not an event. The text is for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRequest:
    """What is asked of a gateway for one payment; persisted before it is asked.

    A repeated call must send exactly this: gateways refuse a known key with other parameters.
    """

    payment_id: UUID
    order_id: UUID
    key: str
    description: str
    money: Money
    success_url: str
    cancel_url: str
    expires_at: datetime
    save_method: bool = False
    """Whether the customer agrees to be charged again without being asked (a subscription)."""

    def as_json(self) -> dict[str, Any]:
        """Return the form that is persisted."""
        return {
            "payment_id": str(self.payment_id),
            "order_id": str(self.order_id),
            "key": self.key,
            "description": self.description,
            "amount": self.money.amount,
            "currency": self.money.currency,
            "success_url": self.success_url,
            "cancel_url": self.cancel_url,
            "expires_at": int(self.expires_at.timestamp()),
            "save_method": self.save_method,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CheckoutRequest:
        """Read what `as_json` wrote."""
        return cls(
            payment_id=UUID(value["payment_id"]),
            order_id=UUID(value["order_id"]),
            key=value["key"],
            description=value["description"],
            money=Money(value["amount"], value["currency"]),
            success_url=value["success_url"],
            cancel_url=value["cancel_url"],
            expires_at=datetime.fromtimestamp(value["expires_at"], UTC),
            save_method=value.get("save_method", False),  # not in rows of earlier releases
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A payment page at the gateway: its id there, and where to send the customer."""

    ref: str
    url: str | None
    payment_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayEvent:
    """What a gateway tells us, in our words: only what we act on, nothing of the raw message.

    `refunded` events carry in `money` all that was refunded so far, not the last refund;
    `refunded_whole` says that nothing is left of what came, whatever that was. The other kinds
    carry their own amount (the one refund, what is disputed, what is paid out). `total` is all that
    was refunded so far, where one refund's event tells that, too; `begun` is when a dispute was
    opened, or a refund made. `delivery_id` is an id that no signature covers: evidence, never a
    key. What the gateway keeps is not in it: few events tell, and it may change, so reconciliation
    alone books it.
    """

    gateway: str
    account: str
    key: str
    type: str
    kind: EventKind
    created: datetime
    payment_id: UUID | None = None
    checkout_ref: str | None = None
    payment_ref: str | None = None
    money: Money | None = None
    refund_id: UUID | None = None
    refund_ref: str | None = None
    dispute_ref: str | None = None
    payout_ref: str | None = None
    total: Money | None = None
    begun: datetime | None = None
    delivery_id: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the form that the inbox keeps."""
        return {
            "gateway": self.gateway,
            "account": self.account,
            "key": self.key,
            "type": self.type,
            "kind": self.kind,
            "created": int(self.created.timestamp()),
            "payment_id": str(self.payment_id) if self.payment_id else None,
            "checkout_ref": self.checkout_ref,
            "payment_ref": self.payment_ref,
            "amount": self.money.amount if self.money else None,
            "currency": self.money.currency if self.money else None,
            "refund_id": str(self.refund_id) if self.refund_id else None,
            "refund_ref": self.refund_ref,
            "dispute_ref": self.dispute_ref,
            "payout_ref": self.payout_ref,
            "total": self.total.amount if self.total else None,
            "begun": int(self.begun.timestamp()) if self.begun else None,
            "delivery_id": self.delivery_id,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GatewayEvent:
        """Read what `as_json` wrote."""
        return cls(
            gateway=value["gateway"],
            account=value["account"],
            key=value["key"],
            type=value["type"],
            kind=value["kind"],
            created=datetime.fromtimestamp(value["created"], UTC),
            payment_id=UUID(value["payment_id"]) if value["payment_id"] else None,
            checkout_ref=value["checkout_ref"],
            payment_ref=value["payment_ref"],
            money=Money(value["amount"], value["currency"]) if value["currency"] else None,
            # Not in rows of earlier releases.
            refund_id=UUID(value["refund_id"]) if value.get("refund_id") else None,
            refund_ref=value.get("refund_ref"),
            dispute_ref=value.get("dispute_ref"),
            payout_ref=value.get("payout_ref"),
            total=Money(value["total"], value["currency"]) if value.get("total") else None,
            begun=datetime.fromtimestamp(value["begun"], UTC) if value.get("begun") else None,
            delivery_id=value.get("delivery_id"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """What is asked back of a captured payment; persisted before it is asked, as a checkout is."""

    refund_id: UUID
    payment_id: UUID
    payment_ref: str
    checkout_ref: str | None
    key: str
    money: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund as the gateway has it. `pending` ends with an event, or when it is asked for."""

    ref: str
    status: Literal["pending", "succeeded", "failed"]
    money: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A charge without the customer, as the gateway has it. `declined` may be tried again later."""

    payment_ref: str | None
    status: Literal["succeeded", "pending", "declined"]
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPayment:
    """A payment as the gateway's own list has it, to be held against our books."""

    payment_ref: str
    checkout_ref: str | None
    payment_id: UUID | None
    status: Literal["paid", "pending", "failed"]
    money: Money
    refunded: Money
    fee: Money | None
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A row of a gateway's list that is not as documented: its neighbours still count."""

    ref: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDispute:
    """A dispute as the gateway has it now; `kind` is `ignored` where it takes no money."""

    dispute_ref: str
    payment_ref: str | None
    kind: EventKind
    money: Money
    begun: datetime


class Gateway(Protocol):
    """One account at one gateway."""

    @property
    def name(self) -> str:
        """The gateway: a short word, also in paths and metrics."""

    @property
    def account(self) -> str:
        """Our account there: events of two accounts never mix."""

    @property
    def takes_webhooks(self) -> bool:
        """Whether there is any secret to verify deliveries with; without one nothing is taken."""

    @property
    def webhook_sources(self) -> Sequence[IPv4Network | IPv6Network]:
        """Where deliveries may come from; empty: from anywhere, the signature alone decides."""

    @property
    def breaker(self) -> Breaker:
        """What holds calls back while the gateway does not answer."""

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        """Make the payment page, under `request.key`; asked again it returns the same page.

        Raises `GatewayRefusedError` when there is none, `GatewayUnknownError` when nobody knows.
        """

    async def find_checkout(self, request: CheckoutRequest) -> Checkout | None:
        """Look for a page made under `request`, when its key is too old to ask again."""

    async def ask(self, checkout_ref: str) -> GatewayEvent | None:
        """Ask what became of a page; None while nothing did. Raises as `create_checkout`."""

    def takes(self, money: Money) -> bool:
        """Whether the gateway takes this currency and can write this amount exactly."""

    async def read_webhook(
        self, body: bytes, headers: Mapping[str, str], now: datetime
    ) -> GatewayEvent:
        """Verify a delivery's bytes and read them.

        Raises `InvalidWebhookError`, and `GatewayUnknownError` when what verification needs (the
        gateway's certificate) cannot be had now: the gateway then delivers again.
        """

    async def ping(self) -> None:
        """Raise when the gateway does not answer."""

    async def close(self) -> None:
        """Close connections."""


@runtime_checkable
class Refunding(Protocol):
    """A gateway that gives money back when we ask; not every one does."""

    async def refund(self, request: RefundRequest) -> Refund:
        """Ask for a refund under `request.key`; asked again it returns the same refund.

        Raises `GatewayRefusedError` when there is none, `GatewayUnknownError` when nobody knows.
        """

    async def find_refund(self, request: RefundRequest) -> Refund | None:
        """Look for a refund made under `request`, when its key is too old to ask again."""


@runtime_checkable
class Charging(Protocol):
    """A gateway that keeps a customer's way to pay, and charges it again when we ask."""

    async def saved_method(self, payment_ref: str) -> str | None:
        """Return what a payment with `save_method` has left to be charged again; opaque to us."""

    async def charge(self, request: CheckoutRequest, method: str) -> Charge:
        """Charge a saved method under `request.key`; asked again it returns the same charge.

        Raises `GatewayRefusedError` when there is none, `GatewayUnknownError` when nobody knows.
        """

    async def find_charge(self, request: CheckoutRequest, method: str) -> Charge | None:
        """Look for a charge made under `request`, when its key is too old to ask again."""


class Disputes(Protocol):
    """What a gateway tells of its disputes when it is asked. Errors as of `Gateway`'s calls."""

    def changed(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[ListedDispute | Unreadable]:
        """Yield disputes that began, or changed where that is told, in `[since, until)`."""

    async def find(self, dispute_ref: str) -> ListedDispute | None:
        """Return one; None where the gateway has none."""


@runtime_checkable
class Listing(Protocol):
    """A gateway whose payments can be listed, and so reconciled."""

    @property
    def list_lag(self) -> timedelta:
        """How long a payment may take to appear in the list."""

    @property
    def disputes(self) -> Disputes | None:
        """Its disputes; None where a payment is final."""

    def list_payments(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[ListedPayment | Unreadable]:
        """Yield payments created in `[since, until)`, oldest or newest first, at most `most`."""

    def list_refunded(self, since: datetime, until: datetime, *, most: int) -> AsyncIterator[str]:
        """Yield the `payment_ref` of each refund made in `[since, until)`, at most `most`.

        The payments may be of any age: the list of payments does not show them any more.
        """

    async def find_payment(
        self, *, payment_ref: str | None, checkout_ref: str | None
    ) -> ListedPayment | None:
        """Return one payment as the list would show it; None where the gateway has none.

        It changes nothing. Raises as `Gateway.create_checkout`, and `GatewayUnreadableError`.
        """

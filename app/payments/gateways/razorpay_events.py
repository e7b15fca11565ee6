"""Razorpay's events and entities: verified as bytes, then reduced to what we act on.

razorpay.com/docs/webhooks: HMAC-SHA256 of the body, deliveries repeat for 24 h, order is not
guaranteed. The id of an event is a header that the signature does not cover, so the body's digest
is the key and the id is kept as evidence.

A payment is found by its order alone. Its notes are no proof of anything: the customer's browser
hands them to the checkout. An order's receipt and a refund's notes come from us.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from payments.gateways import units
from payments.gateways.protocol import (
    EventKind,
    GatewayEvent,
    InvalidWebhookError,
    ListedDispute,
    ListedPayment,
)
from payments.gateways.reading import integer, mapping, moment, optional_text, our_id, text
from payments.money import Money

GATEWAY: Final = "razorpay"
MAX_AHEAD: Final = timedelta(minutes=5)
"""How far an event's time may be in the future; in the past it may be any: a delivery is repeated
for a day, a person may repeat it later, and none has its effect twice."""

Facts = dict[str, Any]


def read(
    body: bytes,
    headers: Mapping[str, str],
    *,
    secrets: Sequence[str],
    now: datetime,
    account: str,
) -> GatewayEvent:
    """Verify `body` against any of `secrets` and read the event in it.

    Raises `InvalidWebhookError`.
    """
    _verify(body, headers.get("x-razorpay-signature", ""), secrets)
    try:
        event = json.loads(body)
        if event["entity"] != "event":
            raise InvalidWebhookError("not an event")
        created = moment(event.get("created_at"))
        if created > now + MAX_AHEAD:
            raise InvalidWebhookError(f"made {created - now} from now by our clock")
        event_type = text(event["event"])
        kind, facts = _read(event_type, mapping(event["payload"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidWebhookError(f"not an event as documented ({type(error).__name__})") from error
    return GatewayEvent(
        gateway=GATEWAY,
        account=account,
        key=f"sha256:{hashlib.sha256(body).hexdigest()}",
        type=event_type,
        kind=kind,
        created=created,
        delivery_id=headers.get("x-razorpay-event-id", "")[:100] or None,
        **facts,
    )


def is_callback(order: str, payment: str, signature: str, *, secret: str) -> bool:
    """Whether the checkout's answer in the customer's browser was made by Razorpay.

    razorpay.com/docs/payments/payment-gateway/web-integration/standard: HMAC-SHA256 of
    `order|payment` under the key's secret.
    """
    made = hmac.digest(secret.encode(), f"{order}|{payment}".encode(), "sha256").hex()
    return hmac.compare_digest(made.encode(), signature.encode())


def came(payment: Mapping[str, Any]) -> bool:
    """Whether a payment's money came: one that was given back whole is `refunded`.

    razorpay.com/docs/payments/refunds/auto-refunds: so is one that was only authorised, which
    Razorpay gives back by itself (a second payment of an order at once); it was never `captured`.
    """
    return payment["status"] in ("captured", "refunded") and payment.get("captured") is not False


def paid(payment: Mapping[str, Any], *, account: str) -> GatewayEvent:
    """Say that a captured payment is, as the event that would have told us."""
    return _asked(payment["order_id"], "paid", account, payment["id"], **_paid_facts(payment))


def expired(order: Mapping[str, Any], *, account: str) -> GatewayEvent:
    """Say that an order's time is over."""
    return _asked(order["id"], "expired", account, "", checkout_ref=text(order["id"]))


def listed(payment: Mapping[str, Any]) -> ListedPayment:
    """Say what a listed payment says. Raises as a malformed event does."""
    status: Literal["paid", "pending", "failed"] = "pending"
    if came(payment):
        status = "paid"
    elif payment["status"] in ("failed", "refunded"):
        status = "failed"
    return ListedPayment(
        payment_ref=text(payment["id"]),
        # An order may have attempts that failed beside the one that paid for it.
        checkout_ref=None if status == "failed" else optional_text(payment.get("order_id")),
        payment_id=None,
        status=status,
        money=_money(payment["amount"], payment["currency"]),
        refunded=_money(payment.get("amount_refunded") or 0, payment["currency"]),
        fee=_fee(payment),
        created=moment(payment.get("created_at")),
    )


def _verify(body: bytes, signature: str, secrets: Sequence[str]) -> None:
    given = signature.encode()
    made = (hmac.digest(secret.encode(), body, "sha256").hex().encode() for secret in secrets)
    # Not `any`: every secret is tried, whichever made it.
    if not sum(hmac.compare_digest(one, given) for one in made):
        raise InvalidWebhookError("no active secret made this signature")


def _read(event_type: str, payload: Mapping[str, Any]) -> tuple[EventKind, Facts]:
    # `payment.dispute.created` in the documentation, `dispute.created` in older accounts.
    name = event_type.removeprefix("payment.") if ".dispute." in event_type else event_type
    if name.startswith("dispute."):
        return _dispute(_entity(payload, "dispute"))
    reader = _READERS.get(name)
    return reader(payload) if reader else ("ignored", {})


def _entity(payload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return mapping(mapping(payload[name])["entity"])


def _authorized(payload: Mapping[str, Any]) -> tuple[EventKind, Facts]:
    """Have the gateway asked: whoever asks captures what is not captured by itself."""
    payment = _entity(payload, "payment")
    if payment.get("order_id") is None:
        return "ignored", {}  # not made by us: a payment link of the account, say
    return "look", {"checkout_ref": text(payment["order_id"])}


def _captured(payload: Mapping[str, Any]) -> tuple[EventKind, Facts]:
    payment = _entity(payload, "payment")
    return ("ignored", {}) if payment.get("order_id") is None else ("paid", _paid_facts(payment))


def _order_paid(payload: Mapping[str, Any]) -> tuple[EventKind, Facts]:
    receipt = our_id(_entity(payload, "order").get("receipt"))
    return "paid", {"payment_id": receipt} | _paid_facts(_entity(payload, "payment"))


def _failed(payload: Mapping[str, Any]) -> tuple[EventKind, Facts]:
    payment = _entity(payload, "payment")
    if payment.get("order_id") is None:
        return "ignored", {}
    return "failed", {
        "checkout_ref": text(payment["order_id"]),
        "payment_ref": text(payment["id"]),
    }


def _refund(payload: Mapping[str, Any]) -> tuple[EventKind, Facts]:
    """Read one refund, and the total that its payment shows."""
    refund, payment = _entity(payload, "refund"), _entity(payload, "payment")
    if payment.get("captured") is False:
        return "ignored", {}  # what never came went back
    kinds: dict[object, EventKind] = {"processed": "refund_settled", "failed": "refund_failed"}
    kind = kinds.get(refund["status"], "ignored")
    currency = payment["currency"]
    return kind, {
        # A second payment of an order is known by the order alone.
        "checkout_ref": optional_text(payment.get("order_id")),
        "payment_ref": text(refund["payment_id"]),
        "refund_id": refund_id(refund),
        "refund_ref": text(refund["id"]),
        "money": _money(refund["amount"], currency),
        "begun": moment(refund.get("created_at")),
        "total": _money(payment["amount_refunded"], currency) if kind == "refund_settled" else None,
    }


def refund_id(refund: Mapping[str, Any]) -> Any:
    """Return our own id of a refund. Without notes Razorpay sends an empty list of them."""
    notes = refund.get("notes")
    return our_id(notes.get("refund_id")) if isinstance(notes, Mapping) else None


def _dispute(dispute: Mapping[str, Any]) -> tuple[EventKind, Facts]:
    """Read a dispute. A fraud alert or a question of the bank (`retrieval`) takes no money."""
    kinds: dict[object, EventKind] = {
        "open": "dispute_opened",
        "under_review": "dispute_opened",
        "won": "dispute_won",
        "lost": "dispute_lost",
    }
    kind = kinds.get(dispute["status"], "ignored")
    if dispute.get("phase") in ("fraud", "retrieval"):
        kind = "ignored"
    return kind, {
        "payment_ref": text(dispute["payment_id"]),
        "dispute_ref": text(dispute["id"]),
        "money": _money(dispute["amount"], dispute["currency"]),
        "begun": moment(dispute.get("created_at")),
    }


def listed_dispute(dispute: Mapping[str, Any]) -> ListedDispute:
    """Say what a listed dispute says."""
    kind, facts = _dispute(dispute)
    return ListedDispute(kind=kind, **facts)


_READERS: Final[dict[str, Callable[[Mapping[str, Any]], tuple[EventKind, Facts]]]] = {
    "payment.authorized": _authorized,
    "payment.captured": _captured,
    "order.paid": _order_paid,
    "payment.failed": _failed,
    "refund.created": _refund,
    "refund.processed": _refund,
    "refund.failed": _refund,
}


def _asked(order: object, kind: EventKind, account: str, detail: str, **facts: Any) -> GatewayEvent:
    return GatewayEvent(
        gateway=GATEWAY,
        account=account,
        key=f"asked:{text(order)}:{kind}:{detail}",
        type=f"asked.order.{kind}",
        kind=kind,
        created=facts.pop("created", moment(0)),
        **facts,
    )


def _paid_facts(payment: Mapping[str, Any]) -> Facts:
    return {
        "checkout_ref": text(payment["order_id"]),
        "payment_ref": text(payment["id"]),
        "money": _money(payment["amount"], payment["currency"]),
    }


def _fee(payment: Mapping[str, Any]) -> Money | None:
    """Return what Razorpay keeps, its tax included; in the currency that it settles in."""
    if payment.get("fee") is None:
        return None
    currency = payment.get("base_currency") or payment["currency"]
    return _money(payment["fee"], currency)


def _money(amount: object, currency: object) -> Money:
    return units.RAZORPAY.read(integer(amount), text(currency))

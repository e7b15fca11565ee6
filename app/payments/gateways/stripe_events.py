"""Stripe's events: verified as bytes, then reduced to what we act on.

docs.stripe.com/webhooks: order is not guaranteed and deliveries repeat; the event id is the key.
The SDK's check accepts times in the future (seen with 16.1.0: even ten years ahead), so a recorded
delivery with a chosen time could be replayed for ever; we look at both sides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

from stripe import SignatureVerificationError, WebhookSignature

from payments import money
from payments.gateways.protocol import (
    EventKind,
    GatewayEvent,
    InvalidWebhookError,
    ListedDispute,
    ListedPayment,
)
from payments.money import Money

GATEWAY: Final = "stripe"
MAX_SKEW_SECONDS: Final = 300

_FAILED: Final = frozenset({"requires_payment_method", "canceled"})
"""What a payment intent is once a payment that was under way has come to nothing."""

_Reader = Callable[[Mapping[str, Any]], tuple[EventKind, dict[str, Any]]]


def read(
    body: bytes,
    signature: str | None,
    *,
    secrets: Sequence[str],
    now: datetime,
    account: str,
    live: bool,
) -> GatewayEvent:
    """Verify `body` against any of `secrets` and read the event in it.

    Raises `InvalidWebhookError`.
    """
    _verify(body, signature or "", secrets, now)
    try:
        event = json.loads(body)
        if event["object"] != "event":
            raise InvalidWebhookError("not an event")
        if event.get("livemode") is not live:
            # The two worlds share nothing; a key of one must not be moved by the other.
            raise InvalidWebhookError("the event is of the other mode (live or test)")
        return _event(event, account)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidWebhookError(f"not an event as documented ({type(error).__name__})") from error


def from_session(session: Mapping[str, Any], *, account: str) -> GatewayEvent | None:
    """Say what a retrieved session says, as the event that would have told us; None while open.

    With its payment intent in it: a session whose slow payment failed stays `complete` and
    `unpaid`, as one whose payment is under way. Its key is made of the state, so that asking again
    is the same event.
    """
    if session["status"] == "open":
        return None
    kinds: dict[tuple[str, str], EventKind] = {
        ("complete", "paid"): "paid",
        ("complete", "no_payment_required"): "paid",
        ("complete", "unpaid"): "processing",
        ("expired", "unpaid"): "expired",
    }
    kind = kinds.get((session["status"], session["payment_status"]), "ignored")
    intent = session.get("payment_intent")
    if kind == "processing" and isinstance(intent, Mapping) and intent["status"] in _FAILED:
        kind = "failed_for_good"
    return GatewayEvent(
        gateway=GATEWAY,
        account=account,
        key=f"asked:{session['id']}:{kind}",
        type=f"asked.checkout.session.{kind}",
        kind=kind,
        created=_moment(session.get("created")),
        **_session_facts(session, kind),
    )


def _verify(body: bytes, signature: str, secrets: Sequence[str], now: datetime) -> None:
    for secret in secrets:
        try:
            WebhookSignature.verify_header(body, signature, secret)
        except (SignatureVerificationError, UnicodeDecodeError):
            continue
        break
    else:
        raise InvalidWebhookError("no active secret made this signature")
    stamp = _timestamp(signature)
    if abs(now.timestamp() - stamp) > MAX_SKEW_SECONDS:
        raise InvalidWebhookError(f"signed {now.timestamp() - stamp:+.0f} s ago by our clock")


def _timestamp(signature: str) -> int:
    """Return the signed time; the header was parsed by the SDK before, so there is one."""
    parts = dict(part.split("=", 1) for part in reversed(signature.split(",")) if "=" in part)
    return int(parts["t"])


def _event(event: Mapping[str, Any], account: str) -> GatewayEvent:
    kind, facts = _read(event["type"], event["data"]["object"])
    return GatewayEvent(
        gateway=GATEWAY,
        account=account,
        key=_text(event["id"]),
        type=_text(event["type"]),
        kind=kind,
        created=_moment(event.get("created")),
        **facts,
    )


def _read(event_type: str, data: Mapping[str, Any]) -> tuple[EventKind, dict[str, Any]]:
    reader = _READERS.get(event_type)
    if reader is None:
        return "ignored", {}
    return reader(data)


def _completed(session: Mapping[str, Any]) -> tuple[EventKind, dict[str, Any]]:
    kind: EventKind = "processing" if session["payment_status"] == "unpaid" else "paid"
    return kind, _session_facts(session, kind)


def _of_session(kind: EventKind) -> _Reader:
    return lambda session: (kind, _session_facts(session, kind))


def _of_intent(kind: EventKind) -> _Reader:
    """Read a payment intent: all there is of a charge without the customer.

    Of one that belongs to a page, the page's own event tells the same, before or after.
    """

    def read_intent(intent: Mapping[str, Any]) -> tuple[EventKind, dict[str, Any]]:
        paid = kind == "paid"
        return kind, {
            "payment_id": _our_id(intent.get("metadata")),
            "payment_ref": _text(intent["id"]),
            "money": _money(intent["amount_received"], intent["currency"]) if paid else None,
        }

    return read_intent


def _refunded(charge: Mapping[str, Any]) -> tuple[EventKind, dict[str, Any]]:
    return "refunded", {
        "payment_id": _our_id(charge.get("metadata")),
        "payment_ref": _optional_text(charge.get("payment_intent")),
        "money": _money(charge["amount_refunded"], charge["currency"]),
    }


def _refund(refund: Mapping[str, Any]) -> tuple[EventKind, dict[str, Any]]:
    """Read one refund; what is not at its end yet has no effect."""
    kinds: dict[object, EventKind] = {
        "succeeded": "refund_settled",
        "failed": "refund_failed",
        "canceled": "refund_failed",
    }
    kind = kinds.get(refund["status"], "ignored")
    metadata = refund.get("metadata")
    return kind, {
        "payment_id": _our_id(metadata),
        "payment_ref": _optional_text(refund.get("payment_intent")),
        "refund_id": _our_id(metadata, "refund_id"),
        "refund_ref": _text(refund["id"]),
        "money": _money(refund["amount"], refund["currency"]),
        "begun": _moment(refund.get("created")),
    }


def _dispute(dispute: Mapping[str, Any]) -> tuple[EventKind, dict[str, Any]]:
    """Read a dispute. An inquiry (`warning_…`) takes no money, so it has no effect."""
    kinds: dict[object, EventKind] = {
        "needs_response": "dispute_opened",
        "under_review": "dispute_opened",
        "won": "dispute_won",
        "lost": "dispute_lost",
    }
    kind = kinds.get(dispute["status"], "ignored")
    return kind, {
        "payment_ref": _optional_text(dispute.get("payment_intent")),
        "dispute_ref": _text(dispute["id"]),
        "money": _money(dispute["amount"], dispute["currency"]),
        "begun": _moment(dispute.get("created")),
    }


def listed_dispute(dispute: Mapping[str, Any]) -> ListedDispute:
    """Say what a listed dispute says. Raises as a malformed event does."""
    kind, facts = _dispute(dispute)
    return ListedDispute(kind=kind, **facts)


def _payout(kind: EventKind) -> _Reader:
    return lambda payout: (
        kind,
        {
            "payout_ref": _text(payout["id"]),
            "money": _money(payout["amount"], payout["currency"]),
        },
    )


def listed(charge: Mapping[str, Any]) -> ListedPayment:
    """Say what a listed charge says, with its disputes. Raises as a malformed event does."""
    status: Literal["paid", "pending", "failed"] = "pending"
    if charge["status"] == "succeeded":
        status = "paid"
    elif charge["status"] == "failed":
        status = "failed"
    booked = charge.get("balance_transaction")
    fee = None
    if isinstance(booked, Mapping):
        fee = _money(booked["fee"], booked["currency"])
        for dispute in charge.get("disputes", ()):
            for one in dispute["balance_transactions"]:
                fee += _money(one["fee"], one["currency"])
    return ListedPayment(
        payment_ref=_text(charge["payment_intent"] or charge["id"]),
        checkout_ref=None,
        payment_id=_our_id(charge.get("metadata")),
        status=status,
        money=_money(charge["amount"], charge["currency"]),
        refunded=_money(charge["amount_refunded"], charge["currency"]),
        fee=fee,
        created=_moment(charge.get("created")),
    )


_READERS: Final[dict[str, _Reader]] = {
    "checkout.session.completed": _completed,
    "checkout.session.async_payment_succeeded": _of_session("paid"),
    # The page was completed before: nobody can pay on it any more, as after its expiry.
    "checkout.session.async_payment_failed": _of_session("failed_for_good"),
    "checkout.session.expired": _of_session("expired"),
    "payment_intent.succeeded": _of_intent("paid"),
    "payment_intent.processing": _of_intent("processing"),
    "payment_intent.payment_failed": _of_intent("failed"),
    "payment_intent.canceled": _of_intent("failed"),
    "charge.refunded": _refunded,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.dispute.created": _dispute,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.funds_reinstated": _dispute,
    "charge.dispute.closed": _dispute,
    "payout.paid": _payout("payout_paid"),
    "payout.failed": _payout("payout_failed"),
}


def _session_facts(session: Mapping[str, Any], kind: EventKind) -> dict[str, Any]:
    reference = session.get("client_reference_id")
    return {
        "payment_id": _our_id(session.get("metadata")) or _our_id({"payment_id": reference}),
        "checkout_ref": _text(session["id"]),
        "payment_ref": _optional_text(session.get("payment_intent")),
        "money": _money(session["amount_total"], session["currency"]) if kind == "paid" else None,
    }


def _money(amount: object, currency: object) -> Money:
    if type(amount) is not int:
        raise TypeError("an amount is an integer")
    return money.STRIPE.read(amount, _text(currency))


def _our_id(metadata: object, name: str = "payment_id") -> UUID | None:
    """Return an id of ours; what is not one of ours matches nothing and is parked."""
    given = metadata.get(name) if isinstance(metadata, Mapping) else None
    try:
        return UUID(given) if isinstance(given, str) else None
    except ValueError:
        return None


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise TypeError("not a short text")
    return value


def _optional_text(value: object) -> str | None:
    if isinstance(value, Mapping):  # an expanded object
        value = value.get("id")
    return None if value is None else _text(value)


def _moment(seconds: object) -> datetime:
    return datetime.fromtimestamp(seconds if type(seconds) is int else 0, UTC)

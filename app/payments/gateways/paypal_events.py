"""PayPal's deliveries and objects, reduced to what we act on.

developer.paypal.com/api/rest/webhooks: RSA-SHA256 over `transmission id|time|webhook id|CRC-32 of
the body`. CRC-32 is no digest: whoever has one genuine delivery can make another body with the same
sum. So a body is a hint and nothing more. It says which object to look at, and what counts is what
PayPal's API then says of it.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from payments.gateways import units
from payments.gateways.protocol import (
    EventKind,
    GatewayEvent,
    InvalidWebhookError,
    ListedPayment,
    Refund,
)
from payments.gateways.reading import instant, mapping, our_id, path_part, text
from payments.money import Money

GATEWAY: Final = "paypal"
ALGORITHM: Final = "SHA256withRSA"
MAX_AHEAD: Final = timedelta(minutes=5)
MAX_BEHIND: Final = timedelta(days=4)
"""PayPal repeats a delivery for three days, and does not say whether it signs anew. An old one is a
hint like any other."""
ORDER_LIFETIME: Final = timedelta(hours=6)
"""An order that nobody approves within three hours can be approved no more; and some margin."""

NO_SUCH: Final = frozenset({"RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID"})
"""What a refusal says where there is nothing of that id."""
REFUND: Final = "T1107"
"""The transaction search's code of a refund by the merchant."""

_CAPTURED: Final = frozenset({"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What a verified delivery points at."""

    id: str
    type: str
    created: datetime
    about: Literal["order", "refund", "dispute", "nothing"]
    ref: str


def verify(
    body: bytes,
    headers: Mapping[str, str],
    *,
    key: RSAPublicKey,
    webhook_id: str,
    now: datetime,
) -> None:
    """Raise `InvalidWebhookError` unless `key` signed this delivery, and lately."""
    sent = headers.get("paypal-transmission-time", "")
    try:
        signature = b64decode(headers.get("paypal-transmission-sig", ""), validate=True)
    except (Base64Error, ValueError) as error:
        raise InvalidWebhookError("the signature cannot be read") from error
    message = f"{headers.get('paypal-transmission-id', '')}|{sent}|{webhook_id}|{zlib.crc32(body)}"
    try:
        key.verify(signature, message.encode(), PKCS1v15(), SHA256())
    except InvalidSignature as error:
        raise InvalidWebhookError("the certificate's key did not make this signature") from error
    behind = now - instant(sent)
    if not -MAX_AHEAD <= behind <= MAX_BEHIND:
        raise InvalidWebhookError(f"sent {behind} ago by our clock")


def hint(body: bytes) -> Hint:
    """Read what a verified delivery points at; raises `InvalidWebhookError`."""
    try:
        event = json.loads(body)
        event_type = text(event["event_type"])
        about, ref = _about(event_type, mapping(event["resource"]))
        return Hint(
            id=text(event["id"]),
            type=event_type,
            created=instant(event.get("create_time")),
            about=about,
            ref=ref,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidWebhookError(f"not an event as documented ({type(error).__name__})") from error


def _about(
    event_type: str, resource: Mapping[str, Any]
) -> tuple[Literal["order", "refund", "dispute", "nothing"], str]:
    if event_type.startswith("CHECKOUT.ORDER."):
        return "order", text(resource["id"])
    if event_type.startswith("CHECKOUT.PAYMENT-APPROVAL."):
        return "order", text(resource.get("order_id") or resource["id"])
    if event_type in ("PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED") or (
        event_type.startswith("PAYMENT.REFUND.")
    ):
        return "refund", path_part(resource["id"])
    if event_type.startswith("PAYMENT.CAPTURE."):
        related = resource.get("supplementary_data", {}).get("related_ids", {})
        order = related.get("order_id")
        return ("order", text(order)) if order else ("nothing", "")
    if event_type.startswith("CUSTOMER.DISPUTE."):
        return "dispute", path_part(resource["dispute_id"])
    return "nothing", ""


def of(hint: Hint, kind: EventKind, account: str, **facts: Any) -> GatewayEvent:
    """Return a delivery as the event it is."""
    return GatewayEvent(
        gateway=GATEWAY,
        account=account,
        key=hint.id,
        type=hint.type,
        kind=kind,
        created=hint.created,
        **facts,
    )


def from_order(order: Mapping[str, Any], *, account: str, now: datetime) -> GatewayEvent | None:
    """Say what an order says, once nothing is left to capture; None while it is open."""
    captures = captures_of(order)
    kind: EventKind = "ignored"
    facts: dict[str, Any] = {}
    for capture in captures:
        if capture["status"] in _CAPTURED:
            kind, facts = "paid", _capture(capture)
            break
        kind = "processing" if capture["status"] == "PENDING" else "failed"
        facts = {"payment_ref": text(capture["id"])}
    if not captures:
        if order["status"] != "VOIDED" and now < instant(order.get("create_time")) + ORDER_LIFETIME:
            return None
        kind = "expired"
    return asked(text(order["id"]), kind, account, **facts)


def asked(ref: str, kind: EventKind, account: str, **facts: Any) -> GatewayEvent:
    """Return what an order says as an event; the same state is the same event."""
    return GatewayEvent(
        gateway=GATEWAY,
        account=account,
        key=f"asked:{ref}:{kind}:{facts.get('payment_ref') or ''}",
        type=f"asked.order.{kind}",
        kind=kind,
        created=instant(None),
        checkout_ref=ref,
        **facts,
    )


def captures_of(order: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the captures of an order's one unit."""
    return _payments_of(order, "captures")


def refunds_of(order: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the refunds of an order's one unit."""
    return _payments_of(order, "refunds")


def _payments_of(order: Mapping[str, Any], kind: str) -> Sequence[Mapping[str, Any]]:
    unit = order["purchase_units"][0]
    found = (unit.get("payments") or {}).get(kind) or []
    return [mapping(one) for one in found]


def _capture(capture: Mapping[str, Any]) -> dict[str, Any]:
    return {"payment_ref": text(capture["id"]), "money": money(capture["amount"])}


def refunded(refund: Mapping[str, Any]) -> tuple[EventKind, dict[str, Any]]:
    """Read a refund: what became of it, and the total of its capture."""
    kinds: dict[object, EventKind] = {
        "COMPLETED": "refund_settled",
        "FAILED": "refund_failed",
        "CANCELLED": "refund_failed",
    }
    kind = kinds.get(refund["status"], "ignored")
    shares = refund.get("seller_payable_breakdown") or {}
    total = shares.get("total_refunded_amount")
    return kind, {
        "payment_ref": _capture_of(refund),
        "refund_id": our_id(refund.get("custom_id")),
        "refund_ref": text(refund["id"]),
        "money": money(refund["amount"]),
        "begun": instant(refund.get("create_time")),
        "total": money(total) if total and kind == "refund_settled" else None,
    }


def as_refund(refund: Mapping[str, Any]) -> Refund:
    """Say what a refund says."""
    statuses: dict[object, Literal["succeeded", "failed"]] = {
        "COMPLETED": "succeeded",
        "FAILED": "failed",
        "CANCELLED": "failed",
    }
    return Refund(
        ref=text(refund["id"]),
        status=statuses.get(refund["status"], "pending"),
        money=money(refund["amount"]),
    )


def disputed(dispute: Mapping[str, Any]) -> tuple[EventKind, dict[str, Any]]:
    """Read a dispute: PayPal holds the money back from its opening to its end."""
    kind: EventKind = "dispute_opened"
    if dispute["status"] == "RESOLVED":
        outcome = (dispute.get("dispute_outcome") or {}).get("outcome_code")
        lost = outcome in ("RESOLVED_BUYER_FAVOUR", "ACCEPTED")
        kind = "dispute_lost" if lost else "dispute_won"
    return kind, {
        "payment_ref": text(dispute["disputed_transactions"][0]["seller_transaction_id"]),
        "dispute_ref": text(dispute["dispute_id"]),
        "money": money(dispute["dispute_amount"]),
        "begun": instant(dispute.get("create_time")),
    }


def is_payment(row: Mapping[str, Any]) -> bool:
    """Whether a row of the transaction search is a payment to us (T00xx) and not what followed."""
    return str(row.get("transaction_event_code", "")).startswith("T00")


def is_refund(row: Mapping[str, Any]) -> bool:
    """Whether a row gave back of a payment: a refund (T1107) and no dispute's reversal."""
    return row.get("transaction_event_code") == REFUND and row.get("transaction_status") == "S"


def listed(row: Mapping[str, Any], refunds: Sequence[Mapping[str, Any]]) -> ListedPayment:
    """Say what a payment's row of the transaction search says, with its refunds' rows."""
    statuses: dict[object, Literal["paid", "failed"]] = {"S": "paid", "V": "paid", "D": "failed"}
    paid = money(row["transaction_amount"])
    back = Money(0, paid.currency)
    for one in refunds:
        if one.get("paypal_reference_id") == row["transaction_id"]:
            back -= money(one["transaction_amount"])  # it is below zero
    fee = row.get("fee_amount")
    return ListedPayment(
        payment_ref=text(row["transaction_id"]),
        checkout_ref=text(row["paypal_reference_id"])
        if row.get("paypal_reference_id_type") == "ODR"
        else None,
        payment_id=our_id(row.get("custom_field")),
        status=statuses.get(row["transaction_status"], "pending"),
        money=paid,
        refunded=back,
        fee=-money(fee) if fee else None,
        created=instant(row.get("transaction_initiation_date")),
    )


def found(order: Mapping[str, Any]) -> ListedPayment | None:
    """Say what an order's captures and refunds say, as a row of the transaction search would."""
    captures = captures_of(order)
    if not captures:
        return None
    # PayPal captures an order once at most; what was tried before it was declined.
    capture = next((one for one in captures if one["status"] in _CAPTURED), captures[-1])
    status: Literal["paid", "pending", "failed"] = "failed"
    if capture["status"] in _CAPTURED:
        status = "paid"
    elif capture["status"] == "PENDING":
        status = "pending"
    paid = money(capture["amount"])
    back = Money(0, paid.currency)
    for refund in refunds_of(order):
        if refund["status"] == "COMPLETED":
            back += money(refund["amount"])
    shares = capture.get("seller_receivable_breakdown") or {}
    return ListedPayment(
        payment_ref=text(capture["id"]),
        checkout_ref=text(order["id"]),
        payment_id=our_id(capture.get("custom_id")),
        status=status,
        money=paid,
        refunded=back,
        fee=money(shares["paypal_fee"]) if shares.get("paypal_fee") else None,
        created=instant(capture.get("create_time")),
    )


def money(amount: object) -> Money:
    """Read an amount: a decimal text (below zero for what leaves us) and a currency."""
    found = mapping(amount)
    value, currency = text(found["value"]), text(found["currency_code"])
    read = units.PAYPAL.read_text(value.removeprefix("-"), currency)
    return -read if value.startswith("-") else read


def _capture_of(refund: Mapping[str, Any]) -> str:
    """Return the id of a refund's capture: PayPal gives it as a link only."""
    for link in refund.get("links") or ():
        if link.get("rel") == "up":
            return text(str(link["href"]).rstrip("/").rpartition("/")[2])
    raise KeyError("a refund without a link to its capture")


def zulu(moment: datetime) -> str:
    """Write a time as PayPal's filters want it; its disputes' are none without milliseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

"""Payment intents and their charges: the objects, and what moves them on.

Amounts are integers in the currency's smallest unit. A charge is captured at once: capturing later
is not modelled.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Any

from twin.gateways.stripe import customers
from twin.gateways.stripe.cards import AUTHENTICATION_FAILED, Card, Decline
from twin.gateways.stripe.errors import StripeError, invalid
from twin.gateways.stripe.plans import plan
from twin.gateways.stripe.state import Object, State, new_id

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(
    state: State, *, amount: int, currency: str, metadata: dict[str, str], **more: Any
) -> Object:
    """Create an intent that waits for a payment method."""
    id = new_id("pi_3")
    intent: Object = {
        "id": id,
        "object": "payment_intent",
        "allowed_payment_method_types": None,
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": new_id(f"{id}_secret_"),
        "confirmation_method": "automatic",
        "created": int(time.time()),
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": metadata,
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
        **more,
    }
    state.put("payment_intent", intent)
    state.emit("payment_intent.created", intent)
    return intent


def confirm(
    state: State,
    intent: Object,
    card: Card,
    *,
    billing: Object | None = None,
    authenticated: bool | None = None,
    method: Object | None = None,
    off_session: bool = False,
) -> Object:
    """Try to charge a card; returns the intent as it then is, and changes `intent` likewise.

    `method` is the payment method that the card is kept as; without one it is kept as a new one.
    `off_session` charges it without its holder, who can authenticate nothing then.

    A card that asks for authentication leaves the intent in `requires_action` until `authenticated`
    says how that went. A declined card leaves it waiting for another one, with the reason in
    `last_payment_error`: raising is left to the caller (the API does, the hosted page does not).
    """
    check_open(intent, "confirm")
    if method is None:
        method = customers.method(state, card, billing or {})
    intent["payment_method"] = method["id"]
    if off_session:
        card = replace(card, decline=card.decline or card.later)
    elif card.authenticate and authenticated is None:
        intent["status"] = "requires_action"
        intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
        state.put("payment_intent", intent)
        state.emit("payment_intent.requires_action", intent)
        return intent
    intent["next_action"] = None
    if authenticated is False:
        return _failed(state, intent, None, AUTHENTICATION_FAILED, method)
    charge = _charge(intent, card, billing or {})
    intent["latest_charge"] = charge["id"]
    if card.decline is not None:
        state.put("charge", charge)
        state.emit("charge.failed", charge)
        return _failed(state, intent, charge, card.decline, method)
    _settle(state, charge)
    state.put("charge", charge)
    intent["status"] = "succeeded"
    intent["amount_received"] = intent["amount"]
    intent["last_payment_error"] = None
    state.put("payment_intent", intent)
    if intent["setup_future_usage"] and intent["customer"] and method["customer"] is None:
        customers.attach(state, method, intent["customer"])
    if card.dispute is not None:
        plan(state, "dispute-open", charge["id"], reason=card.dispute)
    state.emit("charge.succeeded", charge)
    state.emit("payment_intent.succeeded", intent)
    return intent


def cancel(state: State, intent: Object, reason: str | None) -> Object:
    """Cancel an intent that has not succeeded."""
    check_open(intent, "cancel")
    intent["status"] = "canceled"
    intent["canceled_at"] = int(time.time())
    intent["cancellation_reason"] = reason
    intent["next_action"] = None
    state.put("payment_intent", intent)
    state.emit("payment_intent.canceled", intent)
    return intent


def check_open(intent: Object, verb: str) -> None:
    """Raise unless the intent can still be confirmed, or cancelled."""
    if intent["status"] not in _OPEN:
        raise _unexpected(intent, verb)


def card_error(intent: Object, request_id: str) -> StripeError:
    """Return the 402 that the API answers when confirming was declined."""
    error = intent["last_payment_error"]
    more = {
        key: error[key] for key in ("charge", "decline_code", "payment_method") if error.get(key)
    }
    return StripeError(
        402,
        error["message"],
        type="card_error",
        code=error["code"],
        kept=True,
        payment_intent=intent,
        request_log_url=f"https://dashboard.stripe.com/test/logs/{request_id}",
        **more,
    )


def _failed(
    state: State, intent: Object, charge: Object | None, decline: Decline, method: Object
) -> Object:
    error: Object = {"code": decline.code, "message": decline.message, "type": "card_error"}
    error["doc_url"] = "https://stripe.com/docs/error-codes/" + decline.code.replace("_", "-")
    if decline.decline_code is not None:
        error["decline_code"] = decline.decline_code
    if charge is not None:
        error["charge"] = charge["id"]
    error["payment_method"] = method
    intent["last_payment_error"] = error
    intent["status"] = "requires_payment_method"
    intent["payment_method"] = None
    state.put("payment_intent", intent)
    state.emit("payment_intent.payment_failed", intent)
    return intent


def _charge(intent: Object, card: Card, billing: Object) -> Object:
    decline = card.decline
    paid = decline is None
    amount = intent["amount"]
    return {
        "id": new_id("ch_3"),
        "object": "charge",
        "amount": amount,
        "amount_captured": amount if paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": {
            "address": {
                "city": None,
                "country": billing.get("country"),
                "line1": None,
                "line2": None,
                "postal_code": None,
                "state": None,
            },
            "email": billing.get("email"),
            "name": billing.get("name"),
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": "PAYMENTS TWIN",
        "captured": paid,
        "created": int(time.time()),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": _outcome(decline),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": {"card": _card_details(card, amount), "type": "card"},
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded" if paid else "failed",
        "transfer_data": None,
        "transfer_group": None,
    }


def _outcome(decline: Decline | None) -> Object:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if decline else "approved_by_network",
        "reason": decline.decline_code if decline else None,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": decline.seller_message if decline else "Payment complete.",
        "type": "issuer_declined" if decline else "authorized",
    }


def _card_details(card: Card, amount: int) -> Object:
    fingerprint = hashlib.sha256(f"{card.brand}{card.last4}".encode()).hexdigest()[:16]
    return {
        "amount_authorized": amount,
        "authorization_code": None,
        "brand": card.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "US",
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "fingerprint": fingerprint,
        "funding": "credit",
        "installments": None,
        "last4": card.last4,
        "mandate": None,
        "network": card.brand,
        "network_token": {"used": False},
        "network_transaction_id": None,
        "three_d_secure": None,
        "wallet": None,
    }


def _settle(state: State, charge: Object) -> None:
    """Book the charge on the balance: the fee is Stripe's list price, 2.9 % and 30."""
    fee = min(charge["amount"], charge["amount"] * 29 // 1000 + 30)
    entry = book(state, charge, charge["amount"], "charge", fee)
    charge["balance_transaction"] = entry["id"]


def book(
    state: State,
    source: Object,
    amount: int,
    type: str,
    fee: int = 0,
    category: str | None = None,
) -> Object:
    """Write a balance transaction; amounts leave when negative."""
    now = int(time.time())
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": source["currency"],
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    entry: Object = {
        "id": new_id("txn_3"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": now + 2 * 86400,
        "balance_type": "payments",
        "created": now,
        "currency": source["currency"],
        "description": source.get("description"),
        "exchange_rate": None,
        "fee": fee,
        "fee_details": details if fee else [],
        "net": amount - fee,
        "reporting_category": category or type,
        "source": source["id"],
        "status": "pending",
        "type": type,
    }
    state.put("balance_transaction", entry)
    return entry


def _unexpected(intent: Object, verb: str) -> StripeError:
    status = intent["status"]
    if verb == "cancel":
        message = (
            f"You cannot cancel this PaymentIntent because it has a status of {status}. Only a "
            "PaymentIntent with one of the following statuses may be canceled: "
            + ", ".join(_OPEN)
            + "."
        )
    elif status == "succeeded":
        message = (
            "You cannot confirm this PaymentIntent because it has already succeeded after being "
            "previously confirmed."
        )
    else:
        message = f"You cannot confirm this PaymentIntent because it has a status of {status}."
    error = invalid(message, code="payment_intent_unexpected_state")
    error.error["payment_intent"] = intent
    error.kept = True
    return error

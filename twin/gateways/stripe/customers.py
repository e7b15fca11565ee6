"""Customers and the payment methods that are saved for them."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from twin.gateways.stripe.calls import NOTHING, Call, Operation, endpoint, list_shape, page, reading
from twin.gateways.stripe.cards import SAVED_CARDS, TOKENS, Card
from twin.gateways.stripe.errors import StripeError, invalid, missing
from twin.gateways.stripe.forms import choice, email, metadata, shape, string
from twin.gateways.stripe.state import Object, State, new_id

CUSTOMER = shape(
    email=email, name=string(256), phone=string(20), description=string(), metadata=metadata
)
_CHANGES = shape(**CUSTOMER.fields, invoice_settings=shape(default_payment_method=string()))


def create(state: State, params: dict[str, Any]) -> Object:
    """Create a customer."""
    customer: Object = {
        "id": new_id("cus_", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": int(time.time()),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": params.get("description"),
        "discount": None,
        "email": params.get("email"),
        "invoice_prefix": new_id("", 8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "name": params.get("name"),
        "next_invoice_sequence": 1,
        "phone": params.get("phone"),
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    state.put("customer", customer)
    state.emit("customer.created", customer)
    return customer


# --- payment methods ----------------------------------------------------------------------------
def method(state: State, card: Card, billing: Object) -> Object:
    """Keep a card as a payment method: of nobody, until it is attached."""
    fingerprint = hashlib.sha256(f"{card.brand}{card.last4}".encode()).hexdigest()[:16]
    made: Object = {
        "id": new_id("pm_1"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
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
        "card": {
            "brand": card.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "pass",
            },
            "country": "US",
            "display_brand": card.brand,
            "exp_month": card.exp_month,
            "exp_year": card.exp_year,
            "fingerprint": fingerprint,
            "funding": "credit",
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": int(time.time()),
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }
    state.put("payment_method", made)
    return made


def attach(state: State, made: Object, customer: str) -> Object:
    """Save a payment method for a customer."""
    made["customer"] = customer
    state.put("payment_method", made)
    state.emit("payment_method.attached", made)
    return made


def card_of(state: State, made: Object) -> Card:
    """Return what a saved payment method's card does; a blocked one is declined."""
    card = SAVED_CARDS[made["card"]["last4"]]
    return card.blocked() if state.tables["blocked"].get(made["id"]) else card


def choose(state: State, token: str, customer: str | None) -> tuple[Object, Card]:
    """Return the payment method, and its card, that a call names: a test token or a saved one."""
    if token in TOKENS:
        card = TOKENS[token]
        return method(state, card, {}), card
    found = state.tables["payment_method"].get(token)
    if found is None:
        raise missing("PaymentMethod", token, "payment_method")
    if found["customer"] is None:
        raise invalid(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
            "attachment, shared with a connected account without Customer attachment, or was "
            "detached from a Customer. It may not be used again. To use a PaymentMethod multiple "
            "times, you must attach it to a Customer first.",
            "payment_method",
        )
    if customer is None:
        raise invalid(
            "The payment method you provided is attached to a customer so for security purposes "
            "you must provide the customer in the request.",
            "payment_method",
        )
    if found["customer"] != customer:
        raise invalid(
            "The customer does not have a payment method with the ID "
            f"{token}. The payment method must be attached to the customer.",
            "payment_method",
        )
    return found, card_of(state, found)


# --- endpoints ----------------------------------------------------------------------------------
def _update(call: Call) -> Object:
    customer = call.state.get("customer", call.ids["id"])
    params = dict(call.params)
    chosen = params.pop("invoice_settings", {}).get("default_payment_method")
    if chosen is not None:
        _owned(call, chosen, customer["id"])
        customer["invoice_settings"]["default_payment_method"] = chosen
    customer["metadata"] = {**customer["metadata"], **params.pop("metadata", {})}
    customer.update(params)
    call.state.put("customer", customer)
    call.state.emit("customer.updated", customer)
    return customer


def _owned(call: Call, id: str, customer: str) -> Object:
    found = call.state.get("payment_method", id, "payment_method")
    if found["customer"] != customer:
        raise missing("PaymentMethod", id, "payment_method")
    return found


def _methods(call: Call) -> Object:
    customer = call.state.get("customer", call.ids["id"], "customer")["id"]
    found = call.state.tables["payment_method"].newest_first()
    mine = [each for each in found if each["customer"] == customer]
    return page(call, "payment_method", mine, f"/v1/customers/{customer}/payment_methods")


def _attach(call: Call) -> Object:
    customer = call.state.get("customer", call.params["customer"], "customer")["id"]
    id = call.ids["id"]
    if id in TOKENS:
        made, decline = method(call.state, TOKENS[id], {}), TOKENS[id].decline
        if decline is not None:
            raise StripeError(402, decline.message, type="card_error", code=decline.code, kept=True)
        return attach(call.state, made, customer)
    made = call.state.get("payment_method", id, "payment_method")
    if made["customer"] is not None:
        raise invalid("The payment method you provided has already been attached to a customer.")
    return attach(call.state, made, customer)


def _detach(call: Call) -> Object:
    made = call.state.get("payment_method", call.ids["id"], "payment_method")
    if made["customer"] is None:
        raise invalid(
            "The payment method you provided is not attached to a customer so detachment is "
            "impossible."
        )
    made["customer"] = None
    call.state.put("payment_method", made)
    call.state.emit("payment_method.detached", made)
    return made


_KIND = choice("card")
_METHODS = "/v1/payment_methods"
OPERATIONS: list[Operation] = [
    endpoint("POST", "/v1/customers", CUSTOMER, lambda call: create(call.state, call.params)),
    *reading("/v1/customers", "customer", "id", {"email": string()}),
    endpoint("POST", "/v1/customers/{id}", _CHANGES, _update),
    endpoint("GET", "/v1/customers/{id}/payment_methods", list_shape(type=_KIND), _methods),
    *reading(_METHODS, "payment_method", "payment_method", {"customer": string(), "type": _KIND}),
    endpoint("POST", _METHODS + "/{id}/attach", shape("customer", customer=string()), _attach),
    endpoint("POST", _METHODS + "/{id}/detach", NOTHING, _detach),
]

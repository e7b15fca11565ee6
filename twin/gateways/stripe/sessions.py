"""Checkout sessions in payment mode: created by the API, paid on the hosted page, or expired."""

from __future__ import annotations

import time
from typing import Any

from twin.gateways.stripe import customers, intents
from twin.gateways.stripe.cards import Card
from twin.gateways.stripe.errors import StripeError, invalid
from twin.gateways.stripe.forms import (
    array,
    choice,
    email,
    integer,
    metadata,
    shape,
    string,
    url,
)
from twin.gateways.stripe.money import LARGEST, check_amount, check_currency, display
from twin.gateways.stripe.state import Object, State, new_id

LIFE = 24 * 3600
SHORTEST_LIFE = 30 * 60
"""Seconds that a session stays open, and the least that `expires_at` may ask for."""
_CLOCK_LEEWAY = 30

_PRODUCT = shape(
    "name",
    name=string(),
    description=string(),
    images=array(url, most=8),
    metadata=metadata,
    tax_code=string(),
    unit_label=string(12),
)
_PRICE = shape(
    "currency",
    "product_data",
    currency=check_currency,
    product_data=_PRODUCT,
    unit_amount=integer(0, LARGEST),
)
_LINE = shape("price_data", price_data=_PRICE, quantity=integer(1, 999_999), metadata=metadata)
CREATE = shape(
    "mode",
    mode=choice("payment", "setup", "subscription"),
    line_items=array(_LINE),
    success_url=string(5000),
    cancel_url=string(5000),
    client_reference_id=string(200),
    customer=string(),
    customer_email=email,
    customer_creation=choice("always", "if_required"),
    metadata=metadata,
    payment_intent_data=shape(
        metadata=metadata,
        description=string(1000),
        receipt_email=email,
        transfer_group=string(),
        setup_future_usage=choice("off_session", "on_session"),
    ),
    allowed_payment_method_types=array(choice("card")),
    expires_at=integer(),
    locale=choice("auto", "en", "en-GB", "de", "fr", "es", "it", "nl", "pl", "pt"),
    submit_type=choice("auto", "book", "donate", "pay"),
    ui_mode=choice("hosted_page"),
    billing_address_collection=choice("auto", "required"),
    currency=check_currency,
)


def create(state: State, params: dict[str, Any], checkout: str) -> Object:
    """Open a session; `checkout` is the address of the hosted pages."""
    if params["mode"] != "payment":
        raise invalid(f"The simulator has no {params['mode']} mode yet.", "mode")
    _check_urls(params)
    if not params.get("line_items"):
        raise invalid(
            "You must provide `line_items` in `payment` mode.", "line_items", "parameter_missing"
        )
    items = [_line_item(line, index) for index, line in enumerate(params["line_items"])]
    currency = _one_currency(items, params)
    total = sum(item["amount_total"] for item in items)
    try:
        check_amount(total, currency, "line_items")
    except StripeError as error:
        if error.error.get("code") == "amount_too_small":
            error.error["message"] = (
                "The Checkout Session's total amount must convert to at least 50 cents. "
                f"{display(total, currency)} is below that."
            )
        raise
    if "customer" in params:
        state.get("customer", params["customer"], "customer")
        if "customer_email" in params:
            raise invalid(
                "You may only specify one of these parameters: customer, customer_email.",
                "customer",
            )
    now = int(time.time())
    id = new_id("cs_test_a1", 56)
    session = _object(id, now, params, currency, total)
    session["expires_at"] = _expiry(params, now)
    session["url"] = f"{checkout}/c/pay/{id}"
    state.put("session", session)
    state.line_items.put(
        id, {"data": items, "intent": params.get("payment_intent_data", {}), "card": None}
    )
    return session


def expire(state: State, session: Object) -> Object:
    """Close an open session; the API refuses for one that is not open."""
    if session["status"] != "open":
        raise StripeError(
            400,
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout '
            f"Session has a status of {session['status']}.",
            kept=True,
        )
    session["status"] = "expired"
    session["url"] = None
    state.put("session", session)
    if session["payment_intent"]:
        intent = state.get("payment_intent", session["payment_intent"])
        intents.cancel(state, intent, "expired")
    state.emit("checkout.session.expired", session)
    return session


def line_items(state: State, session_id: str) -> list[Object]:
    """Return a session's line items."""
    kept = state.line_items.get(session_id)
    return list(kept["data"]) if kept else []


def pay(
    state: State,
    session: Object,
    card: Card,
    payer: Object,
    *,
    authenticated: bool | None = None,
    amount_delta: int = 0,
) -> Object:
    """Try to pay an open session; returns its payment intent, which says how that went.

    `payer` has `email`, `name` and `country`. `amount_delta` makes the gateway take, and report,
    another amount than was asked for: a fault to test the merchant with.
    """
    if session["payment_intent"]:
        intent = state.get("payment_intent", session["payment_intent"])
    else:
        kept = state.line_items.get(session["id"]) or {"intent": {}}
        extra = dict(kept["intent"])
        intent = intents.create(
            state,
            amount=session["amount_total"],
            currency=session["currency"],
            metadata=extra.pop("metadata", {}),
            customer=session["customer"],
            **extra,
        )
        session["payment_intent"] = intent["id"]
    saves = intent["setup_future_usage"] is not None
    if intent["customer"] is None and (saves or session["customer_creation"] == "always"):
        known = {name: payer[name] for name in ("email", "name") if payer.get(name)}
        intent["customer"] = customers.create(state, known)["id"]
    if amount_delta and intent["status"] != "requires_action":
        intent["amount"] = max(1, session["amount_subtotal"] + amount_delta)
    intents.confirm(state, intent, card, billing=payer, authenticated=authenticated)
    if intent["status"] == "succeeded":
        session["amount_total"] = intent["amount_received"]
        session["status"] = "complete"
        session["payment_status"] = "paid"
        session["customer"] = intent["customer"]
        session["url"] = None
        session["customer_details"] = {
            "address": {
                "city": None,
                "country": payer.get("country"),
                "line1": None,
                "line2": None,
                "postal_code": None,
                "state": None,
            },
            "business_name": None,
            "email": payer.get("email"),
            "individual_name": None,
            "name": payer.get("name"),
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [],
        }
    state.put("session", session)
    if session["status"] == "complete":
        state.emit("checkout.session.completed", session)
    return intent


def _check_urls(params: dict[str, Any]) -> None:
    if "success_url" not in params:
        raise invalid("Missing required param: success_url.", "success_url", "parameter_missing")
    for name in ("success_url", "cancel_url"):
        if name in params:
            url(params[name].replace("{CHECKOUT_SESSION_ID}", "cs"), name)


def _expiry(params: dict[str, Any], now: int) -> int:
    expires = int(params.get("expires_at", now + LIFE))
    if expires < now + SHORTEST_LIFE - _CLOCK_LEEWAY:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session "
            "creation.",
            "expires_at",
        )
    if expires > now + LIFE + _CLOCK_LEEWAY:
        raise invalid(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            "expires_at",
        )
    return expires


def _one_currency(items: list[Object], params: dict[str, Any]) -> str:
    currencies = {item["currency"] for item in items} | (
        {params["currency"]} if "currency" in params else set()
    )
    if len(currencies) > 1:
        raise invalid(
            "You must use the same currency for all line items: got "
            + ", ".join(sorted(currencies)),
            "line_items",
        )
    return str(items[0]["currency"])


def _line_item(line: dict[str, Any], index: int) -> Object:
    price, product = line["price_data"], line["price_data"]["product_data"]
    if "unit_amount" not in price:
        param = f"line_items[{index}][price_data][unit_amount]"
        raise invalid(f"Missing required param: {param}.", param, "parameter_missing")
    quantity = line.get("quantity", 1)
    amount = price["unit_amount"] * quantity
    return {
        "id": new_id("li_1"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": product["name"],
        "metadata": line.get("metadata", {}),
        "price": {
            "id": new_id("price_1"),
            "object": "price",
            "active": False,
            "billing_scheme": "per_unit",
            "created": int(time.time()),
            "currency": price["currency"],
            "custom_unit_amount": None,
            "livemode": False,
            "lookup_key": None,
            "metadata": {},
            "nickname": None,
            "product": new_id("prod_", 14),
            "recurring": None,
            "tax_behavior": "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "one_time",
            "unit_amount": price["unit_amount"],
            "unit_amount_decimal": str(price["unit_amount"]),
        },
        "quantity": quantity,
    }


def _object(id: str, now: int, params: dict[str, Any], currency: str, total: int) -> Object:
    return {
        "id": id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": params.get("billing_address_collection"),
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": now,
        "currency": currency,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": params.get("customer"),
        "customer_account": None,
        "customer_creation": params.get("customer_creation", "if_required"),
        "customer_details": None,
        "customer_email": params.get("customer_email"),
        "discounts": [],
        "integration_identifier": None,
        "invoice": None,
        "invoice_creation": None,
        "livemode": False,
        "locale": params.get("locale"),
        "managed_payments": {"enabled": False},
        "metadata": params.get("metadata", {}),
        "mode": "payment",
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": params.get("submit_type"),
        "subscription": None,
        "success_url": params["success_url"],
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "wallet_options": None,
    }

"""What the API can do: each endpoint with its parameters."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from twin.gateways.stripe import customers, disputes, intents, payouts, refunds, sessions
from twin.gateways.stripe.calls import (
    NOTHING,
    Call,
    Operation,
    endpoint,
    list_shape,
    listed,
    page,
    reading,
    retrieve,
)
from twin.gateways.stripe.cards import Card
from twin.gateways.stripe.errors import invalid
from twin.gateways.stripe.forms import (
    array,
    boolean,
    choice,
    email,
    integer,
    metadata,
    shape,
    string,
    url,
)
from twin.gateways.stripe.money import LARGEST, check_amount, check_currency
from twin.gateways.stripe.state import Object


# --- checkout sessions --------------------------------------------------------------------------
def _create_session(call: Call) -> Object:
    return sessions.create(call.state, call.params, call.checkout)


def _expire_session(call: Call) -> Object:
    session = call.state.get("session", call.ids["id"], "session")
    return sessions.expire(call.state, session)


def _session_lines(call: Call) -> Object:
    session = call.state.get("session", call.ids["id"], "session")
    path = f"/v1/checkout/sessions/{session['id']}/line_items"
    return page(call, "item", sessions.line_items(call.state, session["id"]), path)


# --- payment intents ----------------------------------------------------------------------------
def _off_session(value: Any, param: str) -> bool:
    """Whether, and why, the customer is not there."""
    return value in ("one_off", "recurring") or boolean(value, param)


_INTENT = shape(
    "amount",
    "currency",
    amount=integer(1, LARGEST),
    currency=check_currency,
    metadata=metadata,
    description=string(1000),
    customer=string(),
    receipt_email=email,
    automatic_payment_methods=shape("enabled", enabled=boolean, allow_redirects=string()),
    allowed_payment_method_types=array(choice("card")),
    payment_method=string(),
    confirm=boolean,
    off_session=_off_session,
    setup_future_usage=choice("off_session", "on_session"),
    return_url=url,
    transfer_group=string(),
)
_CONFIRM = shape(payment_method=string(), return_url=url, off_session=_off_session)


def _create_intent(call: Call) -> Object:
    params = dict(call.params)
    check_amount(params["amount"], params["currency"], "amount")
    customer = params.get("customer")
    if customer is not None:
        call.state.get("customer", customer, "customer")
    confirm, absent = params.pop("confirm", False), params.pop("off_session", None)
    if absent is not None and not confirm:
        raise invalid(
            "The parameter `off_session` cannot be passed when creating a PaymentIntent unless "
            "`confirm` is set to true.",
            "off_session",
        )
    if absent and "setup_future_usage" in params:
        raise invalid("The parameters `off_session` and `setup_future_usage` exclude each other.")
    token = params.pop("payment_method", None)
    if confirm and token is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can "
            "either update the PaymentIntent with a payment method and then confirm it again, or "
            "confirm it again directly with a payment method or ConfirmationToken.",
            code="payment_intent_unexpected_state",
        )
    chosen = customers.choose(call.state, token, customer) if token is not None else None
    for name in ("return_url", "allowed_payment_method_types"):
        params.pop(name, None)
    kept = params.pop("metadata", {})
    intent = intents.create(call.state, metadata=kept, **params)
    if chosen is not None:
        intent["payment_method"] = chosen[0]["id"]
        intent["status"] = "requires_confirmation"
        call.state.put("payment_intent", intent)
    return _confirmed(call, intent, chosen, bool(absent)) if confirm and chosen else intent


def _confirm_intent(call: Call) -> Object:
    intent = call.state.get("payment_intent", call.ids["id"], "intent")
    intents.check_open(intent, "confirm")
    token = call.params.get("payment_method")
    if token is None and intent["payment_method"] is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
        )
    if token is not None:
        chosen = customers.choose(call.state, token, intent["customer"])
    else:
        method = call.state.get("payment_method", intent["payment_method"])
        chosen = method, customers.card_of(call.state, method)
    return _confirmed(call, intent, chosen, call.params.get("off_session", False))


def _confirmed(call: Call, intent: Object, chosen: tuple[Object, Card], absent: bool) -> Object:
    method, card = chosen
    intents.confirm(call.state, intent, card, method=method, off_session=absent)
    if intent["status"] == "requires_payment_method":
        raise intents.card_error(intent, call.request_id)
    return intent


def _cancel_intent(call: Call) -> Object:
    intent = call.state.get("payment_intent", call.ids["id"], "intent")
    for session in call.state.tables["session"].newest_first():
        if session["payment_intent"] == intent["id"] and session["status"] == "open":
            raise invalid(
                "You cannot cancel this PaymentIntent because it belongs to an open Checkout "
                "Session. Expire the Checkout Session instead.",
                code="payment_intent_unexpected_state",
            )
    return intents.cancel(call.state, intent, call.params.get("cancellation_reason"))


# --- the rest -----------------------------------------------------------------------------------
def _balance(call: Call) -> Object:
    pending: Counter[str] = Counter()
    for entry in call.state.tables["balance_transaction"].newest_first():
        pending[entry["currency"]] += entry["net"]
    amounts = pending or Counter({"usd": 0})
    return {
        "object": "balance",
        "available": [_money(0, currency) for currency in sorted(amounts)],
        "livemode": False,
        "pending": [_money(amounts[currency], currency) for currency in sorted(amounts)],
    }


def _money(amount: int, currency: str) -> Object:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}


def _events(call: Call) -> Object:
    if "type" in call.params and "types" in call.params:
        raise invalid("You may only specify one of these parameters: type, types.")
    wanted = call.params.get("types") or [call.params.get("type", "*")]
    patterns = [re.compile(re.escape(text).replace(r"\*", ".*")) for text in wanted]
    found = listed(Call(call.state, _everything(call), {}, "", ""), "event", "/v1/events")
    data = [e for e in found["data"] if any(p.fullmatch(e["type"]) for p in patterns)]
    return page(call, "event", data, "/v1/events")


def _everything(call: Call) -> dict[str, Any]:
    """Return the parameters of a list without its paging."""
    bounds = {"created": call.params["created"]} if "created" in call.params else {}
    return {**bounds, "limit": 10**9}


_SESSIONS = "/v1/checkout/sessions"
_INTENTS = "/v1/payment_intents"
_REASONS = choice("abandoned", "duplicate", "fraudulent", "requested_by_customer")
OPERATIONS: list[Operation] = [
    endpoint("POST", _SESSIONS, sessions.CREATE, _create_session),
    endpoint("POST", _SESSIONS + "/{id}/expire", NOTHING, _expire_session),
    endpoint("GET", _SESSIONS + "/{id}/line_items", list_shape(), _session_lines),
    *reading(
        _SESSIONS,
        "session",
        "session",
        {"payment_intent": string(), "customer": string(), "status": string()},
    ),
    endpoint("POST", _INTENTS, _INTENT, _create_intent),
    endpoint(
        "POST",
        _INTENTS + "/{id}/confirm",
        _CONFIRM,
        _confirm_intent,
    ),
    endpoint(
        "POST", _INTENTS + "/{id}/cancel", shape(cancellation_reason=_REASONS), _cancel_intent
    ),
    *reading(_INTENTS, "payment_intent", "intent", {"customer": string()}),
    *reading("/v1/charges", "charge", "id", {"payment_intent": string(), "customer": string()}),
    endpoint(
        "POST",
        "/v1/refunds",
        shape(
            charge=string(),
            payment_intent=string(),
            amount=integer(1, LARGEST),
            metadata=metadata,
            reason=choice("duplicate", "fraudulent", "requested_by_customer"),
        ),
        lambda call: refunds.create(call.state, call.params, fails=call.refund_fails),
    ),
    *reading("/v1/refunds", "refund", "id", {"charge": string(), "payment_intent": string()}),
    *customers.OPERATIONS,
    *disputes.OPERATIONS,
    *payouts.OPERATIONS,
    endpoint(
        "GET", "/v1/events", list_shape(type=string(), types=array(string(), most=20)), _events
    ),
    endpoint("GET", "/v1/events/{id}", NOTHING, retrieve("event", "id")),
    endpoint("GET", "/v1/balance", NOTHING, _balance),
    endpoint(
        "GET",
        "/v1/balance_transactions",
        list_shape(source=string(), payout=string(), type=string()),
        payouts.balance_transactions,
    ),
    endpoint(
        "GET",
        "/v1/balance_transactions/{id}",
        NOTHING,
        retrieve("balance_transaction", "id"),
    ),
]

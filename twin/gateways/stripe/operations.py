"""What the API can do: each endpoint with its parameters."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twin.gateways.stripe import intents, refunds, sessions
from twin.gateways.stripe.errors import invalid, missing
from twin.gateways.stripe.forms import (
    Shape,
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
from twin.gateways.stripe.state import Object, State, new_id


@dataclass(frozen=True)
class Call:
    """One call of an operation: its parameters and the ids in its path."""

    state: State
    params: dict[str, Any]
    ids: dict[str, str]
    checkout: str
    request_id: str


@dataclass(frozen=True)
class Operation:
    """An endpoint."""

    method: str
    pattern: re.Pattern[str]
    shape: Shape
    run: Callable[[Call], Object]


_NOTHING = shape()
_BETWEEN = shape(gt=integer(), gte=integer(), lt=integer(), lte=integer())


def _created(value: Any, param: str) -> dict[str, int]:
    """A moment, or bounds."""
    if isinstance(value, str):
        return {"gte": integer()(value, param), "lte": integer()(value, param)}
    return _BETWEEN(value, param)


def _list_shape(**filters: Any) -> Shape:
    return shape(
        limit=integer(1, 100),
        starting_after=string(),
        ending_before=string(),
        created=_created,
        **filters,
    )


def _list(call: Call, kind: str, path: str, fields: tuple[str, ...] = ()) -> Object:
    """Return a page of objects, the newest first."""
    params = call.params
    bounds = params.get("created", {})

    def wanted(value: Object) -> bool:
        made = value["created"]
        return (
            all(value.get(name) == params[name] for name in fields if name in params)
            and made > bounds.get("gt", -1)
            and made >= bounds.get("gte", 0)
            and made < bounds.get("lt", made + 1)
            and made <= bounds.get("lte", made)
        )

    found = [value for value in call.state.tables[kind].newest_first() if wanted(value)]
    return _page(call, kind, found, path)


def _page(call: Call, kind: str, found: list[Object], path: str) -> Object:
    params, limit = call.params, call.params.get("limit", 10)
    if "starting_after" in params and "ending_before" in params:
        raise invalid(
            "You may only specify one of these parameters: starting_after, ending_before."
        )
    ids = [value["id"] for value in found]
    for name in ("starting_after", "ending_before"):
        if name in params and params[name] not in ids:
            raise missing(kind, params[name], name)
    if "ending_before" in params:
        before = found[: ids.index(params["ending_before"])]
        data, more = before[-limit:], len(before) > limit
    else:
        start = ids.index(params["starting_after"]) + 1 if "starting_after" in params else 0
        data, more = found[start : start + limit], len(found) > start + limit
    # Copies: what is expanded in a page must not end up in the tables.
    return {"object": "list", "data": [dict(v) for v in data], "has_more": more, "url": path}


# --- checkout sessions --------------------------------------------------------------------------
def _create_session(call: Call) -> Object:
    return sessions.create(call.state, call.params, call.checkout)


def _expire_session(call: Call) -> Object:
    session = call.state.get("session", call.ids["id"], "session")
    return sessions.expire(call.state, session)


def _session_lines(call: Call) -> Object:
    session = call.state.get("session", call.ids["id"], "session")
    path = f"/v1/checkout/sessions/{session['id']}/line_items"
    return _page(call, "item", sessions.line_items(call.state, session["id"]), path)


# --- payment intents ----------------------------------------------------------------------------
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
    return_url=url,
    transfer_group=string(),
)


def _create_intent(call: Call) -> Object:
    params = dict(call.params)
    check_amount(params["amount"], params["currency"], "amount")
    if "customer" in params:
        call.state.get("customer", params["customer"], "customer")
    card = intents.card_for(params["payment_method"]) if "payment_method" in params else None
    token = params.pop("payment_method", None)
    confirm = params.pop("confirm", False)
    if confirm and card is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can "
            "either update the PaymentIntent with a payment method and then confirm it again, or "
            "confirm it again directly with a payment method or ConfirmationToken.",
            code="payment_intent_unexpected_state",
        )
    for name in ("return_url", "allowed_payment_method_types"):
        params.pop(name, None)
    kept = params.pop("metadata", {})
    intent = intents.create(call.state, metadata=kept, **params)
    if token is not None:
        intent["payment_method"] = token
        intent["status"] = "requires_confirmation"
        call.state.put("payment_intent", intent)
    return _confirmed(call, intent, card) if confirm and card else intent


def _confirm_intent(call: Call) -> Object:
    intent = call.state.get("payment_intent", call.ids["id"], "intent")
    intents.check_open(intent, "confirm")
    token = call.params.get("payment_method", intent["payment_method"])
    if token is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
        )
    return _confirmed(call, intent, intents.card_for(token))


def _confirmed(call: Call, intent: Object, card: Any) -> Object:
    intents.confirm(call.state, intent, card)
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
_CUSTOMER = shape(
    email=email, name=string(256), phone=string(20), description=string(), metadata=metadata
)


def _create_customer(call: Call) -> Object:
    params = call.params
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
    call.state.put("customer", customer)
    call.state.emit("customer.created", customer)
    return customer


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
    found = _list(Call(call.state, _everything(call), {}, "", ""), "event", "/v1/events")
    data = [e for e in found["data"] if any(p.fullmatch(e["type"]) for p in patterns)]
    return _page(call, "event", data, "/v1/events")


def _everything(call: Call) -> dict[str, Any]:
    """Return the parameters of a list without its paging."""
    bounds = {"created": call.params["created"]} if "created" in call.params else {}
    return {**bounds, "limit": 10**9}


def _retrieve(kind: str, param: str) -> Callable[[Call], Object]:
    return lambda call: call.state.get(kind, call.ids["id"], param)


def _listing(kind: str, path: str, *fields: str) -> Callable[[Call], Object]:
    return lambda call: _list(call, kind, path, fields)


def _operation(
    method: str, path: str, parameters: Shape, run: Callable[[Call], Object]
) -> Operation:
    pattern = re.compile(re.escape(path).replace(r"\{id\}", r"(?P<id>[^/]+)"))
    return Operation(method, pattern, parameters, run)


def _crud(path: str, kind: str, param: str, filters: dict[str, Any]) -> list[Operation]:
    """Return the two reading endpoints that every kind has."""
    return [
        _operation("GET", path, _list_shape(**filters), _listing(kind, path, *filters)),
        _operation("GET", path + "/{id}", _NOTHING, _retrieve(kind, param)),
    ]


_SESSIONS = "/v1/checkout/sessions"
_INTENTS = "/v1/payment_intents"
_REASONS = choice("abandoned", "duplicate", "fraudulent", "requested_by_customer")
OPERATIONS: list[Operation] = [
    _operation("POST", _SESSIONS, sessions.CREATE, _create_session),
    _operation("POST", _SESSIONS + "/{id}/expire", _NOTHING, _expire_session),
    _operation("GET", _SESSIONS + "/{id}/line_items", _list_shape(), _session_lines),
    *_crud(
        _SESSIONS,
        "session",
        "session",
        {"payment_intent": string(), "customer": string(), "status": string()},
    ),
    _operation("POST", _INTENTS, _INTENT, _create_intent),
    _operation(
        "POST",
        _INTENTS + "/{id}/confirm",
        shape(payment_method=string(), return_url=url),
        _confirm_intent,
    ),
    _operation(
        "POST", _INTENTS + "/{id}/cancel", shape(cancellation_reason=_REASONS), _cancel_intent
    ),
    *_crud(_INTENTS, "payment_intent", "intent", {"customer": string()}),
    *_crud("/v1/charges", "charge", "id", {"payment_intent": string(), "customer": string()}),
    _operation(
        "POST",
        "/v1/refunds",
        shape(
            charge=string(),
            payment_intent=string(),
            amount=integer(1, LARGEST),
            metadata=metadata,
            reason=choice("duplicate", "fraudulent", "requested_by_customer"),
        ),
        lambda call: refunds.create(call.state, call.params),
    ),
    *_crud("/v1/refunds", "refund", "id", {"charge": string(), "payment_intent": string()}),
    _operation("POST", "/v1/customers", _CUSTOMER, _create_customer),
    *_crud("/v1/customers", "customer", "id", {"email": string()}),
    _operation(
        "GET", "/v1/events", _list_shape(type=string(), types=array(string(), most=20)), _events
    ),
    _operation("GET", "/v1/events/{id}", _NOTHING, _retrieve("event", "id")),
    _operation("GET", "/v1/balance", _NOTHING, _balance),
    *_crud("/v1/balance_transactions", "balance_transaction", "id", {"source": string()}),
]

"""What the API can do: each endpoint with its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twin.gateways.common.jsonapi import Call, Operation, Reply
from twin.gateways.common.tables import Object
from twin.gateways.common.webhooks import Webhooks
from twin.gateways.paypal import shapes
from twin.gateways.paypal.errors import issue, missing, refusal
from twin.gateways.paypal.orders import link, public
from twin.gateways.paypal.payments import PAYMENTS, Payments
from twin.gateways.paypal.reports import instant, transactions
from twin.gateways.paypal.webhooks import PayPalDialect

_ORDERS = "/v2/checkout/orders"
_DISPUTES = "/v1/customer/disputes"
_HOOKS = "/v1/notifications"


def operations(
    payments: Payments, dialect: PayPalDialect, webhooks: Webhooks, webhook_id: str
) -> list[Operation]:
    """Return every endpoint."""
    orders, tables = payments.orders, payments.book.tables

    def preferred(call: Call, order: Object) -> Object:
        whole = "return=representation" in call.headers.get("Prefer", "").replace(" ", "")
        return orders.shown(order) if whole else orders.minimal(order)

    def create_order(call: Call) -> Reply:
        if call.body.payment_source is not None and not call.headers.get("PayPal-Request-Id"):
            told = "A PayPal-Request-Id is required if you are trying to process payment for an "
            told += "Order. Please specify a PayPal-Request-Id or Create the Order without a "
            told += "'payment_source' specified."
            raise refusal("INVALID_REQUEST", issue("PAYPAL_REQUEST_ID_REQUIRED", told))
        return Reply(status=201, body=preferred(call, orders.create(call.body)))

    def show_order(call: Call) -> Object:
        return orders.shown(orders.get(call.ids["id"]))

    def capture_order(call: Call) -> Reply:
        order = payments.capture_order(orders.get(call.ids["id"]))
        return Reply(status=201, body=preferred(call, order))

    def authorize_order(call: Call) -> Reply:
        order = payments.authorize_order(orders.get(call.ids["id"]))
        return Reply(status=201, body=preferred(call, order))

    def brief(call: Call, value: Object) -> Object:
        whole = "return=representation" in call.headers.get("Prefer", "").replace(" ", "")
        found = public(value)
        return found if whole else {name: found[name] for name in ("id", "status", "links")}

    def capture(call: Call) -> Reply:
        authorization = payments.get("authorization", call.ids["id"])
        return Reply(status=201, body=brief(call, payments.capture(authorization, call.body)))

    def void(call: Call) -> Reply:
        payments.void(payments.get("authorization", call.ids["id"]))
        return Reply(status=204)

    def refund(call: Call) -> Reply:
        made = payments.refund(payments.get("capture", call.ids["id"]), call.body)
        return Reply(status=201, body=brief(call, made))

    def one(kind: str) -> Callable[[Call], Object]:
        return lambda call: public(payments.get(kind, call.ids["id"]))

    def list_disputes(call: Call) -> Object:
        return _disputes(payments, call.query)

    def accept_claim(call: Call) -> Object:
        dispute = payments.get("dispute", call.ids["id"])
        payments.resolve_dispute(dispute, "buyer")
        return {"links": [link(f"{_DISPUTES}/{dispute['dispute_id']}", "self")]}

    def verify(call: Call) -> Object:
        asked = call.body.model_dump()
        sent = tables["event"].get(str(asked["webhook_event"].get("id", "")))
        good = dialect.verify(asked, sent)
        return {"verification_status": "SUCCESS" if good else "FAILURE"}

    def list_webhooks(call: Call) -> Object:
        return {"webhooks": _hooks(webhooks, webhook_id)}

    def show_webhook(call: Call) -> Object:
        found = [hook for hook in _hooks(webhooks, webhook_id) if hook["id"] == call.ids["id"]]
        if not found:
            raise missing()
        return found[0]

    def show_event(call: Call) -> Object:
        event = tables["event"].get(call.ids["id"])
        if event is None:
            raise missing()
        return dict(event["body"])

    def endpoint(method: str, path: str, run: Any, **more: Any) -> Operation:
        return Operation(method=method, path=path, run=run, **more)

    keyed: dict[str, Any] = {"keyed": True, "optional": True}
    return [
        endpoint("POST", _ORDERS, create_order, body=shapes.NewOrder, keyed=True),
        endpoint("GET", _ORDERS + "/{id}", show_order, query=shapes.Fields),
        endpoint("POST", _ORDERS + "/{id}/capture", capture_order, body=shapes.Empty, **keyed),
        endpoint("POST", _ORDERS + "/{id}/authorize", authorize_order, body=shapes.Empty, **keyed),
        endpoint("GET", PAYMENTS + "/captures/{id}", one("capture")),
        endpoint(
            "POST", PAYMENTS + "/captures/{id}/refund", refund, body=shapes.NewRefund, **keyed
        ),
        endpoint("GET", PAYMENTS + "/refunds/{id}", one("refund")),
        endpoint("GET", PAYMENTS + "/authorizations/{id}", one("authorization")),
        endpoint(
            "POST",
            PAYMENTS + "/authorizations/{id}/capture",
            capture,
            body=shapes.NewCapture,
            **keyed,
        ),
        endpoint("POST", PAYMENTS + "/authorizations/{id}/void", void, body=shapes.Empty, **keyed),
        endpoint(
            "GET",
            "/v1/reporting/transactions",
            lambda call: transactions(payments.book, call.query),
            query=shapes.Transactions,
        ),
        endpoint("GET", _DISPUTES, list_disputes, query=shapes.Disputes),
        endpoint("GET", _DISPUTES + "/{id}", one("dispute")),
        endpoint(
            "POST",
            _DISPUTES + "/{id}/accept-claim",
            accept_claim,
            body=shapes.Claim,
            optional=True,
        ),
        endpoint("POST", _HOOKS + "/verify-webhook-signature", verify, body=shapes.Verification),
        endpoint("GET", _HOOKS + "/webhooks", list_webhooks),
        endpoint("GET", _HOOKS + "/webhooks/{id}", show_webhook),
        endpoint("GET", _HOOKS + "/webhooks-events/{id}", show_event),
    ]


def _hooks(webhooks: Webhooks, webhook_id: str) -> list[Object]:
    return [
        {
            "id": webhook_id,
            "url": each["url"],
            "event_types": [{"name": name} for name in each["enabled_events"]],
        }
        for each in webhooks.endpoints()
    ]


def _disputes(payments: Payments, wanted: shapes.Disputes) -> Object:
    def inside(each: Object) -> bool:
        ids = [t["seller_transaction_id"] for t in each["disputed_transactions"]]
        states = (wanted.dispute_state or each["dispute_state"]).split(",")
        made, changed = instant(each["create_time"]), instant(each["update_time"])
        return (
            (wanted.disputed_transaction_id or ids[0]) in ids
            and each["dispute_state"] in states
            and (not wanted.start_time or made >= instant(wanted.start_time))
            and (not wanted.update_time_after or changed >= instant(wanted.update_time_after))
            and (not wanted.update_time_before or changed <= instant(wanted.update_time_before))
        )

    found = [e for e in payments.book.tables["dispute"].newest_first() if inside(e)]
    start = int(wanted.next_page_token or 0) if (wanted.next_page_token or "0").isdecimal() else 0
    end = start + wanted.page_size
    short = ("dispute_id", "create_time", "update_time", "reason", "status", "dispute_state",
             "dispute_amount", "dispute_life_cycle_stage", "dispute_channel", "links")  # fmt: skip
    links = [link(_DISPUTES, "self")]
    if len(found) > end:
        size = wanted.page_size
        links.append(link(f"{_DISPUTES}?page_size={size}&next_page_token={end}", "next"))
    return {
        "items": [{name: each[name] for name in short} for each in found[start:end]],
        "links": links,
    }

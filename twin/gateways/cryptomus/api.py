"""The API over HTTP: signed bodies, `state` and `result`, errors as Cryptomus'.

Source: doc.cryptomus.com (payments), read 2026-11. There is no idempotency key: an order id has
one invoice, and who asks again gets the same.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from pydantic_core import ErrorDetails

from twin.gateways.common.jsonapi import Call, JsonApi, Operation, Refusal, Reply
from twin.gateways.common.tables import Object
from twin.gateways.cryptomus import shapes
from twin.gateways.cryptomus.errors import bad, missing
from twin.gateways.cryptomus.invoices import COINS, Invoices, shown
from twin.gateways.cryptomus.signing import sign

PAGE = 15
REFUNDABLE = ("paid", "paid_over", "wrong_amount", "refund_fail")


class Api(JsonApi):
    """Answers `api.cryptomus.test`. `keys` gives the API keys that are good now."""

    def __init__(self, invoices: Invoices, merchant: str, keys: Callable[[], list[str]]) -> None:
        super().__init__(invoices.book, invoices.faults, operations(invoices))
        self._merchant = merchant
        self._keys = keys

    def authenticate(self, request: web.BaseRequest, body: bytes) -> None:
        """Take the merchant's id, and a signature of the very bytes that came."""
        merchant, given = request.headers.get("merchant", ""), request.headers.get("sign", "")
        keys = self._keys()[:1]
        good = [hmac.compare_digest(sign(body, key).encode(), given.encode()) for key in keys]
        known = hmac.compare_digest(merchant.encode(), self._merchant.encode())
        if not self._merchant or not known or not any(good):
            raise Refusal(401, {"state": 1, "message": "Invalid Sign."})

    def unknown(self, request: web.BaseRequest) -> Refusal:
        """Refuse an address that does not exist."""
        return Refusal(404, {"state": 1, "message": "Not found"})

    def malformed(self, why: str, status: int = 400) -> Refusal:
        """Refuse what cannot be read."""
        return bad(f"The request could not be read: {why}.", status=status)

    def invalid(self, errors: Sequence[ErrorDetails], where: str) -> Refusal:
        """Refuse parameters: every field with what is wrong."""
        told: dict[str, list[str]] = {}
        for each in errors:
            field = ".".join(map(str, each["loc"])) or "body"
            words = field.replace("_", " ")
            limits = each.get("ctx", {})
            text = {
                "missing": f"The {words} field is required.",
                "extra_forbidden": f"The {words} field is prohibited.",
                "string_type": f"The {words} must be a string.",
                "int_type": f"The {words} must be an integer.",
                "bool_type": f"The {words} field must be true or false.",
                "string_pattern_mismatch": f"The {words} format is invalid.",
                "greater_than_equal": f"The {words} must be at least {limits.get('ge')}.",
                "less_than_equal": f"The {words} must not be greater than {limits.get('le')}.",
            }.get(each["type"], f"The {words} is invalid.")
            told.setdefault(field, []).append(text)
        first = next(iter(told.values()))[0]
        return Refusal(422, {"state": 1, "message": first, "errors": told})

    def broken(self) -> Reply:
        """Answer 500."""
        return Reply(status=500, body={"state": 1, "message": "Server error, #1", "code": 500})


def operations(invoices: Invoices) -> list[Operation]:
    """Return every endpoint."""

    def named(call: Call) -> Object:
        if call.body.uuid is None and call.body.order_id is None:
            raise bad("The uuid field is required when order id is not present.", "uuid")
        found = invoices.find(call.body.uuid, call.body.order_id)
        if found is None:
            raise missing()
        return found

    def create(call: Call) -> Object:
        return _result(shown(invoices.create(call.body)))

    def info(call: Call) -> Object:
        return _result(shown(named(call)))

    def refund(call: Call) -> Object:
        invoice = named(call)
        if invoice["status"] not in REFUNDABLE:
            raise bad("Payment is not available for refund.", status=400)
        invoices.refund(invoice)
        return _result([])

    def resend(call: Call) -> Object:
        invoice = named(call)
        if not invoice["_callback"]:
            raise bad("Payment has no url callback.", status=400)
        invoices.again(invoice)
        return _result([])

    def every(call: Call) -> Object:
        return _result(_page(invoices, call.body, call.query.cursor))

    def services(call: Call) -> Object:
        return _result(
            [
                {
                    "network": network,
                    "currency": coin,
                    "is_available": True,
                    "limit": {"min_amount": "0.00000001", "max_amount": "1000000.00000000"},
                    "commission": {"fee_amount": "0.00", "percent": "2.00"},
                }
                for coin, (network, _) in COINS.items()
            ]
        )

    def test_webhook(call: Call) -> Object:
        wanted: shapes.TestWebhook = call.body
        amount = "20.00000000"
        body = {
            "type": "payment",
            "uuid": wanted.uuid or str(uuid.uuid4()),
            "order_id": wanted.order_id or "test",
            "amount": amount,
            "payment_amount": amount,
            "payment_amount_usd": "20.00",
            "merchant_amount": "19.60000000",
            "commission": "0.40000000",
            "is_final": wanted.status not in ("process", "check", "confirm_check"),
            "status": wanted.status,
            "from": None,
            "network": wanted.network,
            "currency": wanted.currency,
            "payer_currency": wanted.currency,
            "additional_data": None,
            "txid": None,
            "wallet_address_uuid": None,
        }
        invoices.tell(body, wanted.url_callback)
        return _result([])

    def endpoint(path: str, run: Any, body: Any, **more: Any) -> Operation:
        return Operation(method="POST", path=path, run=run, body=body, **more)

    return [
        endpoint("/v1/payment", create, shapes.NewInvoice),
        endpoint("/v1/payment/info", info, shapes.Named),
        endpoint("/v1/payment/list", every, shapes.Period, query=shapes.Cursor, optional=True),
        endpoint("/v1/payment/refund", refund, shapes.NewRefund),
        endpoint("/v1/payment/resend", resend, shapes.Named),
        endpoint("/v1/payment/services", services, shapes.Empty, optional=True),
        endpoint("/v1/test-webhook/payment", test_webhook, shapes.TestWebhook),
    ]


def _result(value: Any) -> Object:
    return {"state": 0, "result": value}


def _page(invoices: Invoices, wanted: shapes.Period, cursor: str | None) -> Object:
    """Return a page of invoices, the newest first; moments are UTC's here."""

    def seconds(text: str | None, otherwise: float) -> float:
        if text is None:
            return otherwise
        try:
            return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise bad("The date does not match the format Y-m-d H:i:s.", "date_from") from None

    start, end = seconds(wanted.date_from, 0), seconds(wanted.date_to, float("inf"))
    found = [
        each
        for each in invoices.book.tables["invoice"].newest_first()
        if start <= int(each["_created"]) <= end
    ]
    if cursor is not None and not cursor.isdecimal():
        raise bad("The cursor is invalid.", "cursor")
    begin = int(cursor or 0)
    stop = begin + PAGE
    return {
        "items": [shown(each) for each in found[begin:stop]],
        "paginate": {
            "count": len(found[begin:stop]),
            "hasPages": len(found) > PAGE,
            "nextCursor": str(stop) if len(found) > stop else None,
            "previousCursor": str(max(0, begin - PAGE)) if begin else None,
            "perPage": PAGE,
        },
    }

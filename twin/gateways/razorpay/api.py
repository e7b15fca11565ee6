"""The API over HTTP: authentication, idempotent refunds, errors and collections as Razorpay's.

Sources: razorpay.com/docs/api (orders, payments, refunds, disputes, errors), read 2026-11. Only
refunds know an idempotency key (`X-Refund-Idempotency`); an order is found by its receipt.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, StringConstraints
from pydantic_core import ErrorDetails

from twin.gateways.common.faults import FaultBox
from twin.gateways.common.jsonapi import Body, Call, JsonApi, Operation, Query, Refusal, Reply
from twin.gateways.common.tables import Object
from twin.gateways.razorpay.errors import BAD, bad
from twin.gateways.razorpay.payments import Ledger, shown

Receipt = Annotated[str, StringConstraints(min_length=1, max_length=40)]
Notes = Annotated[
    dict[str, Annotated[str, StringConstraints(max_length=256)] | int], Field(max_length=15)
]
"""At most 15 pairs of at most 256 characters."""
Amount = Annotated[int, Field(ge=1, le=10**12)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Moment = Annotated[int, Field(ge=946684800, le=4765046400)]
_EXPAND = Field(default=(), alias="expand[]")


class PaymentOptions(Body):
    """`payment` of an order."""

    capture: Literal["automatic", "manual"]


class NewOrder(Body):
    """POST /v1/orders."""

    amount: Amount
    currency: Currency
    receipt: Receipt | None = None
    notes: Notes | list[Any] | None = None
    partial_payment: Literal[False] = False
    """Payments in parts are not simulated."""
    payment_capture: bool | Literal[0, 1] | None = None
    payment: PaymentOptions | None = None


class Notable(Body):
    """PATCH of an order: its notes."""

    notes: Notes


class Capture(Body):
    """POST /v1/payments/{id}/capture."""

    amount: Amount
    currency: Currency | None = None


class NewRefund(Body):
    """POST /v1/payments/{id}/refund; without an amount, all that is left."""

    amount: Amount | None = None
    speed: Literal["normal", "optimum"] = "normal"
    notes: Notes | list[Any] | None = None
    receipt: Receipt | None = None


class Page(Query):
    """A page of a collection, the newest first."""

    from_: Moment | None = Field(default=None, alias="from")
    to: Moment | None = None
    count: Annotated[int, Field(ge=1, le=100)] = 10
    skip: Annotated[int, Field(ge=0)] = 0
    expand: tuple[str, ...] = _EXPAND


class OrderPage(Page):
    """GET /v1/orders."""

    receipt: Receipt | None = None
    authorized: Literal["0", "1"] | None = None


class One(Query):
    """GET of one object."""

    expand: tuple[str, ...] = _EXPAND


class Api(JsonApi):
    """Answers `api.razorpay.test`."""

    key_header = "X-Refund-Idempotency"

    def __init__(self, ledger: Ledger, faults: FaultBox, key_id: str, key_secret: str) -> None:
        self._keys = (key_id, key_secret)
        super().__init__(ledger.book, faults, operations(ledger))

    def authenticate(self, request: web.BaseRequest, body: bytes) -> None:
        """Take the account's key id and secret, as a basic authentication."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        try:
            id, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            id = secret = ""
        if scheme.lower() != "basic" or not id:
            raise Refusal(
                401,
                {"error": {"code": BAD, "description": "Please provide your api key for "
                 "authentication purposes."}},
            )  # fmt: skip
        known = hmac.compare_digest(f"{id}:{secret}".encode(), ":".join(self._keys).encode())
        if not known or not all(self._keys):
            raise Refusal(401, {"error": {"code": BAD, "description": "Authentication failed"}})

    def unknown(self, request: web.BaseRequest) -> Refusal:
        """Refuse an address that does not exist."""
        description = "The requested URL was not found on the server."
        return Refusal(404, {"error": {"code": BAD, "description": description}})

    def malformed(self, why: str, status: int = 400) -> Refusal:
        """Refuse what cannot be read."""
        return bad(f"The request could not be read: {why}.", status=status)

    def invalid(self, errors: Sequence[ErrorDetails], where: str) -> Refusal:
        """Refuse parameters as Razorpay does: the first fault, or all unknown names at once."""
        extra = [str(each["loc"][-1]) for each in errors if each["type"] == "extra_forbidden"]
        if extra:
            names = ", ".join(extra)
            return bad(f"{names} is/are not required and should not be sent", extra[0])
        first = errors[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        words = field.replace("_", " ")
        if first["type"] == "missing":
            return bad(f"The {words} field is required.", field)
        limits = first.get("ctx", {})
        told = {
            "int_type": f"The {words} must be an integer.",
            "int_parsing": f"The {words} must be an integer.",
            "string_type": f"The {words} must be a string.",
            "bool_type": f"The {words} field must be true or false.",
            "string_too_long": f"The {words} may not be greater than "
            f"{limits.get('max_length')} characters.",
            "greater_than_equal": f"The {words} must be atleast {limits.get('ge')}.",
            "less_than_equal": f"The {words} may not be greater than {limits.get('le')}.",
            "string_pattern_mismatch": f"The {words} format is invalid.",
        }
        return bad(told.get(first["type"], f"The {words} is invalid: {first['msg']}."), field)

    def broken(self) -> Reply:
        """Answer 500."""
        error = {
            "code": "SERVER_ERROR",
            "description": "We are facing some trouble completing your request at the moment. "
            "Please try again shortly.",
            "source": "internal",
            "step": "NA",
            "reason": "server_error",
            "metadata": {},
        }
        return Reply(status=500, body={"error": error})

    def check_key(self, key: str) -> None:
        """Take keys of ten characters and more."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{10,255}", key):
            raise bad("The idempotency key must be at least 10 letters, digits, - or _ long")

    def key_in_use(self, key: str) -> Refusal:
        """Refuse a key whose first request still runs."""
        return bad("A request with the same idempotency key is still being processed", status=409)

    def key_reused(self, key: str) -> Refusal:
        """Refuse a key that came with another body."""
        return bad("Different request with the same idempotency key has already been processed.")


def operations(ledger: Ledger) -> list[Operation]:
    """Return every endpoint."""
    tables = ledger.book.tables

    def create_order(call: Call) -> Object:
        wanted: NewOrder = call.body
        capture = wanted.payment_capture if wanted.payment_capture is not None else True
        if wanted.payment is not None:
            capture = wanted.payment.capture == "automatic"
        return shown(
            ledger.create_order(
                wanted.amount,
                wanted.currency,
                wanted.receipt,
                wanted.notes,
                capture=bool(capture),
            )
        )

    def list_orders(call: Call) -> Object:
        wanted: OrderPage = call.query
        receipts = {wanted.receipt} if wanted.receipt else None
        found = (
            each
            for each in tables["order"].newest_first()
            if receipts is None or each["receipt"] in receipts
        )
        if wanted.authorized is not None:
            # Orders that wait for a capture, or those that do not.
            waiting = {
                each["order_id"]
                for each in tables["payment"].newest_first()
                if each["status"] == "authorized"
            }
            found = (e for e in found if (e["id"] in waiting) == (wanted.authorized == "1"))
        return _collection(found, wanted)

    def notes_of_order(call: Call) -> Object:
        order = ledger.get("order", call.ids["id"])
        order["notes"] = call.body.notes
        ledger.put("order", order)
        return shown(order)

    def order_payments(call: Call) -> Object:
        id = ledger.get("order", call.ids["id"])["id"]
        found = [p for p in tables["payment"].newest_first() if p["order_id"] == id]
        return _items(found)

    def capture(call: Call) -> Object:
        payment = ledger.get("payment", call.ids["id"])
        return shown(ledger.capture(payment, call.body.amount, call.body.currency))

    def refund(call: Call) -> Object:
        payment, wanted = ledger.get("payment", call.ids["id"]), call.body
        return shown(
            ledger.refund(payment, wanted.amount, wanted.speed, wanted.notes, wanted.receipt)
        )

    def payment_refunds(call: Call) -> Object:
        id = ledger.get("payment", call.ids["id"])["id"]
        found = (each for each in tables["refund"].newest_first() if each["payment_id"] == id)
        return _collection(found, call.query)

    def accept(call: Call) -> Object:
        return shown(ledger.close_dispute(ledger.get("dispute", call.ids["id"]), "lost"))

    def one(kind: str) -> Callable[[Call], Object]:
        return lambda call: shown(ledger.get(kind, call.ids["id"]))

    def every(kind: str) -> Callable[[Call], Object]:
        return lambda call: _collection(tables[kind].newest_first(), call.query)

    return [
        Operation(method="POST", path="/v1/orders", run=create_order, body=NewOrder),
        Operation(method="GET", path="/v1/orders", run=list_orders, query=OrderPage),
        Operation(method="GET", path="/v1/orders/{id}", run=one("order"), query=One),
        Operation(method="PATCH", path="/v1/orders/{id}", run=notes_of_order, body=Notable),
        Operation(method="GET", path="/v1/orders/{id}/payments", run=order_payments, query=One),
        Operation(method="GET", path="/v1/payments", run=every("payment"), query=Page),
        Operation(method="GET", path="/v1/payments/{id}", run=one("payment"), query=One),
        Operation(method="POST", path="/v1/payments/{id}/capture", run=capture, body=Capture),
        Operation(
            method="POST",
            path="/v1/payments/{id}/refund",
            run=refund,
            body=NewRefund,
            keyed=True,
            optional=True,
        ),
        Operation(method="GET", path="/v1/payments/{id}/refunds", run=payment_refunds, query=Page),
        Operation(method="GET", path="/v1/refunds", run=every("refund"), query=Page),
        Operation(method="GET", path="/v1/refunds/{id}", run=one("refund"), query=One),
        Operation(method="GET", path="/v1/disputes", run=every("dispute"), query=Page),
        Operation(method="GET", path="/v1/disputes/{id}", run=one("dispute"), query=One),
        Operation(method="POST", path="/v1/disputes/{id}/accept", run=accept),
    ]


def _collection(found: Any, page: Page) -> Object:
    inside = [
        each
        for each in found
        if (page.from_ is None or each["created_at"] >= page.from_)
        and (page.to is None or each["created_at"] <= page.to)
    ]
    return _items(inside[page.skip : page.skip + page.count])


def _items(found: Sequence[Object]) -> Object:
    return {"entity": "collection", "count": len(found), "items": [shown(e) for e in found]}

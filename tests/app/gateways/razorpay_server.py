"""The Razorpay calls that the service makes, answered as the documentation says."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.app.gateways import serving
from tests.app.gateways.serving import Fault, Json, Server

KEY_ID = "rzp_test_tests"
KEY_SECRET = "razorpay-key-marker"
SECRETS = ("razorpay-webhook-new", "razorpay-webhook-old")


@dataclass
class RazorpayServer(Server):
    """Orders, payments and refunds. `captures`: whether the account captures by itself."""

    orders: dict[str, Json] = field(default_factory=dict)
    payments: dict[str, Json] = field(default_factory=dict)
    refunds: dict[str, Json] = field(default_factory=dict)
    disputes: dict[str, Json] = field(default_factory=dict)
    keys: dict[str, tuple[Json, str]] = field(default_factory=dict)
    captures: bool = True
    refund_status: str = "processed"

    def refusal(self, fault: Fault) -> Response:
        """Return an error of Razorpay's form."""
        status = {"fail": 500, "busy": 409, "forbid": 401}.get(fault, 400)
        code = "SERVER_ERROR" if fault == "fail" else "BAD_REQUEST_ERROR"
        return _error(status, code, "the card 4111111111111111 was named here")

    def _allowed(self, request: Request) -> bool:
        login = b64encode(f"{KEY_ID}:{KEY_SECRET}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {login}"

    async def create(self, request: Request) -> Response:
        """POST /v1/orders."""
        if not self._allowed(request):
            return _error(401, "BAD_REQUEST_ERROR", "Authentication failed")
        data = await request.json()
        ref = f"order_{next(self.numbers):014d}"
        self.orders[ref] = data | {
            "id": ref, "entity": "order", "status": "created", "created_at": int(time.time()),
            "amount_paid": 0,
        }  # fmt: skip
        return JSONResponse(self.orders[ref])

    async def listed(self, request: Request) -> Response:
        """GET /v1/orders."""
        wanted = request.query_params.get("receipt")
        return _list([o for o in self.orders.values() if wanted in (None, o["receipt"])])

    async def order(self, request: Request) -> Response:
        """GET /v1/orders/{ref}."""
        found = self.orders.get(request.path_params["ref"])
        return JSONResponse(found) if found else _error(400, "BAD_REQUEST_ERROR", "no such id")

    async def order_payments(self, request: Request) -> Response:
        """GET /v1/orders/{ref}/payments."""
        ref = request.path_params["ref"]
        return _list([p for p in self.payments.values() if p["order_id"] == ref])

    async def payment_list(self, request: Request) -> Response:
        """GET /v1/payments."""
        return _page(request, list(self.payments.values()))

    async def every_refund(self, request: Request) -> Response:
        """GET /v1/refunds."""
        return _page(request, list(self.refunds.values()))

    async def every_dispute(self, request: Request) -> Response:
        """GET /v1/disputes."""
        return _page(request, list(self.disputes.values()))

    async def dispute(self, request: Request) -> Response:
        """GET /v1/disputes/{ref}."""
        found = self.disputes.get(request.path_params["ref"])
        return JSONResponse(found) if found else _error(400, "BAD_REQUEST_ERROR", "no such id")

    async def payment(self, request: Request) -> Response:
        """GET /v1/payments/{ref}."""
        found = self.payments.get(request.path_params["ref"])
        return JSONResponse(found) if found else _error(400, "BAD_REQUEST_ERROR", "no such id")

    async def capture(self, request: Request) -> Response:
        """POST /v1/payments/{ref}/capture."""
        payment = self.payments[request.path_params["ref"]]
        data = await request.json()
        if payment["status"] != "authorized":
            return _error(400, "BAD_REQUEST_ERROR", "This payment has already been captured")
        if (data["amount"], data["currency"]) != (payment["amount"], payment["currency"]):
            return _error(400, "BAD_REQUEST_ERROR", "Capture amount must be equal")
        self._capture(payment)
        return JSONResponse(payment)

    async def refund(self, request: Request) -> Response:
        """POST /v1/payments/{ref}/refund."""
        data = await request.json()
        payment = self.payments[request.path_params["ref"]]
        key = request.headers["x-refund-idempotency"]
        if key in self.keys:
            before, ref = self.keys[key]
            if before != data:
                return _error(400, "BAD_REQUEST_ERROR", "Different request, same key")
            return JSONResponse(self.refunds[ref])
        if payment["amount_refunded"] + data["amount"] > payment["amount"]:
            return _error(400, "BAD_REQUEST_ERROR", "more than was captured")
        made = self.give_back(payment["id"], data["amount"], notes=data["notes"])
        self.keys[key] = (data, made["id"])
        return JSONResponse(made)

    async def refund_list(self, request: Request) -> Response:
        """GET /v1/payments/{ref}/refunds."""
        ref = request.path_params["ref"]
        return _list([r for r in self.refunds.values() if r["payment_id"] == ref])

    def give_back(self, payment: str, amount: int, *, notes: Json | None = None) -> Json:
        """Refund at Razorpay; without `notes` as its dashboard does."""
        ref = f"rfnd_{next(self.numbers):014d}"
        self.payments[payment]["amount_refunded"] += amount
        if self.payments[payment]["amount_refunded"] == self.payments[payment]["amount"]:
            self.payments[payment]["status"] = "refunded"
        self.refunds[ref] = {
            "id": ref, "entity": "refund", "amount": amount, "payment_id": payment,
            "currency": self.payments[payment]["currency"], "notes": notes or [],
            "status": self.refund_status, "created_at": int(time.time()),
        }  # fmt: skip
        return self.refunds[ref]

    def attempt(self, order: str, status: str = "captured", amount: int | None = None) -> Json:
        """Let a customer pay, or try to."""
        ref = f"pay_{next(self.numbers):014d}"
        found = self.orders[order]
        if status == "captured" and not self.captures:
            status = "authorized"
        payment = {
            "id": ref, "entity": "payment", "amount": amount or found["amount"],
            "currency": found["currency"], "order_id": order, "amount_refunded": 0, "fee": None,
            # What the browser may have changed: another payment's id.
            "notes": {"payment_id": "00000000-0000-4000-8000-0000000000ff"},
            "created_at": int(time.time()), "status": "authorized", "email": "a@example.com",
            "captured": False,
        }  # fmt: skip
        self.payments[ref] = payment
        if status == "captured":
            self._capture(payment)
        else:
            payment["status"] = status
            found["status"] = "attempted"
        return payment

    def give_up(self, order: str) -> tuple[Json, Json]:
        """Let a customer pay, and give it back without a capture, as Razorpay does by itself."""
        payment = self.attempt(order, "authorized")
        refund = self.give_back(payment["id"], payment["amount"]) | {"status": "processed"}
        return payment, refund

    def _capture(self, payment: Json) -> None:
        payment |= {"status": "captured", "captured": True, "fee": payment["amount"] // 50}
        self.orders[payment["order_id"]] |= {"status": "paid", "amount_paid": payment["amount"]}

    def event(self, name: str, *, created: int | None = None, **entities: Json) -> bytes:
        """Return an event's bytes, spaced as no JSON library would write them again."""
        return json.dumps(
            {
                "entity": "event", "account_id": "acc_tests", "event": name,
                "contains": list(entities),
                "payload": {kind: {"entity": dict(what)} for kind, what in entities.items()},
                "created_at": created or int(time.time()),
            },
            indent=1,
        ).encode()  # fmt: skip


def sign(body: bytes, secret: str = SECRETS[0]) -> str:
    """Return `X-Razorpay-Signature`."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def callback(order: str, payment: str, secret: str = KEY_SECRET) -> str:
    """Return `razorpay_signature`."""
    return hmac.new(secret.encode(), f"{order}|{payment}".encode(), hashlib.sha256).hexdigest()


@asynccontextmanager
async def running() -> AsyncIterator[RazorpayServer]:
    """Run it."""
    state = RazorpayServer()
    paths = [
        ("/v1/orders", state.create, "POST"),
        ("/v1/orders", state.listed, "GET"),
        ("/v1/orders/{ref}", state.order, "GET"),
        ("/v1/orders/{ref}/payments", state.order_payments, "GET"),
        ("/v1/payments", state.payment_list, "GET"),
        ("/v1/payments/{ref}", state.payment, "GET"),
        ("/v1/refunds", state.every_refund, "GET"),
        ("/v1/disputes", state.every_dispute, "GET"),
        ("/v1/disputes/{ref}", state.dispute, "GET"),
        ("/v1/payments/{ref}/capture", state.capture, "POST"),
        ("/v1/payments/{ref}/refund", state.refund, "POST"),
        ("/v1/payments/{ref}/refunds", state.refund_list, "GET"),
    ]
    routes = [Route(path, state.guarded(call), methods=[m]) for path, call, m in paths]
    async with serving.serve(state, routes):
        yield state


def _page(request: Request, items: list[Json]) -> Response:
    """Return a page of a period, the newest first."""
    query = request.query_params
    since, until = int(query.get("from", 0)), int(query.get("to", 2**40))
    found = [one for one in items if since <= one["created_at"] <= until]
    found.sort(key=lambda one: one["created_at"], reverse=True)
    skip, count = int(query.get("skip", 0)), int(query.get("count", 10))
    return _list(found[skip : skip + count])


def _list(items: list[Json]) -> Response:
    return JSONResponse({"entity": "collection", "count": len(items), "items": items})


def _error(status: int, code: str, description: str) -> Response:
    return JSONResponse({"error": {"code": code, "description": description}}, status)

"""The few Stripe calls that the service makes, answered over real HTTP, with real signatures.

Keeps sessions and idempotency keys as Stripe does: the same key with the same parameters returns
the first answer, with other parameters it is an error.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.app.stripe_lists import Disputes, error, page

KEY = "sk_test_tests"
Fault = Literal["fail", "fail_after_commit", "hang_after_commit", "refuse", "busy"]


@dataclass
class StripeServer(Disputes):
    """State and knobs. `faults` are used up one per create call."""

    url: str = ""
    key: str = KEY
    """What lets callers in; who has another one is told so before anything else."""
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, tuple[dict[str, str], str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    creates: int = 0
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    refund_calls: int = 0
    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    declines: bool = False
    slow: bool = False
    """Whether charges off session are `processing` until `settle` is called, as by a bank."""
    charge_seconds: float = 0.0
    """How long a charge off session takes; it is made in the middle of it."""
    charging: int = 0
    """Charges off session that have no answer yet."""
    saves: bool = True
    refund_status: str = "succeeded"
    numbers: Any = field(default_factory=itertools.count)

    def guarded(self, call: Callable[[Request], Awaitable[Response]]) -> Any:
        """Return a call that wants the key."""

        async def answer(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {self.key}":
                return error(401, "api_key_expired")
            return await call(request)

        return answer

    async def create(self, request: Request) -> Response:
        """POST /v1/checkout/sessions."""
        self.creates += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault == "fail":
            return error(500, "broken")
        if fault == "refuse":
            return error(400, "amount_too_small")
        if fault == "busy":
            return error(409, "idempotency_key_in_use")
        form = await request.form()
        parameters = {name: str(value) for name, value in form.items()}
        key = request.headers["idempotency-key"]
        if key in self.keys and self.keys[key][0] != parameters:
            return error(400, None, kind="idempotency_error")
        if key not in self.keys:
            session = self._make(parameters)
            self.keys[key] = (parameters, session["id"])
        if fault == "fail_after_commit":
            return error(500, "broken")
        if fault == "hang_after_commit":
            await asyncio.sleep(30)
        return JSONResponse(self.sessions[self.keys[key][1]])

    def _make(self, form: dict[str, str]) -> dict[str, Any]:
        ref = f"cs_test_{next(self.numbers):06d}"
        session = {
            "id": ref,
            "object": "checkout.session",
            "created": int(time.time()),
            "status": "open",
            "payment_status": "unpaid",
            "amount_total": int(form["line_items[0][price_data][unit_amount]"]),
            "currency": form["line_items[0][price_data][currency]"],
            "client_reference_id": form["client_reference_id"],
            "metadata": {
                "order_id": form["metadata[order_id]"],
                "payment_id": form["metadata[payment_id]"],
            },
            "payment_intent": None,
            "url": f"https://checkout.stripe.test/c/pay/{ref}",
            "success_url": form["success_url"],
            "cancel_url": form["cancel_url"],
            "livemode": False,
        }
        self.sessions[ref] = session
        return session

    async def retrieve(self, request: Request) -> Response:
        """GET /v1/checkout/sessions/{ref}."""
        session = self.sessions.get(request.path_params["ref"])
        return JSONResponse(session) if session else error(404, "resource_missing")

    async def listed(self, request: Request) -> Response:
        """GET /v1/checkout/sessions."""
        data = list(self.sessions.values())
        return JSONResponse(
            {"object": "list", "url": "/v1/checkout/sessions", "has_more": False, "data": data}
        )

    async def balance(self, request: Request) -> Response:
        """GET /v1/balance."""
        return JSONResponse({"object": "balance", "available": [], "livemode": False})

    async def intent_create(self, request: Request) -> Response:
        """POST /v1/payment_intents: a charge off session."""
        self.charging += 1
        try:
            return await self._charge(request)
        finally:
            self.charging -= 1

    async def _charge(self, request: Request) -> Response:
        fault = self.faults.pop(0) if self.faults else None
        if fault == "fail":
            return error(500, "broken")
        if fault == "refuse":
            return error(400, "resource_missing")
        form = {name: str(value) for name, value in (await request.form()).items()}
        key = request.headers["idempotency-key"]
        await asyncio.sleep(self.charge_seconds / 2)
        if key in self.keys and self.keys[key][0] != form:
            return error(400, None, kind="idempotency_error")
        if key not in self.keys:
            ref = f"pi_off_{next(self.numbers):06d}"
            self.intents[ref] = {
                "id": ref,
                "object": "payment_intent",
                "created": int(time.time()),
                "amount": int(form["amount"]),
                "currency": form["currency"],
                "customer": form["customer"],
                "payment_method": form["payment_method"],
                "status": "requires_payment_method"
                if self.declines
                else "processing"
                if self.slow
                else "succeeded",
                "amount_received": 0 if self.declines or self.slow else int(form["amount"]),
                "metadata": {
                    "order_id": form["metadata[order_id]"],
                    "payment_id": form["metadata[payment_id]"],
                },
            }
            self.keys[key] = (form, ref)
        await asyncio.sleep(self.charge_seconds / 2)
        if fault == "fail_after_commit":
            return error(500, "broken")
        made = self.intents[self.keys[key][1]]
        if made["status"] == "requires_payment_method":
            told = {"type": "card_error", "code": "card_declined", "payment_intent": made}
            return JSONResponse({"error": told}, 402)
        return JSONResponse(made)

    async def intent_retrieve(self, request: Request) -> Response:
        """GET /v1/payment_intents/{ref}: of a session, with the method it saved."""
        ref = request.path_params["ref"]
        customer, method = ("cus_1", "pm_1") if self.saves else (None, None)
        saved = {"customer": customer, "payment_method": method}
        return JSONResponse({"id": ref, "object": "payment_intent", "status": "succeeded"} | saved)

    async def intent_list(self, request: Request) -> Response:
        """GET /v1/payment_intents."""
        data = list(self.intents.values())
        return JSONResponse(
            {"object": "list", "url": "/v1/payment_intents", "has_more": False, "data": data}
        )

    async def refund(self, request: Request) -> Response:
        """POST /v1/refunds."""
        self.refund_calls += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault == "fail":
            return error(500, "broken")
        form = {name: str(value) for name, value in (await request.form()).items()}
        key = request.headers["idempotency-key"]
        if key in self.keys and self.keys[key][0] != form:
            return error(400, None, kind="idempotency_error")
        if key not in self.keys:
            given = sum(
                r["amount"]
                for r in self.refunds.values()
                if r["payment_intent"] == form["payment_intent"] and r["status"] != "failed"
            )
            session = self.sessions[form["payment_intent"].removeprefix("pi_")]
            if fault == "refuse" or given + int(form["amount"]) > session["amount_total"]:
                return error(400, "charge_already_refunded")
            ref = f"re_{next(self.numbers):06d}"
            self.refunds[ref] = {
                "id": ref,
                "object": "refund",
                "created": int(time.time()),
                "amount": int(form["amount"]),
                "currency": session["currency"],
                "payment_intent": form["payment_intent"],
                "status": self.refund_status,
                "metadata": {
                    "refund_id": form["metadata[refund_id]"],
                    "payment_id": form["metadata[payment_id]"],
                },
            }
            self.keys[key] = (form, ref)
        if fault == "fail_after_commit":
            return error(500, "broken")
        return JSONResponse(self.refunds[self.keys[key][1]])

    async def refund_list(self, request: Request) -> Response:
        """GET /v1/refunds."""
        return page(request, list(self.refunds.values()))

    async def charge_list(self, request: Request) -> Response:
        """GET /v1/charges."""
        assert request.query_params["expand[0]"] == "data.balance_transaction"
        return page(request, self.charges)

    def decline(self, ref: str) -> dict[str, Any]:
        """Let a session's customer try a bad card."""
        return self._attempt(self.sessions[ref], "failed")

    def give_back(self, ref: str, amount: int) -> dict[str, Any]:
        """Refund a session's payment as Stripe's own pages do."""
        refund = {
            "id": f"re_{next(self.numbers):06d}",
            "object": "refund",
            "created": int(time.time()),
            "amount": amount,
            "currency": self.sessions[ref]["currency"],
            "payment_intent": f"pi_{ref}",
            "status": "succeeded",
            "metadata": {},
        }
        self.refunds[refund["id"]] = refund
        for made in self.charges:
            if made["payment_intent"] == f"pi_{ref}" and made["status"] == "succeeded":
                made["amount_refunded"] += amount
        return refund

    def _attempt(self, session: dict[str, Any], status: str) -> dict[str, Any]:
        ref = f"ch_{next(self.numbers):06d}"
        booked = {"id": f"txn_{ref}", "object": "balance_transaction", "fee": 61, "currency": "eur"}
        made = charge(session, 0) | {
            "id": ref,
            "created": int(time.time()),
            "status": status,
            "balance_transaction": booked if status == "succeeded" else None,
        }
        self.charges.append(made)
        return made

    def settle(self, ref: str, status: str = "succeeded") -> dict[str, Any]:
        """End a slow charge off session, well or badly."""
        made = self.intents[ref]
        made |= {
            "status": status,
            "amount_received": made["amount"] if status == "succeeded" else 0,
        }
        return made

    def pay(self, ref: str) -> dict[str, Any]:
        """Complete a session as a customer with a good card would."""
        session = self.sessions[ref]
        if session["status"] == "open":
            self._attempt(session, "succeeded")
        session |= {
            "status": "complete",
            "payment_status": "paid",
            "payment_intent": f"pi_{ref}",
            "url": None,
        }
        return session


@asynccontextmanager
async def serve() -> AsyncIterator[StripeServer]:
    """Run the server on a free port of this loop."""
    state = StripeServer()
    paths = [
        ("/v1/checkout/sessions", state.create, "POST"),
        ("/v1/checkout/sessions", state.listed, "GET"),
        ("/v1/checkout/sessions/{ref}", state.retrieve, "GET"),
        ("/v1/payment_intents", state.intent_create, "POST"),
        ("/v1/payment_intents", state.intent_list, "GET"),
        ("/v1/payment_intents/{ref}", state.intent_retrieve, "GET"),
        ("/v1/refunds", state.refund, "POST"),
        ("/v1/refunds", state.refund_list, "GET"),
        ("/v1/charges", state.charge_list, "GET"),
        ("/v1/balance", state.balance, "GET"),
        ("/v1/disputes", state.dispute_list, "GET"),
        ("/v1/disputes/{ref}", state.dispute, "GET"),
    ]
    app = Starlette(
        routes=[Route(path, state.guarded(call), methods=[m]) for path, call, m in paths]
    )
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=0)
    )
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    state.url = f"http://127.0.0.1:{port}"
    try:
        yield state
    finally:
        server.should_exit = True
        await running


def event(event_type: str, data: dict[str, Any], *, key: str, created: int | None = None) -> bytes:
    """Return an event's bytes, as Stripe would send them."""
    return json.dumps(
        {
            "id": key,
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": created or int(time.time()),
            "livemode": False,
            "type": event_type,
            "data": {"object": data},
        },
        indent=2,
    ).encode()


def sign(body: bytes, secret: str, *, at: int | None = None) -> str:
    """Return the `Stripe-Signature` header, made by the published scheme and not by the SDK."""
    stamp = int(time.time()) if at is None else at
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={mac}"


def charge(session: dict[str, Any], refunded: int) -> dict[str, Any]:
    """Return the charge of a paid session with `refunded` given back so far."""
    return {
        "id": f"ch_{session['id']}",
        "object": "charge",
        "amount": session["amount_total"],
        "amount_refunded": refunded,
        "currency": session["currency"],
        "payment_intent": session["payment_intent"] or f"pi_{session['id']}",
        "metadata": session["metadata"],
    }


def intent(session: dict[str, Any]) -> dict[str, Any]:
    """Return the payment intent of a session."""
    return {
        "id": f"pi_{session['id']}",
        "object": "payment_intent",
        "metadata": session["metadata"],
        "amount_received": session["amount_total"],
        "currency": session["currency"],
        "last_payment_error": {"code": "card_declined"},
    }

"""A Stripe small enough for the pages: sessions, a checkout page, signed events on demand."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from tests.app.fixtures import WEBHOOK_SECRET

PAGE = """<!doctype html><title>Checkout</title><h1>Checkout</h1>
<form method="post"><button>Pay</button></form><a href="{cancel}">Back</a>"""


@dataclass
class StripeDouble:
    """What the account knows. `down` makes every call fail, `refusing` refuses sessions."""

    port: int = 0
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_key: dict[str, str] = field(default_factory=dict)
    down: bool = False
    refusing: bool = False

    @property
    def api_base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def last(self) -> dict[str, Any]:
        """The session made last."""
        return list(self.sessions.values())[-1]

    def app(self) -> FastAPI:
        made = FastAPI()

        @made.middleware("http")
        async def broken(request: Request, call_next: Any) -> Response:
            if self.down and request.url.path.startswith("/v1/"):
                return JSONResponse({"error": {"message": "down"}}, 500)
            answer: Response = await call_next(request)
            return answer

        @made.get("/v1/balance")
        async def balance() -> dict[str, Any]:
            return {"object": "balance", "available": [], "pending": [], "livemode": False}

        @made.post("/v1/checkout/sessions")
        async def create(request: Request) -> Response:
            if self.refusing:
                error = {"type": "invalid_request_error", "code": "amount_too_small"}
                return JSONResponse({"error": error}, 400)
            key = request.headers["idempotency-key"]
            if key not in self.by_key:
                form = {k: v[0] for k, v in parse_qs((await request.body()).decode()).items()}
                session = self._session(form)
                self.sessions[session["id"]] = session
                self.by_key[key] = session["id"]
            return JSONResponse(self.sessions[self.by_key[key]])

        @made.get("/c/pay/{ref}")
        async def checkout(ref: str) -> Response:
            return HTMLResponse(PAGE.format(cancel=self.sessions[ref]["cancel_url"]))

        @made.post("/c/pay/{ref}")
        async def pay(ref: str) -> Response:
            return RedirectResponse(self.sessions[ref]["success_url"], 303)

        return made

    def event(self, kind: str, session: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
        """Return a signed event about a session: its bytes and headers."""
        body = json.dumps(
            {
                "id": f"evt_{hashlib.sha256((kind + session['id']).encode()).hexdigest()[:24]}",
                "object": "event",
                "type": kind,
                "livemode": False,
                "created": int(time.time()),
                "data": {"object": session},
            }
        ).encode()
        stamp = str(int(time.time()))
        mac = hmac.new(WEBHOOK_SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256)
        signature = f"t={stamp},v1={mac.hexdigest()}"
        return body, {"stripe-signature": signature, "content-type": "application/json"}

    async def confirm(self, client: httpx.AsyncClient, session: dict[str, Any]) -> None:
        """Tell the service that a session was paid."""
        session |= {"status": "complete", "payment_status": "paid", "payment_intent": "pi_1"}
        body, headers = self.event("checkout.session.completed", session)
        answer = await client.post("/webhooks/stripe", content=body, headers=headers)
        assert answer.status_code == 200, answer.text

    async def expire(self, client: httpx.AsyncClient, session: dict[str, Any]) -> None:
        """Tell the service that nobody paid in time."""
        session |= {"status": "expired"}
        body, headers = self.event("checkout.session.expired", session)
        answer = await client.post("/webhooks/stripe", content=body, headers=headers)
        assert answer.status_code == 200, answer.text

    def _session(self, form: dict[str, str]) -> dict[str, Any]:
        ref = f"cs_test_{len(self.sessions) + 1:024d}"
        return {
            "id": ref,
            "object": "checkout.session",
            "url": f"http://checkout.stripe.localhost:{self.port}/c/pay/{ref}",
            "status": "open",
            "payment_status": "unpaid",
            "payment_intent": None,
            "client_reference_id": form["client_reference_id"],
            "metadata": {"payment_id": form["metadata[payment_id]"]},
            "amount_total": int(form["line_items[0][price_data][unit_amount]"]),
            "currency": form["line_items[0][price_data][currency]"],
            "success_url": form["success_url"],
            "cancel_url": form["cancel_url"],
            "created": int(time.time()),
        }

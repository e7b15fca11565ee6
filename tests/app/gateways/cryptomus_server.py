"""The Cryptomus calls that the service makes, answered as the documentation says."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.app.gateways import serving
from tests.app.gateways.serving import Fault, Json, Server

MERCHANT = "8b03432e-385b-4670-8d06-064591096795"
API_KEY = "cryptomus-key-marker"


@dataclass
class CryptomusServer(Server):
    """Invoices by their uuid."""

    invoices: dict[str, Json] = field(default_factory=dict)

    def refusal(self, fault: Fault) -> Response:
        """Return an error of Cryptomus's form."""
        status = {"fail": 500, "busy": 429, "forbid": 401}.get(fault, 422)
        return JSONResponse({"state": 1, "message": "no"}, status)

    async def create(self, request: Request) -> Response:
        """POST /v1/payment."""
        body = await self._signed(request)
        if body is None:
            return JSONResponse({"state": 1, "message": "Invalid Sign"}, 401)
        for known in self.invoices.values():
            if known["order_id"] == body["order_id"]:
                return _result(known)
        ref = str(uuid.uuid4())
        self.invoices[ref] = {
            "uuid": ref, "order_id": body["order_id"], "amount": body["amount"],
            "currency": body["currency"], "payment_amount": None, "payer_amount": None,
            "payer_currency": None,
            "url": f"https://pay.cryptomus.test/pay/{ref}", "payment_status": "check",
            "expired_at": int(time.time()) + body["lifetime"], "created_at": _now(),
            "updated_at": _now(), "is_final": False,
        }  # fmt: skip
        return _result(self.invoices[ref])

    async def info(self, request: Request) -> Response:
        """POST /v1/payment/info."""
        body = await self._signed(request) or {}
        for known in self.invoices.values():
            if body in ({"uuid": known["uuid"]}, {"order_id": known["order_id"]}):
                return _result(known)
        return JSONResponse({"state": 1, "message": "Not found"}, 404)

    async def listed(self, request: Request) -> Response:
        """POST /v1/payment/list: one invoice per page."""
        await self._signed(request)
        found = list(self.invoices.values())
        at = int(request.query_params.get("cursor", 0))
        more = str(at + 1) if at + 1 < len(found) else None
        return _result({"items": found[at : at + 1], "paginate": {"nextCursor": more}})

    async def _signed(self, request: Request) -> Json | None:
        body = await request.body()
        if request.headers.get("merchant") != MERCHANT or request.headers["sign"] != sign(body):
            return None
        found: Json = json.loads(body)
        return found

    def pay(
        self, ref: str, status: str = "paid", amount: str = "25.10", coin: str = "USDT"
    ) -> Json:
        """Let coins arrive; 25.10 USDT were asked for."""
        self.invoices[ref] |= {
            "payment_status": status, "payment_amount": amount, "payer_currency": coin,
            "payer_amount": "25.10", "updated_at": _now(),
        }  # fmt: skip
        return self.invoices[ref]

    def event(self, ref: str, *, key: str = API_KEY, **changes: object) -> bytes:
        """Return a delivery as PHP writes and signs it."""
        invoice = self.invoices[ref]
        told = {
            "type": "payment", "uuid": ref, "order_id": invoice["order_id"],
            "amount": invoice["amount"], "status": invoice["payment_status"],
            "additional_data": "a/b \u00e4", "url": invoice["url"],
        }  # fmt: skip
        return written(told | {"sign": sign(written(told), key)} | changes)


def sign(body: bytes, key: str = API_KEY) -> str:
    """Return their signature, by their recipe."""
    return hashlib.md5(b64encode(body) + key.encode(), usedforsecurity=False).hexdigest()


@asynccontextmanager
async def running() -> AsyncIterator[CryptomusServer]:
    """Run it."""
    state = CryptomusServer()
    paths = [
        ("/v1/payment", state.create),
        ("/v1/payment/info", state.info),
        ("/v1/payment/list", state.listed),
    ]
    routes = [Route(path, state.guarded(call), methods=["POST"]) for path, call in paths]
    async with serving.serve(state, routes):
        yield state


def written(value: Json) -> bytes:
    """Return JSON as PHP writes it: what is signed."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("/", "\\/").encode()


def _result(value: object) -> Response:
    return JSONResponse({"state": 0, "result": value})


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())

"""Markers at the four gateways: in every answer of theirs, in what they deliver, in their keys."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse

from tests.app.gateways import cryptomus_server, paypal_server, razorpay_server
from tests.app.gateways.cryptomus_server import CryptomusServer
from tests.app.gateways.paypal_server import PaypalServer
from tests.app.gateways.razorpay_server import RazorpayServer

Json = dict[str, Any]
HOOKS = "/webhooks/"
ORDER = {"sku": "coffee", "currency": "EUR", "quantity": 1}


@dataclass(frozen=True, kw_only=True)
class Gateways:
    """The three beside Stripe."""

    razorpay: RazorpayServer
    paypal: PaypalServer
    cryptomus: CryptomusServer

    def environment(self) -> dict[str, str]:
        """Return what a container is told of them."""
        return {
            "PAYMENTS_RAZORPAY_KEY_ID": razorpay_server.KEY_ID,
            "PAYMENTS_RAZORPAY_KEY_SECRET": razorpay_server.KEY_SECRET,
            "PAYMENTS_RAZORPAY_WEBHOOK_SECRETS": ",".join(razorpay_server.SECRETS),
            "PAYMENTS_RAZORPAY_API_BASE": self.razorpay.url,
            "PAYMENTS_PAYPAL_CLIENT_ID": paypal_server.CLIENT[0],
            "PAYMENTS_PAYPAL_CLIENT_SECRET": paypal_server.CLIENT[1],
            "PAYMENTS_PAYPAL_WEBHOOK_ID": paypal_server.WEBHOOK_ID,
            "PAYMENTS_PAYPAL_API_BASE": self.paypal.url,
            "PAYMENTS_CRYPTOMUS_ENABLED": "true",
            "PAYMENTS_CRYPTOMUS_MERCHANT": cryptomus_server.MERCHANT,
            "PAYMENTS_CRYPTOMUS_API_KEY": cryptomus_server.API_KEY,
            "PAYMENTS_CRYPTOMUS_API_BASE": self.cryptomus.url,
            "PAYMENTS_OUTGOING_CA": self.paypal.authority,
        }

    def markers(self) -> dict[str, str]:
        """Return their secrets, and those that they gave to the service since."""
        new, old = razorpay_server.SECRETS
        return {
            "Razorpay's key": razorpay_server.KEY_SECRET,
            "Razorpay's webhook secret": new,
            "Razorpay's second webhook secret": old,
            "PayPal's client secret": paypal_server.CLIENT[1],
            "Cryptomus's key": cryptomus_server.API_KEY,
        } | {f"PayPal's token {number}": token for number, token in enumerate(self.paypal.tokens)}

    async def use(self, client: httpx.AsyncClient, bearer: dict[str, str], planted: Json) -> None:
        """Order at each, pay, and have deliveries come that are right, wrong and broken."""
        for name in ("razorpay", "paypal", "cryptomus"):
            key = {"Idempotency-Key": f"at-{name}"}
            answer = await client.post(
                "/api/v1/orders", json=ORDER | {"gateway": name}, headers=bearer | key
            )
            assert answer.status_code == 201, answer.text
        await self._razorpay(client, planted)
        await self._paypal(client, planted)
        await self._cryptomus(client, planted)
        # What they answer when something is wrong, and what is no answer at all.
        for server in (self.razorpay, self.paypal, self.cryptomus):
            name = type(server).__name__.removesuffix("Server").lower()
            for fault in ("fail", "garbage", "refuse"):
                server.faults = [fault]
                key = {"Idempotency-Key": f"{fault}-{name}"}
                await client.post(
                    "/api/v1/orders", json=ORDER | {"gateway": name}, headers=bearer | key
                )

    async def _razorpay(self, client: httpx.AsyncClient, planted: Json) -> None:
        made = self.razorpay.attempt(next(iter(self.razorpay.orders)))
        captured = self.razorpay.event("payment.captured", payment=made | planted)
        broken = self.razorpay.event("payment.failed", payment=planted)
        for number, body in enumerate((captured, broken, captured[:-9])):
            for secret in (razorpay_server.SECRETS[1], "of nobody"):
                headers = {
                    "x-razorpay-signature": razorpay_server.sign(body, secret),
                    "x-razorpay-event-id": f"ev_{number}",
                }
                await client.post(HOOKS + "razorpay", content=body, headers=headers)

    async def _paypal(self, client: httpx.AsyncClient, planted: Json) -> None:
        order = self.paypal.approve(next(iter(self.paypal.orders)))
        approved = self.paypal.event("CHECKOUT.ORDER.APPROVED", order | planted)
        broken = self.paypal.event("PAYMENT.CAPTURE.COMPLETED", planted)
        for body in (approved, broken, approved[:-9]):
            for headers in (self.paypal.headers(body), self.paypal.headers(b"another")):
                await client.post(HOOKS + "paypal", content=body, headers=headers)

    async def _cryptomus(self, client: httpx.AsyncClient, planted: Json) -> None:
        ref = next(iter(self.cryptomus.invoices))
        self.cryptomus.pay(ref)
        told = json.loads(self.cryptomus.event(ref)) | planted
        del told["sign"]
        signed = cryptomus_server.sign(cryptomus_server.written(told))
        for sign in (signed, "0" * 32):
            body = cryptomus_server.written(told | {"sign": sign})
            for sent in (body, body[:-9]):
                await client.post(HOOKS + "cryptomus", content=sent)


@asynccontextmanager
async def gateways() -> AsyncIterator[Gateways]:
    """Run them."""
    async with AsyncExitStack() as stack:
        yield Gateways(
            razorpay=await stack.enter_async_context(razorpay_server.running()),
            paypal=await stack.enter_async_context(paypal_server.running()),
            cryptomus=await stack.enter_async_context(cryptomus_server.running()),
        )


def plant_in_answers(monkeypatch: pytest.MonkeyPatch, planted: Json) -> None:
    """Have every object in every answer of a server of this process hold `planted`.

    The service itself runs in processes of its own.
    """
    render = JSONResponse.render

    def rendered(self: JSONResponse, content: Any) -> bytes:
        return render(self, _with(planted, content))

    monkeypatch.setattr(JSONResponse, "render", rendered)


def _with(planted: Json, value: Any) -> Any:
    if isinstance(value, dict):
        return planted | {name: _with(planted, part) for name, part in value.items()}
    return [_with(planted, part) for part in value] if isinstance(value, list) else value

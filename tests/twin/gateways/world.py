"""The gateway on a loopback server, with the official client and a merchant's webhook endpoint."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import stripe
from aiohttp import web

from twin.ca import CertificateAuthority
from twin.gateways.stripe import Stripe
from twin.store import Store

T = TypeVar("T")
KEY = "sk_test_twin"
SECRET = "whsec_twin"
FORM = {"email": "a@example.com", "name": "Ada", "country": "DE", "expiry": "12/34", "cvc": "123"}
GOOD, DECLINED, NO_FUNDS, ASKS = (
    "4242 4242 4242 4242",
    "4000 0000 0000 0002",
    "4000 0000 0000 9995",
    "4000 0025 0000 3155",
)


@dataclass
class Merchant:
    """What arrived at the endpoint, in order; `answer` decides how each is taken."""

    got: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    answer: Callable[[int], int] = lambda count: 200
    pause: float = 0

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        event = stripe.Webhook.construct_event(  # type: ignore[no-untyped-call]
            body, request.headers["Stripe-Signature"], self.secret, tolerance=10**9
        )
        self.got.append(event.to_dict())
        await asyncio.sleep(self.pause)
        return web.Response(status=self.answer(len(self.got)))

    secret: str = SECRET

    def types(self) -> list[str]:
        return [event["type"] for event in self.got]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.got) < count:
                await asyncio.sleep(0.01)


@dataclass
class World:
    gateway: Stripe
    client: stripe.StripeClient
    api: str
    checkout: str
    merchant: Merchant
    http: aiohttp.ClientSession
    store: Store

    async def call(self, work: Callable[[stripe.StripeClient], T]) -> T:
        """Use the official client, which blocks."""
        return await asyncio.to_thread(work, self.client)

    async def session(self, **more: Any) -> Any:
        return await self.call(lambda client: client.v1.checkout.sessions.create(order(**more)))

    async def pay(self, session: Any, number: str = GOOD, **more: str) -> tuple[int, str]:
        """Post the card form; returns the status and where it leads, or the page."""
        url = f"{self.checkout}/c/pay/{session.id}"
        form = {**FORM, "number": number, **more}
        async with self.http.post(url, data=form, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()

    async def raw(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        sent = {"Authorization": f"Bearer {KEY}", **headers}
        if body is not None:
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        async with self.http.request(method, self.api + path, data=body, headers=sent) as answer:
            return answer.status, await answer.json(), dict(answer.headers)


def order(**more: Any) -> Any:
    """The parameters of an ordinary checkout of two at 12.50."""
    line = {
        "price_data": {
            "currency": more.pop("currency", "usd"),
            "unit_amount": more.pop("unit_amount", 1250),
            "product_data": {"name": "Top-up"},
        },
        "quantity": more.pop("quantity", 2),
    }
    return {
        "mode": "payment",
        "line_items": [line],
        "success_url": "https://shop.example/ok?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://shop.example/no",
        **more,
    }


@contextlib.asynccontextmanager
async def gateway(
    home: Path, *, retries: list[float] | None = None, endpoint_port: int = 0
) -> AsyncIterator[World]:
    """A gateway whose events go to a merchant; the home may have been used before."""
    async with contextlib.AsyncExitStack() as stack:
        merchant = Merchant()
        endpoint = await serve(stack, merchant.take, endpoint_port)
        store = Store(home / "twin.db")
        stack.callback(store.close)
        account = {
            "stripe": {
                "secret_key": KEY,
                "webhook_endpoints": [{"url": f"{endpoint}/hooks", "secret": SECRET}],
            }
        }
        authority = CertificateAuthority(home).certificate_file
        simulator = Stripe(store, account, authority)
        if retries is not None:
            simulator.webhooks._retries = retries
        await simulator.start(8443)
        stack.push_async_callback(simulator.stop)
        api = await serve(stack, simulator.api.handle)
        checkout = await serve(stack, simulator.checkout.handle)
        http = aiohttp.ClientSession()
        stack.push_async_callback(http.close)
        client = stripe.StripeClient(KEY, base_addresses={"api": api}, max_network_retries=0)
        yield World(simulator, client, api, checkout, merchant, http, store)


async def serve(stack: contextlib.AsyncExitStack, handler: Any, port: int = 0) -> str:
    runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"

"""The Razorpay dialect with its official client and a payer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import razorpay

from tests.twin.gateways.bench import Bench, bench, hidden
from twin.gateways.razorpay import API_HOST, CHECKOUT_HOST, Razorpay

KEY, SECRET, HOOK = "rzp_test_twin", "key-secret", "hook-secret"
CARD = {"method": "card", "number": "4111 1111 1111 1111", "expiry": "12/34", "cvv": "123"}
PAID = ["payment.authorized", "payment.captured", "order.paid"]


@asynccontextmanager
async def world(home: Path, **more: Any) -> AsyncIterator[tuple[Bench[Razorpay], Any]]:
    def account(endpoint: str) -> dict[str, Any]:
        hooks = [{"url": f"{endpoint}/api/payments/webhook/razorpay/", "secret": HOOK}]
        return {"razorpay": {"key_id": KEY, "key_secret": SECRET, "webhook_endpoints": hooks}}

    async with bench(Razorpay, home, account, **more) as at:
        client = razorpay.Client(auth=(KEY, SECRET), base_url=at.urls[API_HOST])
        yield at, client


async def order(at: Bench[Razorpay], client: Any, **more: Any) -> dict[str, Any]:
    wanted = {"amount": 50000, "currency": "INR", **more}
    found: dict[str, Any] = await at.call(lambda: client.order.create(wanted))
    return found


async def visit(at: Bench[Razorpay], order_id: str, **more: str) -> str:
    """Post the plain form, as a merchant's page has it; returns the checkout page."""
    sent = {"key_id": KEY, "order_id": order_id, "callback_url": "https://shop.example/back"}
    base = at.urls[CHECKOUT_HOST]
    status, text, headers = await at.send(
        "POST", f"{base}/v1/checkout/embedded", data={**sent, **more}
    )
    assert status == 303, text
    return base + headers["Location"]


async def pay(at: Bench[Razorpay], order_id: str, vpa: str = "success@razorpay") -> dict[str, str]:
    page = await visit(at, order_id)
    status, text, _ = await at.send("POST", page, data={"method": "upi", "vpa": vpa})
    assert status == (200 if vpa.startswith("success") else 402), text
    return hidden(text)


def types(at: Bench[Razorpay]) -> list[str]:
    return [json.loads(body)["event"] for body in at.merchant.bodies]

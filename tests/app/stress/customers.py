"""Customers and a gateway who never give up: what the service has to live with while it is killed.

Customers order under a key until they have an answer. They pay on the gateway's pages; the gateway
delivers every event until it is taken, sometimes twice, and answers calls with faults. At the end
what the gateway knows is held against the service's books.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.app.fixtures import WEBHOOK_SECRET
from tests.app.stress.service import Service
from tests.app.stripe_server import StripeServer, charge, event, sign

MOST_AT_ONCE = 10
"""Orders of one customer that have no answer yet."""

PRICES = {"coffee": 2490, "course": 12900, "credit-50": 5000}


@dataclass
class Customers:
    """The load, and what came of it."""

    stripe: StripeServer
    base: str
    key: str
    chance: random.Random
    faults: bool = True
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunded: dict[str, int] = field(default_factory=dict)
    paid: set[str] = field(default_factory=set)
    attempts: int = 0
    deliveries: int = 0
    _numbers: Any = field(default_factory=itertools.count)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _undelivered: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, customers: int) -> None:
        """Order and pay until told to stop; ends when every customer has an answer."""
        limits = httpx.Limits(max_connections=customers + 20)
        async with httpx.AsyncClient(base_url=self.base, timeout=20, limits=limits) as client:
            payer = asyncio.create_task(self._pay(client))
            await asyncio.gather(*(self._order(client) for _ in range(customers)))
            payer.cancel()
            await asyncio.gather(payer, return_exceptions=True)
            self._pay_open(client)
            while self._undelivered:
                await asyncio.gather(*self._undelivered)

    def stop(self) -> None:
        """Place no more orders."""
        self._stop.set()
        self.faults = False
        self.stripe.faults.clear()

    async def _order(self, client: httpx.AsyncClient) -> None:
        """Order again and again; who gets no answer goes on asking, and orders something else."""
        asking: set[asyncio.Task[None]] = set()
        while not self._stop.is_set():
            key = f"order-{next(self._numbers)}"
            if self.faults and self.chance.random() < 0.2:
                self.stripe.faults.append(self.chance.choice(["fail", "fail_after_commit"]))
            sku = self.chance.choice(list(PRICES))
            task = asyncio.create_task(self._until_answered(client, key, sku))
            asking.add(task)
            await asyncio.wait({task}, timeout=1.0)
            asking = {one for one in asking if not one.done()}
            while len(asking) >= MOST_AT_ONCE:
                _, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(self.chance.uniform(0.0, 0.1))
        await asyncio.gather(*asking)

    async def _until_answered(self, client: httpx.AsyncClient, key: str, sku: str) -> None:
        """Send the same request under the same key until there is an answer."""
        while True:
            self.attempts += 1
            try:
                answer = await client.post(
                    "/api/v1/orders",
                    json={"sku": sku, "currency": "EUR", "quantity": 1},
                    headers={"Idempotency-Key": key, "authorization": f"Bearer {self.key}"},
                )
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
                continue
            if answer.status_code in (201, 202):
                told: dict[str, Any] = answer.json()
                assert told["amount"] == PRICES[sku]
                self.answered[key] = told
                return
            assert answer.status_code == 409 or answer.status_code >= 500, answer.text
            await asyncio.sleep(0.2)

    async def _pay(self, client: httpx.AsyncClient) -> None:
        while True:
            await asyncio.sleep(0.2)
            self._pay_open(client)

    def _pay_open(self, client: httpx.AsyncClient) -> None:
        """Pay what is open, and give some of it back at the gateway's own pages."""
        for ref, session in list(self.stripe.sessions.items()):
            if session["status"] != "open":
                continue
            paid = dict(self.stripe.pay(ref))
            self.paid.add(ref)
            news = [event("checkout.session.completed", paid, key=f"evt_paid_{ref}")]
            if self.chance.random() < 0.3:
                self.refunded[ref] = paid["amount_total"] // 3
                news.append(
                    event(
                        "charge.refunded", charge(paid, self.refunded[ref]), key=f"evt_back_{ref}"
                    )
                )
            self.chance.shuffle(news)
            for body in news:
                for _ in range(self.chance.choice([1, 1, 2])):
                    task = asyncio.create_task(self._deliver(client, body))
                    self._undelivered.add(task)
                    task.add_done_callback(self._undelivered.discard)

    async def _deliver(self, client: httpx.AsyncClient, body: bytes) -> None:
        """Deliver an event until it is taken."""
        await asyncio.sleep(self.chance.uniform(0.0, 0.5))
        while True:
            self.deliveries += 1
            try:
                answer = await client.post(
                    "/webhooks/stripe",
                    content=body,
                    headers={"stripe-signature": sign(body, WEBHOOK_SECRET)},
                )
            except httpx.HTTPError:
                await asyncio.sleep(0.3)
                continue
            if answer.status_code == 200:
                return
            assert answer.status_code >= 500, answer.text
            await asyncio.sleep(0.3)


UNSETTLED = """
    SELECT (SELECT count(*) FROM payments.payments WHERE status IN ('intended', 'unknown'))
         + (SELECT count(*) FROM payments.webhook_inbox WHERE state IN ('parked', 'failed'))"""


async def settled(service: Service, seconds: float) -> bool:
    """Wait until nothing waits for a repair any more."""

    async def ask() -> object:
        try:
            return await asyncio.to_thread(service.scalar, UNSETTLED)
        except Exception:
            return None

    try:
        async with asyncio.timeout(seconds):
            while await ask() != 0:
                await asyncio.sleep(0.5)
    except TimeoutError:
        return False
    return True


def compare(service: Service, customers: Customers) -> dict[str, int]:
    """Hold what customers and the gateway know against the books; returns what is counted."""
    stripe = customers.stripe
    made = [session["metadata"]["payment_id"] for session in stripe.sessions.values()]
    assert len(made) == len(set(made)), "a payment has two pages at the gateway"
    orders = {str(told["id"]) for told in customers.answered.values()}
    assert len(orders) == len(customers.answered), "two keys have one order"
    count = "SELECT count(*) FROM payments."
    assert service.scalar(f"{count}orders") == len(orders), "an order was lost or doubled"
    paid = sum(stripe.sessions[ref]["amount_total"] for ref in customers.paid)
    back = sum(customers.refunded.values())
    assert service.scalar("SELECT sum(captured)::bigint FROM payments.payments") == paid
    assert service.scalar("SELECT sum(refunded)::bigint FROM payments.payments") == back
    clearing = service.scalar(
        "SELECT -sum(balance)::bigint FROM payments.ledger_accounts"
        " WHERE purpose = 'gateway_clearing'"
    )
    assert clearing == paid - back, "the books say something else than the gateway"
    captured = f"{count}ledger_transfers WHERE kind = 'payment.captured'"
    assert service.scalar(captured) == len(customers.paid), "a payment was booked twice or never"
    return {
        "orders": len(orders),
        "requests": customers.attempts,
        "payments": len(customers.paid),
        "deliveries": customers.deliveries,
        "gateway_refunds": len(customers.refunded),
    }

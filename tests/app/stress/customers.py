"""Customers and a gateway who never give up: what the service has to live with while it is killed.

Customers order, subscribe and exchange under a key until they have an answer. They pay on the
gateway's pages; the gateway delivers every event until it is taken, sometimes twice, and answers
calls with faults. At the end what the gateway knows is held against the service's books.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from payments.settings import ServiceSettings
from tests.app.fixtures import WEBHOOK_SECRET
from tests.app.stress import exchangers, subscribers
from tests.app.stress.asking import Caller, again_and_again
from tests.app.stress.exchangers import Exchangers, set_rates
from tests.app.stress.service import Service, api_key
from tests.app.stress.subscribers import Subscribers
from tests.app.stripe_server import StripeServer, charge, event, sign

PRICES = {"coffee": 2490, "course": 12900, "credit-50": 5000}


@dataclass
class Customers:
    """The load, and what came of it."""

    stripe: StripeServer
    base: str
    key: str
    chance: random.Random
    subscribers: Subscribers
    exchangers: Exchangers
    faults: bool = True
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunded: dict[str, int] = field(default_factory=dict)
    paid: set[str] = field(default_factory=set)
    attempts: int = 0
    deliveries: int = 0
    _charged: set[str] = field(default_factory=set)
    _numbers: Any = field(default_factory=itertools.count)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _undelivered: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, customers: int) -> None:
        """Order and pay until told to stop; ends when every customer has an answer."""
        limits = httpx.Limits(max_connections=customers + len(self.subscribers.keys) + 30)
        async with httpx.AsyncClient(base_url=self.base, timeout=20, limits=limits) as client:
            caller = Caller(client, self.key)
            payer = asyncio.create_task(self._pay(client))
            ordering = [
                again_and_again(lambda: self._order(caller), self._stop, self.chance)
                for _ in range(customers)
            ]
            await asyncio.gather(
                *ordering,
                self.subscribers.run(client, self._stop),
                self.exchangers.run(client, self._stop),
            )
            self.attempts = caller.attempts
            payer.cancel()
            await asyncio.gather(payer, return_exceptions=True)
            self._pay_open(client)
            while self._undelivered:
                await asyncio.gather(*self._undelivered)

    def stop(self) -> None:
        """Begin nothing more."""
        self._stop.set()
        self.faults = False
        self.stripe.faults.clear()

    async def _order(self, caller: Caller) -> None:
        """Order something, and go on asking until there is an answer."""
        key = f"order-{next(self._numbers)}"
        # Not before: who has got no page waits a minute for it, and the kills wait for the first.
        if self.faults and self.subscribers.renewing.is_set() and self.chance.random() < 0.2:
            self.stripe.faults.append(self.chance.choice(["fail", "fail_after_commit"]))
        sku = self.chance.choice(list(PRICES))
        body = {"sku": sku, "currency": "EUR", "quantity": 1}
        answer = await caller.ask("/api/v1/orders", body, key)
        assert answer.status_code in (201, 202), answer.text
        told: dict[str, Any] = answer.json()
        assert told["amount"] == PRICES[sku]
        self.answered[key] = told

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
                self.stripe.give_back(ref, self.refunded[ref])
                news.append(
                    event(
                        "charge.refunded", charge(paid, self.refunded[ref]), key=f"evt_back_{ref}"
                    )
                )
            self.chance.shuffle(news)
            self._tell(client, *news)
        for ref, made in list(self.stripe.intents.items()):
            if ref not in self._charged:
                self._charged.add(ref)
                # The others' news is lost: what became of a charge is asked for.
                if self.chance.random() < 0.5:
                    key = f"evt_charged_{ref}"
                    self._tell(client, event("payment_intent.succeeded", made, key=key))

    def _tell(self, client: httpx.AsyncClient, *news: bytes) -> None:
        """Begin to deliver events, some of them twice."""
        for body in news:
            for _ in range(self.chance.choice([1, 1, 2])):
                task = asyncio.create_task(self._deliver(client, body))
                self._undelivered.add(task)
                task.add_done_callback(self._delivered)

    def _delivered(self, task: asyncio.Task[None]) -> None:
        """Forget a delivery, unless it was refused: that ends the load."""
        if task.cancelled() or task.exception() is None:
            self._undelivered.discard(task)

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


async def prepared(
    made: Service,
    settings: ServiceSettings,
    stripe: StripeServer,
    chance: random.Random,
    *,
    subscribing: int,
    within: float,
    faults: bool = True,
) -> Customers:
    """Give customers their keys, and rates to exchange at; `subscribing` begin `within` seconds."""
    key = await api_key(settings)
    keys = {(customer := uuid4()): await api_key(settings, customer) for _ in range(subscribing)}
    return Customers(
        stripe,
        made.url,
        key,
        chance,
        Subscribers(made, stripe, keys, chance, within, faults=faults),
        Exchangers(key, set_rates(made), chance),
        faults=faults,
    )


UNSETTLED = """
    SELECT (SELECT count(*) FROM payments.payments WHERE status IN ('intended', 'unknown'))
         + (SELECT count(*) FROM payments.webhook_inbox WHERE state IN ('parked', 'failed'))
         + (SELECT count(*) FROM payments.subscriptions WHERE next_step_at <= now())
         + (SELECT count(*) FROM payments.subscription_invoices
             WHERE status IN ('open', 'unwanted'))"""


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
    made = [*stripe.sessions.values(), *stripe.intents.values()]
    payments = {one["metadata"]["payment_id"] for one in made}
    assert len(made) == len(payments), "a payment was asked of the gateway twice"
    orders = {str(told["id"]) for told in customers.answered.values()}
    assert len(orders) == len(customers.answered), "two keys have one order"
    placed = service.rows(
        "SELECT id::text FROM payments.orders o WHERE NOT EXISTS ("
        " SELECT FROM payments.subscription_invoices i WHERE i.order_id = o.id)"
    )
    assert {row[0] for row in placed} == orders, "an order was lost or doubled"
    taken = _taken(stripe)
    captured = service.rows(
        "SELECT order_id::text, sum(captured)::bigint FROM payments.payments"
        " WHERE captured > 0 GROUP BY order_id"
    )
    assert dict(captured) == taken, "what was paid for is something else than at the gateway"
    paid, back = sum(taken.values()), sum(customers.refunded.values())
    assert service.scalar("SELECT sum(refunded)::bigint FROM payments.payments") == back
    # With what the gateway keeps: a reconciliation books it, should one fall into this time.
    left = service.scalar(
        "SELECT -sum(balance)::bigint FROM payments.ledger_accounts"
        " WHERE purpose IN ('gateway_clearing', 'gateway_fees')"
    )
    assert left == paid - back, f"the books say {left}, the gateway {paid - back}"
    booked = "SELECT count(*) FROM payments.ledger_transfers WHERE kind = 'payment.captured'"
    assert service.scalar(booked) == len(taken), "a payment was booked twice or never"
    return {
        "orders": len(orders),
        "requests": customers.attempts,
        "payments": len(customers.paid),
        "deliveries": customers.deliveries,
        "gateway_refunds": len(customers.refunded),
        **subscribers.compare(service, customers.subscribers, taken),
        **exchangers.compare(service, customers.exchangers),
    }


def _taken(stripe: StripeServer) -> Counter[str]:
    """Return what was paid at the gateway for which order, on pages and without."""
    pages = [one for one in stripe.sessions.values() if one["status"] == "complete"]
    charges = [one for one in stripe.intents.values() if one["status"] == "succeeded"]
    orders = [one["metadata"]["order_id"] for one in (*pages, *charges)]
    assert len(orders) == len(set(orders)), "an order was paid for twice"
    amounts = [page["amount_total"] for page in pages] + [made["amount"] for made in charges]
    return Counter(dict(zip(orders, amounts, strict=True)))

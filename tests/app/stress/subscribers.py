"""Customers who subscribe, and are charged again and again while everything is killed.

Each begins one subscription, with an API key of their own, and waits until it is paid and runs. The
time of a period passes at once, again and again, so that kills hit charges which nobody is there to
ask for a second time.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import psycopg

from tests.app.stress.asking import Caller
from tests.app.stress.service import Service
from tests.app.stripe_server import StripeServer

PLANS = {"club-month": 900, "club-year": 9000}
PERIODS = 12
"""Periods of a subscription that are paid for at most: the first on a page, the others without."""
AT_ONCE = 3
"""Subscriptions whose period ends at one moment."""
CHARGE_SECONDS = 0.2
"""How long a charge takes at the gateway, as there: a kill must have something to hit."""

# What is being renewed already is left alone: its step is planned for another time. The sweep that
# the clock would begin comes at once.
PASS = f"""
    WITH ended AS (
        UPDATE payments.subscriptions SET next_step_at = now() WHERE id IN (
            SELECT id FROM payments.subscriptions s
             WHERE status = 'active' AND next_step_at = period_end
               AND (SELECT count(*) FROM payments.subscription_invoices i
                     WHERE i.subscription_id = s.id) < {PERIODS}
             ORDER BY random() LIMIT {AT_ONCE} FOR UPDATE SKIP LOCKED)
        RETURNING id),
    sweep AS (
        SELECT payments.procrastinate_defer_jobs_v1(ARRAY[ROW('payments', 'sweep', 0, NULL, NULL,
               '{{"timestamp": 0}}'::jsonb, NULL)::payments.procrastinate_job_to_defer_v1])
          FROM ended LIMIT 1)
    SELECT count(*) FROM sweep"""  # noqa: S608

RENEWED = """
    SELECT count(*) > 0 FROM (SELECT FROM payments.subscription_invoices WHERE status = 'paid'
     GROUP BY subscription_id HAVING count(*) > 1) x"""


@dataclass
class Subscribers:
    """Customers by their API keys, and what came of their subscriptions."""

    service: Service
    stripe: StripeServer
    keys: dict[UUID, str]
    chance: random.Random
    within: float
    """Seconds in which they begin, but for the first, who begin at once."""
    faults: bool = True
    made: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    renewing: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether the first have begun: from then on there is something to renew."""

    async def run(self, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        """Subscribe and renew until told to stop; ends when every subscription has begun."""
        self.stripe.charge_seconds = CHARGE_SECONDS
        some = len(self.keys) // 3
        first, others = list(self.keys)[:some], list(self.keys)[some:]
        await asyncio.gather(
            self._begin(client, first),
            *(self._begin_later(client, customer, stop) for customer in others),
            self._let_periods_pass(stop),
        )

    async def _begin(self, client: httpx.AsyncClient, customers: list[UUID]) -> None:
        await asyncio.gather(*(self._subscribe(client, customer) for customer in customers))
        self.renewing.set()

    async def _begin_later(
        self, client: httpx.AsyncClient, customer: UUID, stop: asyncio.Event
    ) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), self.chance.uniform(0.0, self.within))
        await self._subscribe(client, customer)

    async def _subscribe(self, client: httpx.AsyncClient, customer: UUID) -> None:
        """Subscribe, under one key, and wait until it is paid for."""
        again = self.chance.random() < 0.3
        body = {"plan": self.chance.choice(list(PLANS)), "currency": "EUR"}
        caller = Caller(client, self.keys[customer])
        path = "/api/v1/payments/create-subscription"
        answer = await caller.ask(path, body, "subscribe")
        assert answer.status_code == 201, answer.text
        told = answer.json()
        assert (told["plan"], told["amount"]) == (body["plan"], PLANS[body["plan"]])
        self.made[customer] = told
        if again:
            assert (await caller.ask(path, body, "subscribe")).json() == told
        while [one["status"] for one in await self._mine(caller)] != ["active"]:
            await asyncio.sleep(1.0)

    async def _mine(self, caller: Caller) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await caller.look("/api/v1/subscriptions"))["data"]
        return found

    async def aim(self, seconds: float) -> None:
        """Wait for a moment within a charge, `seconds` at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.stripe.charging:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(self.chance.uniform(0.0, CHARGE_SECONDS))

    async def _let_periods_pass(self, stop: asyncio.Event) -> None:
        """End periods until told to stop, and until one at least was followed by another."""
        while not (stop.is_set() and await self._ask(RENEWED)):
            await asyncio.sleep(0.4)
            passed = await self._ask(PASS)
            if passed and self.faults and self.renewing.is_set() and not stop.is_set():
                fault = self.chance.choice([None, "fail", "fail_after_commit"])
                self.stripe.faults.extend([fault] if fault else [])

    async def _ask(self, query: str) -> object:
        """Ask the database, unless it was killed."""
        try:
            return await asyncio.to_thread(self.service.scalar, query)
        except psycopg.Error:
            return None


def compare(service: Service, subscribers: Subscribers, taken: Counter[str]) -> dict[str, int]:
    """Hold subscriptions and invoices against what was `taken` for which order at the gateway."""
    theirs = {(str(customer), told["id"]) for customer, told in subscribers.made.items()}
    assert len(theirs) == len(subscribers.keys), "a subscriber has no answer"
    rows = service.rows("SELECT customer_id::text, id::text, status FROM payments.subscriptions")
    assert {row[:2] for row in rows} == theirs, "a subscription was lost"
    assert len(rows) == len(theirs), "a subscription was doubled"
    assert {row[2] for row in rows} <= {"active"}, "a subscription ended, or is not paid"
    invoices = service.rows(
        "SELECT order_id::text, status, amount - credit FROM payments.subscription_invoices"
    )
    assert {status for _, status, _ in invoices} <= {"paid"}, "an invoice was not paid"
    billed = {order: amount for order, _, amount in invoices}
    assert billed == {order: taken[order] for order in billed}, "an invoice was paid elsewhere"
    twice = service.scalar(
        "SELECT count(*) FROM payments.subscription_invoices a"
        " JOIN payments.subscription_invoices b"
        " ON a.subscription_id = b.subscription_id AND a.id < b.id"
        " AND a.kind = 'period' AND b.kind = 'period'"
        " AND tstzrange(a.period_start, a.period_end) && tstzrange(b.period_start, b.period_end)"
    )
    assert twice == 0, "a period was paid for twice"
    behind = service.scalar(
        "SELECT count(*) FROM payments.subscriptions s WHERE period_end < ("
        " SELECT max(period_end) FROM payments.subscription_invoices i"
        " WHERE i.subscription_id = s.id)"
    )
    assert behind == 0, "a period was paid for and did not begin"
    return {"subscriptions": len(rows), "renewals": len(invoices) - len(rows)}

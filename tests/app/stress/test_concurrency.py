"""The same thing asked for many times at once has one effect, and nobody deadlocks."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import text

from payments.ledger import service as ledger
from payments.ledger.service import Entry, Transfer
from payments.money import Money
from payments.refunds import service as refunds
from payments.refunds.service import RefundTooLargeError, RefundView
from payments.resources import Resources
from tests.app.backends import Cluster
from tests.app.fixtures import WEBHOOK_SECRET
from tests.app.orders.helpers import books, order, scalar
from tests.app.processes import environment, running, wait_until_well
from tests.app.refunds.test_refunds import paid
from tests.app.stress.figures import keep
from tests.app.stress.flows import Flows
from tests.app.stress.rules import broken
from tests.app.stripe_server import StripeServer, event, sign

LONG = (pytest.mark.stress, pytest.mark.timeout(400))


def sizes(short: Any, full: Any) -> pytest.MarkDecorator:
    """Run at a small size always, and at the promised one among the long tests."""
    return pytest.mark.parametrize("size", [short, pytest.param(full, marks=LONG)])


async def at_once(number: int, most: int, call: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """Make `number` calls, `most` at a time; returns what came of them."""
    room = asyncio.Semaphore(most)

    async def one(n: int) -> Any:
        async with room:
            return await call(n)

    return list(await asyncio.gather(*(one(n) for n in range(number)), return_exceptions=True))


def deadlocks(postgres: Cluster, database: str) -> int:
    """Return how many deadlocks the server has counted in a database."""
    with psycopg.connect(postgres.superuser_url, dbname=database, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT pg_stat_clear_snapshot()")
        row = connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = %s", (database,)
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest_asyncio.fixture
async def api(
    postgres: Cluster, database_name: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """An api process, over HTTP."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = environment(
        postgres, database_name, redis_url,
        PAYMENTS_PORT=str(port), PAYMENTS_RUN_DIR=str(tmp_path),
    )  # fmt: skip
    with running("api", env, log=tmp_path / "api.log") as process:
        await asyncio.to_thread(wait_until_well, env, process)
        limits = httpx.Limits(max_connections=300)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=60, limits=limits
        ) as made:
            yield made


@sizes(200, 10_000)
async def test_copies_of_one_webhook_have_one_effect(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    api: httpx.AsyncClient,
    size: int,
) -> None:
    await order(client)
    (session,) = stripe_server.sessions.values()
    body = event("checkout.session.completed", stripe_server.pay(session["id"]), key="evt_once")
    headers = {"stripe-signature": sign(body, WEBHOOK_SECRET)}
    began = time.monotonic()

    async def deliver(_: int) -> Any:
        answer = await api.post("/webhooks/stripe", content=body, headers=headers)
        return answer.status_code, answer.json().get("status")

    found = Counter(await at_once(size, 250, deliver))
    assert found == {(200, "applied"): 1, (200, "duplicate"): size - 1}
    captured = "SELECT count(*) FROM payments.ledger_transfers WHERE kind = 'payment.captured'"
    effects = await scalar(resources, captured)
    assert effects == await scalar(resources, "SELECT count(*) FROM payments.webhook_inbox") == 1
    await books(resources)
    seconds = round(time.monotonic() - began, 1)
    if size >= 10_000:
        keep("webhooks", {"copies": size, "effects": effects, "seconds": seconds})


@sizes(100, 1_000)
async def test_posts_under_one_key_make_one_order_and_one_transfer(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, size: int
) -> None:
    began = time.monotonic()
    answers = await at_once(size, size, lambda _: order(client))
    statuses = Counter(getattr(answer, "status_code", repr(answer)) for answer in answers)
    assert set(statuses) <= {201, 409}, statuses
    assert statuses[201] >= 1
    assert len({a.json()["id"] for a in answers if a.status_code == 201}) == 1
    assert await scalar(resources, "SELECT count(*) FROM payments.orders") == 1
    assert len(stripe_server.sessions) == stripe_server.creates == 1

    money = Money(100, "EUR")
    made = Transfer(
        key="once",
        kind="test",
        subject=None,
        entries=(Entry("gateway", "gateway_clearing", -money), Entry("a", "wallet", money)),
    )

    async def post(_: int) -> bool:
        async with resources.database.transaction() as session:
            return (await ledger.post(session, [made]))[0].replayed

    posted = Counter(await at_once(size, 100, post))
    assert posted == {False: 1, True: size - 1}
    await books(resources)
    if size >= 1_000:
        seconds = round(time.monotonic() - began, 1)
        keep("posts", {"posts": size, "orders": 1, "transfers": 1, "seconds": seconds})


@sizes(2, 50)
async def test_refunds_at_once_never_give_back_more_than_came(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, size: int
) -> None:
    """20 refunds of 60 on 100, in hundredths of a course."""
    most, took = 0, 0
    for number in range(size):
        stripe_server.sessions.clear()
        stripe_server.refunds.clear()
        await paid(client, stripe_server, sku="course", key=f"round-{number}")
        payment_id: UUID = await scalar(
            resources, "SELECT id FROM payments.payments ORDER BY created_at DESC LIMIT 1"
        )
        captured = await scalar(
            resources, "SELECT captured FROM payments.payments ORDER BY created_at DESC LIMIT 1"
        )
        sixty = Money(captured * 60 // 100, "EUR")

        async def ask(
            n: int, which: int = number, what: Money = sixty, of: UUID = payment_id
        ) -> Any:
            return await refunds.request(
                resources,
                payment_id=of,
                money=what,
                reason="r",
                requested_by="t",
                request_key=f"{which}-{n}",
            )

        answers = await at_once(20, 20, ask)
        assert all(isinstance(a, RefundView | RefundTooLargeError) for a in answers), answers
        given = sum(refund["amount"] for refund in stripe_server.refunds.values())
        assert given == sixty.amount, "exactly one of twenty"
        most, took = max(most, given * 100 // captured), took + 1
    await books(resources)
    if size >= 50:
        keep("refunds", {"rounds": took, "at_once": 20, "most_refunded_percent": most})


@sizes(1_000, 50_000)
async def test_transfers_between_hot_accounts_never_deadlock(
    resources: Resources, postgres: Cluster, database_name: str, size: int
) -> None:
    """Each transaction posts eight transfers among twelve wallets, fees to one hot account."""
    chance = random.Random(1)  # noqa: S311
    wallets = [f"w{n}" for n in range(12)]
    per, cent = 8, Money(1, "EUR")
    async with resources.database.transaction() as session:
        rich = Money(10_000_000, "EUR")
        await ledger.post(
            session,
            [
                Transfer(
                    key=f"fund-{wallet}",
                    kind="test",
                    subject=None,
                    entries=(
                        Entry("gateway", "gateway_clearing", -rich),
                        Entry(wallet, "wallet", rich),
                    ),
                )
                for wallet in wallets
            ],
        )
    before, began = deadlocks(postgres, database_name), time.monotonic()

    async def post(number: int) -> int:
        transfers = []
        for n in range(per):
            source, target = chance.sample(wallets, 2)
            money = Money(chance.randint(2, 50), "EUR")
            entries = (
                Entry(source, "wallet", -money),
                Entry(target, "wallet", money - cent),
                Entry(ledger.HOUSE, "suspense", cent),
            )
            key = f"hot-{number}-{n}"
            transfers.append(Transfer(key=key, kind="test", subject=None, entries=entries))
        async with resources.database.transaction() as session:
            return len(await ledger.post(session, transfers))

    posted = await at_once(size // per, 10, post)
    assert sum(posted) == size, [one for one in posted if not isinstance(one, int)][:3]
    seconds = round(time.monotonic() - began, 1)
    met = deadlocks(postgres, database_name) - before
    assert met == 0
    async with resources.database.transaction() as session:
        await session.execute(text("SET LOCAL statement_timeout = '60s'"))
    assert await broken(resources) == {}
    if size >= 50_000:
        keep("transfers", {"transfers": size, "deadlocks": met, "seconds": seconds})


@sizes(6, 90)
async def test_all_flows_at_once_never_deadlock(
    resources: Resources,
    stripe_server: StripeServer,
    postgres: Cluster,
    database_name: str,
    size: int,
) -> None:
    """For `size` seconds, everything that may happen, in eight tasks over the same few rows."""
    flows = Flows(resources=resources, stripe=stripe_server, chance=random.Random(2))  # noqa: S311
    before, until = deadlocks(postgres, database_name), time.monotonic() + size
    done: Counter[str] = Counter()
    asked = (
        "order", "order", "retry", "refund", "subscribe", "step_subscription", "deliver",
        "deliver", "deliver", "sweep", "credit_suspense", "merchant_payout", "hold", "transfer",
        "change_subscription",
    )  # fmt: skip
    there = ("pay", "pay", "expire", "refund_there", "settle_refund", "dispute", "close_dispute",
             "pay_out")  # fmt: skip

    async def act() -> None:
        while time.monotonic() < until:
            getattr(flows, flows.chance.choice(there))()
            name = flows.chance.choice(asked)
            if name == "order" and flows.chance.random() < 0.5:
                await flows.order("credit-50")
            else:
                await getattr(flows, name)()
            done[name] += 1

    await asyncio.gather(*(act() for _ in range(8)))
    met = deadlocks(postgres, database_name) - before
    await flows.settle()
    assert await broken(resources) == {}
    failed = await flows.rows(
        "SELECT event_type, reason, attempts FROM payments.webhook_inbox WHERE state = 'failed'"
    )
    assert met == 0
    assert failed == [], "no event failed for want of a lock"
    if size >= 60:
        keep("flows", {"seconds": size, "steps": sum(done.values()), "deadlocks": met})

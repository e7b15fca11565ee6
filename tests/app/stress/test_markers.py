"""What must be nowhere: card data, secrets, raw messages. Planted, and then looked for everywhere.

Everywhere is: every column of every table, every key of the cache, every line that api, worker and
a reconciliation wrote, the metrics, and what a process list shows. The gateways are all four: their
keys and webhook secrets, all that they answer, and what they deliver. A marker is looked for as it
is, and as bytes are shown.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from redis import Redis
from sqlalchemy import text

from payments import jobs
from payments.api_keys import service as api_keys
from payments.resources import Resources
from tests.app.backends import Cluster
from tests.app.fixtures import PUBLIC_URL
from tests.app.processes import command, environment, running, wait_until_well
from tests.app.stress.planting import Gateways, gateways, plant_in_answers
from tests.app.stripe_server import KEY, StripeServer, charge, event, sign

CARD, SPACED, CVC = "4000056655665556", "4000 0566 5566 5556", "cvc-7f3a91"
EMAIL, PASSWORD = "mona.marker@planted.example", "nine-planted-marbles-42"
WRONG = "ten-planted-marbles-43"
RAW = "raw-body-b41c77"
FIRST, SECOND = "whsec_plantedFirst7d21", "whsec_plantedSecond90ae"
SESSION = b"planted-session-key-0123456789ab"
BEARER = "pk_test_plantedAndNeverMade00000000000000000000000"
KEPT_ON_PURPOSE = {EMAIL: {"table users", "cache session"}}
"""A registered person's own address is in the table of people and in their session, and nowhere
else."""
PAID = {"stripe", "razorpay", "paypal", "cryptomus"}
PLANTED: dict[str, Any] = {
    "customer_details": {"email": EMAIL, "note": RAW},
    "payment_method_details": {"card": {"number": CARD, "cvc": CVC, "exp": RAW}},
    "client_secret": FIRST,
    "description": f"{RAW} {SPACED}",
}


def rows(url: str, database: str) -> Iterator[tuple[str, str]]:
    """Yield every row of every table as text; bytes as hexadecimal digits."""
    with psycopg.connect(url, dbname=database) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'payments'"
        ).fetchall()
        assert len(tables) > 25
        for (table,) in tables:
            query = sql.SQL("SELECT t::text FROM payments.{} t").format(sql.Identifier(table))
            for (row,) in connection.execute(query):
                yield table, row


def cached(url: str) -> Iterator[tuple[str, str]]:
    """Yield every key of the cache with what it holds as text, by the first word of its name."""
    with Redis.from_url(url, decode_responses=True) as cache:
        read: dict[str, Callable[[str], object]] = {
            "string": cache.get,
            "hash": cache.hgetall,
            "set": cache.smembers,
            "list": lambda key: cache.lrange(key, 0, -1),
            "zset": lambda key: cache.zrange(key, 0, -1),
        }
        for key in cache.scan_iter():
            yield key.partition(":")[0], f"{key} {read[str(cache.type(key))](key)}"


def forms(marker: str) -> tuple[str, str]:
    """Return a marker as text, and as Postgres shows bytes."""
    return marker, marker.encode().hex()


def found_in(where: Mapping[str, str], markers: Mapping[str, str]) -> list[str]:
    """Return which markers are in which texts; never the texts."""
    return [
        f"{name} in {place}"
        for name, marker in markers.items()
        for place, content in where.items()
        if any(form in content for form in forms(marker))
    ]


def not_meant_to_be(place: str, content: str, markers: Mapping[str, str]) -> list[str]:
    """Return which markers are in a place where nobody put them on purpose."""
    looked_for = {n: m for n, m in markers.items() if place not in KEPT_ON_PURPOSE.get(m, ())}
    return found_in({place: content}, looked_for)


async def look_at_everything(resources: Resources) -> None:
    """Have the worker ask the gateways about every payment now."""
    async with resources.database.transaction() as session:
        payments = await session.scalars(
            text(
                "UPDATE payments.payments SET next_check_at = now() - interval '1 second'"
                " WHERE next_check_at IS NOT NULL RETURNING id"
            )
        )
        for payment_id in payments.all():
            await jobs.enqueue(session, jobs.REPAIR_PAYMENT, {"payment_id": str(payment_id)})


@pytest_asyncio.fixture
async def others(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateways]:
    """The gateways beside Stripe; what any of the four answers has the markers in it."""
    plant_in_answers(monkeypatch, PLANTED)
    async with gateways() as running_ones:
        yield running_ones


def port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


async def use(client: httpx.AsyncClient, stripe: StripeServer, key: str) -> dict[str, str]:
    """Do all that brings a marker near the service; returns the secrets it has handed out."""
    origin = {"origin": PUBLIC_URL}
    credentials = {"email": EMAIL, "password": PASSWORD}
    await client.post("/api/v1/register", json=credentials, headers=origin)
    for password in (WRONG, PASSWORD):
        wrong = credentials | {"password": password}
        answer = await client.post("/api/v1/auth/login", json=wrong, headers=origin)
    assert answer.status_code == 200, answer.text
    handed = {"access token": str(answer.json()["access_token"])}
    handed |= {f"cookie {name}": value for name, value in answer.cookies.items()}

    bearer = {"authorization": f"Bearer {key}"}
    made = await client.post(
        "/api/v1/webhook-endpoints",
        json={"url": "https://example.com/hook", "events": ["order.paid"]},
        headers=bearer,
    )
    assert made.status_code == 201, made.text
    handed["endpoint secret"] = made.json()["secret"].removeprefix("whsec_")
    order = {"sku": "coffee", "currency": "EUR", "quantity": 1}
    for body in (order, order | {"card_number": CARD, "cvc": CVC}, order | {"sku": SPACED}):
        await client.post(
            "/api/v1/orders", json=body, headers=bearer | {"Idempotency-Key": f"k{len(str(body))}"}
        )
    await client.get("/api/v1/orders", headers={"authorization": f"Bearer {BEARER}"})
    await client.get("/api/v1/orders", params={"token": KEY, "card": CARD, "email": EMAIL})

    (session,) = stripe.sessions.values()
    paid = dict(stripe.pay(session["id"])) | PLANTED
    bodies = [
        event("checkout.session.completed", paid, key="evt_paid"),
        event("charge.refunded", charge(paid, 100) | PLANTED, key="evt_refunded"),
        event("charge.refunded", charge(paid, "x") | PLANTED, key="evt_malformed"),  # type: ignore[arg-type]
        event("invoice.paid", PLANTED, key="evt_unknown"),
        json.dumps({"broken": PLANTED})[:-5].encode(),
    ]
    for body in bodies:
        for secret in (SECOND, "whsec_of_nobody"):
            headers = {"stripe-signature": sign(body, secret)}
            await client.post("/webhooks/stripe", content=body, headers=headers)
    stripe.faults = ["fail"]
    again = bearer | {"Idempotency-Key": "again"}
    assert (await client.post("/api/v1/orders", json=order, headers=again)).status_code == 202
    return handed


@pytest.mark.timeout(300)
async def test_no_planted_marker_is_found_anywhere(
    postgres: Cluster,
    database_name: str,
    redis_url: str,
    stripe_server: StripeServer,
    resources: Resources,
    tmp_path: Path,
    others: Gateways,
) -> None:
    api_port, api_metrics, worker_metrics = port(), port(), port()
    env = environment(
        postgres, database_name, redis_url,
        PAYMENTS_PORT=str(api_port), PAYMENTS_METRICS_PORT=str(api_metrics),
        PAYMENTS_RUN_DIR=str(tmp_path), PAYMENTS_STRIPE_API_BASE=stripe_server.url,
        PAYMENTS_STRIPE_WEBHOOK_SECRETS=f"{FIRST},{SECOND}",
        PAYMENTS_SESSION_KEY=base64.b64encode(SESSION).decode(),
        **others.environment(),
    )  # fmt: skip
    async with resources.database.transaction() as session:
        made = await api_keys.make(
            session,
            customer_id=UUID(int=7),
            name="planted",
            scopes=["orders:read", "orders:write", "webhooks:write"],
            mode="test",
        )
    markers = {
        "card": CARD, "spaced card": SPACED, "cvc": CVC, "e-mail": EMAIL, "password": PASSWORD,
        "wrong password": WRONG, "raw body": RAW, "webhook secret": FIRST.removeprefix("whsec_"),
        "second webhook secret": SECOND.removeprefix("whsec_"), "gateway key": KEY,
        "session key": SESSION.decode(), "encoded session key": base64.b64encode(SESSION).decode(),
        "API key": made.secret, "wrong API key": BEARER,
    }  # fmt: skip
    api_log, worker_log = tmp_path / "api.log", tmp_path / "worker.log"
    beats = tmp_path / "worker"
    beats.mkdir()
    worker_env = env | {
        "PAYMENTS_METRICS_PORT": str(worker_metrics),
        "PAYMENTS_RUN_DIR": str(beats),
    }
    with (
        running("api", env, log=api_log) as api,
        running("worker", worker_env, log=worker_log) as worker,
    ):
        await asyncio.to_thread(wait_until_well, env, api)
        await asyncio.to_thread(wait_until_well, worker_env, worker)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api_port}") as client:
            markers |= await use(client, stripe_server, made.secret)
            await others.use(client, {"authorization": f"Bearer {made.secret}"}, PLANTED)
        await look_at_everything(resources)
        await asyncio.sleep(5)  # the worker tries what waits, and asks the gateways
        markers |= others.markers()
        reconciled = await asyncio.to_thread(command, "reconcile", env)
        assert all(name in reconciled.stdout for name in PAID), "each of them was asked"
        places = {"process list": "", "the reconciliation": reconciled.stdout + reconciled.stderr}
        for process in (api, worker):
            places["process list"] += Path(f"/proc/{process.pid}/cmdline").read_text()
        async with httpx.AsyncClient() as client:
            for number in (api_metrics, worker_metrics):
                answer = await client.get(f"http://127.0.0.1:{number}/metrics")
                places[f"metrics {number}"] = answer.text
    places |= {"the api's log": api_log.read_text(), "the worker's log": worker_log.read_text()}
    assert "request.answered" in places["the api's log"], "there is something to look through"
    assert "payment_attempts_total" in places[f"metrics {api_metrics}"]
    assert found_in(places, markers) == []
    async with resources.database.transaction() as session:
        paid = await session.scalars(
            text("SELECT DISTINCT gateway FROM payments.payments WHERE status = 'paid'")
        )
        assert set(paid) >= PAID - {"stripe"}, "what was planted was read as a payment"

    seen = 0
    for table, row in rows(postgres.superuser_url, database_name):
        seen += 1
        assert not_meant_to_be(f"table {table}", row, markers) == []
    assert seen > 100
    names = set()
    for name, content in cached(redis_url):
        names.add(name)
        assert not_meant_to_be(f"cache {name}", content, markers) == []
    assert {"session", "sessions-of"} <= names, "there is something to look through"


def test_the_search_finds_what_is_there(
    postgres: Cluster, database_name: str, redis_url: str, resources: Resources
) -> None:
    with psycopg.connect(postgres.superuser_url, dbname=database_name) as connection:
        connection.execute(
            "INSERT INTO payments.idempotency_keys (principal, key, operation, request_hash,"
            " lease_until, expires_at, status, headers, body, state, finished_at) VALUES ('p', 'k',"
            " %s, '', now(), now() + interval '40 days', 200, '{}', %s, 'done', now())",
            (EMAIL, CARD.encode()),
        )
    with Redis.from_url(redis_url) as cache:
        cache.hset("session:marked", mapping={"note": CVC})
    assert [CVC in content for name, content in cached(redis_url) if name == "session"] == [True]
    content = "".join(row for _, row in rows(postgres.superuser_url, database_name))
    found = found_in({"rows": content}, {"card": CARD, "e-mail": EMAIL, "cvc": CVC})
    assert found == ["card in rows", "e-mail in rows"]

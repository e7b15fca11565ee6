"""What is told of refunds and disputes, and that it is what the document promises."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI
from jsonschema_rs import Draft202012Validator
from sqlalchemy import text

from payments.resources import Resources
from payments.schema.migrate import SCRIPTS
from payments.webhooks_out.messages import TYPES
from tests.app.backends import MIGRATOR, Cluster
from tests.app.disputes.test_disputes import tell
from tests.app.orders.helpers import order
from tests.app.refunds.test_refunds import ask, paid, told
from tests.app.stripe_server import StripeServer
from tests.app.webhooks_out.test_webhooks_out import add

MIGRATION = SCRIPTS / "versions" / "0018_told.sql"


async def messages(resources: Resources, kind: str) -> list[tuple[str, dict[str, Any]]]:
    async with resources.database.transaction() as session:
        found = await session.execute(
            text(
                "SELECT type, data FROM payments.webhook_messages WHERE type LIKE :kind"
                " ORDER BY created_at, type"
            ),
            {"kind": f"{kind}.%"},
        )
        return [(type, data) for type, data in found]


async def test_each_partial_refund_is_told_with_its_own_amount(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await add(client, "https://shop.example/hooks")
    await paid(client, stripe_server)
    ids = [str((await ask(resources, amount, key=str(amount))).id) for amount in (400, 700)]
    told_of = await messages(resources, "refund")
    assert [(type, data["id"], data["amount"], data["status"]) for type, data in told_of] == [
        ("refund.succeeded", ids[0], 400, "succeeded"),
        ("refund.succeeded", ids[1], 700, "succeeded"),
    ]
    (mine,) = (await client.get("/api/v1/orders")).json()["data"]
    assert {data["order"] for _, data in told_of} == {mine["id"]}


async def test_a_refund_that_fails_or_comes_back_is_told(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await add(client, "https://shop.example/hooks")
    await paid(client, stripe_server)
    stripe_server.refund_status = "pending"
    await ask(resources, 400)
    refund = next(iter(stripe_server.refunds.values()))
    for at, status in ((10, "succeeded"), (20, "failed")):
        await told(resources, "refund.updated", refund | {"status": status}, at=at)
    types = [type for type, _ in await messages(resources, "refund")]
    assert types == ["refund.pending", "refund.succeeded", "refund.returned"]


async def test_a_dispute_is_told_from_its_beginning_to_its_end(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await add(client, "https://shop.example/hooks")
    session = await paid(client, stripe_server)
    for what in ("opened", "withdrawn", "lost", "reinstated"):
        await tell(resources, session, what)
    told_of = await messages(resources, "dispute")
    assert [(type, data["status"], data["amount"]) for type, data in told_of] == [
        ("dispute.opened", "open", 2490),
        ("dispute.lost", "lost", 2490),
        ("dispute.won", "won", 2490),
    ]


async def test_what_is_told_is_what_the_document_promises(
    app: FastAPI, client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await add(client, "https://shop.example/hooks")
    session = await paid(client, stripe_server)
    await ask(resources, 400)
    await tell(resources, session, "opened")
    await order(client, key="another")
    document = app.openapi()
    seen = set()
    for kind in ("order", "refund", "dispute"):
        for type, data in await messages(resources, kind):
            media = document["webhooks"][type]["post"]["requestBody"]["content"]
            schema = media["application/json"]["schema"] | {"components": document["components"]}
            message = {"type": type, "timestamp": "2026-11-21T10:15:00+00:00", "data": data}
            Draft202012Validator(schema).validate(message)
            seen.add(kind)
    assert seen == {"order", "refund", "dispute"}


async def test_an_endpoint_that_was_promised_everything_is_told_of_what_is_new(
    client: httpx.AsyncClient, postgres: Cluster, database_name: str
) -> None:
    before = [type for type in TYPES if type.partition(".")[0] in ("order", "subscription")]
    everything = await add(client, "https://a.example/hooks", *before)
    some = await add(client, "https://b.example/hooks", *before[:-1])
    with postgres.connect(MIGRATOR, database_name) as connection:
        for _ in range(2):
            connection.execute(MIGRATION.read_text().encode())
    listed = {
        one["id"]: one["events"]
        for one in (await client.get("/api/v1/webhook-endpoints")).json()["data"]
    }
    assert sorted(listed[everything["id"]]) == sorted(TYPES)
    assert listed[some["id"]] == some["events"]

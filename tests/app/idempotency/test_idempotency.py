"""One key, one effect, one answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from payments.idempotency import store
from payments.idempotency.store import Answer, KeyInUseError, LeaseLostError, Reservation
from payments.resources import Resources, build
from payments.settings import ServiceSettings
from payments.worker import tasks
from tests.app.fixtures import BOB, USER_HEADER
from tests.app.orders.helpers import order, scalar
from tests.app.stripe_server import StripeServer

ORDERS = "SELECT count(*) FROM payments.orders"


async def test_a_repeated_request_gets_the_first_answer_and_nothing_happens(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    first = await order(client)
    again = await order(client)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await scalar(resources, ORDERS) == 1
    assert stripe_server.creates == 1


async def test_another_body_under_the_key_is_refused(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    await order(client)
    other = await order(client, quantity=2)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await scalar(resources, ORDERS) == 1


async def test_keys_of_two_people_have_nothing_to_do_with_each_other(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    mine = await order(client)
    client.headers[USER_HEADER] = str(BOB)
    theirs = await order(client)
    assert theirs.status_code == 201
    assert theirs.json()["id"] != mine.json()["id"]


@pytest.mark.parametrize("key", [None, "", " ", "k" * 256, "käse", "a b"])
async def test_a_key_is_required_and_plain(client: httpx.AsyncClient, key: str | None) -> None:
    headers = {} if key is None else {b"Idempotency-Key": key.encode()}
    body = {"sku": "coffee", "currency": "EUR"}
    response = await client.post("/api/v1/orders", json=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_missing")


async def test_many_at_once_under_one_key_place_one_order(
    app: FastAPI, client: httpx.AsyncClient, settings: ServiceSettings, stripe_server: StripeServer
) -> None:
    crowd = build(settings, name="tests-crowd", pool_size=30)
    first, app.state.resources = app.state.resources, crowd
    responses = await asyncio.gather(*(order(client) for _ in range(300)))
    by_status = dict.fromkeys((201, 409), 0)
    for response in responses:
        by_status[response.status_code] += 1
        if response.status_code == 409:
            assert response.headers["retry-after"] == "2"
    assert by_status[201] >= 1
    assert len({r.content for r in responses if r.status_code == 201}) == 1
    assert await scalar(crowd, ORDERS) == 1
    assert stripe_server.creates == 1
    await crowd.close()
    app.state.resources = first


async def test_a_refused_request_leaves_the_key_free(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    assert (await order(client, sku="yacht")).status_code == 422
    assert (await order(client)).status_code == 201, "nothing had happened under the key"


async def test_a_run_that_died_is_taken_over_and_cannot_finish_any_more(
    resources: Resources,
) -> None:
    async def reserve() -> Reservation:
        reserved = await store.reserve(
            resources.database, principal="p", key="k", operation="POST /x", request_hash=b"h"
        )
        assert isinstance(reserved, Reservation)
        return reserved

    dead = await reserve()
    with pytest.raises(KeyInUseError):
        await reserve()
    async with resources.database.transaction() as session:
        await session.execute(text("UPDATE payments.idempotency_keys SET lease_until = now()"))
    successor = await reserve()
    answer = Answer(status=201, headers={}, body=b"{}")
    with pytest.raises(LeaseLostError):
        async with resources.database.transaction() as session:
            await dead.finish(session, answer)
    async with resources.database.transaction() as session:
        await successor.finish(session, answer)
    replay = await store.reserve(
        resources.database, principal="p", key="k", operation="POST /x", request_hash=b"h"
    )
    assert replay == answer


async def test_keys_are_kept_for_thirty_days_and_then_forgotten(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    await order(client)
    kept = "SELECT expires_at - created_at FROM payments.idempotency_keys"
    assert await scalar(resources, kept) >= timedelta(days=30)
    await tasks.expire(resources)
    assert await scalar(resources, "SELECT count(*) FROM payments.idempotency_keys") == 1
    async with resources.database.transaction() as session:
        await session.execute(
            text(
                "UPDATE payments.idempotency_keys SET created_at = now() - interval '46 days',"
                " expires_at = now() - interval '1 day'"
            )
        )
    await tasks.expire(resources)
    assert await scalar(resources, "SELECT count(*) FROM payments.idempotency_keys") == 0

"""A customer's transactions over HTTP: theirs alone, newest first, in pages."""

from __future__ import annotations

import httpx

from tests.app.fixtures import BOB, USER_HEADER
from tests.app.orders.helpers import deliver, order
from tests.app.stripe_server import StripeServer, event

PATH = "/api/v1/transactions"


async def _top_up(client: httpx.AsyncClient, stripe_server: StripeServer, number: int) -> None:
    await order(client, sku="credit-50", key=f"key-{number}")
    session = stripe_server.pay(list(stripe_server.sessions)[-1])
    body = event("checkout.session.completed", session, key=f"evt_{number}")
    assert (await deliver(client, body)).json() == {"status": "applied"}


async def test_every_entry_of_a_customer_is_listed_once_and_nobody_elses(
    client: httpx.AsyncClient, stripe_server: StripeServer
) -> None:
    for number in range(3):
        await _top_up(client, stripe_server, number)
    everything = (await client.get(PATH)).json()
    assert everything["next_cursor"] is None
    assert [row["balance"] for row in everything["data"]] == [15000, 10000, 5000]
    assert {(row["account"], row["kind"], row["amount"]) for row in everything["data"]} == {
        ("wallet", "payment.captured", 5000)
    }
    others = await client.get(PATH, headers={USER_HEADER: str(BOB)})
    assert others.json() == {"data": [], "next_cursor": None}


async def test_pages_follow_each_other_while_transactions_are_added(
    client: httpx.AsyncClient, stripe_server: StripeServer
) -> None:
    for number in range(3):
        await _top_up(client, stripe_server, number)
    first = (await client.get(PATH, params={"limit": 2})).json()
    await _top_up(client, stripe_server, 3)
    second = (
        await client.get("/api/transactions", params={"limit": 2, "cursor": first["next_cursor"]})
    ).json()
    assert [row["balance"] for row in first["data"] + second["data"]] == [15000, 10000, 5000]
    assert second["next_cursor"] is None
    refused = await client.get(PATH, params={"cursor": "LTE"})
    assert refused.json()["code"] == "bad_cursor"


async def test_nobody_has_no_transactions(client: httpx.AsyncClient) -> None:
    assert (await client.get(PATH, headers={USER_HEADER: ""})).status_code == 401

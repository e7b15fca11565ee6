"""Receipts: a number for each, once, in order, without a gap. Orders and refunds in lists."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from sqlalchemy import text

from payments.money import Money
from payments.receipts import service
from payments.refunds import service as refunds
from payments.resources import Resources
from tests.app.backends import Cluster
from tests.app.fixtures import BOB, USER_HEADER
from tests.app.orders.helpers import deliver, order
from tests.app.stripe_server import StripeServer, event


async def pay(client: httpx.AsyncClient, stripe: StripeServer, key: str) -> UUID:
    """Order coffee and pay it; return the order."""
    placed = (await order(client, key=key)).json()
    session = stripe.pay(list(stripe.sessions)[-1])
    body = event("checkout.session.completed", session, key=f"evt_{key}")
    assert (await deliver(client, body)).json() == {"status": "applied"}
    return UUID(placed["id"])


def path(order_id: UUID, leaf: str = "receipt") -> str:
    return f"/api/v1/orders/{order_id}/{leaf}"


async def test_a_receipt_has_one_number_however_often_it_is_asked_for(
    client: httpx.AsyncClient, stripe_server: StripeServer
) -> None:
    paid = [await pay(client, stripe_server, f"k{number}") for number in range(4)]
    answers = await asyncio.gather(*(client.get(path(one)) for one in paid for _ in range(5)))
    numbers = {(a.json()["order"], a.json()["number"]) for a in answers}
    assert len(numbers) == 4
    year = answers[0].json()["issued_at"][:4]
    assert sorted(n for _, n in numbers) == [f"{year}-00000{n}" for n in (1, 2, 3, 4)]
    first = (await client.get(path(paid[0]))).json()
    assert (first["amount"], first["currency"], first["refunded"]) == (2490, "EUR", 0)


async def test_no_number_is_lost_with_what_fails(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paid = [await pay(client, stripe_server, f"k{number}") for number in range(2)]
    with monkeypatch.context() as patch:
        numbered = service._next

        async def dies(*args: object) -> None:
            await numbered(*args)  # type: ignore[arg-type]
            raise RuntimeError("killed before the commit")

        patch.setattr(service, "_next", dies)
        assert (await client.get(path(paid[0]))).status_code == 500
    assert (await client.get(path(paid[1]))).json()["number"].endswith("-000001")
    assert (await client.get(path(paid[0]))).json()["number"].endswith("-000002")


async def test_there_is_no_receipt_for_what_is_not_paid_or_not_yours(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    open_order = (await order(client, key="open")).json()["id"]
    refused = await client.get(path(open_order))
    assert (refused.status_code, refused.json()["code"]) == (409, "not_paid")
    paid = await pay(client, stripe_server, "paid")
    for leaf in ("receipt", "refunds"):
        theirs = await client.get(path(paid, leaf), headers={USER_HEADER: str(BOB)})
        assert theirs.status_code == 404
        assert (await client.get(path(uuid4(), leaf))).status_code == 404
    async with resources.database.transaction() as session:
        assert await session.scalar(text("SELECT count(*) FROM payments.receipts")) == 0


async def test_what_was_refunded_is_on_the_receipt(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    paid = await pay(client, stripe_server, "k")
    assert (await client.get(path(paid, "refunds"))).json() == {"data": []}
    async with resources.database.transaction() as session:
        payment_id = await session.scalar(
            text("SELECT id FROM payments.payments WHERE order_id = :id"), {"id": paid}
        )
    await refunds.request(
        resources, payment_id=payment_id, money=Money(830, "EUR"), reason="broken",
        requested_by="ada", request_key="r",
    )  # fmt: skip
    (listed,) = (await client.get(path(paid, "refunds"))).json()["data"]
    assert (listed["amount"], listed["status"]) == (830, "succeeded")
    assert "reason" not in listed, "what admins write down is for admins"
    shown = (await client.get(path(paid))).json()
    assert (shown["refunded"], shown["refunds"]) == (830, [listed])


async def test_the_service_cannot_change_or_take_back_a_receipt(
    client: httpx.AsyncClient, stripe_server: StripeServer, postgres: Cluster, database_name: str
) -> None:
    await client.get(path(await pay(client, stripe_server, "k")))
    for statement in ("UPDATE payments.receipts SET number = 7", "DELETE FROM payments.receipts"):
        with (
            postgres.connect("tests_app", database_name) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)


async def test_orders_come_in_pages_each_once_however_often_it_was_tried(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    placed = [(await order(client, key=f"k{n}")).json()["id"] for n in range(5)]
    async with resources.database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO payments.payments (order_id, gateway, account, status, gateway_key,"
                " request, currency, amount, expires_at) SELECT order_id, gateway, account,"
                " 'intended', gateway_key || '-2', request, currency, amount, expires_at"
                " FROM payments.payments WHERE order_id = :id"
            ),
            {"id": placed[2]},
        )
    seen: list[str] = []
    cursor = None
    while True:
        page = (
            await client.get(
                "/api/v1/orders", params={"limit": 2} | ({"cursor": cursor} if cursor else {})
            )
        ).json()
        seen += [row["id"] for row in page["data"]]
        if len(seen) == 2:
            await order(client, key="meanwhile")
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == placed[::-1]
    assert (await client.get("/api/v1/orders", params={"cursor": "LTE"})).status_code == 400
    others = await client.get("/api/v1/orders", headers={USER_HEADER: str(BOB)})
    assert others.json() == {"data": [], "next_cursor": None}

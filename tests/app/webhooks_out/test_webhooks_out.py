"""Webhooks to clients: told with what happens, signed as the standard says, tried for days."""

from __future__ import annotations

import base64
import json
import socket
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import select, text
from standardwebhooks import Webhook

from payments.orders.models import Order
from payments.orders.status import advance
from payments.resources import Resources
from payments.webhooks_out import addresses, deliver
from payments.webhooks_out.addresses import BadAddressError
from payments.webhooks_out.deliver import PAUSES
from payments.webhooks_out.places import Places
from payments.worker import deliveries
from tests.app.fixtures import BOB, USER_HEADER
from tests.app.orders.helpers import order, scalar
from tests.app.refunds.test_refunds import ask, paid
from tests.app.stripe_server import StripeServer
from tests.app.webhooks_out.helpers import receiving

PATH = "/api/v1/webhook-endpoints"


@pytest.fixture
def private(resources: Resources) -> None:
    """Let this installation tell addresses of this machine; no other does."""
    open_settings = resources.settings.model_copy(update={"webhooks_to_private_addresses": True})
    object.__setattr__(resources, "settings", open_settings)


async def add(client: httpx.AsyncClient, url: str, *events: str) -> dict[str, Any]:
    answer = await client.post(PATH, json={"url": url, "events": list(events)})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def tell_all(resources: Resources) -> list[str]:
    states: list[str] = []
    while True:
        async with deliver.next_due(resources, Places(1)) as due:
            if due is None:
                return states
            states.append(await deliver.make(resources, due))


@pytest.mark.usefixtures("private")
async def test_what_happens_to_an_order_is_told_and_verified_by_the_standards_own_library(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    async with receiving() as receiver:
        made = await add(client, receiver.url, "order.paid", "order.refunded")
        await paid(client, stripe_server)
        await ask(resources, None)
        assert await tell_all(resources) == ["delivered", "delivered"]
        told = [Webhook(made["secret"]).verify(body, headers) for headers, body in receiver.got]
        assert [message["type"] for message in told] == ["order.paid", "order.refunded"]
        assert told[0]["data"]["amount"] == 2490
        assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 2
    assert await tell_all(resources) == [], "once"


@pytest.mark.usefixtures("private")
async def test_nothing_is_told_of_what_was_rolled_back(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    await add(client, "http://127.0.0.1:9/hooks")
    await order(client)
    messages = "SELECT count(*) FROM payments.webhook_messages"
    before = await scalar(resources, messages)
    async with resources.database.transaction() as session:
        found = (await session.scalars(select(Order))).one()
        async with session.begin_nested() as savepoint:
            assert await advance(session, found, "expired", cause="test")
            await session.flush()
            await savepoint.rollback()
    assert await scalar(resources, messages) == before


@pytest.mark.usefixtures("private")
@pytest.mark.parametrize("status", [500, 404, 302, 503])
async def test_what_is_not_taken_is_tried_again_later_with_the_same_bytes(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, status: int
) -> None:
    async with receiving() as receiver:
        made = await add(client, receiver.url, "order.paid")
        receiver.status = status
        await paid(client, stripe_server)
        assert await tell_all(resources) == ["waiting"]
        assert await tell_all(resources) == [], "not before its time"
        receiver.status = 200
        async with resources.database.transaction() as session:
            await session.execute(
                text("UPDATE payments.webhook_deliveries SET next_attempt_at = now()")
            )
        assert await tell_all(resources) == ["delivered"]
        (first, first_body), (second, second_body) = receiver.got
        assert first_body == second_body
        assert first["webhook-id"] == second["webhook-id"]
        Webhook(made["secret"]).verify(second_body, second)
    page = (await client.get(f"{PATH}/{made['id']}/deliveries")).json()
    assert [(d["state"], d["attempts"], d["answer"]) for d in page["data"]] == [
        ("delivered", 2, 200)
    ]


@pytest.mark.usefixtures("private")
async def test_after_the_last_attempt_it_has_failed_and_can_be_delivered_once_more(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    async with receiving() as receiver:
        made = await add(client, receiver.url, "order.paid")
        receiver.status = 500
        await paid(client, stripe_server)
        states: list[str] = []
        for _ in range(len(PAUSES) + 1):
            async with resources.database.transaction() as session:
                await session.execute(
                    text("UPDATE payments.webhook_deliveries SET next_attempt_at = now()")
                )
            states += await tell_all(resources)
        assert states == ["waiting"] * len(PAUSES) + ["failed"]
        receiver.status = 200
        (sent,) = (await client.get(f"{PATH}/{made['id']}/deliveries")).json()["data"]
        path = f"{PATH}/{made['id']}/deliveries/{sent['message']}/redeliver"
        assert (await client.post(path)).status_code == 202
        assert await tell_all(resources) == ["delivered"]


@pytest.mark.usefixtures("private")
@pytest.mark.parametrize(("status", "days"), [(410, 0), (500, 6)])
async def test_an_endpoint_that_is_gone_or_fails_for_days_is_disabled_and_says_why(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    status: int,
    days: int,
) -> None:
    async with receiving() as receiver:
        made = await add(client, receiver.url)
        receiver.status = status
        async with resources.database.transaction() as session:
            await session.execute(
                text(
                    "UPDATE payments.webhook_endpoints"
                    " SET failing_since = now() - CAST(:age AS interval)"
                ),
                {"age": timedelta(days=days)},
            )
        await paid(client, stripe_server)
        assert "failed" in await tell_all(resources)
        (endpoint,) = (await client.get(PATH)).json()["data"]
        assert endpoint["enabled"] is False
        assert endpoint["disabled_reason"]
        back = await client.post(f"{PATH}/{made['id']}/switch", json={"enabled": True})
        assert back.json() == endpoint | {"enabled": True, "disabled_reason": None}


@pytest.mark.usefixtures("private")
async def test_a_new_secret_signs_beside_the_old_one_for_a_day(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    async with receiving() as receiver:
        made = await add(client, receiver.url, "order.paid")
        rotated = (await client.post(f"{PATH}/{made['id']}/rotate")).json()
        assert rotated["secret"] != made["secret"]
        await paid(client, stripe_server)
        await tell_all(resources)
        ((headers, body),) = receiver.got
        for secret in (made["secret"], rotated["secret"]):
            Webhook(secret).verify(body, headers)
        async with resources.database.transaction() as session:
            await session.execute(
                text("UPDATE payments.webhook_endpoints SET old_secret_until = now()")
            )
        (sent,) = (await client.get(f"{PATH}/{made['id']}/deliveries")).json()["data"]
        await client.post(f"{PATH}/{made['id']}/deliveries/{sent['message']}/redeliver")
        await tell_all(resources)
        assert receiver.got[1][0]["webhook-signature"].count("v1,") == 1


async def test_secrets_are_sealed_in_the_database(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await add(client, "https://shop.example/hooks")
    sealed = await scalar(resources, "SELECT secret FROM payments.webhook_endpoints")
    assert len(sealed) == 12 + 32 + 16
    assert made["secret"] not in json.dumps((await client.get(PATH)).json())


@pytest.mark.usefixtures("private")
async def test_the_session_key_changes_and_endpoints_keep_their_secrets(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    def keyed(*keys: bytes) -> Resources:
        first, *others = (SecretStr(base64.b64encode(key).decode()) for key in keys)
        changes = {"session_key": first, "previous_session_keys": tuple(others)}
        settings = resources.settings.model_copy(update=changes)
        return replace(resources, settings=settings)

    old, new = resources.settings.session_key_bytes, b"n" * 32
    async with receiving() as receiver:
        made = await add(client, receiver.url, "order.paid")
        rotated = (await client.post(f"{PATH}/{made['id']}/rotate")).json()
        await paid(client, stripe_server)
        assert await tell_all(keyed(new)) == ["waiting"]
        assert receiver.got == [], "nothing is sent that nobody could verify"
        (sent,) = (await client.get(f"{PATH}/{made['id']}/deliveries")).json()["data"]
        assert "secret" in sent["error"]
        for number, resealed in enumerate((keyed(new, old), keyed(new)), 1):
            async with resources.database.transaction() as session:
                await session.execute(
                    text(
                        "UPDATE payments.webhook_deliveries SET state = 'waiting',"
                        " next_attempt_at = now()"
                    )
                )
            assert await tell_all(resealed) == ["delivered"], number
            headers, body = receiver.got[-1]
            for secret in (made["secret"], rotated["secret"]):
                Webhook(secret).verify(body, headers)
            await deliveries.reseal(keyed(new, old))


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/hooks",
        "https://user:password@shop.example/",
        "https://shop.example:22/",
        "https://shop.example/#fragment",
        "https:///hooks",
        "ftp://shop.example/",
        "https://shop.example:port/",
        "https://münchen.example/",
        "https://shop.example/\x7f",
    ],
)
async def test_an_address_that_no_webhook_goes_to_is_refused_by_name(
    client: httpx.AsyncClient, url: str
) -> None:
    refused = await client.post(PATH, json={"url": url})
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_webhook_address")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254", "[::1]", "192.168.0.1",
        "[fd00::1]", "224.0.0.251", "[ff0e::1]", "192.88.99.1", "[::ffff:10.0.0.1]",
        # Each stands for an IPv4 address, here a private one; and what was private once.
        "[64:ff9b::a00:1]", "[64:ff9b:1::a00:1]", "[2002:a00:1::1]", "[2001:0:a00:1::1]",
        "[fec0::1]", "a" * 64 + ".example",
    ],
)  # fmt: skip
async def test_nothing_is_sent_into_a_private_network(host: str) -> None:
    with pytest.raises(BadAddressError):
        await addresses.look_up(f"https://{host}/hooks")


@pytest.mark.parametrize("number", ["1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001::2003"])
def test_what_is_public_is_told(number: str) -> None:
    assert addresses.is_public(number)


async def test_nobody_learns_which_names_exist_in_our_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known: dict[str, list[Any]] = {"inside.example": [(0, 0, 0, "", ("10.0.0.7", 443))]}

    def find(host: str, *_: object, **__: object) -> list[Any]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return known[host]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", find)
    answers = set()
    for host in ("inside.example", "nobody.example"):
        with pytest.raises(BadAddressError) as refused:
            await addresses.look_up(f"https://{host}/hooks")
        answers.add(str(refused.value).replace(host, "…"))
    assert len(answers) == 1


async def test_nobody_touches_another_customers_endpoint(client: httpx.AsyncClient) -> None:
    made = await add(client, "https://shop.example/hooks")
    bob = {USER_HEADER: str(BOB)}
    for method, path, body in (
        ("POST", "rotate", None),
        ("POST", "switch", {"enabled": False}),
        ("GET", "deliveries", None),
    ):
        answer = await client.request(method, f"{PATH}/{made['id']}/{path}", json=body, headers=bob)
        assert answer.status_code == 404, path


async def test_the_worker_tells_too(resources: Resources, app: FastAPI) -> None:
    from payments.orders import status
    from payments.webhooks_out import messages

    messages.start()
    messages.start()
    assert status._LISTENERS.count(messages.on_move) == 1, "once, however many apps there are"

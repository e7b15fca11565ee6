"""Deliveries: who made them, when, how often, and in which order."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text

from payments.gateways.secrets import WebhookSecret
from payments.inbox import service as inbox
from payments.inbox import waking
from payments.ops.metrics import WEBHOOKS_RECEIVED
from payments.resources import Resources, build
from payments.settings import ServiceSettings
from payments.worker import tasks
from tests.app.fixtures import OTHER_WEBHOOK_SECRET, WEBHOOK_SECRET
from tests.app.orders.helpers import books, deliver, only_session, order, scalar
from tests.app.stripe_server import StripeServer, charge, event, intent, sign

COUNT = "SELECT count(*) FROM payments.webhook_inbox"


async def send(client: httpx.AsyncClient, body: bytes, signature: str | None) -> httpx.Response:
    headers = {} if signature is None else {"stripe-signature": signature}
    return await client.post("/webhooks/stripe", content=body, headers=headers)


async def paid_event(client: httpx.AsyncClient, stripe: StripeServer) -> bytes:
    await order(client)
    session = stripe.pay(only_session(stripe)["id"])
    return event("checkout.session.completed", session, key="evt_1")


@pytest.mark.parametrize("secret", [WEBHOOK_SECRET, OTHER_WEBHOOK_SECRET])
async def test_every_active_secret_is_accepted(
    client: httpx.AsyncClient, stripe_server: StripeServer, secret: str
) -> None:
    body = await paid_event(client, stripe_server)
    assert (await deliver(client, body, secret)).status_code == 200


def received(gateway: str) -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for family in WEBHOOKS_RECEIVED.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels["gateway"] == gateway
    }


async def test_deliveries_are_counted_by_what_became_of_them(
    client: httpx.AsyncClient, stripe_server: StripeServer
) -> None:
    body = await paid_event(client, stripe_server)
    unknown = {
        "id": "cs_x", "amount_total": 1, "currency": "eur", "payment_intent": "pi_x",
        "metadata": {"payment_id": "00000000-0000-4000-8000-0000000000ff"},
    }  # fmt: skip
    early = event("charge.refunded", charge(unknown, 1), key="evt_2")
    before = received("stripe")
    for sent, secret in (
        (body, WEBHOOK_SECRET),
        (body, WEBHOOK_SECRET),
        (event("nothing.of.ours", {}, key="evt_3"), WEBHOOK_SECRET),
        (early, WEBHOOK_SECRET),
        (body, "whsec_of_nobody"),
    ):
        await deliver(client, sent, secret)
    await client.post("/webhooks/made-up", content=body)
    after = received("stripe")
    counted = {outcome: after[outcome] - before.get(outcome, 0) for outcome in after}
    assert {outcome: n for outcome, n in counted.items() if n} == {
        "applied": 1,
        "duplicate": 1,
        "ignored": 1,
        "parked": 1,
        "bad_signature": 1,
    }
    assert received("made-up") == {}, "a path that somebody invents makes no series"


async def test_a_secret_is_accepted_until_its_end(
    app: FastAPI, client: httpx.AsyncClient, stripe_server: StripeServer, settings: ServiceSettings
) -> None:
    body = await paid_event(client, stripe_server)
    old = WebhookSecret(value=SecretStr("whsec_old"), until=datetime.now(UTC))
    known = settings.stripe.model_copy(
        update={"webhook_secrets": (old, *settings.stripe.webhook_secrets)}
    )
    rotating = build(settings.model_copy(update={"stripe": known}), name="tests-rotating")
    app.state.resources, before = rotating, app.state.resources
    assert (await deliver(client, body, "whsec_old")).status_code == 400
    assert (await deliver(client, body, WEBHOOK_SECRET)).status_code == 200
    app.state.resources = before
    await rotating.close()


@pytest.mark.parametrize(
    ("skew", "status"), [(-290, 200), (290, 200), (-310, 400), (310, 400), (315_360_000, 400)]
)
async def test_a_signature_is_fresh_or_refused_in_both_directions(
    client: httpx.AsyncClient, stripe_server: StripeServer, skew: int, status: int
) -> None:
    body = await paid_event(client, stripe_server)
    signature = sign(body, WEBHOOK_SECRET, at=int(time.time()) + skew)
    assert (await send(client, body, signature)).status_code == status


async def test_what_the_gateway_did_not_sign_is_refused_and_leaves_no_trace(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    body = await paid_event(client, stripe_server)
    good = sign(body, WEBHOOK_SECRET)
    attempts = [
        (body, None),
        (body, ""),
        (body, "nonsense"),
        (body, "t=,v1="),
        (body, good.replace("v1=", "v0=")),
        (body, sign(body, "whsec_wrong")),
        (body, f"t={int(time.time())}"),
        (json.dumps(json.loads(body)).encode(), good),  # the same event, written another way
        (body + b" ", good),
        (body.replace(b"2490", b"1"), good),
        (b"\xff\xfe", sign(b"\xff\xfe", WEBHOOK_SECRET)),
    ]
    for sent, signature in attempts:
        response = await send(client, sent, signature)
        assert response.status_code == 400, (sent[:40], signature)
        assert response.json()["code"] == "invalid_webhook"
    assert await scalar(resources, COUNT) == 0
    assert await books(resources) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b"null",
        b'{"object": "charge"}',
        b"not json",
        event("checkout.session.completed", {"id": "cs_1"}, key="evt_1"),
        event("checkout.session.completed", {}, key="e" * 300),
        event("charge.refunded", {"amount_refunded": "12", "currency": "eur"}, key="evt_1"),
        event("charge.refunded", {"amount_refunded": 1.5, "currency": "eur"}, key="evt_1"),
        event("charge.refunded", {"amount_refunded": 15, "currency": "xxx"}, key="evt_1"),
        event("x", {}, key="evt_1").replace(b'"livemode": false', b'"livemode": true'),
    ],
)
async def test_a_signed_body_that_is_no_event_is_refused(
    client: httpx.AsyncClient, resources: Resources, body: bytes
) -> None:
    assert (await deliver(client, body)).status_code == 400
    assert await scalar(resources, COUNT) == 0


async def test_a_body_over_the_limit_is_refused_before_it_is_read(
    client: httpx.AsyncClient,
) -> None:
    assert (await deliver(client, b" " * 300_000)).status_code == 413


async def test_without_a_secret_there_is_no_endpoint(
    app: FastAPI, client: httpx.AsyncClient, settings: ServiceSettings
) -> None:
    silent = settings.stripe.model_copy(update={"webhook_secrets": ()})
    closed = build(settings.model_copy(update={"stripe": silent}), name="tests-closed")
    app.state.resources = closed
    body = event("x", {}, key="evt_1")
    assert (await deliver(client, body)).status_code == 404
    assert (await deliver(client, body, "")).status_code == 404
    assert (await client.post("/webhooks/paypal", content=body)).status_code == 404
    await closed.close()


async def test_a_thousand_copies_at_once_have_one_effect(
    app: FastAPI, client: httpx.AsyncClient, stripe_server: StripeServer, settings: ServiceSettings
) -> None:
    body = await paid_event(client, stripe_server)
    crowd = build(settings, name="tests-crowd", pool_size=40)
    first, app.state.resources = app.state.resources, crowd
    gate = asyncio.Semaphore(100)  # they share the process of the service, and all its waiting

    async def copy() -> httpx.Response:
        async with gate:
            return await deliver(client, body)

    responses = await asyncio.gather(*(copy() for _ in range(1000)))
    said = [response.json()["status"] for response in responses]
    assert {response.status_code for response in responses} == {200}
    assert (said.count("applied"), said.count("duplicate")) == (1, 999)
    assert await scalar(crowd, COUNT) == 1
    assert (await books(crowd))[("gateway_clearing", "EUR")] == -2490
    await crowd.close()
    app.state.resources = first


async def test_a_kind_we_do_not_act_on_is_kept_and_ignored(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    body = event("customer.created", {"id": "cus_1"}, key="evt_1")
    assert (await deliver(client, body)).json() == {"status": "ignored"}
    assert (await deliver(client, body)).json() == {"status": "duplicate"}


async def test_an_early_event_is_parked_and_applied_when_its_payment_is_known(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await order(client)
    session = stripe_server.pay(only_session(stripe_server)["id"])
    refund = charge(session, 830) | {"metadata": {}}  # names the intent, which we do not know yet
    parked = await deliver(client, event("charge.refunded", refund, key="evt_2"))
    assert (parked.status_code, parked.json()) == (200, {"status": "parked"})
    await deliver(client, event("checkout.session.completed", session, key="evt_1"))
    await _let_parked_be_due(resources)
    await tasks.sweep(resources)
    assert await scalar(resources, "SELECT refunded FROM payments.payments") == 830
    assert (await books(resources))[("gateway_clearing", "EUR")] == -1660


async def test_an_event_that_never_fits_is_given_up_after_three_days(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    stray = intent({"id": "cs_other", "metadata": {}, "amount_total": 2490, "currency": "eur"})
    await deliver(client, event("payment_intent.payment_failed", stray, key="evt_1"))
    attempts = "SELECT attempts FROM payments.webhook_inbox"
    await _let_parked_be_due(resources)
    await tasks.sweep(resources)
    assert await scalar(resources, attempts) == 2
    assert await scalar(resources, "SELECT next_attempt_at > now() FROM payments.webhook_inbox")
    await _let_parked_be_due(resources)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inbox, "GIVE_UP_AFTER", inbox.GIVE_UP_AFTER * 0)
        await tasks.sweep(resources)
    assert await scalar(resources, "SELECT state FROM payments.webhook_inbox") == "abandoned"


async def test_an_event_whose_effect_fails_is_kept_and_tried_again(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = await paid_event(client, stripe_server)

    async def broken(*_: object) -> None:
        raise ArithmeticError("a bug of ours")

    with monkeypatch.context() as patched:
        patched.setattr("payments.orders.apply.ledger.post", broken)
        failed = await deliver(client, body)
    assert (failed.status_code, failed.json()) == (200, {"status": "failed"})
    assert await scalar(resources, "SELECT status FROM payments.payments") == "open", (
        "the half that worked is undone with the half that did not"
    )
    await _let_parked_be_due(resources)
    await tasks.sweep(resources)
    assert await scalar(resources, "SELECT status FROM payments.payments") == "paid"
    assert (await books(resources))[("gateway_clearing", "EUR")] == -2490


async def test_a_crash_before_the_commit_loses_nothing(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = await paid_event(client, stripe_server)

    async def crash(*_: object, **__: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr("payments.inbox.service._settle", crash)
        assert (await deliver(client, body)).status_code == 503, "so the gateway delivers again"
    assert await scalar(resources, COUNT) == 0
    assert (await deliver(client, body)).json() == {"status": "applied"}


async def test_no_part_of_the_raw_message_is_kept(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await order(client)
    session = stripe_server.pay(only_session(stripe_server)["id"])
    session |= {"customer_details": {"email": "marker@example.com", "name": "MARKER"}}
    await deliver(client, event("checkout.session.completed", session, key="evt_1"))
    async with resources.database.transaction() as db:
        rows = await db.execute(text("SELECT to_jsonb(i)::text FROM payments.webhook_inbox i"))
        kept = " ".join(row for (row,) in rows)
    assert "evt_1" in kept
    assert "marker" not in kept.lower()


async def _let_parked_be_due(resources: Resources) -> None:
    async with resources.database.transaction() as session:
        await session.execute(
            text(
                "UPDATE payments.webhook_inbox SET next_attempt_at = now()"
                " WHERE next_attempt_at IS NOT NULL"
            )
        )


async def test_waking_an_event_never_waits_for_whoever_is_trying_it(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await order(client)
    session = stripe_server.pay(only_session(stripe_server)["id"])
    body = event("charge.refunded", charge(session, 100), key="evt_early")
    assert (await deliver(client, body)).json() == {"status": "parked"}
    async with resources.database.transaction() as trying, resources.database.transaction() as ours:
        # Who tries an event holds it and waits for its payment, which whoever wakes it holds.
        await trying.execute(text("SELECT FROM payments.webhook_inbox FOR UPDATE"))
        await asyncio.wait_for(waking.wake(ours, "stripe", (None, session["payment_intent"])), 2)

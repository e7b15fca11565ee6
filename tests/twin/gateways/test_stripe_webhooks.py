"""Events on their way to the merchant, and the ways in which gateways get that wrong."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import stripe
from pydantic import ValidationError

from tests.twin.edge.harness import free_port, run
from tests.twin.gateways.world import SECRET, World, gateway, order
from twin.gateways.common.faults import Faults
from twin.gateways.stripe.webhooks import RETRIES, sign

PAID = {
    "payment_intent.created",
    "charge.succeeded",
    "payment_intent.succeeded",
    "checkout.session.completed",
}


def set_faults(world: World, **values: Any) -> None:
    world.gateway.faults.set(Faults(**values))


async def paid(world: World, **more: Any) -> Any:
    session = await world.session(**more)
    status, _ = await world.pay(session)
    assert status == 303
    return session


def test_a_payment_is_told_by_signed_events(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            session = await paid(world, client_reference_id="7")
            await world.merchant.until(4)
            assert set(world.merchant.types()) == PAID
            completed = next(e for e in world.merchant.got if "completed" in e["type"])
            assert completed["data"]["object"]["id"] == session.id
            assert completed["data"]["object"]["client_reference_id"] == "7"
            assert completed["livemode"] is False
            assert world.merchant.headers[0]["User-Agent"].startswith("Stripe/1.0")
            with pytest.raises(stripe.SignatureVerificationError):
                stripe.Webhook.construct_event(  # type: ignore[no-untyped-call]
                    world.merchant.bodies[0] + b" ",
                    world.merchant.headers[0]["Stripe-Signature"],
                    SECRET,
                )
            event = await world.call(lambda c: c.v1.events.retrieve(completed["id"]))
            assert event.pending_webhooks == 0

    run(scenario())


def test_a_refusal_is_tried_again_until_it_is_taken(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path, retries=[0.05, 0.05, 0.05]) as world:
            world.merchant.answer = lambda count: 500 if count < 3 else 200
            await world.call(lambda c: c.v1.customers.create({"email": "a@b.co"}))
            await world.merchant.until(3)
            await asyncio.sleep(0.2)
            assert len(world.merchant.got) == 3, "taken once is taken"
            assert len({event["id"] for event in world.merchant.got}) == 1
            delivery = world.gateway.webhooks.deliveries()[0]
            assert delivery["status"] == "delivered"
            assert [attempt["status"] for attempt in delivery["attempts"]] == [500, 500, 200]

    run(scenario())


def test_a_delivery_that_is_never_taken_fails_in_the_end_and_can_be_resent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path, retries=[0.02]) as world:
            world.merchant.answer = lambda count: 302 if count < 3 else 200
            await world.call(lambda c: c.v1.customers.create({"email": "a@b.co"}))
            await world.merchant.until(2)
            await asyncio.sleep(0.1)
            delivery = world.gateway.webhooks.deliveries()[0]
            assert delivery["status"] == "failed", "a redirect is no answer"
            world.gateway.webhooks.resend(delivery["id"])
            await world.merchant.until(3)
            await asyncio.sleep(0.05)
            assert world.gateway.webhooks.deliveries()[0]["status"] == "delivered"

    run(scenario())


def test_the_schedule_lasts_three_days_and_only_ever_slows_down() -> None:
    assert list(RETRIES) == sorted(RETRIES)
    assert 2.5 * 86400 < sum(RETRIES) < 3.5 * 86400


def test_what_was_not_taken_survives_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        async with gateway(tmp_path, retries=[0.6] * 9, endpoint_port=port) as world:
            world.merchant.answer = lambda count: 500
            session = await paid(world)
            await world.merchant.until(4)
        async with gateway(tmp_path, endpoint_port=port) as world:
            await world.merchant.until(4)
            assert set(world.merchant.types()) == PAID
            again = await world.call(lambda c: c.v1.checkout.sessions.retrieve(session.id))
            assert again.payment_status == "paid"

    run(scenario())


def test_an_endpoint_that_the_account_lost_gets_nothing_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path, retries=[0.3] * 9) as world:
            world.merchant.answer = lambda count: 500
            await world.call(lambda c: c.v1.customers.create({"email": "a@b.co"}))
            await world.merchant.until(1)
        async with gateway(tmp_path) as world:
            assert [each["status"] for each in world.gateway.webhooks.deliveries()] == ["failed"]

    run(scenario())


def test_duplicates_are_the_same_event_signed_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            set_faults(world, duplicate=2)
            await paid(world)
            await world.merchant.until(12)
            counts = {kind: world.merchant.types().count(kind) for kind in PAID}
            assert set(counts.values()) == {3}
            assert len({event["id"] for event in world.merchant.got}) == 4

    run(scenario())


def test_dropped_events_never_arrive_but_are_on_record(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            set_faults(world, drop_next=4)
            await paid(world)
            await asyncio.sleep(0.2)
            assert world.merchant.got == []
            deliveries = world.gateway.webhooks.deliveries()
            assert {delivery["status"] for delivery in deliveries} == {"dropped"}
            assert world.gateway.faults.now.drop_next == 0
            listed = await world.call(lambda c: c.v1.events.list())
            assert {event.type for event in listed.data} == PAID, "who asks finds them"
            await world.call(lambda c: c.v1.customers.create({"email": "a@b.co"}))
            await world.merchant.until(1)

    run(scenario())


def test_delayed_events_do_not_hold_up_the_payer_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin.gateways.stripe.checkout.REDIRECT_WAIT", 0.1)

    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            set_faults(world, delay_seconds=0.5)
            started = time.monotonic()
            await paid(world)
            assert time.monotonic() - started < 0.4
            assert world.merchant.got == []
            await world.merchant.until(4)
            assert time.monotonic() - started >= 0.5

    run(scenario())


def test_reordered_events_arrive_the_last_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin.gateways.stripe.checkout.REDIRECT_WAIT", 0.05)
    monkeypatch.setattr("twin.gateways.common.webhooks.REORDER_WINDOW", 0.1)

    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            set_faults(world, reorder=True)
            await paid(world)
            await world.merchant.until(4)
            events = [event["type"] for event in world.gateway.state.tables["event"].newest_first()]
            assert world.merchant.types() == events

    run(scenario())


def test_a_wrong_amount_is_what_the_gateway_says_everywhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            set_faults(world, amount_delta=-100)
            session = await paid(world)
            await world.merchant.until(4)
            completed = next(e for e in world.merchant.got if "completed" in e["type"])
            assert completed["data"]["object"]["amount_total"] == 2400
            found: Any = await world.call(
                lambda c: c.v1.checkout.sessions.retrieve(
                    session.id, {"expand": ["payment_intent"]}
                )
            )
            assert found.payment_intent.amount_received == 2400

    run(scenario())


@pytest.mark.parametrize("skew", [600, -600])
def test_a_skewed_clock_shows_in_the_signature(tmp_path: Path, skew: int) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            set_faults(world, clock_skew_seconds=skew)
            await world.call(lambda c: c.v1.customers.create({"email": "a@b.co"}))
            await world.merchant.until(1)
            stamp = int(world.merchant.headers[0]["Stripe-Signature"].split(",")[0][2:])
            assert abs(stamp - time.time() - skew) < 5

    run(scenario())


def test_a_rolled_secret_signs_beside_the_old_one_until_that_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            webhooks = world.gateway.webhooks
            endpoint = webhooks.endpoints()[0]
            fresh = webhooks.roll_secret(endpoint["id"], overlap=3600)
            await world.call(lambda c: c.v1.customers.create({"email": "a@b.co"}))
            await world.merchant.until(1)  # verified with the old secret
            header = world.merchant.headers[0]["Stripe-Signature"]
            assert header.count("v1=") == 2
            body = world.merchant.bodies[0]
            stripe.Webhook.construct_event(body, header, fresh)  # type: ignore[no-untyped-call]
            newest = webhooks.roll_secret(endpoint["id"], overlap=0)
            assert webhooks.active_secrets(endpoint["url"]) == [newest]

    run(scenario())


def test_an_answer_that_never_comes_was_work_done_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin.gateways.common.faults.HANG", 0.3)

    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            set_faults(world, timeout_after_commit_next=1)
            key: Any = {"idempotency_key": "k"}
            with pytest.raises(stripe.APIConnectionError):
                await world.call(lambda c: c.v1.checkout.sessions.create(order(), key))
            assert len(world.gateway.state.tables["session"]) == 1
            session = await world.call(lambda c: c.v1.checkout.sessions.create(order(), key))
            assert len(world.gateway.state.tables["session"]) == 1, "the same key finds it"
            assert session.status == "open"

    run(scenario())


def test_an_error_after_the_work_is_remembered_like_any_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            set_faults(world, error_after_commit_next=1)
            key: Any = {"idempotency_key": "k"}
            for _ in range(2):
                with pytest.raises(stripe.APIError) as failed:
                    await world.call(lambda c: c.v1.checkout.sessions.create(order(), key))
                assert failed.value.http_status == 500
            assert len(world.gateway.state.tables["session"]) == 1
            listed = await world.call(lambda c: c.v1.checkout.sessions.list())
            assert len(listed.data) == 1, "who asks finds out what happened"

    run(scenario())


def test_faults_are_on_disk_and_checked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            set_faults(world, duplicate=3, reorder=True)
        async with gateway(tmp_path) as world:
            assert world.gateway.faults.now == Faults(duplicate=3, reorder=True)

    run(scenario())
    for wrong in ({"duplicate": -1}, {"duplicat": 1}, {"delay_seconds": 1e9}):
        with pytest.raises(ValidationError):
            Faults.model_validate(wrong)


def test_signing_is_the_scheme_that_the_client_checks() -> None:
    header = sign('{"id": "evt_1"}', ["whsec_a", "whsec_b"], int(time.time()))
    for secret in ("whsec_a", "whsec_b"):
        stripe.WebhookSignature.verify_header('{"id": "evt_1"}', header, secret)  # type: ignore[no-untyped-call]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header('{"id": "evt_2"}', header, "whsec_a")  # type: ignore[no-untyped-call]

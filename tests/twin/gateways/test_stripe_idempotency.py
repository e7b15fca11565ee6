"""Idempotency keys: what a retry may rely on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.twin.edge.harness import run
from tests.twin.gateways.world import gateway, order


def test_the_same_key_and_parameters_give_the_same_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:

            def create(client: stripe.StripeClient) -> Any:
                return client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"})

            first, second = await world.call(create), await world.call(create)
            assert first.id == second.id
            assert second.last_response.headers["Idempotent-Replayed"] == "true"
            original = second.last_response.headers["Original-Request"]
            assert original == first.last_response.headers["Request-Id"]
        async with gateway(tmp_path) as world:
            assert (await world.call(create)).id == first.id, "a restart must not forget keys"

    run(scenario())


def test_a_key_cannot_be_used_for_something_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            key: Any = {"idempotency_key": "k"}
            await world.call(lambda c: c.v1.checkout.sessions.create(order(), key))
            with pytest.raises(stripe.IdempotencyError, match="same parameters"):
                await world.call(lambda c: c.v1.checkout.sessions.create(order(quantity=3), key))
            with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
                await world.call(lambda c: c.v1.customers.create({"email": "a@b.co"}, key))

    run(scenario())


def test_a_key_in_use_is_a_conflict_and_the_running_call_still_counts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            faults = world.gateway.faults
            faults.set(faults.now.model_copy(update={"api_delay_seconds": 0.4}))
            body, key = "email=a%40b.co", {"Idempotency-Key": "k"}
            running = asyncio.create_task(world.raw("POST", "/v1/customers", body, **key))
            await asyncio.sleep(0.1)
            status, told, _ = await world.raw("POST", "/v1/customers", body, **key)
            assert status == 409
            assert told["error"]["code"] == "idempotency_key_in_use"
            status, created, _ = await running
            assert status == 200
            _, replayed, _ = await world.raw("POST", "/v1/customers", body, **key)
            assert replayed["id"] == created["id"]
            assert len(world.gateway.state.tables["customer"]) == 1

    run(scenario())


def test_a_failed_validation_does_not_use_up_the_key_but_a_decline_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            key: Any = {"idempotency_key": "k"}
            with pytest.raises(stripe.InvalidRequestError):
                await world.call(lambda c: c.v1.checkout.sessions.create(order(quantity=0), key))
            await world.call(lambda c: c.v1.checkout.sessions.create(order(), key))
            intent: Any = {
                "amount": 1000,
                "currency": "usd",
                "payment_method": "pm_card_visa_chargeDeclined",
                "confirm": True,
            }
            other: Any = {"idempotency_key": "d"}
            declines = []
            for _ in range(2):
                with pytest.raises(stripe.CardError) as declined:
                    await world.call(lambda c: c.v1.payment_intents.create(intent, other))
                declines.append(declined.value)
            assert [each.code for each in declines] == ["card_declined"] * 2
            assert len(world.gateway.state.tables["charge"]) == 1, "the decline is replayed"

    run(scenario())

"""Nobody is charged again, or loses a plan, because a key has ended while an answer was lost."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from payments.gateways.protocol import GatewayUnknownError
from payments.resources import Resources
from tests.app.orders.helpers import books, scalar
from tests.app.stripe_server import KEY, StripeServer
from tests.app.subscriptions.test_late import CHARGE, look
from tests.app.subscriptions.test_subscriptions import active, press, row, take_step

ENDED = "sk_test_another"


async def test_a_charge_that_took_effect_is_waited_for_when_the_key_has_ended(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await active(client, stripe_server, resources)
    end = (await row(resources)).period_end
    stripe_server.faults = ["fail_after_commit"]
    assert await take_step(resources, end) == ["active"]
    stripe_server.key = ENDED
    for days in (1, 2):
        await look(resources)
        assert await take_step(resources, end + timedelta(days=days)) == ["active"]
    found = await row(resources)
    assert (found.status, found.attempts) == ("active", 0), "no attempt has failed"
    assert await scalar(resources, CHARGE) == "unknown"
    stripe_server.key = KEY
    await look(resources)
    found = await row(resources)
    assert (found.status, found.period_start) == ("active", end)
    assert len(stripe_server.intents) == 1
    await books(resources)


async def test_a_change_whose_asker_died_is_not_given_up_when_the_key_has_ended(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def crash(*_: object) -> None:
        raise RuntimeError("killed")

    subscription_id = await active(client, stripe_server, resources)
    path = f"/api/v1/subscriptions/{subscription_id}/change"
    with monkeypatch.context() as patched:
        patched.setattr("payments.subscriptions.billing.record", crash)
        dead = await press(client, path, key="c1", plan="club-plus-month")
    assert dead.status_code == 500
    stripe_server.key = ENDED
    again = await press(client, path, key="c1", plan="club-plus-month")
    assert again.json()["next_plan"] == "club-plus-month"
    assert await scalar(resources, CHARGE) == "unknown"
    stripe_server.key = KEY
    await look(resources)
    found = await row(resources)
    assert (found.plan, found.next_plan) == ("club-plus-month", None)
    assert len(stripe_server.intents) == 1


async def test_what_can_be_charged_is_asked_for_until_we_are_let_in(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await active(client, stripe_server, resources)
    async with resources.database.transaction() as session:
        await session.execute(
            text("UPDATE payments.subscriptions SET method_ref = NULL, gateway = NULL")
        )
    end = (await row(resources)).period_end
    stripe_server.key = ENDED
    with pytest.raises(GatewayUnknownError):
        await take_step(resources, end)
    assert (await row(resources)).status == "active", "no page is asked for"
    stripe_server.key = KEY
    assert await take_step(resources, end) == ["active"]
    assert len(stripe_server.intents) == 1

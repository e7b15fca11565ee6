"""Calls whose answer was lost, and events that never came."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import text

from payments.gateways import stripe as stripe_gateway
from payments.gateways.protocol import GatewayEvent
from payments.inbox import service as inbox
from payments.orders import repair
from payments.resources import Resources, build
from payments.settings import ServiceSettings
from tests.app.orders.helpers import books, deliver, only_session, order, scalar
from tests.app.stripe_server import StripeServer, event

STATUS = "SELECT status FROM payments.payments"


async def run_repair(resources: Resources) -> str | None:
    """Let the time of the next look come, and look."""
    async with resources.database.transaction() as session:
        await session.execute(text("UPDATE payments.payments SET next_check_at = now()"))
        (payment_id,) = await repair.due(session, most=10)
    return await repair.repair(resources, payment_id)


@pytest.mark.parametrize("fault", ["fail", "fail_after_commit", "busy"])
async def test_a_lost_answer_leaves_the_order_pending_and_repair_asks_under_the_same_key(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, fault: str
) -> None:
    stripe_server.faults = [fault]  # type: ignore[list-item]
    created = await order(client)
    assert created.status_code == 202
    assert (created.json()["status"], created.json()["checkout_url"]) == ("pending", None)
    assert await scalar(resources, STATUS) == "unknown"

    assert await run_repair(resources) == "open"
    assert len(stripe_server.sessions) == 1, "one order, one page, however often it is asked for"
    assert stripe_server.creates == 2
    view = (await client.get(created.headers["location"])).json()
    assert view["checkout_url"] == only_session(stripe_server)["url"]


async def test_a_gateway_that_does_not_answer_in_time_is_an_unknown_outcome(
    settings: ServiceSettings,
    stripe_server: StripeServer,
    client: httpx.AsyncClient,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stripe_gateway, "CALL_TIMEOUT_SECONDS", 0.3)
    impatient = build(settings, name="impatient")
    client._transport.app.state.resources = impatient  # type: ignore[attr-defined]
    stripe_server.faults = ["hang_after_commit"]
    assert (await order(client)).status_code == 202
    assert await run_repair(resources) == "open"
    assert len(stripe_server.sessions) == 1
    await impatient.close()


async def test_a_crash_before_the_call_is_repaired(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def crash(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr("payments.orders.service.ask", crash)
        assert (await order(client)).status_code == 500
    assert await scalar(resources, STATUS) == "intended", "committed before the call"
    assert await run_repair(resources) == "open"
    again = await order(client)
    assert again.status_code == 201, "the same key finds the order of its first run"
    assert again.json()["checkout_url"] == only_session(stripe_server)["url"]
    assert await scalar(resources, "SELECT count(*) FROM payments.orders") == 1


async def test_a_crash_after_the_call_makes_no_second_page(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def crash(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr("payments.orders.service.record", crash)
        assert (await order(client)).status_code == 500
    assert await scalar(resources, STATUS) == "intended"
    assert len(stripe_server.sessions) == 1
    assert (await order(client)).status_code == 201
    assert len(stripe_server.sessions) == 1
    assert await scalar(resources, "SELECT count(*) FROM payments.payments") == 1


async def test_an_event_that_comes_before_we_know_the_page_counts(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    stripe_server.faults = ["fail_after_commit"]
    created = await order(client)
    session = stripe_server.pay(only_session(stripe_server)["id"])
    delivered = await deliver(client, event("checkout.session.completed", session, key="evt_1"))
    assert delivered.json() == {"status": "applied"}
    assert (await client.get(created.headers["location"])).json()["status"] == "paid"
    assert await run_repair(resources) == "paid"
    assert await scalar(resources, "SELECT next_check_at IS NULL FROM payments.payments")


async def test_a_refusal_is_final_and_says_so(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    stripe_server.faults = ["refuse"]
    created = await order(client)
    assert created.status_code == 502
    assert created.json()["status"] == "remote_failed"
    assert await scalar(resources, "SELECT last_error FROM payments.payments") == "amount_too_small"
    assert (await order(client)).headers["idempotency-replayed"] == "true"


async def test_a_payment_whose_event_was_lost_is_found_by_asking(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    created = await order(client)
    assert await run_repair(resources) == "open", "nothing has happened yet"
    session = stripe_server.pay(only_session(stripe_server)["id"])
    assert await run_repair(resources) == "paid"
    assert (await client.get(created.headers["location"])).json()["status"] == "paid"
    before = await books(resources)
    late = await deliver(client, event("checkout.session.completed", session, key="evt_1"))
    assert late.json() == {"status": "refused"}, "the late event adds nothing"
    assert await books(resources) == before


async def test_a_page_that_ran_out_expires_the_order(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    created = await order(client)
    only_session(stripe_server)["status"] = "expired"
    assert await run_repair(resources) == "expired"
    assert (await client.get(created.headers["location"])).json()["status"] == "expired"


@pytest.mark.parametrize(("made", "status"), [(True, "open"), (False, "remote_failed")])
async def test_an_old_key_is_not_asked_again_but_looked_for(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
    made: bool,
    status: str,
) -> None:
    stripe_server.faults = ["fail_after_commit" if made else "fail"]
    await order(client)
    monkeypatch.setattr(repair, "KEY_LIFETIME", repair.KEY_LIFETIME * 0)
    assert await run_repair(resources) == status
    assert stripe_server.creates == 1, "after 24 h the same key could charge again"


async def test_two_workers_do_not_look_at_once(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    await order(client)
    assert await run_repair(resources) == "open"
    async with resources.database.transaction() as session:
        assert await repair.due(session, most=10) == [], "the look was claimed"


async def test_an_event_that_only_says_look_has_the_gateway_asked(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await order(client)
    session_id = only_session(stripe_server)["id"]
    stripe_server.pay(session_id)
    hint = GatewayEvent(
        gateway="stripe",
        account="default",
        key="hint-1",
        type="something.happened",
        kind="look",
        created=datetime.now(UTC),
        checkout_ref=session_id,
    )
    async with resources.database.transaction() as session:
        assert await inbox.receive(session, hint) == "applied"
        assert await inbox.receive(session, hint) == "duplicate"
        queued = await session.scalar(
            text(
                "SELECT count(*) FROM payments.procrastinate_jobs WHERE task_name = 'orders.repair'"
                " AND (scheduled_at IS NULL OR scheduled_at <= now())"
            )
        )
    assert queued == 1, "and at once"
    assert await scalar(resources, STATUS) == "open", "nothing is believed before it was asked"
    async with resources.database.transaction() as session:
        (payment_id,) = await repair.due(session, most=10)
    assert await repair.repair(resources, payment_id) == "paid"
    assert sum((await books(resources)).values()) == 0

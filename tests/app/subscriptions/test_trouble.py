"""Renewals that go wrong: nobody is charged twice, for nothing, or forgotten."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from payments.gateways.protocol import GatewayUnknownError
from payments.orders import service as orders
from payments.orders.asking import locked
from payments.orders.service import NotRetryableError
from payments.resources import Resources
from payments.subscriptions import booking, service, step
from payments.worker import tasks
from tests.app.fixtures import ALICE, BOB
from tests.app.orders.helpers import books, deliver, scalar
from tests.app.stripe_server import StripeServer, event
from tests.app.subscriptions.test_subscriptions import (
    active,
    pay_page,
    press,
    row,
    subscribe,
    take_step,
)

HOUR = timedelta(hours=1, minutes=1)
LAST_PAYMENT = "SELECT id FROM payments.payments ORDER BY created_at DESC LIMIT 1"


async def test_a_charge_that_the_gateway_refuses_is_tried_by_the_schedule(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await active(client, stripe_server, resources)
    stripe_server.faults = ["refuse"]
    now = (await row(resources)).period_end
    assert await take_step(resources, now) == ["past_due"]
    found = await row(resources)
    assert found.attempts == 1
    assert await take_step(resources, max(found.next_step_at, now)) == ["active"]
    assert len(stripe_server.intents) == 1
    await books(resources)


async def test_a_charge_that_nobody_knows_the_end_of_is_waited_for_and_not_invoiced_again(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await active(client, stripe_server, resources)
    stripe_server.faults = ["fail_after_commit"]
    now = (await row(resources)).period_end
    assert await take_step(resources, now) == ["active"]
    for hours in (1, 2):
        assert await take_step(resources, now + hours * HOUR) == ["active"], "it waits"
    assert await scalar(resources, "SELECT count(*) FROM payments.subscription_invoices") == 2
    async with resources.database.transaction() as session:
        await session.execute(
            text("UPDATE payments.payments SET next_check_at = now() WHERE status = 'unknown'")
        )
    await tasks.sweep(resources)
    found = await row(resources)
    assert (found.status, found.period_start) == ("active", now)
    assert len(stripe_server.intents) == 1
    await books(resources)


async def test_a_charge_that_fails_while_the_subscription_is_canceled_wakes_it_no_more(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription_id = await active(client, stripe_server, resources)
    stripe_server.faults = ["fail"]
    await take_step(resources, (await row(resources)).period_end)
    payment_id = await scalar(resources, LAST_PAYMENT)
    canceled = asyncio.Event()

    async def cancel() -> None:
        async with resources.database.transaction() as session:
            await service.cancel(
                session, customer_id=ALICE, subscription_id=subscription_id, now=True
            )
            canceled.set()
            await asyncio.sleep(0.3)  # the failure's transaction waits for this one

    async def fail() -> None:
        await canceled.wait()
        async with resources.database.transaction() as session:
            order, payment = await locked(session, payment_id)
            payment.request = payment.request | {"method": "cus_1/pm_1"}
            await booking.unpaid(session, order, payment, "failed")

    await asyncio.gather(cancel(), fail())
    found = await row(resources)
    assert (found.status, found.attempts, found.next_step_at) == ("canceled", 0, None)


async def test_an_ended_subscription_is_never_invoiced_whatever_its_plan_for_the_next_step(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription_id = await active(client, stripe_server, resources)
    await client.post(f"/api/v1/subscriptions/{subscription_id}/cancel", json={"now": True})
    async with resources.database.transaction() as session:
        await session.execute(text("UPDATE payments.subscriptions SET next_step_at = now()"))
    assert await take_step(resources, datetime.now(UTC) + HOUR) == ["canceled"]
    assert await scalar(resources, "SELECT count(*) FROM payments.subscription_invoices") == 1
    assert (await row(resources)).next_step_at is None


async def test_a_customer_who_pays_and_the_schedule_never_charge_for_one_period_at_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription_id = await active(client, stripe_server, resources)
    stripe_server.declines = True
    await take_step(resources, (await row(resources)).period_end)
    due = (await row(resources)).next_step_at
    stripe_server.declines = False
    order_id = await scalar(
        resources, "SELECT order_id FROM payments.subscription_invoices WHERE status = 'open'"
    )
    async with resources.database.transaction() as session:
        # The customer asks for a page at this very moment: its order is locked.
        await session.execute(
            text("SELECT FROM payments.orders WHERE id = :id FOR NO KEY UPDATE"), {"id": order_id}
        )
        assert await asyncio.wait_for(step.step(resources, subscription_id, now=due), 3)
    assert await scalar(resources, "SELECT count(*) FROM payments.payments") == 2, "none was added"
    await service.pay(resources, customer_id=ALICE, subscription_id=subscription_id)
    await step.step(resources, subscription_id, now=due + HOUR)
    assert await scalar(resources, "SELECT count(*) FROM payments.payments") == 3, "only the page"


async def test_a_change_that_was_never_paid_gives_way_and_cannot_be_paid_for_nothing(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    stripe_server.saves = False  # no saved method: the change is paid on a page
    subscription_id = await active(client, stripe_server, resources)
    answer = await press(
        client, f"/api/v1/subscriptions/{subscription_id}/change", plan="club-plus-month"
    )
    assert answer.status_code == 200, answer.text
    assert (await row(resources)).next_plan == "club-plus-month"
    page = list(stripe_server.sessions.values())[-1]
    page |= {"status": "expired"}
    body = event("checkout.session.expired", page, key="evt_expired")
    assert (await deliver(client, body)).json() == {"status": "applied"}
    found = await row(resources)
    assert (found.plan, found.next_plan) == ("club-month", None), "it may be changed again"
    order_id = await scalar(
        resources, "SELECT order_id FROM payments.subscription_invoices WHERE kind = 'change'"
    )
    with pytest.raises(NotRetryableError):
        await orders.retry(resources, order_id=order_id, customer_id=ALICE)


async def test_a_plan_that_is_being_changed_to_is_taken_before_its_payment_comes(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    """Else the money of the change would come and find the plan taken."""
    stripe_server.saves = False
    subscription_id = await active(client, stripe_server, resources)
    change = f"/api/v1/subscriptions/{subscription_id}/change"
    assert (await press(client, change, plan="club-plus-month")).status_code == 200
    refused = await subscribe(client, plan="club-plus-month", key="s2")
    assert (refused.status_code, refused.json()["code"]) == (409, "already_subscribed")
    await pay_page(client, stripe_server, resources)
    assert (await row(resources)).plan == "club-plus-month"


async def test_nobody_changes_to_a_plan_that_they_have(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    first = await active(client, stripe_server, resources)
    second = await active(client, stripe_server, resources, plan="club-plus-month", key="s2")
    for subscription, plan in ((first, "club-plus-month"), (second, "club-month")):
        answer = await press(client, f"/api/v1/subscriptions/{subscription}/change", plan=plan)
        assert (answer.status_code, answer.json()["code"]) == (409, "already_subscribed"), plan
    stuck = "SELECT count(*) FROM payments.subscriptions WHERE next_plan IS NOT NULL"
    assert await scalar(resources, stuck) == 0


async def test_the_same_key_at_once_is_one_subscription_for_everybody(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    async def ask() -> UUID:
        view = await service.create(
            resources, customer_id=ALICE, request_key="k", plan_key="club-month", currency="EUR"
        )
        return view.id

    assert len(set(await asyncio.gather(*(ask() for _ in range(6))))) == 1


async def test_one_subscription_that_cannot_be_stepped_stops_nobody_elses(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = await active(client, stripe_server, resources)
    second = UUID((await subscribe(client, key="s2", who=BOB)).json()["id"])
    await pay_page(client, stripe_server, resources)
    async with resources.database.transaction() as session:
        for one, minutes in ((first, 60), (second, 1)):
            await session.execute(
                text("UPDATE payments.subscriptions SET next_step_at = :at WHERE id = :id"),
                {"id": one, "at": datetime.now(UTC) - timedelta(minutes=minutes)},
            )
    taken = []
    real = step._next

    async def poisoned(*arguments: object) -> UUID | None:
        subscription = arguments[2]
        if getattr(subscription, "id", None) == first:
            raise LookupError("broken")
        taken.append(subscription)
        return await real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(step, "_next", poisoned)
    await tasks.sweep(resources)
    assert len(taken) == 1, "the second was stepped, although the first one raises"


async def test_a_page_whose_answer_was_lost_is_asked_for_again_and_is_the_same(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    stripe_server.saves = False
    subscription = await active(client, stripe_server, resources)
    assert await take_step(resources, (await row(resources)).period_end) == ["past_due"]
    stripe_server.faults = ["fail_after_commit"]
    path = f"/api/v1/subscriptions/{subscription}/pay"
    assert (await press(client, path)).json()["checkout_url"] is None
    assert (await press(client, path)).json()["checkout_url"]
    assert len(stripe_server.sessions) == 2, "the first period's page, and one for this"


async def test_what_a_payment_left_to_be_charged_is_asked_for_when_its_job_died(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await active(client, stripe_server, resources)
    async with resources.database.transaction() as session:
        await session.execute(
            text("UPDATE payments.subscriptions SET method_ref = NULL, gateway = NULL")
        )
    end = (await row(resources)).period_end

    async def away(_: object) -> None:
        raise GatewayUnknownError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(resources.gateways.need("stripe"), "saved_method", away)
        with pytest.raises(GatewayUnknownError):
            await take_step(resources, end)
        found = await row(resources)
        assert (found.status, found.next_step_at) == ("active", end), "it waits for the gateway"
    assert await take_step(resources, end) == ["active"]
    assert len(stripe_server.intents) == 1
    found = await row(resources)
    assert (found.method_ref, found.period_start) == ("cus_1/pm_1", end)


async def test_a_gateway_that_is_away_for_days_is_not_waited_for_to_ask_for_a_page(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stripe_server.saves = False
    await active(client, stripe_server, resources)

    async def away(_: object) -> None:
        raise GatewayUnknownError("no answer")

    monkeypatch.setattr(resources.gateways.need("stripe"), "saved_method", away)
    end = (await row(resources)).period_end
    assert await take_step(resources, end + step.LEARNING) == ["past_due"]

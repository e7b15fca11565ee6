"""Subscriptions from the first payment to the last retry."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from payments.resources import Resources
from payments.subscriptions import billing, step
from payments.subscriptions.entitlement import features
from payments.subscriptions.periods import DUNNING
from payments.worker import tasks
from tests.app.fixtures import ALICE, BOB, USER_HEADER
from tests.app.orders.helpers import books, deliver, scalar
from tests.app.stripe_server import StripeServer, event

MONTH = timedelta(days=32)


async def subscribe(
    client: httpx.AsyncClient, plan: str = "club-month", key: str = "s1", who: UUID = ALICE
) -> httpx.Response:
    return await client.post(
        "/api/v1/payments/create-subscription",
        json={"plan": plan, "currency": "EUR"},
        headers={"Idempotency-Key": key, USER_HEADER: str(who)},
    )


async def press(
    client: httpx.AsyncClient, path: str, key: str | None = None, **body: Any
) -> httpx.Response:
    """Ask for something that moves money: under a key of its own, as a program does."""
    return await client.post(
        path, json=body or None, headers={"Idempotency-Key": key or str(uuid4())}
    )


async def pay_page(client: httpx.AsyncClient, stripe: StripeServer, resources: Resources) -> None:
    """Pay the newest page, and let the worker learn the method."""
    ref = list(stripe.sessions)[-1]
    body = event("checkout.session.completed", stripe.pay(ref), key=f"evt_{ref}")
    assert (await deliver(client, body)).json() == {"status": "applied"}
    async with resources.database.transaction() as session:
        found = await session.execute(
            text(
                "SELECT args FROM payments.procrastinate_jobs"
                " WHERE task_name = 'subscriptions.learn_method' ORDER BY id DESC LIMIT 1"
            )
        )
        args = found.scalar_one_or_none()
    if args is not None:
        await step.learn_method(resources, UUID(args["subscription_id"]), UUID(args["payment_id"]))


async def active(
    client: httpx.AsyncClient, stripe: StripeServer, resources: Resources, **options: Any
) -> UUID:
    made = await subscribe(client, **options)
    assert made.status_code == 201, made.text
    await pay_page(client, stripe, resources)
    return UUID(made.json()["id"])


async def row(resources: Resources) -> Any:
    async with resources.database.transaction() as session:
        return (await session.execute(text("SELECT * FROM payments.subscriptions"))).one()


async def take_step(resources: Resources, now: datetime) -> list[str | None]:
    async with resources.database.transaction() as session:
        found = await step.due(session, most=10, now=now)
    return [await step.step(resources, one, now=now) for one in found]


async def test_a_subscription_begins_when_its_first_period_is_paid(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    made = await subscribe(client)
    assert (made.status_code, made.json()["status"]) == (201, "incomplete")
    assert made.json()["checkout_url"]
    assert await features(resources, ALICE) == frozenset(), "nothing is open before it is paid"
    assert (await subscribe(client)).json() == made.json(), "the same key is the same one"
    assert len(stripe_server.sessions) == 1
    await pay_page(client, stripe_server, resources)
    found = await row(resources)
    assert (found.status, found.method_ref, found.gateway) == ("active", "cus_1/pm_1", "stripe")
    assert await features(resources, ALICE) == {"club"}
    assert (await client.get("/api/v1/club/offers")).status_code == 200
    money = await books(resources)
    assert money[("merchant", "EUR")] + money[("fees", "EUR")] == 900


async def test_one_plan_is_held_once_however_many_requests_come_at_once(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await asyncio.gather(*(subscribe(client, key=f"k{n}") for n in range(8)))
    assert sorted(answer.status_code for answer in made) == [201] + [409] * 7
    assert await scalar(resources, "SELECT count(*) FROM payments.subscriptions") == 1


async def test_renewals_charge_the_saved_method_and_periods_follow_each_other(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await active(client, stripe_server, resources)
    first = await row(resources)
    assert await take_step(resources, first.period_end - timedelta(seconds=1)) == []
    late = first.period_end + timedelta(days=2)
    assert await take_step(resources, late) == ["active"]
    second = await row(resources)
    assert second.period_start == first.period_end, "no day is lost or given, however late"
    assert len(stripe_server.intents) == 1
    assert await take_step(resources, late) == [], "once"
    assert (await books(resources))[("gateway_clearing", "EUR")] == -1800


async def test_a_lost_answer_to_a_renewal_is_asked_for_again_and_charged_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await active(client, stripe_server, resources)
    stripe_server.faults = ["fail_after_commit"]
    assert await take_step(resources, datetime.now(UTC) + MONTH) == ["active"]
    async with resources.database.transaction() as session:
        await session.execute(
            text("UPDATE payments.payments SET next_check_at = now() WHERE status = 'unknown'")
        )
    await tasks.sweep(resources)
    assert len(stripe_server.intents) == 1
    paid = "SELECT count(*) FROM payments.subscription_invoices WHERE status = 'paid'"
    assert await scalar(resources, paid) == 2
    await books(resources)


async def test_a_declined_renewal_is_tried_by_the_schedule_and_then_ends(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await active(client, stripe_server, resources)
    stripe_server.declines = True
    now = (await row(resources)).period_end
    seen = []
    for pause in (timedelta(), *DUNNING):
        # The worker plans the next attempt by its own clock: bring it to ours.
        now += pause
        async with resources.database.transaction() as session:
            await session.execute(
                text("UPDATE payments.subscriptions SET next_step_at = :now"), {"now": now}
            )
        assert await take_step(resources, now - timedelta(seconds=1)) == []
        seen += await take_step(resources, now)
    assert seen == ["past_due"] * len(DUNNING) + ["canceled"]
    assert len(stripe_server.intents) == len(DUNNING) + 1
    found = await row(resources)
    assert found.ended_at is not None
    assert await features(resources, ALICE, now=now) == frozenset()
    void = "SELECT count(*) FROM payments.subscription_invoices WHERE status = 'void'"
    assert await scalar(resources, void) == 1
    assert (await books(resources))[("gateway_clearing", "EUR")] == -900


async def test_a_past_due_subscription_is_saved_by_paying_on_a_page(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources)
    stripe_server.declines = True
    before = await row(resources)
    assert await take_step(resources, before.period_end) == ["past_due"]
    path = f"/api/v1/subscriptions/{subscription}/pay"
    page = (await press(client, path)).json()["checkout_url"]
    assert page == (await press(client, path)).json()["checkout_url"], "one page, not one a click"
    async with resources.database.transaction() as session:
        await session.execute(text("UPDATE payments.subscriptions SET next_step_at = now()"))
    assert await take_step(resources, datetime.now(UTC)) == ["past_due"]
    assert len(stripe_server.intents) == 1, "nothing is charged while the page is open"
    await pay_page(client, stripe_server, resources)
    found = await row(resources)
    assert (found.status, found.attempts) == ("active", 0)
    assert found.period_start == before.period_end
    assert (await press(client, path)).status_code == 409
    await books(resources)


async def test_without_a_saved_method_the_customer_pays_each_period_on_a_page(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    stripe_server.saves = False
    subscription = await active(client, stripe_server, resources)
    now = (await row(resources)).period_end
    assert await take_step(resources, now) == ["past_due"]
    assert stripe_server.intents == {}
    answer = await press(client, f"/api/v1/subscriptions/{subscription}/pay")
    assert answer.json()["checkout_url"]
    await pay_page(client, stripe_server, resources)
    assert (await row(resources)).status == "active"


async def test_a_trial_opens_at_once_costs_nothing_and_is_had_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    made = await subscribe(client, plan="club-plus-month")
    assert (made.json()["status"], made.json()["checkout_url"]) == ("trialing", None)
    assert await features(resources, ALICE) == {"club", "tastings"}
    assert stripe_server.sessions == {}
    end = (await row(resources)).period_end
    assert await take_step(resources, end) == ["past_due"], "there is no method to be charged"
    cancelled = await client.post(
        f"/api/v1/subscriptions/{made.json()['id']}/cancel", json={"now": True}
    )
    assert cancelled.json()["status"] == "canceled"
    again = await subscribe(client, plan="club-plus-month", key="s2")
    assert again.json()["status"] == "incomplete", "no second trial"


async def test_a_dearer_plan_begins_when_the_rest_is_paid_and_a_cheaper_one_leaves_credit(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources)
    path = f"/api/v1/subscriptions/{subscription}/change"
    async with resources.database.transaction() as session:
        await session.execute(
            text(
                "UPDATE payments.subscriptions SET period_start = now() - interval '10 days',"
                " period_end = now() + interval '20 days',"
                " next_step_at = now() + interval '20 days'"
            )
        )
    stripe_server.declines = True
    declined = (await press(client, path, plan="club-plus-month")).json()
    assert (declined["plan"], declined["next_plan"]) == ("club-month", None)
    assert declined["status"] == "active", "what was paid goes on"
    stripe_server.declines = False
    dearer = (await press(client, path, plan="club-plus-month")).json()
    assert (dearer["plan"], dearer["amount"]) == ("club-plus-month", 1900)
    charged = list(stripe_server.intents.values())[-1]["amount"]
    assert charged in (665, 666, 667), "two thirds of the difference of 10.00"
    assert await features(resources, ALICE) == {"club", "tastings"}
    cheaper = (await press(client, path, plan="club-month")).json()
    assert cheaper["plan"] == "club-month"
    assert abs(cheaper["credit"] - charged) <= 1
    assert await take_step(resources, datetime.now(UTC) + timedelta(days=21)) == ["active"]
    renewal = list(stripe_server.intents.values())[-1]["amount"]
    assert renewal == 900 - cheaper["credit"], "the credit pays first"
    same = await press(client, path, plan="club-month")
    other = await press(client, path, plan="club-year")
    assert (same.status_code, other.status_code) == (409, 409)
    await books(resources)


async def test_cancelling_ends_with_the_period_and_can_be_taken_back(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources)
    path = f"/api/v1/subscriptions/{subscription}"
    assert (await client.post(f"{path}/cancel", json={})).json()["cancel_at_end"] is True
    assert await features(resources, ALICE) == {"club"}, "until the end of what is paid"
    assert (await client.post(f"{path}/resume")).json()["cancel_at_end"] is False
    await client.post(f"{path}/cancel", json={})
    end = (await row(resources)).period_end
    assert await features(resources, ALICE, now=end) == frozenset(), "and not a second longer"
    assert await take_step(resources, end) == ["canceled"]
    assert stripe_server.intents == {}


async def test_a_paused_subscription_is_not_renewed_until_it_is_resumed(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources)
    path = f"/api/v1/subscriptions/{subscription}"
    assert (await client.post(f"{path}/pause")).json()["status"] == "paused"
    assert await take_step(resources, datetime.now(UTC) + MONTH * 3) == []
    async with resources.database.transaction() as session:
        await session.execute(
            text(
                "UPDATE payments.subscriptions SET period_start = now() - interval '60 days',"
                " period_end = now() - interval '30 days'"
            )
        )
    assert (await client.post(f"{path}/resume")).json()["status"] == "past_due"
    assert await features(resources, ALICE) == frozenset(), "nothing is open before it is paid"
    assert await take_step(resources, datetime.now(UTC)) == ["active"]
    found = await row(resources)
    assert found.period_start > datetime.now(UTC) - timedelta(minutes=1), "from now, not from then"
    assert len(stripe_server.intents) == 1


async def test_what_is_never_paid_expires(client: httpx.AsyncClient, resources: Resources) -> None:
    await subscribe(client)
    assert await take_step(resources, datetime.now(UTC) + timedelta(hours=25)) == ["expired"]
    assert (await subscribe(client, key="s2")).status_code == 201


async def test_nobody_touches_another_customers_subscription(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources)
    for what in ("pay", "pause", "resume", "cancel", "change"):
        answer = await client.post(
            f"/api/v1/subscriptions/{subscription}/{what}",
            json={"plan": "club-plus-month"} if what == "change" else {},
            headers={USER_HEADER: str(BOB), "Idempotency-Key": what},
        )
        assert answer.status_code == 404, what


@pytest.mark.parametrize("way", ["another customer", "nobody", "a forged cookie", "a header"])
async def test_the_paywall_is_not_passed_by_anybody_else(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, way: str
) -> None:
    await active(client, stripe_server, resources)
    headers = {
        "another customer": {USER_HEADER: str(BOB)},
        "nobody": {USER_HEADER: ""},
        "a forged cookie": {USER_HEADER: "", "Cookie": "subscription=active; plan=club-month"},
        "a header": {USER_HEADER: str(BOB), "X-Subscription": "active", "X-Features": "club"},
    }[way]
    answer = await client.get("/api/v1/club/offers?features=club", headers=headers)
    assert answer.status_code == (402 if headers.get(USER_HEADER) else 401)


async def test_no_copy_outlives_a_change_even_when_a_slow_reader_puts_it_back(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources)
    assert await features(resources, ALICE) == {"club"}
    stale = await resources.cache.get(f"copy:subscriptions:{ALICE}")
    assert stale is not None, "it is copied"
    await client.post(f"/api/v1/subscriptions/{subscription}/cancel", json={"now": True})
    await resources.cache.set(f"copy:subscriptions:{ALICE}", stale)
    assert await features(resources, ALICE) == frozenset()
    assert (await client.get("/api/v1/club/offers")).status_code == 402


async def test_two_steps_at_once_charge_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources)
    now = datetime.now(UTC) + MONTH
    await asyncio.gather(*(step.step(resources, subscription, now=now) for _ in range(6)))
    assert len(stripe_server.intents) == 1
    assert billing.now() < now
    await books(resources)

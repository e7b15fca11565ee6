"""What is had was paid, and what was paid is had or given back: to the cent, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from payments.gateways.stripe import StripeGateway
from payments.ledger import service as ledger
from payments.ledger.service import Entry, Transfer
from payments.money import Money
from payments.orders.asking import locked
from payments.refunds import service as refunds
from payments.resources import Resources
from payments.subscriptions import booking, changes, unwanted
from payments.subscriptions.entitlement import features
from payments.worker import tasks
from tests.app.fixtures import ALICE
from tests.app.orders.helpers import books, deliver, scalar
from tests.app.refunds.test_refunds import told
from tests.app.stripe_server import StripeServer, charge, event
from tests.app.subscriptions.test_subscriptions import (
    active,
    pay_page,
    press,
    row,
    subscribe,
    take_step,
)

PLUS = "club-plus-month"
INVOICES = "SELECT string_agg(status, ',' ORDER BY created_at) FROM payments.subscription_invoices"
REFUNDS = "SELECT count(*) FROM payments.refunds"


async def do(resources: Resources, statement: str, **values: Any) -> None:
    async with resources.database.transaction() as session:
        await session.execute(text(statement), values)


async def set_period(resources: Resources, gone: timedelta, left: timedelta) -> None:
    """Put the current period around now, with its invoice."""
    now = datetime.now(UTC)
    await do(
        resources,
        "UPDATE payments.subscriptions SET period_start = :start, period_end = :end,"
        " next_step_at = :end",
        start=now - gone,
        end=now + left,
    )


async def pay_session(
    client: httpx.AsyncClient, stripe: StripeServer, session: dict[str, Any]
) -> None:
    body = event("checkout.session.completed", stripe.pay(session["id"]), key=session["id"])
    assert (await deliver(client, body)).json() == {"status": "applied"}


def newest(stripe: StripeServer) -> dict[str, Any]:
    return list(stripe.sessions.values())[-1]


async def test_a_trial_that_was_paused_goes_on_as_a_trial_and_leaves_no_credit(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await subscribe(client, plan=PLUS)
    path = f"/api/v1/subscriptions/{made.json()['id']}"
    assert (await client.post(f"{path}/pause")).json()["status"] == "paused"
    assert (await client.post(f"{path}/resume")).json()["status"] == "trialing"
    changed = (await press(client, f"{path}/change", plan="club-month")).json()
    assert (changed["plan"], changed["credit"]) == ("club-month", 0), "nothing was paid"


async def test_credit_is_never_more_than_what_was_paid_and_not_given_back(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources, plan="club-month")
    path = f"/api/v1/subscriptions/{subscription}/change"
    dearer = (await press(client, path, plan=PLUS)).json()
    assert dearer["plan"] == PLUS
    payments = "SELECT id FROM payments.payments WHERE gateway_key <> '' ORDER BY created_at"
    async with resources.database.transaction() as session:
        paid = list(await session.scalars(text(payments)))
    for payment_id in paid[:1]:
        await refunds.request(
            resources,
            payment_id=payment_id,
            money=None,
            reason="kind",
            requested_by="ada",
            request_key="r",
        )
    await do(resources, "UPDATE payments.subscriptions SET amount = 19000")  # a dearer one still
    cheaper = (await press(client, path, plan="club-month")).json()
    assert 990 <= cheaper["credit"] <= 1000, "the change was paid; the period was given back"


async def test_what_was_given_back_there_and_what_is_under_way_here_both_leave_no_credit(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources, plan="club-month")
    paid = newest(stripe_server)
    assert await told(resources, "charge.refunded", charge(paid, 300)) == "applied"
    stripe_server.refund_status = "pending"
    async with resources.database.transaction() as session:
        payment_id = await session.scalar(text("SELECT id FROM payments.payments"))
    ours = await refunds.request(
        resources,
        payment_id=payment_id,
        money=Money(200, "EUR"),
        reason="kind",
        requested_by="ada",
        request_key="r",
    )
    assert ours.status == "pending"
    await do(resources, "UPDATE payments.subscriptions SET amount = 1900, plan = :plan", plan=PLUS)
    path = f"/api/v1/subscriptions/{subscription}/change"
    cheaper = (await press(client, path, plan="club-month")).json()
    assert cheaper["credit"] == 900 - 300 - 200


async def test_a_dearer_plan_is_not_had_for_the_change_of_a_period_that_is_over(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    stripe_server.saves = False
    subscription = await active(client, stripe_server, resources)
    await set_period(resources, timedelta(days=30), timedelta(hours=1))
    path = f"/api/v1/subscriptions/{subscription}"
    assert (await press(client, f"{path}/change", plan=PLUS)).json()["next_plan"] == PLUS
    change = newest(stripe_server)
    assert change["amount_total"] < 10
    end = (await row(resources)).period_end
    assert await take_step(resources, end + timedelta(seconds=5)) == ["past_due"]
    assert (await row(resources)).next_plan is None, "the renewal is of the plan as it is"
    await press(client, f"{path}/pay")
    await pay_session(client, stripe_server, newest(stripe_server))
    await pay_session(client, stripe_server, change)
    found = await row(resources)
    assert (found.plan, found.amount, found.status) == ("club-month", 900, "active")
    await tasks.sweep(resources)
    money = await books(resources)
    assert money[("gateway_clearing", "EUR")] == -1800, "the cent is given back"


async def test_a_change_of_another_period_is_no_change_however_its_payment_comes(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    stripe_server.saves = False
    subscription = await active(client, stripe_server, resources)
    await press(client, f"/api/v1/subscriptions/{subscription}/change", plan=PLUS)
    await set_period(resources, timedelta(days=1), timedelta(days=60))
    await pay_session(client, stripe_server, newest(stripe_server))
    found = await row(resources)
    assert (found.plan, found.next_plan) == ("club-month", None)
    await tasks.sweep(resources)
    assert (await books(resources))[("gateway_clearing", "EUR")] == -900


async def test_a_plan_is_not_changed_while_its_next_period_is_being_paid(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    """Else the dearer one is had for the price of the cheaper one that is under way."""
    subscription = await active(client, stripe_server, resources)
    await set_period(resources, timedelta(days=30), timedelta(seconds=-1))
    stripe_server.slow = True
    assert await take_step(resources, datetime.now(UTC)) == ["active"]
    answer = await press(client, f"/api/v1/subscriptions/{subscription}/change", plan=PLUS)
    assert (answer.status_code, answer.json()["code"]) == (409, "subscription_state")


async def test_what_is_paid_for_an_ended_subscription_is_refunded_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    made = await subscribe(client)
    await client.post(f"/api/v1/subscriptions/{made.json()['id']}/cancel", json={"now": True})
    await pay_session(client, stripe_server, newest(stripe_server))
    assert (await row(resources)).status == "canceled"
    assert await scalar(resources, INVOICES) == "unwanted", "the sweep finds it"
    for _ in range(2):
        await tasks.sweep(resources)
    assert await scalar(resources, REFUNDS) == 1
    assert await scalar(resources, "SELECT status FROM payments.orders") == "refunded"
    assert await scalar(resources, INVOICES) == "void"
    assert await books(resources) == {}


async def test_an_unwanted_payment_becomes_credit_where_the_gateway_refunds_nothing(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = await subscribe(client)
    await client.post(f"/api/v1/subscriptions/{made.json()['id']}/cancel", json={"now": True})
    await pay_session(client, stripe_server, newest(stripe_server))
    invoice = await scalar(resources, "SELECT id FROM payments.subscription_invoices")
    monkeypatch.setattr(StripeGateway, "takes", lambda *_: False)
    for _ in range(2):
        await unwanted.give_back(resources, invoice)
    assert await books(resources) == {("gateway_clearing", "EUR"): -900, ("wallet", "EUR"): 900}


async def test_credit_goes_into_the_wallet_when_its_subscription_ends(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources, plan="club-month")
    path = f"/api/v1/subscriptions/{subscription}"
    await press(client, f"{path}/change", plan=PLUS)
    credit = (await press(client, f"{path}/change", plan="club-month")).json()["credit"]
    assert credit > 900
    for _ in range(2):
        ended = (await client.post(f"{path}/cancel", json={"now": True})).json()
    assert (ended["status"], ended["credit"]) == ("canceled", 0)
    money = await books(resources)
    assert money[("wallet", "EUR")] == credit
    kept = -money[("gateway_clearing", "EUR")] - credit
    assert money[("merchant", "EUR")] + money[("fees", "EUR")] == kept


async def test_credit_that_an_unpaid_invoice_took_is_not_lost_with_it(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources)
    await do(resources, "UPDATE payments.subscriptions SET credit = 300")
    stripe_server.declines = True
    assert await take_step(resources, (await row(resources)).period_end) == ["past_due"]
    assert (await row(resources)).credit == 0
    await client.post(f"/api/v1/subscriptions/{subscription}/cancel", json={"now": True})
    assert (await books(resources))[("wallet", "EUR")] == 300


async def test_credit_that_comes_back_pays_a_debt_first(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources)
    await do(resources, "UPDATE payments.subscriptions SET credit = 300")
    cents = Money(200, "EUR")
    entries = (
        Entry(ledger.customer(ALICE), "receivable", -cents),
        Entry("gateway", "gateway_clearing", cents),
    )
    async with resources.database.transaction() as session:
        await ledger.post(session, [Transfer(key="d", kind="test", subject=None, entries=entries)])
    await client.post(f"/api/v1/subscriptions/{subscription}/cancel", json={"now": True})
    money = await books(resources)
    assert (money[("wallet", "EUR")], money.get(("receivable", "EUR"), 0)) == (100, 0)


async def test_a_resumed_subscription_opens_nothing_until_its_new_period_is_paid(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources)
    path = f"/api/v1/subscriptions/{subscription}"
    await client.post(f"{path}/pause")
    await set_period(resources, timedelta(days=60), -timedelta(days=30))
    await do(resources, "UPDATE payments.subscriptions SET next_step_at = NULL")
    assert (await client.post(f"{path}/resume")).json()["status"] == "past_due"
    assert (await press(client, f"{path}/change", plan=PLUS)).status_code == 409
    stripe_server.declines = True
    assert await take_step(resources, datetime.now(UTC)) == ["past_due"]
    assert await features(resources, ALICE) == frozenset(), "there is no grace for nothing"
    await press(client, f"{path}/pay")
    await pay_page(client, stripe_server, resources)
    found = await row(resources)
    assert found.status == "active"
    assert found.period_start > datetime.now(UTC) - timedelta(minutes=1)
    assert await features(resources, ALICE) == {"club"}
    await books(resources)


async def test_a_change_that_is_paid_on_a_page_leads_to_it(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    stripe_server.saves = False
    subscription = await active(client, stripe_server, resources)
    path = f"/api/v1/subscriptions/{subscription}"
    asked = (await press(client, f"{path}/change", plan=PLUS)).json()
    assert asked["checkout_url"] == newest(stripe_server)["url"]
    assert asked["order_id"]
    listed = (await client.get("/api/v1/subscriptions")).json()["data"][0]
    assert listed["checkout_url"] == asked["checkout_url"]
    assert (await press(client, f"{path}/pay")).json()["checkout_url"] == asked["checkout_url"]
    await pay_session(client, stripe_server, newest(stripe_server))
    done = (await client.get("/api/v1/subscriptions")).json()["data"][0]
    assert (done["plan"], done["checkout_url"], done["order_id"]) == (PLUS, None, None)


async def test_a_payment_at_another_gateway_leaves_the_saved_method_at_its_own(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await active(client, stripe_server, resources)
    stripe_server.declines = True
    end = (await row(resources)).period_end
    await take_step(resources, end)
    order_id: UUID = await scalar(
        resources, "SELECT order_id FROM payments.subscription_invoices WHERE status = 'open'"
    )
    answer = await press(client, f"/api/v1/orders/{order_id}/retry")
    assert answer.status_code == 201, answer.text
    payment_id = await scalar(
        resources, "SELECT id FROM payments.payments ORDER BY created_at DESC LIMIT 1"
    )
    async with resources.database.transaction() as session:
        order, payment = await locked(session, payment_id)
        session.expunge(payment)
        payment.gateway = "razorpay"  # as if the rules had chosen it; it saves nothing
        await booking.paid(session, order, payment)
    found = await row(resources)
    assert (found.status, found.method_ref, found.gateway) == ("active", "cus_1/pm_1", "stripe")


async def test_a_change_that_is_asked_for_again_under_its_key_charges_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    subscription = await active(client, stripe_server, resources)
    path = f"/api/v1/subscriptions/{subscription}/change"
    first = await press(client, path, key="k", plan=PLUS)
    again = await press(client, path, key="k", plan=PLUS)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert len(stripe_server.intents) == 1
    assert (await press(client, path, key="k", plan="club-year")).status_code == 422
    without = await client.post(path, json={"plan": "club-month"})
    assert (without.status_code, without.json()["code"]) == (400, "idempotency_key_missing")


async def test_a_change_whose_run_died_goes_on_where_it_was(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscription = await active(client, stripe_server, resources)
    path = f"/api/v1/subscriptions/{subscription}/change"
    real = changes.billing.collect

    async def die(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(changes.billing, "collect", die)
    assert (await press(client, path, key="k", plan=PLUS)).status_code == 500
    monkeypatch.setattr(changes.billing, "collect", real)
    done = await press(client, path, key="k", plan=PLUS)
    assert (done.status_code, done.json()["plan"]) == (200, PLUS)
    assert len(stripe_server.intents) == 1

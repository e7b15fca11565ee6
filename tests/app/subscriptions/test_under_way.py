"""What a customer decides while the bank still settles a renewal: neither is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from payments.resources import Resources
from payments.subscriptions.entitlement import features
from payments.worker import tasks
from tests.app.fixtures import ALICE
from tests.app.orders.helpers import books, deliver, scalar
from tests.app.refunds.test_refunds import NUMBERS
from tests.app.stripe_server import StripeServer, event
from tests.app.subscriptions.test_fair import INVOICES, do, set_period
from tests.app.subscriptions.test_subscriptions import active, press, row, take_step

HOUR = timedelta(hours=1, minutes=1)
MONTHS = timedelta(days=100)


class Renewal:
    """A renewal of two hours ago whose charge is under way at the bank."""

    def __init__(
        self, client: httpx.AsyncClient, stripe: StripeServer, resources: Resources
    ) -> None:
        self.client, self.stripe, self.resources = client, stripe, resources
        self.path = self.ref = ""
        self.start = datetime.now(UTC) - timedelta(hours=2)

    async def begin(self, *, answer_is_lost: bool = False) -> None:
        subscription = await active(self.client, self.stripe, self.resources)
        self.path = f"/api/v1/subscriptions/{subscription}"
        await set_period(self.resources, timedelta(days=30), self.start - datetime.now(UTC))
        self.start = (await row(self.resources)).period_end
        self.stripe.slow = not answer_is_lost
        self.stripe.faults = ["fail_after_commit"] if answer_is_lost else []
        assert await self.step(datetime.now(UTC)) == ["active"]
        self.stripe.slow = False
        (self.ref,) = self.stripe.intents

    async def post(self, leaf: str) -> dict[str, Any]:
        body: dict[str, Any] = (await self.client.post(f"{self.path}/{leaf}", json={})).json()
        return body

    async def step(self, now: datetime) -> list[str | None]:
        return await take_step(self.resources, now)

    async def succeed(self) -> None:
        await self._told("payment_intent.succeeded", self.stripe.settle(self.ref))

    async def fail(self) -> None:
        intent = self.stripe.settle(self.ref, "requires_payment_method")
        await self._told("payment_intent.payment_failed", intent)

    async def _told(self, kind: str, intent: dict[str, Any]) -> None:
        body = event(kind, intent, key=f"evt_under_way_{next(NUMBERS)}")
        assert (await deliver(self.client, body)).json() == {"status": "applied"}


@pytest.fixture
async def renewal(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> Renewal:
    """Begin one."""
    found = Renewal(client, stripe_server, resources)
    await found.begin()
    return found


async def test_a_pause_outlives_a_charge_that_succeeds_and_what_was_paid_is_had(
    renewal: Renewal, stripe_server: StripeServer, resources: Resources
) -> None:
    assert (await renewal.post("pause"))["status"] == "paused"
    await renewal.succeed()
    found = await row(resources)
    assert (found.status, found.period_start, found.next_step_at) == ("paused", renewal.start, None)
    assert await features(resources, ALICE) == {"club"}, "to the end of what is paid"
    assert await renewal.step(found.period_end + MONTHS) == []
    assert (await renewal.post("resume"))["status"] == "active"
    assert await renewal.step(datetime.now(UTC)) == [], "the period is paid already"
    assert len(stripe_server.intents) == 1
    assert await renewal.step(found.period_end) == ["active"]
    assert len(stripe_server.intents) == 2
    assert (await books(resources))[("gateway_clearing", "EUR")] == -2700


async def test_a_pause_outlives_a_charge_that_fails_and_nothing_is_tried_again(
    renewal: Renewal, stripe_server: StripeServer, resources: Resources
) -> None:
    await renewal.post("pause")
    await renewal.fail()
    found = await row(resources)
    assert (found.status, found.attempts, found.next_step_at) == ("paused", 0, None)
    assert await scalar(resources, INVOICES) == "paid,void"
    assert await renewal.step(datetime.now(UTC) + MONTHS) == []
    assert (await press(renewal.client, f"{renewal.path}/pay")).status_code == 409
    assert (await renewal.post("resume"))["status"] == "past_due"
    assert await renewal.step(datetime.now(UTC)) == ["active"]
    assert len(stripe_server.intents) == 2
    found = await row(resources)
    assert found.period_start > renewal.start + timedelta(hours=1), "from now, not from then"
    assert (await books(resources))[("gateway_clearing", "EUR")] == -1800


async def test_a_charge_that_succeeds_after_it_failed_is_given_back_to_who_paused(
    renewal: Renewal, resources: Resources
) -> None:
    await renewal.post("pause")
    await renewal.fail()
    await renewal.succeed()
    assert (await row(resources)).status == "paused"
    assert await scalar(resources, INVOICES) == "paid,unwanted", "the sweep refunds it"


async def test_a_pause_outlives_a_charge_whose_answer_was_lost(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    renewal = Renewal(client, stripe_server, resources)
    await renewal.begin(answer_is_lost=True)
    await renewal.post("pause")
    await do(
        resources, "UPDATE payments.payments SET next_check_at = now() WHERE status = 'unknown'"
    )
    await tasks.sweep(resources)
    found = await row(resources)
    assert (found.status, found.period_start, found.next_step_at) == ("paused", renewal.start, None)
    assert len(stripe_server.intents) == 1


@pytest.mark.parametrize("succeeds", [True, False])
async def test_who_resumes_while_the_charge_is_under_way_is_where_they_were_before(
    renewal: Renewal, stripe_server: StripeServer, resources: Resources, succeeds: bool
) -> None:
    await renewal.post("pause")
    assert (await renewal.post("resume"))["status"] == "active"
    assert await features(resources, ALICE) == frozenset(), "nothing is paid yet"
    assert await renewal.step(datetime.now(UTC)) == ["active"], "it waits"
    assert len(stripe_server.intents) == 1, "no second charge beside the first"
    await (renewal.succeed() if succeeds else renewal.fail())
    found = await row(resources)
    if succeeds:
        assert (found.status, found.period_start) == ("active", renewal.start)
        assert found.next_step_at == found.period_end
    else:
        assert (found.status, found.attempts) == ("past_due", 1)
    await books(resources)


async def test_who_cancels_has_the_period_that_was_being_paid_and_no_other(
    renewal: Renewal, stripe_server: StripeServer, resources: Resources
) -> None:
    assert (await renewal.post("cancel"))["cancel_at_end"] is True
    assert await renewal.step(datetime.now(UTC) + HOUR) == ["active"], "it waits for the bank"
    await renewal.succeed()
    found = await row(resources)
    assert (found.status, found.period_start) == ("active", renewal.start)
    assert await features(resources, ALICE) == {"club"}
    assert await renewal.step(found.period_end) == ["canceled"]
    assert len(stripe_server.intents) == 1
    assert (await books(resources))[("gateway_clearing", "EUR")] == -1800


async def test_who_cancels_is_not_charged_again_when_the_charge_fails(
    renewal: Renewal, stripe_server: StripeServer, resources: Resources
) -> None:
    await renewal.post("cancel")
    await renewal.fail()
    found = await row(resources)
    assert (found.status, found.next_step_at) == ("canceled", None)
    assert await scalar(resources, INVOICES) == "paid,void"
    assert await renewal.step(datetime.now(UTC) + MONTHS) == []
    assert (await renewal.post("resume"))["code"] == "subscription_state"
    assert len(stripe_server.intents) == 1
    assert (await books(resources))[("gateway_clearing", "EUR")] == -900


async def test_who_takes_a_cancellation_back_is_renewed_after_what_was_being_paid(
    renewal: Renewal, stripe_server: StripeServer, resources: Resources
) -> None:
    await renewal.post("cancel")
    await renewal.succeed()
    assert (await renewal.post("resume"))["cancel_at_end"] is False
    assert await renewal.step((await row(resources)).period_end) == ["active"]
    assert len(stripe_server.intents) == 2
    await books(resources)


async def test_a_cancellation_that_an_earlier_release_lost_ends_the_retries(
    renewal: Renewal, stripe_server: StripeServer, resources: Resources
) -> None:
    await renewal.fail()
    assert (await row(resources)).status == "past_due"
    await do(resources, "UPDATE payments.subscriptions SET cancel_at_end = true")
    assert await renewal.step(datetime.now(UTC) + MONTHS) == ["canceled"]
    assert len(stripe_server.intents) == 1

"""Charges that a bank settles days later: booked when they are, by event or by asking."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text

from payments.orders import repair
from payments.resources import Resources
from tests.app.orders.helpers import books, deliver, scalar
from tests.app.refunds.test_refunds import NUMBERS
from tests.app.stripe_server import StripeServer, event
from tests.app.subscriptions.test_subscriptions import active, press, row, take_step

CHARGE = "SELECT status FROM payments.payments ORDER BY created_at DESC LIMIT 1"
NEXT_LOOK = "SELECT max(next_check_at) FROM payments.payments WHERE status = 'processing'"


async def renewing(
    client: httpx.AsyncClient, stripe: StripeServer, resources: Resources
) -> tuple[str, datetime]:
    """Begin a renewal whose charge is under way at the bank; returns its intent."""
    await active(client, stripe, resources)
    stripe.slow = True
    end = (await row(resources)).period_end
    assert await take_step(resources, end) == ["active"]
    assert await scalar(resources, CHARGE) == "processing"
    return list(stripe.intents)[-1], end


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put every payment's expiry, and the days after it, behind us."""
    monkeypatch.setattr(repair, "GRACE", -timedelta(days=1))


async def look(resources: Resources) -> None:
    """Let the time of every payment's next look come, and look."""
    async with resources.database.transaction() as session:
        await session.execute(
            text(
                "UPDATE payments.payments SET next_check_at = now() WHERE next_check_at IS NOT NULL"
            )
        )
        due = await repair.due(session, most=10)
    for payment_id in due:
        await repair.repair(resources, payment_id)


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("asked_first", [True, False])
async def test_a_charge_that_settles_on_the_fifth_day_renews_the_subscription_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, asked_first: bool
) -> None:
    ref, end = await renewing(client, stripe_server, resources)
    intent = stripe_server.settle(ref)
    body = event("payment_intent.succeeded", intent, key=f"evt_late_{next(NUMBERS)}")
    if asked_first:
        await look(resources)
        assert (await row(resources)).period_start == end, "the event may never come"
    expected = "refused" if asked_first else "applied"
    assert (await deliver(client, body)).json() == {"status": expected}
    await look(resources)
    found = await row(resources)
    assert (found.status, found.period_start) == ("active", end)
    assert (await books(resources))[("gateway_clearing", "EUR")] == -1800


@pytest.mark.usefixtures("later")
async def test_what_is_processing_is_asked_for_as_long_as_it_is_with_longer_pauses(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await renewing(client, stripe_server, resources)
    for _ in range(3):
        await look(resources)
        assert await scalar(resources, NEXT_LOOK) > datetime.now(UTC) + timedelta(hours=5)
    assert await scalar(resources, CHARGE) == "processing"


@pytest.mark.parametrize("told", ["payment_intent.payment_failed", "payment_intent.canceled"])
async def test_a_charge_that_fails_late_goes_the_way_of_any_that_failed(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, told: str
) -> None:
    ref, _ = await renewing(client, stripe_server, resources)
    intent = stripe_server.settle(ref, "requires_payment_method")
    body = event(told, intent, key=f"evt_failed_{next(NUMBERS)}")
    assert (await deliver(client, body)).json() == {"status": "applied"}
    found = await row(resources)
    assert (found.status, found.attempts) == ("past_due", 1)


async def test_a_page_whose_slow_payment_failed_gives_way_to_another_page(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    """Else the order would wait for ever: a completed session never expires."""
    stripe_server.saves = False
    subscription = await active(client, stripe_server, resources)
    assert await take_step(resources, (await row(resources)).period_end) == ["past_due"]
    path = f"/api/v1/subscriptions/{subscription}/pay"
    first = (await press(client, path)).json()["checkout_url"]
    page = list(stripe_server.sessions.values())[-1]
    page |= {"status": "complete", "payment_intent": {"id": "pi_slow", "status": "processing"}}
    await look(resources)
    assert await scalar(resources, CHARGE) == "processing"
    page["payment_intent"]["status"] = "requires_payment_method"
    await look(resources)
    assert await scalar(resources, CHARGE) == "expired"
    assert (await press(client, path)).json()["checkout_url"] != first

"""How payments go: the alert and the week's report count what happened, by the events of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from payments.money import Money
from payments.ops.metrics import REGISTRY
from payments.reconcile import health
from payments.reconcile.health import Share
from payments.resources import Resources
from tests.app.orders.helpers import order, scalar
from tests.app.reconcile.test_reconcile import Listed, run, theirs
from tests.app.refunds.test_refunds import NUMBERS, paid, told
from tests.app.stripe_server import StripeServer, charge, intent
from tests.app.subscriptions.test_late import look

COMPLETED = "checkout.session.completed"
DECLINED = "payment_intent.payment_failed"
EXPIRED = "checkout.session.expired"
SLOW_FAILED = "checkout.session.async_payment_failed"
STATUS = "SELECT status FROM payments.payments"


async def page(client: httpx.AsyncClient, stripe: StripeServer) -> dict[str, Any]:
    """Order; returns the page to pay on."""
    assert (await order(client, key=f"health-{next(NUMBERS)}")).status_code == 201
    return list(stripe.sessions.values())[-1]


async def counted(
    resources: Resources, *, since: datetime | None = None, until: datetime | None = None
) -> list[tuple[int, int]]:
    """Return how many were taken and how many failed, gateway by gateway."""
    since = since or datetime.now(UTC) - timedelta(hours=1)
    async with resources.database.transaction() as session:
        found = await health.shares(session, since=since, until=until)
    return [(share.taken, share.failed) for share in found]


async def watch(resources: Resources) -> bool:
    """Look at the last hour, as the worker does every minute."""
    async with resources.database.transaction() as session:
        return await health.watch(session)


async def test_more_than_five_percent_failures_in_an_hour_are_an_alert(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(19):
        session = await page(client, stripe_server)
        await told(resources, COMPLETED, stripe_server.pay(session["id"]))
    last = await page(client, stripe_server)
    assert not await watch(resources), "one that is still open has not failed"
    await told(resources, DECLINED, intent(last))
    assert not await watch(resources), "1 of 20 is 5 %, which is not more"
    assert await counted(resources) == [(19, 1)]
    await told(resources, DECLINED, intent(await page(client, stripe_server)))
    assert await watch(resources)
    assert REGISTRY.get_sample_value("alert_active", {"alert": "payment_failures"}) == 1
    ratio = ("payment_failure_ratio", {"gateway": "stripe"})
    assert REGISTRY.get_sample_value(*ratio) == pytest.approx(2 / 21)
    monkeypatch.setattr(health, "FAILURE_WINDOW", timedelta())
    assert not await watch(resources)
    assert REGISTRY.get_sample_value(*ratio) is None, "no traffic has no share that fails"


async def test_a_declined_payment_has_failed_after_its_page_expired_too(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await page(client, stripe_server)
    await told(resources, DECLINED, intent(session))
    await told(resources, EXPIRED, session)
    assert await scalar(resources, STATUS) == "expired"
    assert await counted(resources) == [(0, 1)]


async def test_a_page_that_nobody_paid_has_not_failed(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await told(resources, EXPIRED, await page(client, stripe_server))
    assert await scalar(resources, STATUS) == "expired"
    assert await counted(resources) == []


async def test_who_pays_after_a_declined_card_has_paid(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await page(client, stripe_server)
    await told(resources, DECLINED, intent(session))
    declined = datetime.now(UTC)
    await told(resources, COMPLETED, stripe_server.pay(session["id"]))
    assert await counted(resources) == [(1, 0)]
    assert await counted(resources, until=declined) == [(0, 1)], "by then it had not"
    assert await counted(resources, since=declined) == [(1, 0)]


@pytest.mark.parametrize(
    "news",
    [
        (COMPLETED, SLOW_FAILED),
        (COMPLETED, DECLINED, SLOW_FAILED),
        (COMPLETED, SLOW_FAILED, DECLINED),
        (SLOW_FAILED, COMPLETED),
    ],
)
async def test_a_slow_payment_that_fails_is_one_failure_in_every_order_of_its_events(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    news: tuple[str, ...],
) -> None:
    session = await page(client, stripe_server)
    session |= {"status": "complete", "payment_intent": f"pi_{session['id']}"}
    for kind in news:
        await told(resources, kind, intent(session) if kind == DECLINED else session)
    assert await scalar(resources, STATUS) == "expired", "its page takes no other payment"
    assert await scalar(resources, "SELECT status FROM payments.orders") == "expired"
    assert await counted(resources) == [(0, 1)]


async def test_a_slow_payment_that_is_found_to_have_failed_is_a_failure(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await page(client, stripe_server)
    failed = {"id": "pi_slow", "status": "requires_payment_method"}
    session |= {"status": "complete", "payment_intent": failed}
    await look(resources)
    assert await scalar(resources, STATUS) == "expired"
    assert await counted(resources) == [(0, 1)]


async def test_news_of_an_old_payment_is_none_of_the_hours(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    """Else a day of refunds would hide the failures of the hour."""
    session = await paid(client, stripe_server)
    since = datetime.now(UTC)
    assert await told(resources, "charge.refunded", charge(session, 1000)) == "applied"
    await told(resources, DECLINED, intent(await page(client, stripe_server)))
    assert await counted(resources, since=since) == [(0, 1)]


async def test_the_weeks_report_counts_what_came_and_what_did_not_agree(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    stripe_server.faults = ["refuse"]
    await order(client, key="second")
    declined = await page(client, stripe_server)
    await told(resources, DECLINED, intent(declined))
    await told(resources, EXPIRED, declined)
    await run(resources, Listed([theirs(session, money=Money(1, "EUR"))]))
    await run(resources, Listed(down=True))
    until = datetime.now(UTC)
    await told(resources, DECLINED, intent(await page(client, stripe_server)))
    async with resources.database.transaction() as transaction:
        found = await health.week(transaction, until=until)
        reported = await health.report_week(transaction)
    assert found.shares == [Share(gateway="stripe", taken=1, failed=2)]
    assert reported.shares == [Share(gateway="stripe", taken=1, failed=3)]
    assert found.volume == {"EUR": 2490}
    assert (found.orders_failed, found.runs, found.runs_failed) == (1, 2, 1)
    assert found.differences == {"amount": 1}

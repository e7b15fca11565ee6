"""What a list of new payments does not show, long lists, and runs that were missed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from payments import jobs
from payments.gateways.protocol import ListedPayment
from payments.money import Money
from payments.ops.metrics import REGISTRY
from payments.reconcile import coverage
from payments.reconcile.command import every, missed
from payments.resources import Resources
from payments.worker import reconciliations
from tests.app.backends import Cluster
from tests.app.orders.helpers import books, order, scalar
from tests.app.reconcile.aging import age
from tests.app.reconcile.test_reconcile import Listed, kinds, run, theirs
from tests.app.refunds.test_refunds import paid
from tests.app.stripe_server import StripeServer

NOW = datetime(2026, 11, 30, 2, tzinfo=UTC)
DAY = timedelta(days=1)
STATUS = "SELECT status FROM payments.payments"
QUEUED = "SELECT count(*) FROM payments.procrastinate_jobs WHERE task_name = 'reconcile.now'"


async def change(resources: Resources, assignments: str) -> None:
    """Change every payment, as an event would have that the gateway does not know of."""
    async with resources.database.transaction() as session:
        await session.execute(text(f"UPDATE payments.payments SET {assignments}"))  # noqa: S608


Days = Callable[[int], None]


@pytest.fixture
def days_pass(postgres: Cluster, database_name: str) -> Days:
    """Let days pass over everything there is."""
    return lambda days: age(postgres, database_name, days)


async def test_a_refund_of_an_old_payment_is_seen_without_its_event(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, days_pass: Days
) -> None:
    session = await paid(client, stripe_server)
    days_pass(40)
    ref = f"pi_{session['id']}"
    old = theirs(session, refunded=Money(1000, "EUR"), created=datetime.now(UTC) - 40 * DAY)
    gateway = Listed([old], refunded=[ref, "pi_of_somebody_else"], others={ref: old})
    report = await run(resources, gateway)
    assert (kinds(report), report.listed, report.asked) == ([("refunded", True)], 0, 1)
    assert await scalar(resources, "SELECT refunded FROM payments.payments") == 1000
    assert kinds(await run(resources, gateway)) == []
    await books(resources)


async def test_a_refund_that_we_booked_lately_is_held_against_the_gateway(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, days_pass: Days
) -> None:
    session = await paid(client, stripe_server)
    days_pass(40)
    await change(
        resources,
        "status = 'partially_refunded', refunded = 500, updated_at = now() - interval '1 hour'",
    )
    ref = f"pi_{session['id']}"
    gateway = Listed(others={ref: theirs(session)})
    assert kinds(await run(resources, gateway)) == [("refunded", False)], "it says that it has not"


@pytest.mark.parametrize("status", ["processing", "open"])
async def test_what_settles_long_after_is_seen_without_its_event(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    days_pass: Days,
    status: str,
) -> None:
    await order(client)
    (session,) = stripe_server.sessions.values()
    ref = f"pi_{session['id']}"
    days_pass(10)
    await change(resources, f"status = '{status}', payment_ref = '{ref}', next_check_at = NULL")
    under_way = theirs(session, status="pending")
    gateway = Listed(others={ref: under_way})
    assert kinds(await run(resources, gateway, repair=False)) == []
    waits = "SELECT count(*) FROM payments.payments WHERE next_check_at IS NOT NULL"
    assert await scalar(resources, waits) == 0, "looking only changes nothing"
    assert kinds(await run(resources, gateway)) == []
    assert await scalar(resources, waits) == 1, "the worker looks again, and notes how it ended"
    gateway.others[ref] = theirs(session)
    report = await run(resources, gateway)
    assert (kinds(report), report.fees_booked) == ([("unpaid_here", True)], 1)
    assert await scalar(resources, STATUS) == "paid"


async def test_the_gateway_is_asked_before_it_is_said_to_have_nothing(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    ref = f"pi_{session['id']}"
    async with resources.database.transaction() as transaction:
        await transaction.execute(
            text("UPDATE payments.orders SET paid_at = paid_at - interval '2 hours'")
        )
    declined = theirs(session, status="failed", fee=None)
    for listed in ([], [declined]):
        gateway = Listed(list(listed), others={ref: theirs(session)})
        assert kinds(await run(resources, gateway)) == []
        assert gateway.asked == [ref]
    late = Listed([], list_lag=timedelta(hours=3))
    assert kinds(await run(resources, late)) == []
    assert late.asked == [], "its list is as late as that"
    assert kinds(await run(resources, Listed([declined]))) == [("unpaid_there", False)]


def foreign(number: int, at: datetime) -> ListedPayment:
    return theirs({"id": f"x{number}"}, created=at, payment_id=UUID(int=number))


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_a_long_list_is_gone_through_in_slices_and_each_row_once(
    resources: Resources, oldest_first: bool
) -> None:
    end = datetime.now(UTC) - timedelta(minutes=1)
    rows: list[Any] = [foreign(n, end - timedelta(seconds=n // 2)) for n in range(11)]
    gateway = Listed(rows[::-1] if oldest_first else rows)
    cut = await run(resources, gateway, limit=4, slices=2)
    assert not cut.complete
    assert 6 <= cut.listed < 8, "a second that was cut is heard twice, and counted once"
    whole = await run(resources, gateway, limit=4, slices=9)
    assert (whole.complete, whole.listed, whole.rest) == (True, 11, None)
    assert kinds(whole) == [("unknown_here", False)] * 11


async def test_a_second_with_more_than_a_slice_ends_the_run_and_says_so(
    resources: Resources,
) -> None:
    at = datetime.now(UTC) - timedelta(minutes=1)
    gateway = Listed([foreign(n, at) for n in range(5)])
    report = await run(resources, gateway, limit=2, slices=50)
    assert (report.complete, report.rest is None) == (False, False)


async def test_more_to_ask_about_than_the_limit_is_not_complete(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, days_pass: Days
) -> None:
    session = await paid(client, stripe_server)
    days_pass(5)
    ref = f"pi_{session['id']}"
    gateway = Listed(refunded=[ref, "pi_2", "pi_3"], others={ref: theirs(session)})
    report = await run(resources, gateway, limit=2)
    assert (report.complete, report.rest) == (False, None)


def test_what_is_covered_is_a_chain_without_gaps() -> None:
    first = (NOW - 5 * DAY, NOW - 3 * DAY)
    assert coverage.chain([]) is None
    assert coverage.chain([first]) == NOW - 3 * DAY
    assert coverage.chain([first, (NOW - 4 * DAY, NOW - DAY)]) == NOW - DAY
    assert coverage.chain([first, (NOW - DAY, NOW)]) == NOW - 3 * DAY, "two days are missing"
    assert coverage.chain([first, (NOW - 9 * DAY, NOW - 8 * DAY)]) == NOW - 3 * DAY


def test_a_run_goes_on_where_the_last_complete_one_has_stopped() -> None:
    assert coverage.begin(None, NOW) == NOW - 2 * DAY
    assert coverage.begin(NOW - DAY, NOW) == NOW - 2 * DAY
    assert coverage.begin(NOW - 6 * DAY, NOW) == NOW - 7 * DAY
    assert coverage.begin(NOW - 300 * DAY, NOW) == NOW - 90 * DAY
    assert not coverage.is_late(NOW - timedelta(hours=25), NOW)
    assert coverage.is_late(NOW - timedelta(hours=27), NOW)
    assert coverage.is_late(None, NOW)


async def test_only_a_complete_run_that_repaired_moves_the_next_one(resources: Resources) -> None:
    at = datetime.now(UTC) - timedelta(minutes=1)
    many = Listed([foreign(n, at - timedelta(seconds=n)) for n in range(5)])
    six_days_ago = datetime.now(UTC) - 6 * DAY
    await run(resources, Listed(), until=six_days_ago, since=six_days_ago - DAY)
    labels = {"gateway": "stripe"}
    for gateway, options in (
        (Listed(down=True), {}),
        (many, {"limit": 2}),
        (many, {"repair": False}),
    ):
        (report,) = await every(resources, [gateway], **options)  # type: ignore[list-item, arg-type]
        assert abs(six_days_ago - DAY - report.since) < timedelta(seconds=5) or not report.complete
    reached = REGISTRY.get_sample_value("reconciliation_last_success_timestamp_seconds", labels)
    assert reached == pytest.approx(six_days_ago.timestamp())
    (report,) = await every(resources, [many])  # type: ignore[list-item]
    assert abs(six_days_ago - DAY - report.since) < timedelta(seconds=5)
    (report,) = await every(resources, [many])  # type: ignore[list-item]
    assert report.since > datetime.now(UTC) - 3 * DAY


async def test_a_missed_run_is_made_up_for_once(resources: Resources) -> None:
    assert await missed(resources) == ["stripe"]
    for _ in range(2):
        await reconciliations.catch_up(resources)
    assert await scalar(resources, QUEUED) == 1
    assert REGISTRY.get_sample_value("alert_active", {"alert": "reconciliation_late"}) == 1
    await run(resources, Listed())
    async with resources.database.transaction() as session:
        await session.execute(text("DELETE FROM payments.procrastinate_jobs"))
        assert not await jobs.is_queued(session, jobs.RECONCILE_NOW, {"gateway": "stripe"})
    await reconciliations.catch_up(resources)
    assert await scalar(resources, QUEUED) == 0
    assert REGISTRY.get_sample_value("alert_active", {"alert": "reconciliation_late"}) == 0

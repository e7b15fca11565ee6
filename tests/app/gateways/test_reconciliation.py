"""Reconciliation over each gateway: one night with everything that can be missed, then nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
from sqlalchemy import text

from payments.reconcile.report import Report
from payments.reconcile.service import reconcile
from payments.resources import Resources
from tests.app.backends import Cluster
from tests.app.gateways.counters import Counter
from tests.app.gateways.helpers import place
from tests.app.orders.helpers import books
from tests.app.reconcile.aging import age

DAYS = 20
LOST = ("unpaid_here", True)
GIVEN_BACK = ("refunded", True)
ODD = ("error", False)


async def night(
    resources: Resources, counter: Counter, *, limit: int = 500, slices: int = 1
) -> Report:
    """Run a reconciliation as every night's is."""
    now = datetime.now(UTC)
    report = await reconcile(
        resources,
        resources.gateways.need(counter.name),
        since=now - timedelta(days=2),
        until=now + timedelta(seconds=2),
        limit=limit,
        slices=slices,
    )
    assert report.error is None
    return report


def kinds(report: Report) -> list[tuple[str, bool]]:
    return sorted((line.kind, line.repaired) for line in report.lines)


async def new_page(client: httpx.AsyncClient, counter: Counter, key: str) -> str:
    known = set(counter.pages())
    assert (await place(client, counter.name, key=key)).status_code == 201
    (page,) = set(counter.pages()) - known
    return page


async def statuses(resources: Resources) -> list[tuple[str, int]]:
    async with resources.database.transaction() as session:
        rows = await session.execute(
            text("SELECT status, refunded FROM payments.payments ORDER BY created_at")
        )
        return [(status, refunded) for status, refunded in rows]


async def test_a_night_finds_what_was_missed_and_the_next_finds_nothing_new(
    client: httpx.AsyncClient,
    counter: Counter,
    resources: Resources,
    postgres: Cluster,
    database_name: str,
) -> None:
    old = await new_page(client, counter, "old")
    await counter.pay(old)
    assert kinds(await night(resources, counter)) == [LOST]
    age(postgres, database_name, DAYS)
    counter.age(old, DAYS * 86_400)
    assert kinds(await night(resources, counter)) == [], "what is old is no difference"

    twice = await new_page(client, counter, "declined")
    counter.decline(twice)
    await counter.pay(twice)
    assert kinds(await night(resources, counter)) == [LOST]
    assert kinds(await night(resources, counter)) == [], "a card was declined before: no matter"

    lost = await new_page(client, counter, "lost")
    await counter.pay(lost)
    back = counter.give_back(old)
    counter.garble()
    found = await night(resources, counter)
    assert kinds(found) == sorted([LOST, GIVEN_BACK, ODD])
    assert found.complete
    whole = "refunded" if back == 2490 else "partially_refunded"
    assert await statuses(resources) == [(whole, back), ("paid", 0), ("paid", 0)]
    before = await books(resources)
    again = await night(resources, counter)
    assert (kinds(again), again.fees_booked) == ([ODD], 0)
    assert await books(resources) == before
    assert before.get(("gateway_fees", "EUR"), 0) == -3 * (counter.fee or 0)

    if counter.fee is not None:
        counter.keep(lost, 70)
        assert [(await night(resources, counter)).fees_booked for _ in range(2)] == [1, 0]
        assert (await books(resources))[("gateway_fees", "EUR")] == -2 * counter.fee - 70


async def test_more_than_a_slice_is_gone_through_to_its_end(
    client: httpx.AsyncClient, counter: Counter, resources: Resources
) -> None:
    for number in range(5):
        page = await new_page(client, counter, f"order-{number}")
        await counter.pay(page)
        counter.age(page, 60 * number)
    cut = await night(resources, counter, limit=2)
    assert (cut.complete, cut.listed, kinds(cut)) == (False, 2, [LOST] * 2)
    assert cut.rest is not None
    whole = await night(resources, counter, limit=2, slices=9)
    assert (whole.complete, whole.listed, kinds(whole)) == (True, 5, [LOST] * 3)
    assert await statuses(resources) == [("paid", 0)] * 5
    assert kinds(await night(resources, counter)) == []
    await books(resources)

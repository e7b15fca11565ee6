"""Disputes whose news never came: found, booked once, with what the gateway takes for them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from payments.gateways.breaker import Breaker
from payments.gateways.protocol import GatewayUnknownError
from payments.reconcile import service as reconciling
from payments.reconcile.report import Report
from payments.resources import Resources
from tests.app.disputes.test_disputes import NEWS, dispute
from tests.app.gateways.helpers import COFFEE
from tests.app.orders.helpers import books, scalar
from tests.app.refunds.test_refunds import paid, told
from tests.app.stripe_server import StripeServer

STATUS = "SELECT string_agg(status, ',') FROM payments.disputes"


async def run(resources: Resources, gateway: str = "stripe", **more: Any) -> Report:
    now = datetime.now(UTC)
    period = {"since": now - timedelta(hours=1), "until": now + timedelta(seconds=2)} | more
    return await reconciling.reconcile(resources, resources.gateways.need(gateway), **period)


def lines(report: Report) -> list[tuple[str, bool]]:
    assert report.error is None
    return [(line.kind, line.repaired) for line in report.lines]


async def test_a_dispute_nobody_told_of_is_found_and_its_end_as_well(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    before = await books(resources)
    stripe_server.contest(session["payment_intent"])
    report = await run(resources)
    assert lines(report) == [("dispute", True)]
    assert report.lines[0].ours == "no dispute"
    assert (await books(resources))[("disputed", "EUR")] == -COFFEE
    assert lines(await run(resources)) == [], "it is known now"
    stripe_server.contest(session["payment_intent"], "won")
    # Long after it began: the list of that period does not have it, but it is open here.
    later = {"since": datetime.now(UTC) + timedelta(seconds=3)}
    report = await run(resources, **later, until=later["since"] + timedelta(hours=1))
    assert lines(report) == [("dispute", True)]
    assert await scalar(resources, STATUS) == "won"
    found = await books(resources)
    assert {k: v for k, v in found.items() if "fees" not in k[0] and "clearing" not in k[0]} == {
        k: v for k, v in before.items() if "fees" not in k[0] and "clearing" not in k[0]
    }


async def test_its_fee_is_what_the_gateway_keeps_and_is_booked_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    assert (await run(resources)).fees_booked == 1
    assert (await books(resources))[("gateway_fees", "EUR")] == -61
    made = stripe_server.contest(session["payment_intent"])
    assert await told(resources, NEWS["opened"][0], made) == "applied"
    for booked in (1, 0):
        assert (await run(resources)).fees_booked == booked
    found = await books(resources)
    assert found[("gateway_fees", "EUR")] == -61 - 1500
    assert found[("gateway_clearing", "EUR")] == 61 + 1500, "it has taken more than it gave"


async def test_the_news_may_come_after_all(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    made = stripe_server.contest(session["payment_intent"], "lost")
    assert lines(await run(resources)) == [("dispute", True)]
    after = await books(resources)
    for what in ("opened", "lost"):
        kind, status = NEWS[what]
        assert await told(resources, kind, made | {"status": status}) == "refused"
    assert await books(resources) == after


@pytest.mark.parametrize("what", ["an inquiry", "somebody else's"])
async def test_what_is_no_dispute_of_ours_is_no_difference(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, what: str
) -> None:
    session = await paid(client, stripe_server)
    made = stripe_server.contest(session["payment_intent"], "warning_needs_response")
    if what == "somebody else's":
        made |= {"payment_intent": "pi_other", "status": "needs_response"}
    assert lines(await run(resources)) == []
    assert await scalar(resources, STATUS) is None


async def test_who_only_looks_changes_nothing(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    stripe_server.contest(session["payment_intent"])
    assert lines(await run(resources, repair=False)) == [("dispute", False)]
    assert await scalar(resources, STATUS) is None


async def test_one_that_cannot_be_read_is_a_line_and_stops_nothing(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    stripe_server.contest(session["payment_intent"])
    odd = dispute(session, "lost", "dp_odd") | {"created": int(time.time()), "amount": "much"}
    stripe_server.disputes["dp_odd"] = odd | {"charge": "ch_other"}
    assert sorted(lines(await run(resources))) == [("dispute", True), ("error", False)]


async def test_the_call_that_decides_about_a_gateway_is_over_before_the_next_is_made(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stripe_server.contest((await paid(client, stripe_server))["payment_intent"])
    stripe = resources.gateways.need("stripe")
    monkeypatch.setattr(stripe, "breaker", Breaker("stripe", failures=1, pause=0))
    with pytest.raises(GatewayUnknownError):
        async with stripe.breaker.call():
            raise GatewayUnknownError("away")
    assert lines(await run(resources)) == [("dispute", True)]
    assert (await books(resources))[("gateway_fees", "EUR")] == -61 - 1500, "asked for by charge"

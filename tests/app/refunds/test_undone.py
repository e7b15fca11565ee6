"""Refunds that come to nothing: the books say what the gateway says, whatever it says first."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from payments.money import Money
from payments.refunds.service import RefundTooLargeError
from payments.resources import Resources
from tests.app.orders.helpers import books, only_session, order
from tests.app.reconcile.test_reconcile import Listed, kinds, run, theirs
from tests.app.refunds.test_refunds import COFFEE, amounts, ask, paid, told
from tests.app.stripe_server import StripeServer, charge

PAID_BOOKS = {
    ("gateway_clearing", "EUR"): -COFFEE,
    ("merchant", "EUR"): 2418,
    ("fees", "EUR"): 72,
}


def elsewhere(
    session: dict[str, Any], amount: int, status: str = "failed", ref: str = "re_elsewhere"
) -> dict[str, Any]:
    """A refund that somebody made at the gateway's own pages."""
    return {
        "id": ref,
        "object": "refund",
        "amount": amount,
        "currency": "eur",
        "payment_intent": session["payment_intent"],
        "status": status,
        "metadata": {},
    }


async def test_a_total_that_counts_a_pending_refund_of_ours_books_nothing(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    stripe_server.refund_status = "pending"
    await ask(resources, 1000)
    (refund,) = stripe_server.refunds.values()
    assert await told(resources, "charge.refunded", charge(session, 1000), at=10) == "refused"
    assert await amounts(resources) == ("paid", 0, 1000), "it may still fail"
    failed = refund | {"status": "failed"}
    assert await told(resources, "refund.failed", failed, at=20) == "applied"
    assert await amounts(resources) == ("paid", 0, 0)
    assert await books(resources) == PAID_BOOKS, "nobody has got anything back"
    found = await run(resources, Listed([theirs(session, refunded=Money(0, "EUR"))]))
    assert kinds(found) == []


@pytest.mark.parametrize("news", list(itertools.permutations(range(3))))
async def test_the_news_of_ours_and_theirs_end_the_same_in_any_order(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    news: tuple[int, ...],
) -> None:
    session = await paid(client, stripe_server)
    stripe_server.refund_status = "pending"
    await ask(resources, 1000)
    (refund,) = stripe_server.refunds.values()
    # Ours is pending, then 600 are given back there, then ours fails.
    told_ = [
        ("charge.refunded", charge(session, 1000), 10),
        ("charge.refunded", charge(session, 1600), 11),
        ("refund.failed", refund | {"status": "failed"}, 20),
    ]
    for number in news:
        kind, data, at = told_[number]
        await told(resources, kind, data, at=at)
    assert (await amounts(resources))[:2] == ("partially_refunded", 600)
    assert (await books(resources))[("gateway_clearing", "EUR")] == 600 - COFFEE


async def test_a_refund_made_there_beside_one_of_ours_is_booked_when_ours_settles(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    await told(resources, "charge.refunded", charge(session, 600), at=10)
    assert (await ask(resources, 1000)).status == "succeeded"
    assert (await amounts(resources))[1] == 1600, "the first total could not count ours"
    await told(resources, "charge.refunded", charge(session, 1600), at=11)
    assert (await amounts(resources))[1] == 1600
    await books(resources)


@pytest.mark.parametrize("sequence", list(itertools.permutations(range(3))))
async def test_a_refund_made_there_that_fails_is_taken_back_out_of_the_books(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    sequence: tuple[int, ...],
) -> None:
    session = await paid(client, stripe_server)
    news = [
        ("charge.refunded", charge(session, 1000), 10),
        ("refund.updated", elsewhere(session, 1000), 20),
        ("refund.failed", elsewhere(session, 1000), 20),
    ]
    for position in (*sequence, *sequence):
        kind, data, at = news[position]
        await told(resources, kind, data, at=at)
    assert (await amounts(resources))[1] == 0
    assert await books(resources) == PAID_BOOKS, "merchant and fees have it back"
    found = await run(resources, Listed([theirs(session, refunded=Money(0, "EUR"))]))
    assert kinds(found) == []
    (shown,) = (await client.get("/api/v1/orders")).json()["data"]
    assert (shown["status"], shown["refunded"]) == ("paid", 0)


async def test_what_failed_there_can_be_given_back_anew_and_fail_anew(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    for number, at in enumerate((10, 30)):
        await told(resources, "charge.refunded", charge(session, COFFEE), at=at)
        assert (await amounts(resources))[:2] == ("refunded", COFFEE)
        assert await books(resources) == {}
        gone = elsewhere(session, COFFEE, ref=f"re_{number}")
        assert await told(resources, "refund.failed", gone, at=at + 10) == "applied"
        assert await books(resources) == PAID_BOOKS
    assert (await ask(resources, None)).money == Money(COFFEE, "EUR"), "all of it is left"
    assert await books(resources) == {}


async def test_another_refund_made_there_stays_when_one_fails(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    await told(resources, "charge.refunded", charge(session, 600), at=10)
    await told(resources, "charge.refunded", charge(session, 1000), at=11)
    await told(resources, "refund.failed", elsewhere(session, 400), at=20)
    assert (await amounts(resources))[1] == 600
    # The same again from a later total, which does not count it any more.
    await told(resources, "charge.refunded", charge(session, 600), at=30)
    await told(resources, "charge.refunded", charge(session, 900), at=31)
    assert (await amounts(resources))[1] == 900
    await books(resources)


async def test_what_failed_there_before_it_is_known_to_be_paid_waits(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    assert (await order(client)).status_code == 201
    session = stripe_server.pay(only_session(stripe_server)["id"])
    gone = elsewhere(session, 1000) | {"metadata": session["metadata"]}
    assert await told(resources, "refund.failed", gone, at=20) == "parked"


async def test_a_refund_that_was_never_made_by_our_books_is_the_gateways_own(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    stripe_server.faults = ["refuse"]
    view = await ask(resources, 1000)
    assert view.status == "remote_failed"
    made = elsewhere(session, 1000) | {
        "metadata": {"refund_id": str(view.id), **session["metadata"]}
    }
    await told(resources, "charge.refunded", charge(session, 1000), at=10)
    assert (await amounts(resources))[1] == 1000
    await told(resources, "refund.failed", made, at=20)
    assert (await amounts(resources))[1] == 0
    assert await books(resources) == PAID_BOOKS


async def test_what_was_given_back_there_counts_beside_what_of_ours_is_under_way(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    await told(resources, "charge.refunded", charge(session, 1500), at=10)
    stripe_server.refund_status = "pending"
    assert (await ask(resources, 900, key="a")).status == "pending"
    calls = stripe_server.refund_calls
    with pytest.raises(RefundTooLargeError):
        await ask(resources, 900, key="b")
    assert stripe_server.refund_calls == calls, "the gateway is not even asked"
    assert (await ask(resources, None, key="c")).money == Money(90, "EUR")

"""What goes back at Razorpay without us: what was never captured, second sums, lost disputes."""

from __future__ import annotations

import itertools
import time
from typing import Any

import httpx
import pytest

from payments.resources import Resources
from tests.app.backends import MIGRATOR, Cluster
from tests.app.gateways.helpers import COFFEE, look, payment, place
from tests.app.gateways.razorpay_server import RazorpayServer
from tests.app.gateways.test_razorpay import deliver, paid
from tests.app.orders.helpers import books
from tests.app.reconcile.test_disputes import lines, run

PAID = {("gateway_clearing", "EUR"): -COFFEE, ("merchant", "EUR"): 2418, ("fees", "EUR"): 72}


def without_fees(found: dict[Any, int]) -> dict[Any, int]:
    """The books without what Razorpay keeps."""
    kept = found.pop(("gateway_fees", "EUR"), 0)
    found["gateway_clearing", "EUR"] += kept
    return {account: amount for account, amount in found.items() if amount}


def refunded(razorpay: RazorpayServer, payment: dict[str, Any], refund: dict[str, Any]) -> bytes:
    return razorpay.event("refund.processed", refund=refund, payment=payment)


async def test_a_second_payment_that_was_never_captured_is_no_money(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    await paid(client, razorpay)
    more, back = razorpay.give_up(next(iter(razorpay.orders)))
    assert (await deliver(client, refunded(razorpay, more, back))).json() == {"status": "ignored"}
    assert lines(await run(resources, "razorpay")) == []
    assert without_fees(await books(resources)) == PAID


async def test_what_was_given_up_before_does_not_pay_for_the_order(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    await place(client, "razorpay")
    (order,) = razorpay.orders
    first, _ = razorpay.give_up(order)
    await look(resources)
    assert (await payment(resources))["order_status"] == "pending"
    assert lines(await run(resources, "razorpay")) == []
    second = razorpay.attempt(order)
    await look(resources)
    assert (await payment(resources))["payment_ref"] == second["id"] != first["id"]
    assert without_fees(await books(resources)) == PAID


@pytest.mark.parametrize("sequence", [(0, 1), (1, 0)])
async def test_a_second_sum_that_is_given_back_leaves_suspense(
    client: httpx.AsyncClient,
    razorpay: RazorpayServer,
    resources: Resources,
    sequence: tuple[int, ...],
) -> None:
    await paid(client, razorpay)
    second = razorpay.attempt(next(iter(razorpay.orders)))
    captured = razorpay.event("payment.captured", payment=second)
    back = razorpay.give_back(second["id"], COFFEE)
    events = [captured, refunded(razorpay, second, back)]
    for number in sequence:
        await deliver(client, events[number])
    await look(resources)
    assert await books(resources) == PAID
    assert lines(await run(resources, "razorpay")) == []
    found = await payment(resources)
    assert (found["order_status"], found["refunded"]) == ("paid", 0)


@pytest.mark.parametrize("old", [False, True])
async def test_that_a_second_sum_was_given_back_is_found_without_its_event(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources, old: bool
) -> None:
    await paid(client, razorpay)
    second = razorpay.attempt(next(iter(razorpay.orders)))
    assert lines(await run(resources, "razorpay")) == [("unknown_here", True)]
    assert (await books(resources))[("suspense", "EUR")] == COFFEE
    razorpay.give_back(second["id"], COFFEE)
    if old:
        for one in razorpay.payments.values():
            one["created_at"] -= 40 * 86_400
    assert lines(await run(resources, "razorpay")) == [("refunded", True)]
    assert lines(await run(resources, "razorpay")) == []
    assert without_fees(await books(resources)) == PAID


async def test_what_failed_to_go_back_is_found_when_it_is_given_back_again(
    client: httpx.AsyncClient,
    razorpay: RazorpayServer,
    resources: Resources,
    postgres: Cluster,
    database_name: str,
) -> None:
    made = await paid(client, razorpay)
    for refunds in (0, 1):
        assert (await payment(resources))["refunded"] == 0
        back = razorpay.give_back(made["id"], 900) | {"created_at": int(time.time()) - 3600}
        assert lines(await run(resources, "razorpay")) == [("refunded", True)]
        assert (await payment(resources))["refunded"] == 900
        with postgres.connect(MIGRATOR, database_name, autocommit=True) as connection:
            earlier = b"UPDATE payments.refund_totals SET told_at = told_at - interval '1 minute'"
            connection.execute(earlier)
        made["amount_refunded"] = 0
        failed = razorpay.event(
            "refund.failed",
            created=int(time.time()) - 30 + refunds,
            refund=back | {"status": "failed"},
            payment=made,
        )
        assert (await deliver(client, failed)).json() == {"status": "applied"}
    assert (await payment(resources))["refunded"] == 0


def contested(
    made: dict[str, Any], amount: int, status: str, ref: str = "disp_1"
) -> dict[str, Any]:
    return {
        "id": ref, "payment_id": made["id"], "amount": amount, "currency": "EUR",
        "status": status, "phase": "chargeback", "created_at": int(time.time()) - 60,
    }  # fmt: skip


async def test_a_dispute_lost_by_a_refund_is_borne_once(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    early, rest, fee = 900, COFFEE - 900, 72 - 72 * 900 // COFFEE
    for number, sequence in enumerate(itertools.permutations(range(4)), 1):
        known = set(razorpay.orders)
        await place(client, "razorpay", key=f"order-{number}")
        (order,) = set(razorpay.orders) - known
        made = razorpay.attempt(order)
        await deliver(client, razorpay.event("payment.captured", payment=made))
        opened, lost = (contested(made, rest, s, f"disp_{number}") for s in ("open", "lost"))
        first = razorpay.event(
            "refund.processed",
            created=int(time.time()) - 120,
            refund=razorpay.give_back(made["id"], early),
            payment=made,
        )
        events = [
            first,
            razorpay.event("payment.dispute.created", dispute=opened),
            razorpay.event("payment.dispute.lost", dispute=lost),
            refunded(razorpay, made, razorpay.give_back(made["id"], rest)),
        ]
        for position in sequence:
            await deliver(client, events[position])
        await look(resources)
        found = await payment(resources)
        assert (found["refunded"], found["disputed"]) == (early, rest), sequence
        razorpay.disputes[lost["id"]] = lost
        assert await books(resources) == {
            ("merchant", "EUR"): -fee * number,
            ("fees", "EUR"): fee * number,
        }
    assert lines(await run(resources, "razorpay")) == []


async def test_a_refund_beside_a_dispute_counts_when_the_dispute_is_won(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    made = await paid(client, razorpay)
    opened = razorpay.event("payment.dispute.created", dispute=contested(made, 900, "open"))
    await deliver(client, opened)
    back = razorpay.give_back(made["id"], 900)
    answer = await deliver(client, refunded(razorpay, made, back))
    assert answer.json() == {"status": "refused"}, "it may be the dispute's"
    won = razorpay.event("payment.dispute.won", dispute=contested(made, 900, "won"))
    await deliver(client, won)
    found = await payment(resources)
    assert (found["refunded"], found["disputed"]) == (900, 0)
    assert lines(await run(resources, "razorpay")) == []


async def test_a_refund_that_is_less_than_what_was_lost_is_none_of_the_dispute(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    made = await paid(client, razorpay)
    lost = razorpay.event("payment.dispute.lost", dispute=contested(made, 1000, "lost"))
    await deliver(client, lost)
    back = razorpay.give_back(made["id"], 400)
    await deliver(client, refunded(razorpay, made, back))
    assert (await payment(resources))["refunded"] == 400
    razorpay.give_back(made["id"], 300)
    assert lines(await run(resources, "razorpay")) == [("refunded", True)], "told by nobody"
    assert (await payment(resources))["refunded"] == 700


@pytest.mark.parametrize("late", [False, True])
async def test_what_was_given_back_stays_when_the_refund_of_a_lost_dispute_fails(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources, late: bool
) -> None:
    made = await paid(client, razorpay)
    now = int(time.time())

    async def given_back(amount: int, at: int) -> dict[str, Any]:
        back = razorpay.give_back(made["id"], amount) | {"created_at": at}
        body = razorpay.event("refund.processed", created=at, refund=back, payment=made)
        await deliver(client, body)
        return back

    if not late:
        await given_back(900, now - 120)
    lost = razorpay.event("payment.dispute.lost", dispute=contested(made, 1000, "lost"))
    await deliver(client, lost)
    back = await given_back(1000, now - 40)
    if late:
        await given_back(900, now - 30)
    assert (await payment(resources))["refunded"] == 900
    made["amount_refunded"] -= 1000
    failed = razorpay.event(
        "refund.failed", created=now - 10, refund=back | {"status": "failed"}, payment=made
    )
    assert (await deliver(client, failed)).status_code == 200
    assert (await payment(resources))["refunded"] == 900
    assert lines(await run(resources, "razorpay")) == []

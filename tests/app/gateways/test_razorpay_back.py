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


async def test_that_a_second_sum_was_given_back_is_found_without_its_event(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    await paid(client, razorpay)
    second = razorpay.attempt(next(iter(razorpay.orders)))
    assert lines(await run(resources, "razorpay")) == [("unknown_here", True)]
    assert (await books(resources))[("suspense", "EUR")] == COFFEE
    razorpay.give_back(second["id"], COFFEE)
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
        back = razorpay.give_back(made["id"], 900)
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


def contested(made: dict[str, Any], amount: int, status: str) -> dict[str, Any]:
    return {
        "id": "disp_1", "payment_id": made["id"], "amount": amount, "currency": "EUR",
        "status": status, "phase": "chargeback", "created_at": int(time.time()) - 60,
    }  # fmt: skip


@pytest.mark.parametrize("sequence", list(itertools.permutations(range(4))))
async def test_a_dispute_lost_by_a_refund_is_borne_once(
    client: httpx.AsyncClient,
    razorpay: RazorpayServer,
    resources: Resources,
    sequence: tuple[int, ...],
) -> None:
    made = await paid(client, razorpay)
    early = razorpay.event(
        "refund.processed",
        created=int(time.time()) - 120,
        refund=razorpay.give_back(made["id"], 900),
        payment=made,
    )
    rest = COFFEE - 900
    back = razorpay.give_back(made["id"], rest)
    events = [
        early,
        razorpay.event("payment.dispute.created", dispute=contested(made, rest, "open")),
        razorpay.event("payment.dispute.lost", dispute=contested(made, rest, "lost")),
        refunded(razorpay, made, back),
    ]
    for number in sequence:
        await deliver(client, events[number])
    await look(resources)
    found = await payment(resources)
    assert (found["refunded"], found["disputed"]) == (900, rest)
    fee = 72 - 72 * 900 // COFFEE
    assert await books(resources) == {("merchant", "EUR"): -fee, ("fees", "EUR"): fee}
    razorpay.disputes["disp_1"] = contested(made, rest, "lost")
    assert lines(await run(resources, "razorpay")) == []


async def test_a_refund_beside_a_dispute_counts_when_the_dispute_is_won(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    made = await paid(client, razorpay)
    opened = razorpay.event("payment.dispute.created", dispute=contested(made, 1000, "open"))
    await deliver(client, opened)
    back = razorpay.give_back(made["id"], 900)
    answer = await deliver(client, refunded(razorpay, made, back))
    assert answer.json() == {"status": "refused"}, "it may be the dispute's"
    won = razorpay.event("payment.dispute.won", dispute=contested(made, 1000, "won"))
    await deliver(client, won)
    found = await payment(resources)
    assert (found["refunded"], found["disputed"]) == (900, 0)
    assert lines(await run(resources, "razorpay")) == []

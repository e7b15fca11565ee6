"""Razorpay and the books: refunds, disputes, events in any order, reconciliation."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta

import httpx

from payments.gateways.razorpay import RazorpayGateway
from payments.money import Money
from payments.reconcile import service as reconciling
from payments.resources import Resources
from tests.app.gateways.helpers import COFFEE, give_back, look, payment, place
from tests.app.gateways.razorpay_server import RazorpayServer
from tests.app.gateways.test_razorpay import deliver, paid
from tests.app.orders.helpers import books, scalar
from tests.app.reconcile.test_disputes import STATUS, lines, run


async def test_refunds_of_ours_and_of_their_pages_add_up(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    made = await paid(client, razorpay)
    ours = await payment(resources)
    razorpay.refund_status = "pending"
    view = await give_back(resources, ours["id"], Money(500, "EUR"))
    assert view.status == "pending"
    theirs = razorpay.give_back(made["id"], 300) | {"status": "processed"}
    body = razorpay.event("refund.processed", refund=theirs, payment=razorpay.payments[made["id"]])
    await deliver(client, body)
    assert (await payment(resources))["refunded"] == 300, "what is under way may fail yet"
    (mine,) = (r for r in razorpay.refunds.values() if r["notes"])
    mine["status"] = "processed"
    body = razorpay.event("refund.processed", refund=mine, payment=razorpay.payments[made["id"]])
    assert (await deliver(client, body)).json() == {"status": "applied"}
    again = await payment(resources)
    assert (again["refunded"], again["order_status"]) == (800, "partially_refunded")
    assert (await books(resources))[("gateway_clearing", "EUR")] == -COFFEE + 800


async def test_a_refund_whose_answer_was_lost_is_made_once(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    await paid(client, razorpay)
    ours = await payment(resources)
    razorpay.faults = ["fail_after_commit"]
    assert (await give_back(resources, ours["id"])).status == "unknown"
    await look(resources)
    assert (await payment(resources))["status"] == "refunded"
    assert len(razorpay.refunds) == 1
    gateway = resources.gateways.need("razorpay")
    assert isinstance(gateway, RazorpayGateway)


async def test_a_failed_refund_frees_its_amount(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    made = await paid(client, razorpay)
    ours = await payment(resources)
    razorpay.refund_status = "pending"
    await give_back(resources, ours["id"])
    (refund,) = razorpay.refunds.values()
    refund["status"] = "failed"
    body = razorpay.event("refund.failed", refund=refund, payment=razorpay.payments[made["id"]])
    assert (await deliver(client, body)).json() == {"status": "applied"}
    after = await payment(resources)
    assert (after["refund_reserved"], after["status"]) == (0, "paid")


async def test_disputes(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    made = await paid(client, razorpay)
    dispute = {
        "id": "disp_1", "payment_id": made["id"], "amount": COFFEE, "currency": "EUR",
        "status": "open", "phase": "chargeback",
    }  # fmt: skip
    question = dispute | {"id": "disp_0", "phase": "retrieval"}
    asked = razorpay.event("payment.dispute.created", dispute=question)
    assert (await deliver(client, asked)).json() == {"status": "ignored"}
    await deliver(client, razorpay.event("payment.dispute.created", dispute=dispute))
    assert (await books(resources))[("disputed", "EUR")] == -COFFEE
    lost = razorpay.event("payment.dispute.lost", dispute=dispute | {"status": "lost"})
    assert (await deliver(client, lost)).json() == {"status": "applied"}
    assert (await books(resources)).get(("disputed", "EUR"), 0) == 0


async def test_every_order_of_razorpays_events_ends_the_same(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    for number, sequence in enumerate(itertools.permutations(range(5))):
        known = set(razorpay.orders)
        await place(client, "razorpay", key=f"order-{number}")
        (ref,) = set(razorpay.orders) - known
        failed = razorpay.attempt(ref, "failed")
        first = dict(razorpay.attempt(ref), status="authorized")
        done = razorpay.payments[first["id"]]
        captured = razorpay.event("payment.captured", payment=done)
        settled = razorpay.event("order.paid", payment=done, order=razorpay.orders[ref])
        refund = razorpay.give_back(done["id"], 900)
        events = [
            razorpay.event("payment.failed", payment=failed),
            razorpay.event("payment.authorized", payment=first),
            captured,
            settled,
            razorpay.event("refund.processed", refund=refund, payment=done),
        ]
        for position in sequence:
            assert (await deliver(client, events[position])).status_code == 200
        for body in events:
            assert (await deliver(client, body)).json() == {"status": "duplicate"}
        await look(resources)
        ours = await payment(resources)
        end = (ours["order_status"], ours["captured"], ours["refunded"], ours["payment_ref"])
        assert end == ("partially_refunded", COFFEE, 900, done["id"]), sequence
    await books(resources)


async def test_a_lost_event_is_found_by_reconciliation_and_the_fee_is_booked(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    await place(client, "razorpay")
    made = razorpay.attempt(next(iter(razorpay.orders)))
    razorpay.attempt(next(iter(razorpay.orders)), "failed")
    now = datetime.now(UTC)
    period = {"since": now - timedelta(hours=1), "until": now + timedelta(seconds=2)}
    gateway = resources.gateways.need("razorpay")
    report = await reconciling.reconcile(resources, gateway, **period)
    assert [(line.kind, line.repaired) for line in report.lines] == [("unpaid_here", True)]
    assert (await payment(resources))["order_status"] == "paid"
    again = await reconciling.reconcile(resources, gateway, **period)
    assert (report.fees_booked, again.lines, again.fees_booked) == (1, [], 0)
    assert (await books(resources))[("gateway_fees", "EUR")] == -made["fee"]


async def test_disputes_nobody_told_of_are_found(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    made = await paid(client, razorpay)
    razorpay.disputes["disp_1"] = {
        "id": "disp_1", "payment_id": made["id"], "amount": COFFEE, "currency": "EUR",
        "status": "open", "phase": "chargeback", "created_at": int(time.time()),
    }  # fmt: skip
    assert lines(await run(resources, "razorpay")) == [("dispute", True)]
    razorpay.disputes["disp_1"]["status"] = "lost"
    later = datetime.now(UTC) + timedelta(seconds=3)
    report = await run(resources, "razorpay", since=later, until=later + timedelta(hours=1))
    assert lines(report) == [("dispute", True)]
    assert await scalar(resources, STATUS) == "lost"

"""PayPal and the books: refunds, disputes, events in any order, reconciliation."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import httpx

from payments.gateways.paypal import PaypalGateway
from payments.money import Money
from payments.reconcile import service as reconciling
from payments.resources import Resources
from tests.app.gateways.helpers import COFFEE, give_back, look, payment, place
from tests.app.gateways.paypal_server import PaypalServer
from tests.app.gateways.test_paypal import PAID, deliver, paid
from tests.app.orders.helpers import books, scalar
from tests.app.reconcile.test_disputes import lines, run


async def test_refunds_of_ours_and_of_their_pages_add_up(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    capture = await paid(client, paypal, resources)
    ours = await payment(resources)
    assert (await give_back(resources, ours["id"], Money(500, "EUR"))).status == "succeeded"
    theirs = paypal.give_back(capture, {"currency_code": "EUR", "value": "3.00"})
    body = paypal.event("PAYMENT.CAPTURE.REFUNDED", theirs)
    assert (await deliver(client, paypal, body)).json() == {"status": "applied"}
    after = await payment(resources)
    assert (after["refunded"], after["order_status"]) == (800, "partially_refunded")
    made_up = paypal.event("PAYMENT.CAPTURE.REFUNDED", theirs | {"id": "REF-NONE"})
    assert (await deliver(client, paypal, made_up)).json() == {"status": "ignored"}
    assert (await payment(resources))["refunded"] == 800


async def test_a_refund_whose_answer_was_lost_is_made_once_and_found(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    await paid(client, paypal, resources)
    ours = await payment(resources)
    paypal.refund_status = "PENDING"
    paypal.faults = ["fail_after_commit"]
    assert (await give_back(resources, ours["id"])).status == "unknown"
    await look(resources)
    assert len(paypal.refunds) == 1
    (refund,) = paypal.refunds.values()
    refund["status"] = "COMPLETED"
    await look(resources)
    assert (await payment(resources))["order_status"] == "refunded"


async def test_disputes_are_looked_at(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    capture = await paid(client, paypal, resources)
    paypal.disputes["PP-D-1"] = {
        "dispute_id": "PP-D-1", "status": "OPEN",
        "dispute_amount": {"currency_code": "EUR", "value": "24.90"},
        "disputed_transactions": [{"seller_transaction_id": capture}],
    }  # fmt: skip
    lie = paypal.event("CUSTOMER.DISPUTE.RESOLVED", {"dispute_id": "PP-D-1", "status": "RESOLVED"})
    assert (await deliver(client, paypal, lie)).json() == {"status": "applied"}
    assert (await books(resources))[("disputed", "EUR")] == -COFFEE, "open, whatever the body says"
    paypal.disputes["PP-D-1"] |= {
        "status": "RESOLVED", "dispute_outcome": {"outcome_code": "RESOLVED_SELLER_FAVOUR"},
    }  # fmt: skip
    won = paypal.event("CUSTOMER.DISPUTE.RESOLVED", {"dispute_id": "PP-D-1"})
    assert (await deliver(client, paypal, won)).json() == {"status": "applied"}
    assert await books(resources) == PAID


async def test_every_order_of_paypals_events_ends_the_same(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    for number, sequence in enumerate(itertools.permutations(range(4))):
        known = set(paypal.orders)
        await place(client, "paypal", key=f"order-{number}")
        (ref,) = set(paypal.orders) - known
        approved = paypal.event("CHECKOUT.ORDER.APPROVED", paypal.approve(ref))
        gateway = resources.gateways.need("paypal")
        await gateway.ask(ref)  # captured, and the answer lost
        (capture,) = paypal.captures(ref)
        related = {"supplementary_data": {"related_ids": {"order_id": ref}}}
        refund = paypal.give_back(capture["id"], {"currency_code": "EUR", "value": "9.00"})
        events = [
            approved,
            paypal.event("CHECKOUT.ORDER.COMPLETED", {"id": ref}),
            paypal.event("PAYMENT.CAPTURE.COMPLETED", capture | related),
            paypal.event("PAYMENT.CAPTURE.REFUNDED", refund),
        ]
        for position in sequence:
            assert (await deliver(client, paypal, events[position])).status_code == 200
        for body in events:
            assert (await deliver(client, paypal, body)).json() == {"status": "duplicate"}
        for _ in range(2):
            await look(resources)
        ours = await payment(resources)
        end = (ours["order_status"], ours["captured"], ours["refunded"], ours["payment_ref"])
        assert end == ("partially_refunded", COFFEE, 900, capture["id"]), sequence
    await books(resources)


async def test_reconciliation_by_the_transaction_search(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    capture = await paid(client, paypal, resources)
    paypal.give_back(capture, {"currency_code": "EUR", "value": "1.00"})
    now = datetime.now(UTC)
    gateway = resources.gateways.need("paypal")
    assert isinstance(gateway, PaypalGateway)
    period = {"since": now - timedelta(hours=1), "until": now + timedelta(seconds=2)}
    report = await reconciling.reconcile(resources, gateway, **period)
    assert [(line.kind, line.repaired) for line in report.lines] == [("refunded", True)]
    after = await payment(resources)
    assert (after["refunded"], report.fees_booked) == (100, 1)
    assert (await books(resources))[("gateway_fees", "EUR")] == -111


async def test_disputes_nobody_told_of_are_found_where_the_list_has_only_ids(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    capture = await paid(client, paypal, resources)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    for number, status in ((1, "RESOLVED"), (2, "OPEN")):
        paypal.disputes[f"PP-D-{number}"] = {
            "dispute_id": f"PP-D-{number}", "status": status, "update_time": now,
            "dispute_amount": {"currency_code": "EUR", "value": "12.45"},
            "dispute_outcome": {"outcome_code": "RESOLVED_BUYER_FAVOUR"},
            "disputed_transactions": [{"seller_transaction_id": capture}],
        }  # fmt: skip
    assert lines(await run(resources, "paypal")) == [("dispute", True), ("dispute", True)]
    assert await scalar(resources, "SELECT count(*) FROM payments.disputes") == 2
    assert (await books(resources))[("disputed", "EUR")] == -1245
    paypal.disputes.pop("PP-D-2")
    assert lines(await run(resources, "paypal")) == [], "it cannot be asked about any more"


async def test_a_dispute_with_an_id_that_is_none_is_a_line_and_stops_nothing(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    capture = await paid(client, paypal, resources)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    for ref in ("PP-D-1/../PP-D-2", "", "PP-D-3"):
        paypal.disputes[ref] = {
            "dispute_id": ref, "status": "OPEN", "update_time": now,
            "dispute_amount": {"currency_code": "EUR", "value": "24.90"},
            "disputed_transactions": [{"seller_transaction_id": capture}],
        }  # fmt: skip
    found = lines(await run(resources, "paypal"))
    assert found == [("error", False), ("error", False), ("dispute", True)]
    lie = paypal.event("CUSTOMER.DISPUTE.RESOLVED", {"dispute_id": "PP-D-3/../PP-D-1"})
    assert (await deliver(client, paypal, lie)).status_code == 400

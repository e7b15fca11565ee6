"""Cryptomus: off by default, asked and never believed, and every odd amount is a person's."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from payments.gateways.config import CryptomusSettings
from payments.gateways.registry import build as build_gateways
from payments.money import Money
from payments.orders import suspense
from payments.orders.asking import locked
from payments.reconcile import service as reconciling
from payments.refunds.service import RefundNotOfferedError
from payments.resources import Resources
from payments.settings import ServiceSettings
from tests.app.gateways.cryptomus_server import API_KEY, MERCHANT, CryptomusServer
from tests.app.gateways.helpers import COFFEE, FEE, give_back, look, payment, place
from tests.app.orders.helpers import books, scalar

HOOK = "/webhooks/cryptomus"
PAID = {
    ("gateway_clearing", "EUR"): -COFFEE,
    ("merchant", "EUR"): COFFEE - FEE,
    ("fees", "EUR"): FEE,
}


async def deliver(client: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await client.post(HOOK, content=body)


async def reconciled(resources: Resources) -> list[tuple[str, bool]]:
    """Run a reconciliation; returns each difference with whether it was repaired."""
    now = datetime.now(UTC)
    report = await reconciling.reconcile(
        resources,
        resources.gateways.need("cryptomus"),
        since=now - timedelta(hours=1),
        until=now + timedelta(seconds=2),
    )
    return [(line.kind, line.repaired) for line in report.lines]


def test_it_is_off_until_it_is_turned_on(settings: ServiceSettings) -> None:
    keys = {"merchant": MERCHANT, "api_key": API_KEY}
    off = CryptomusSettings.model_validate(keys)
    gateways = build_gateways(settings.model_copy(update={"cryptomus": off}))
    assert [gateway.name for gateway in gateways] == ["stripe", "razorpay", "paypal"]
    with pytest.raises(ValueError, match="is enabled, and has no merchant"):
        CryptomusSettings.model_validate({"enabled": True})


async def test_the_whole_way_of_a_payment(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources
) -> None:
    created = await place(client, "cryptomus")
    (ref,) = cryptomus.invoices
    invoice = cryptomus.invoices[ref]
    assert created.json()["checkout_url"] == invoice["url"]
    assert (invoice["amount"], invoice["currency"]) == ("24.90", "EUR")
    cryptomus.pay(ref)
    told = await deliver(client, cryptomus.event(ref))
    assert told.json() == {"status": "applied"}
    assert (await payment(resources))["status"] == "open", "a delivery is a hint"
    assert await books(resources) == {}
    await look(resources)
    assert (await payment(resources))["order_status"] == "paid"
    assert await books(resources) == PAID


@pytest.mark.parametrize("status", ["paid", "paid_over", "refund_paid"])
async def test_what_a_delivery_says_is_not_believed(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources, status: str
) -> None:
    await place(client, "cryptomus")
    (ref,) = cryptomus.invoices
    cryptomus.pay(ref, status)
    lie = cryptomus.event(ref)  # signed by the key, as a replay of another day is, too
    cryptomus.invoices[ref] |= {"payment_status": "check", "payment_amount": None}
    assert (await deliver(client, lie)).json() == {"status": "applied"}
    assert (await deliver(client, lie)).json() == {"status": "duplicate"}
    await look(resources)
    assert (await payment(resources))["status"] == "open"


@pytest.mark.parametrize(
    ("status", "amount", "coin", "real"),
    [
        ("wrong_amount", "20.5", "USDT", Money(20_500_000, "USDT")),
        ("paid_over", "0.00031000", "BTC", Money(31_000, "BTC")),
        ("cancel", "25.1", "USDT", Money(25_100_000, "USDT")),
    ],
    ids=["under", "over", "late"],
)
async def test_under_over_and_late_payments_wait_in_suspense_as_what_they_are(
    client: httpx.AsyncClient,
    cryptomus: CryptomusServer,
    resources: Resources,
    status: str,
    amount: str,
    coin: str,
    real: Money,
) -> None:
    await place(client, "cryptomus")
    (ref,) = cryptomus.invoices
    cryptomus.pay(ref, status, amount, coin)
    await deliver(client, cryptomus.event(ref))
    await look(resources)
    ours = await payment(resources)
    assert (ours["status"], ours["order_status"]) == ("review", "review")
    assert await books(resources) == {
        ("gateway_clearing", coin): -real.amount,
        ("suspense", coin): real.amount,
    }


async def test_what_is_confirmed_long_after_the_end_is_late(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources
) -> None:
    await place(client, "cryptomus")
    (ref,) = cryptomus.invoices
    cryptomus.pay(ref)["expired_at"] = int(time.time()) - 4 * 3600
    await look(resources)
    assert (await books(resources))[("suspense", "USDT")] == 25_100_000


async def test_an_amount_that_no_book_can_hold_is_left_to_a_person(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources
) -> None:
    await place(client, "cryptomus")
    (ref,) = cryptomus.invoices
    cryptomus.pay(ref, "paid_over", "0.0000000000000001", "ETH")
    await look(resources)
    assert (await payment(resources))["status"] == "open"
    assert await books(resources) == {}, "nothing is rounded, and nothing invented"


async def test_an_unpaid_invoice_ends(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources
) -> None:
    await place(client, "cryptomus")
    (ref,) = cryptomus.invoices
    for status, expected in (("confirm_check", "processing"), ("cancel", "expired")):
        cryptomus.invoices[ref]["payment_status"] = status
        await look(resources)
        assert (await payment(resources))["status"] == expected


async def test_what_the_key_did_not_sign_is_refused_and_leaves_no_trace(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources
) -> None:
    await place(client, "cryptomus")
    (ref,) = cryptomus.invoices
    cryptomus.pay(ref)
    good = cryptomus.event(ref)
    for body in (
        cryptomus.event(ref, key="another key"),
        cryptomus.event(ref, key=""),
        cryptomus.event(ref, status="paid_over"),
        cryptomus.event(ref, sign=""),
        cryptomus.event(ref, sign=None),
        cryptomus.event(ref, sign="é"),
        good.replace(b"24.90", b"0.01"),
        b"[]",
        b"{}",
        b"\xff",
    ):
        assert (await deliver(client, body)).status_code == 400, body
    assert await scalar(resources, "SELECT count(*) FROM payments.webhook_inbox") == 0
    assert (await deliver(client, good)).status_code == 200, "slashes and umlauts as PHP has them"


@pytest.mark.parametrize("fault", ["fail_after_commit", "garbage", "busy"])
async def test_a_lost_answer_makes_no_second_invoice(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources, fault: Any
) -> None:
    cryptomus.faults = [fault]
    assert (await place(client, "cryptomus")).status_code == 202
    await look(resources)
    assert (await payment(resources))["status"] == "open"
    assert len(cryptomus.invoices) == 1


async def test_refunds_are_a_persons(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources
) -> None:
    await place(client, "cryptomus")
    cryptomus.pay(next(iter(cryptomus.invoices)))
    await look(resources)
    with pytest.raises(RefundNotOfferedError):
        await give_back(resources, (await payment(resources))["id"])


async def test_what_a_person_gives_back_at_cryptomus_is_booked(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources
) -> None:
    await place(client, "cryptomus")
    (ref,) = cryptomus.invoices
    cryptomus.pay(ref)
    await look(resources)
    for status, expected in (("refund_process", "paid"), ("refund_paid", "refunded")):
        cryptomus.pay(ref, status)
        await deliver(client, cryptomus.event(ref))
        await look(resources)
        assert (await payment(resources))["order_status"] == expected
    given = await books(resources)
    assert given.get(("gateway_clearing", "EUR"), 0) == 0
    assert await reconciled(resources) == [], "the list says the same"


@pytest.mark.parametrize("credited", [False, True])
async def test_what_waited_in_suspense_and_is_given_back_waits_no_more(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources, credited: bool
) -> None:
    await place(client, "cryptomus")
    (ref,) = cryptomus.invoices
    cryptomus.pay(ref, "wrong_amount", "12.55")
    await look(resources)
    if credited:
        async with resources.database.transaction() as session:
            order, row = await locked(session, (await payment(resources))["id"])
            await suspense.credit_wallet(session, order, row, by="tests")
    before = await books(resources)
    cryptomus.pay(ref, "refund_paid", "12.55")
    await deliver(client, cryptomus.event(ref))
    await look(resources)
    assert await books(resources) == (before if credited else {}), "never twice"
    if credited:
        assert before["crypto_wallet", "USDT"] == 12_550_000, "coins stay coins"
    assert (await payment(resources))["status"] == "review"


async def test_what_waits_in_suspense_and_was_given_back_is_found_without_its_news(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources
) -> None:
    await place(client, "cryptomus")
    (ref,) = cryptomus.invoices
    cryptomus.pay(ref, "wrong_amount", "12.55")
    await look(resources)
    assert await reconciled(resources) == [], "a person has it already"
    cryptomus.pay(ref, "refund_paid", "12.55")
    assert await reconciled(resources) == [("refunded", True)]
    assert await books(resources) == {}
    assert await reconciled(resources) == []


async def test_a_payment_whose_news_was_lost_is_found_though_it_was_given_back_since(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources
) -> None:
    await place(client, "cryptomus")
    (ref,) = cryptomus.invoices
    cryptomus.pay(ref, "refund_paid")
    await look(resources)
    assert (await payment(resources))["status"] == "open", "nothing can go back that never came"
    assert await reconciled(resources) == [("unpaid_here", True), ("refunded", True)]
    assert await reconciled(resources) == []
    assert (await payment(resources))["order_status"] == "refunded"


async def test_every_order_of_cryptomus_events_ends_the_same(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources
) -> None:
    statuses = ("check", "process", "confirm_check", "paid")
    for number, sequence in enumerate(itertools.permutations(range(4))):
        known = set(cryptomus.invoices)
        await place(client, "cryptomus", key=f"order-{number}")
        (ref,) = set(cryptomus.invoices) - known
        events = []
        for status in statuses:
            cryptomus.pay(ref, status)
            events.append(cryptomus.event(ref))
        for position in sequence:
            assert (await deliver(client, events[position])).status_code == 200
            await look(resources)
        ours = await payment(resources)
        assert (ours["order_status"], ours["captured"]) == ("paid", COFFEE), sequence
    await books(resources)


async def test_reconciliation_pages_through_the_list(
    client: httpx.AsyncClient, cryptomus: CryptomusServer, resources: Resources
) -> None:
    for number in range(3):
        await place(client, "cryptomus", key=f"order-{number}")
    for ref in cryptomus.invoices:
        cryptomus.pay(ref)
    assert await reconciled(resources) == [("unpaid_here", True)] * 3
    assert (await payment(resources))["order_status"] == "paid"

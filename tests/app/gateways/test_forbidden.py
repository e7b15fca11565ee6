"""Who is not let in learns nothing of what earlier calls did: unknown stays unknown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from payments.gateways.breaker import Breaker
from payments.gateways.protocol import GatewayForbiddenError
from payments.orders import repair as payment_repair
from payments.refunds import service as refunds
from payments.refunds.service import RefundTooLargeError
from payments.resources import Resources
from tests.app.gateways.counters import Counter
from tests.app.gateways.helpers import COFFEE, give_back, look, payment, place
from tests.app.gateways.paypal_server import PaypalServer
from tests.app.gateways.razorpay_server import RazorpayServer
from tests.app.gateways.test_paypal import deliver, paid
from tests.app.orders.helpers import order, scalar
from tests.app.stripe_server import StripeServer

REFUND = "SELECT status FROM payments.refunds"
REFUNDING = ["stripe", "razorpay", "paypal"]
FINDING = ["stripe", "razorpay", "cryptomus"]
"""At PayPal an order cannot be looked for: one that nobody was shown is paid by nobody."""


async def test_a_first_call_that_is_not_let_in_has_made_nothing(
    client: httpx.AsyncClient, counter: Counter, resources: Resources
) -> None:
    counter.lock(True)
    assert (await place(client, counter.name)).status_code == 502
    assert (await payment(resources))["status"] == "remote_failed"


async def test_after_a_first_call_that_is_not_let_in_the_next_gateway_is_asked(
    client: httpx.AsyncClient, stripe_server: StripeServer, razorpay: RazorpayServer
) -> None:
    stripe_server.key = "sk_test_another"
    assert "/checkout/razorpay/" in (await order(client)).json()["checkout_url"]
    assert (len(stripe_server.sessions), len(razorpay.orders)) == (0, 1)


async def test_a_page_whose_answer_was_lost_waits_until_we_are_let_in_again(
    client: httpx.AsyncClient, counter: Counter, resources: Resources
) -> None:
    counter.server.faults = ["fail_after_commit"]
    assert (await place(client, counter.name)).status_code == 202
    counter.lock(True)
    await look(resources)
    found = await payment(resources)
    assert (found["status"], found["order_status"]) == ("unknown", "pending")
    assert found["next_check_at"] is not None, "it is asked again"
    counter.lock(False)
    await look(resources)
    assert (await payment(resources))["status"] == "open"
    assert len(counter.pages()) == 1


@pytest.mark.parametrize("counter", FINDING, indirect=True)
async def test_a_page_that_may_not_be_looked_for_is_not_taken_for_none(
    client: httpx.AsyncClient,
    counter: Counter,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counter.server.faults = ["fail_after_commit"]
    await place(client, counter.name)
    before = await payment(resources)
    monkeypatch.setattr(payment_repair, "KEY_LIFETIME", timedelta())
    counter.lock(True)
    await look(resources)
    found = await payment(resources)
    assert found["status"] == "unknown"
    assert found["last_error"] != before["last_error"], "it says why"
    counter.lock(False)
    await look(resources)
    assert (await payment(resources))["status"] == "open"


@pytest.mark.parametrize("counter", REFUNDING, indirect=True)
@pytest.mark.parametrize("lifetime", [timedelta(hours=23), timedelta()], ids=["asked", "found"])
async def test_a_refund_whose_answer_was_lost_stays_reserved_until_we_are_let_in_again(
    client: httpx.AsyncClient,
    counter: Counter,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
    lifetime: timedelta,
) -> None:
    await place(client, counter.name)
    await counter.pay(counter.pages()[0])
    await look(resources)
    payment_id = (await payment(resources))["id"]
    counter.server.faults = ["fail_after_commit"]
    assert (await give_back(resources, payment_id)).status == "unknown"
    monkeypatch.setattr(refunds, "KEY_LIFETIME", lifetime)
    counter.lock(True)
    await look(resources)
    assert await scalar(resources, REFUND) == "unknown"
    with pytest.raises(RefundTooLargeError):
        await give_back(resources, payment_id, key="by somebody who thinks that it failed")
    counter.lock(False)
    await look(resources)
    assert await scalar(resources, REFUND) == "succeeded"
    assert (await payment(resources))["refunded"] == COFFEE
    assert len(counter.server.refunds) == 1


async def test_what_may_not_be_looked_at_is_not_taken_for_none(
    client: httpx.AsyncClient, counter: Counter, resources: Resources
) -> None:
    await place(client, counter.name)
    gateway: Any = resources.gateways.need(counter.name)
    counter.lock(True)
    with pytest.raises(GatewayForbiddenError):
        await gateway.find_payment(payment_ref=None, checkout_ref=counter.pages()[0])
    if gateway.disputes is not None:
        with pytest.raises(GatewayForbiddenError):
            await gateway.disputes.find("PP-D-1")


async def test_a_client_that_gets_no_token_is_not_let_in(
    client: httpx.AsyncClient,
    paypal: PaypalServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paypal.faults = ["fail_after_commit"]
    assert (await place(client, "paypal")).status_code == 202
    gateway: Any = resources.gateways.need("paypal")
    monkeypatch.setattr(gateway, "_login", "Basic bm9uZQ==")
    monkeypatch.setattr(gateway, "_token", None)
    await look(resources)
    found = await payment(resources)
    assert (found["status"], found["last_error"]) == ("unknown", "invalid_client")


async def test_a_delivery_that_cannot_be_looked_at_is_delivered_again(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    capture = await paid(client, paypal, resources)
    other = paypal.event("BILLING.PLAN.CREATED", {"id": "1"})
    assert (await deliver(client, paypal, other)).status_code == 200, "the certificate is known"
    refund = paypal.give_back(capture, {"currency_code": "EUR", "value": "3.00"})
    body = paypal.event("PAYMENT.CAPTURE.REFUNDED", refund)
    paypal.shut = True
    assert (await deliver(client, paypal, body)).status_code == 503
    paypal.shut = False
    assert (await deliver(client, paypal, body)).json() == {"status": "applied"}


async def test_that_we_are_not_let_in_is_logged_and_opens_no_circuit() -> None:
    breaker = Breaker("quays", failures=1)
    with capture_logs() as lines, pytest.raises(GatewayForbiddenError):
        async with breaker.call():
            raise GatewayForbiddenError("api_key_expired")
    assert [(line["event"], line["gateway"], line["reason"]) for line in lines] == [
        ("gateway.forbidden", "quays", "api_key_expired")
    ]
    assert breaker.admits

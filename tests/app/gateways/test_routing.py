"""Which gateway is asked: rules, the customer's choice, the next after a refusal, the breaker."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from payments.gateways import routing
from payments.gateways.breaker import OPEN, Breaker, CircuitOpenError
from payments.gateways.protocol import (
    GatewayBusyError,
    GatewayRefusedError,
    GatewayUnknownError,
)
from payments.gateways.registry import (
    GatewayNotOfferedError,
    Gateways,
    GatewayUnavailableError,
)
from payments.money import Money
from payments.orders import service
from payments.resources import Resources
from tests.app.fixtures import ALICE
from tests.app.gateways.cryptomus_server import CryptomusServer
from tests.app.gateways.helpers import look, payment
from tests.app.gateways.paypal_server import PaypalServer
from tests.app.gateways.razorpay_server import RazorpayServer
from tests.app.orders.helpers import order, scalar
from tests.app.stripe_server import StripeServer

COFFEE = Money(2490, "EUR")
PAYMENTS = "SELECT count(*) FROM payments.payments"


def names(gateways: Gateways, money: Money, kind: str = "purchase") -> list[str]:
    return [gateway.name for gateway in gateways.able(money, kind=kind)]


def with_rules(resources: Resources, rules: str) -> Gateways:
    return Gateways(*resources.gateways, routing=routing.parse(rules))


def test_without_rules_all_who_take_the_currency_are_asked_in_order(resources: Resources) -> None:
    assert names(resources.gateways, COFFEE) == ["stripe", "razorpay", "paypal", "cryptomus"]
    assert names(resources.gateways, Money(42500, "KWD")) == ["stripe", "razorpay"]
    assert names(resources.gateways, Money(100, "INR")) == ["stripe", "razorpay"]
    assert names(resources.gateways, Money(1, "BTC")) == ["cryptomus"]


def test_the_first_rule_that_fits_decides(resources: Resources) -> None:
    gateways = with_rules(
        resources,
        '[{"currencies": ["INR"], "gateways": ["razorpay", "stripe"]},'
        ' {"currencies": ["EUR"], "least": 10000, "gateways": ["paypal"]},'
        ' {"kinds": ["top_up"], "gateways": ["cryptomus"]},'
        ' {"currencies": ["EUR", "USD"], "gateways": ["paypal", "stripe"]}]',
    )
    assert names(gateways, Money(100, "INR")) == ["razorpay", "stripe"]
    assert names(gateways, Money(10_000, "EUR")) == ["paypal"]
    assert names(gateways, Money(9_999, "EUR")) == ["paypal", "stripe"]
    assert names(gateways, Money(9_999, "EUR"), "top_up") == ["cryptomus"]
    assert names(gateways, Money(4200, "JPY")) == ["stripe", "razorpay", "paypal"]
    with pytest.raises(GatewayNotOfferedError):
        gateways.choose(Money(100, "USD"), kind="purchase", wanted="razorpay")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "must be a JSON list"),
        ("{}", "must be a JSON list"),
        ('[{"gateways": []}]', "row 1: gateways"),
        ('[{"gateways": ["stripe"]}, {"gateways": ["square"]}]', "row 2: gateways.0"),
        ('[{"gateways": ["stripe"], "currency": "EUR"}]', "row 1: currency"),
        ('[{"gateways": ["stripe"], "currencies": ["EURO"]}]', "no such currency"),
        ('[{"gateways": ["stripe"], "least": 5}]', "name exactly one"),
        ('[{"gateways": ["stripe"], "currencies": ["EUR"], "least": 5, "most": 4}]', "above"),
        ('[{"gateways": ["stripe"], "currencies": ["EUR"], "least": 0.5}]', "row 1: least"),
    ],
)
def test_rules_that_make_no_sense_are_refused_by_row(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace(".", r"\.")):
        routing.parse(text)


async def test_a_refusal_is_followed_by_the_next_gateway(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    razorpay: RazorpayServer,
    resources: Resources,
) -> None:
    stripe_server.faults = ["refuse"]
    created = await order(client)
    assert (created.status_code, created.json()["status"]) == (201, "pending")
    assert "/checkout/razorpay/" in created.json()["checkout_url"]
    assert (len(stripe_server.sessions), len(razorpay.orders)) == (0, 1)
    statuses = await scalar(
        resources, "SELECT string_agg(gateway || ':' || status, ' ' ORDER BY created_at)"
        " FROM payments.payments"
    )  # fmt: skip
    assert statuses == "stripe:remote_failed razorpay:open"
    again = await order(client)
    assert again.json() == created.json(), "the same request is the same order"
    assert await scalar(resources, PAYMENTS) == 2


async def test_when_all_refuse_the_order_is_kept_as_refused(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    razorpay: RazorpayServer,
    paypal: PaypalServer,
    cryptomus: CryptomusServer,
    resources: Resources,
) -> None:
    servers: tuple[Any, ...] = (stripe_server, razorpay, paypal, cryptomus)
    for server in servers:
        server.faults = ["refuse"]
    refused = await order(client)
    assert (refused.status_code, refused.json()["status"]) == (502, "remote_failed")
    assert await scalar(resources, PAYMENTS) == 4, "each was asked once"


@pytest.mark.parametrize("fault", ["fail", "fail_after_commit", "busy"])
async def test_an_unknown_outcome_is_followed_by_nobody(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    razorpay: RazorpayServer,
    resources: Resources,
    fault: Any,
) -> None:
    stripe_server.faults = [fault]
    assert (await order(client)).status_code == 202
    assert razorpay.calls == [], "a second page could be paid beside the first"
    await look(resources)
    assert (await payment(resources))["gateway"] == "stripe"
    assert await scalar(resources, PAYMENTS) == 1


async def test_the_customers_choice_is_asked_and_nobody_else(
    client: httpx.AsyncClient, stripe_server: StripeServer, paypal: PaypalServer
) -> None:
    paypal.faults = ["refuse"]
    assert (await order(client, gateway="paypal")).status_code == 502
    assert stripe_server.creates == 0, "another one was not asked for"
    unknown = await order(client, key="k2", gateway="square")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid_payload")


async def test_a_request_without_a_choice_has_the_digest_it_always_had(
    client: httpx.AsyncClient,
) -> None:
    first = await order(client)
    assert (await order(client, gateway=None)).json() == first.json()
    other = await order(client, gateway="stripe")
    assert other.json()["code"] == "idempotency_key_reused"


async def test_the_next_gateway_is_asked_once_when_two_ask_at_once(
    stripe_server: StripeServer, razorpay: RazorpayServer, resources: Resources
) -> None:

    stripe_server.faults = ["refuse", "refuse"]
    same = {"customer_id": ALICE, "request_key": "same", "sku": "coffee", "currency": "EUR"}
    views = await asyncio.gather(*(service.place(resources, **same) for _ in range(2)))  # type: ignore[arg-type]
    assert {view.id for view in views} == {views[0].id}
    assert await scalar(resources, PAYMENTS) == 2
    opened = f"{PAYMENTS} WHERE gateway = 'razorpay' AND status = 'open'"
    assert await scalar(resources, opened) == 1, "one page is shown, whoever made it"


class Clock:
    """Time as the test says."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def ask(breaker: Breaker, error: Exception | None = None) -> None:
    async with breaker.call():
        if error is not None:
            raise error


async def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(GatewayUnknownError):
            await ask(breaker, GatewayUnknownError("away"))


async def test_a_breaker_opens_after_failures_in_a_row_and_only_then() -> None:
    clock = Clock()
    breaker = Breaker("tests", failures=3, window=60, pause=20, clock=clock)
    await fail(breaker, 2)
    await ask(breaker)
    await fail(breaker, 2)
    with pytest.raises(GatewayRefusedError):
        await ask(breaker, GatewayRefusedError("no"))
    with pytest.raises(GatewayBusyError):
        await ask(breaker, GatewayBusyError("later"))
    await fail(breaker, 2)
    clock.now += 61
    await fail(breaker, 2)
    assert breaker.admits, "an answer, or a long time, lies between"
    await fail(breaker, 1)
    assert not breaker.admits
    assert OPEN.labels("tests")._value.get() == 1
    with pytest.raises(CircuitOpenError):
        await ask(breaker)


async def test_an_open_breaker_lets_one_call_decide() -> None:
    clock = Clock()
    breaker = Breaker("tests", failures=1, window=60, pause=20, clock=clock)
    await fail(breaker, 1)
    clock.now += 20
    assert breaker.admits
    async with breaker.call():
        assert not breaker.admits, "one at a time"
        with pytest.raises(CircuitOpenError):
            await ask(breaker)
    assert breaker.admits
    assert OPEN.labels("tests")._value.get() == 0
    await fail(breaker, 1)
    clock.now += 20
    await fail(breaker, 1)
    assert not breaker.admits, "it failed: another pause"
    clock.now += 20
    with pytest.raises(RuntimeError):
        await ask(breaker, RuntimeError("ours"))
    assert breaker.admits, "an error of ours decides nothing and blocks nothing"


async def test_a_gateway_that_does_not_answer_is_passed_over(
    client: httpx.AsyncClient,
    app: FastAPI,
    stripe_server: StripeServer,
    razorpay: RazorpayServer,
    resources: Resources,
) -> None:
    stripe = resources.gateways.need("stripe")
    await fail(stripe.breaker, 5)
    created = await order(client)
    assert "/checkout/razorpay/" in created.json()["checkout_url"]
    assert stripe_server.creates == 0
    chosen = await order(client, key="k2", gateway="stripe")
    assert (chosen.status_code, chosen.json()["code"]) == (503, "gateway_unavailable")
    for gateway in resources.gateways:
        await fail(gateway.breaker, 5 if gateway.breaker.admits else 0)
    with pytest.raises(GatewayUnavailableError, match="cannot be reached"):
        resources.gateways.choose(COFFEE)


async def test_an_open_breaker_leaves_an_unknown_outcome_unknown(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    stripe_server.faults = ["fail_after_commit"]
    assert (await order(client)).status_code == 202
    await fail(resources.gateways.need("stripe").breaker, 4)
    await look(resources)
    assert (await payment(resources))["status"] == "unknown", "it was not asked: nobody knows yet"


def test_a_subscription_goes_where_it_can_be_charged_again(resources: Resources) -> None:
    first = Gateways(*reversed(list(resources.gateways)))
    assert first.choose(COFFEE).name == "cryptomus"
    assert first.choose(COFFEE, saving=True).name == "stripe"

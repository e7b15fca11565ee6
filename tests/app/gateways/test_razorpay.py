"""Razorpay from the order to the books: its page, its answers, its events in any order."""

from __future__ import annotations

import json
import time
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from payments.gateways.protocol import GatewayBusyError, GatewayRefusedError, GatewayUnknownError
from payments.gateways.razorpay import RazorpayGateway
from payments.ops.headers import CONTENT_SECURITY_POLICY
from payments.resources import Resources, build
from payments.settings import ServiceSettings
from tests.app.gateways import razorpay_server
from tests.app.gateways.helpers import COFFEE, FEE, look, payment, place
from tests.app.gateways.razorpay_server import RazorpayServer, callback, sign
from tests.app.orders.helpers import books, scalar

PAID = {
    ("gateway_clearing", "EUR"): -COFFEE,
    ("merchant", "EUR"): COFFEE - FEE,
    ("fees", "EUR"): FEE,
}
HOOK = "/api/payments/webhook/razorpay/"


async def deliver(
    client: httpx.AsyncClient, body: bytes, *, signature: str | None = None, event_id: str = "ev_1"
) -> httpx.Response:
    signed = sign(body) if signature is None else signature
    headers = [
        (b"x-razorpay-signature", signed.encode()),
        (b"x-razorpay-event-id", event_id.encode()),
    ]
    return await client.post(HOOK, content=body, headers=headers)


async def paid(client: httpx.AsyncClient, razorpay: RazorpayServer) -> dict[str, Any]:
    """Place an order, let it be paid, and return the payment there."""
    assert (await place(client, "razorpay")).status_code == 201
    (ref,) = razorpay.orders
    made = razorpay.attempt(ref)
    body = razorpay.event("payment.captured", payment=made)
    assert (await deliver(client, body)).json() == {"status": "applied"}
    return made


async def test_the_whole_way_of_a_payment(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    created = await place(client, "razorpay")
    assert created.status_code == 201
    (asked,) = razorpay.orders.values()
    ours = await payment(resources)
    assert (asked["amount"], asked["currency"]) == (COFFEE, "EUR")
    assert asked["receipt"] == str(ours["id"])
    assert asked["notes"]["order_id"] == str(ours["order_id"])
    url = created.json()["checkout_url"]
    assert url == f"https://pay.example.com/checkout/razorpay/{ours['id']}"

    page = await client.get(url)
    assert page.status_code == 200
    assert asked["id"] in page.text
    assert razorpay_server.KEY_SECRET not in page.text
    made = razorpay.attempt(asked["id"])
    answer = {
        "razorpay_order_id": asked["id"],
        "razorpay_payment_id": made["id"],
        "razorpay_signature": callback(asked["id"], made["id"]),
    }
    back = await client.post(url, data=answer)
    assert back.status_code == 303
    assert back.headers["location"].endswith(f"/checkout/return?order={ours['order_id']}")
    assert (await payment(resources))["status"] == "open", "what a browser says pays nothing"
    assert await books(resources) == {}

    await look(resources)
    assert (await payment(resources))["order_status"] == "paid", "asking Razorpay does"
    late = await deliver(client, razorpay.event("payment.captured", payment=made))
    assert late.json() == {"status": "refused"}, "the event that comes after it changes nothing"
    assert await books(resources) == PAID
    assert (await payment(resources))["payment_ref"] == made["id"]


async def test_an_answer_that_razorpay_did_not_sign_is_refused(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    url = (await place(client, "razorpay")).json()["checkout_url"]
    (ref,) = razorpay.orders
    good = {
        "razorpay_order_id": ref,
        "razorpay_payment_id": "pay_1",
        "razorpay_signature": callback(ref, "pay_1"),
    }
    for change in (
        {"razorpay_signature": callback(ref, "pay_1", "another secret")},
        {"razorpay_payment_id": "pay_2"},
        {"razorpay_order_id": "order_2", "razorpay_signature": callback("order_2", "pay_1")},
        {"razorpay_signature": ""},
    ):
        refused = await client.post(url, data=good | change)
        assert refused.status_code == 400, change
    assert (await client.post(url)).status_code == 400
    await look(resources)
    assert (await payment(resources))["status"] == "open"


async def test_the_page_admits_razorpays_script_and_no_other_page_does(
    client: httpx.AsyncClient, razorpay: RazorpayServer
) -> None:
    url = (await place(client, "razorpay")).json()["checkout_url"]
    policy = (await client.get(url)).headers["content-security-policy"]
    parts = dict(part.split(" ", 1) for part in policy.split("; "))
    assert parts["script-src"] == "'self' https://checkout.razorpay.com"
    assert parts["frame-src"] == f"https://checkout.razorpay.com {razorpay.url}"
    assert parts["default-src"] == "'none'"
    assert parts["form-action"] == "'self'"
    assert "unsafe" not in policy
    other = (await client.get("/login")).headers["content-security-policy"]
    assert other == CONTENT_SECURITY_POLICY


async def test_a_page_that_cannot_be_paid_any_more_leads_back(
    client: httpx.AsyncClient, razorpay: RazorpayServer
) -> None:
    url = (await place(client, "razorpay")).json()["checkout_url"]
    made = razorpay.attempt(next(iter(razorpay.orders)))
    await deliver(client, razorpay.event("payment.captured", payment=made))
    assert (await client.get(url)).status_code == 303
    unknown = url[:-12] + "0" * 12
    assert (await client.get(unknown)).status_code == 404


@pytest.mark.parametrize("secret", razorpay_server.SECRETS)
@pytest.mark.parametrize("path", ["/webhooks/razorpay", HOOK, HOOK.rstrip("/")])
async def test_every_active_secret_and_every_address_is_taken(
    client: httpx.AsyncClient, razorpay: RazorpayServer, secret: str, path: str
) -> None:
    await place(client, "razorpay")
    made = razorpay.attempt(next(iter(razorpay.orders)))
    body = razorpay.event("payment.captured", payment=made)
    headers = {"x-razorpay-signature": sign(body, secret)}
    done = await client.post(path, content=body, headers=headers)
    assert (done.status_code, done.json()) == (200, {"status": "applied"})


async def test_what_razorpay_did_not_sign_is_refused_and_leaves_no_trace(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    await place(client, "razorpay")
    made = razorpay.attempt(next(iter(razorpay.orders)))
    body = razorpay.event("payment.captured", payment=made)
    dumped = json.dumps(json.loads(body)).encode()
    for altered, signature in (
        (body, ""),
        (body, sign(body, "a secret of yesterday")),
        (body, sign(body, "")),
        (body, callback(made["order_id"], made["id"])),
        (body + b" ", sign(body)),
        (body.replace(b"2490", b"2491"), sign(body)),
        (dumped, sign(body)),
        (body, "é" * 32),
    ):
        refused = await deliver(client, altered, signature=signature)
        assert refused.status_code == 400
        assert refused.json()["code"] == "invalid_webhook"
    ahead = razorpay.event("payment.captured", payment=made, created=int(time.time()) + 400)
    assert (await deliver(client, ahead)).status_code == 400
    for junk in (b"[]", b"{}", b"\xff\xfe", b'{"entity": "event", "event": "order.paid"}'):
        assert (await deliver(client, junk)).status_code == 400
    assert await scalar(resources, "SELECT count(*) FROM payments.webhook_inbox") == 0


async def test_a_replay_under_another_event_id_has_no_second_effect(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    await place(client, "razorpay")
    made = razorpay.attempt(next(iter(razorpay.orders)))
    body = razorpay.event("payment.captured", payment=made)
    assert (await deliver(client, body, event_id="ev_1")).json() == {"status": "applied"}
    assert (await deliver(client, body, event_id="ev_2")).json() == {"status": "duplicate"}
    kept = await scalar(resources, "SELECT event->>'delivery_id' FROM payments.webhook_inbox")
    assert kept == "ev_1", "the id is kept as evidence"
    assert await books(resources) == PAID


async def test_without_secrets_there_is_no_endpoint(
    app: FastAPI, client: httpx.AsyncClient, settings: ServiceSettings, razorpay: RazorpayServer
) -> None:
    silent = settings.razorpay.model_copy(update={"webhook_secrets": ()})
    other = build(settings.model_copy(update={"razorpay": silent}), name="tests-silent")
    app.state.resources, before = other, app.state.resources
    body = razorpay.event("payment.captured")
    assert (await deliver(client, body, signature=sign(body, ""))).status_code == 404
    app.state.resources = before
    await other.close()


@pytest.mark.parametrize(("address", "status"), [("198.51.100.7", 200), ("203.0.113.9", 400)])
async def test_deliveries_come_from_the_addresses_that_are_set(
    app: FastAPI, razorpay: RazorpayServer, settings: ServiceSettings, address: str, status: int
) -> None:
    known = settings.razorpay.model_copy(
        update={"webhook_sources": (ip_network("198.51.100.0/28"),)}
    )
    other = build(settings.model_copy(update={"razorpay": known}), name="tests-sources")
    app.state.resources, before = other, app.state.resources
    # From the gateway's own network, which says who the visitor is.
    transport = httpx.ASGITransport(app=app, client=("10.0.0.9", 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://pay.example.com") as told:
        told.headers["x-real-ip"] = address
        body = razorpay.event("settlement.processed")
        assert (await deliver(told, body)).status_code == status
    app.state.resources = before
    await other.close()


async def test_a_lost_answer_makes_no_second_order(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    razorpay.faults = ["fail_after_commit"]
    assert (await place(client, "razorpay")).status_code == 202
    assert (await payment(resources))["status"] == "unknown"
    await look(resources)
    ours = await payment(resources)
    assert (ours["status"], ours["checkout_ref"]) == ("open", next(iter(razorpay.orders)))
    assert len(razorpay.orders) == 1


async def test_a_refusal_is_kept_by_its_code_and_nothing_else(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    razorpay.faults = ["refuse"]
    assert (await place(client, "razorpay")).status_code == 502
    ours = await payment(resources)
    assert (ours["status"], ours["last_error"]) == ("remote_failed", "BAD_REQUEST_ERROR")


@pytest.mark.parametrize(
    ("fault", "error"),
    [("fail", GatewayUnknownError), ("busy", GatewayBusyError), ("refuse", GatewayRefusedError),
     ("garbage", GatewayUnknownError)],
)  # fmt: skip
async def test_what_became_of_a_call_is_told_apart(
    resources: Resources,
    client: httpx.AsyncClient,
    razorpay: RazorpayServer,
    capsys: pytest.CaptureFixture[str],
    fault: Any,
    error: type[Exception],
) -> None:
    made = await paid(client, razorpay)
    gateway = resources.gateways.need("razorpay")
    assert isinstance(gateway, RazorpayGateway)
    capsys.readouterr()
    razorpay.faults = [fault]
    with pytest.raises(error) as caught:
        await gateway._client.capture(made["id"], COFFEE, "EUR")
    assert type(caught.value) is error
    assert "4111" not in str(caught.value)
    assert "razorpay-key-marker" not in str(caught.value)
    assert capsys.readouterr().out == "", "the official client prints when it is left alone"


async def test_nobody_at_the_other_end_is_unknown_and_silent(
    settings: ServiceSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    away = settings.razorpay.model_copy(update={"api_base": "http://127.0.0.1:1"})
    gateway = RazorpayGateway(away, public_url="https://x.example", outgoing_ca=None)
    capsys.readouterr()
    with pytest.raises(GatewayUnknownError):
        await gateway.ping()
    assert capsys.readouterr().out == ""
    await gateway.close()


async def test_an_authorised_payment_is_captured_once_without_the_browser(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    razorpay.captures = False
    await place(client, "razorpay")
    made = razorpay.attempt(next(iter(razorpay.orders)))
    assert made["status"] == "authorized"
    told = await deliver(client, razorpay.event("payment.authorized", payment=made))
    assert told.json() == {"status": "applied"}
    razorpay.faults = ["fail_after_commit"]
    await look(resources)
    assert (await payment(resources))["status"] == "open", "the capture's answer was lost"
    await look(resources)
    await look(resources)
    assert (await payment(resources))["order_status"] == "paid"
    assert razorpay.count("POST", "/capture") == 1
    assert await books(resources) == PAID


async def test_what_is_authorised_after_the_page_closed_is_not_captured(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    razorpay.captures = False
    await place(client, "razorpay")
    (order,) = razorpay.orders.values()
    order["notes"]["expires_at"] = str(int(time.time()) - 3700)
    razorpay.attempt(order["id"])
    await look(resources)
    assert (await payment(resources))["status"] == "expired"
    assert razorpay.count("POST", "/capture") == 0, "the customer keeps the money"


async def test_another_amount_waits_in_suspense(
    client: httpx.AsyncClient, razorpay: RazorpayServer, resources: Resources
) -> None:
    await place(client, "razorpay")
    made = razorpay.attempt(next(iter(razorpay.orders)), amount=COFFEE - 1)
    await deliver(client, razorpay.event("payment.captured", payment=made))
    assert (await payment(resources))["status"] == "review"
    assert (await books(resources))[("suspense", "EUR")] == COFFEE - 1


async def test_a_payment_of_the_accounts_other_business_is_none_of_ours(
    client: httpx.AsyncClient, razorpay: RazorpayServer
) -> None:
    await place(client, "razorpay")
    made = razorpay.attempt(next(iter(razorpay.orders))) | {"order_id": None}
    for name in ("payment.authorized", "payment.captured", "payment.failed"):
        done = await deliver(client, razorpay.event(name, payment=made))
        assert done.json() == {"status": "ignored"}, "refusing makes Razorpay stop delivering"

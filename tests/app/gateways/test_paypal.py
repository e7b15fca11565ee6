"""PayPal from the order to the books: captured once, and no delivery believed."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI

from payments.gateways.paypal_certificates import KEPT, STRANGERS, Certificates
from payments.gateways.protocol import InvalidWebhookError
from payments.resources import Resources, build
from payments.settings import ServiceSettings
from tests.app.gateways.helpers import COFFEE, FEE, look, payment, place
from tests.app.gateways.paypal_server import AUTHORITY, NAME, SIGNER, STRANGER, PaypalServer
from tests.app.orders.helpers import books, order, scalar

HOOK = "/webhooks/paypal"
PAID = {
    ("gateway_clearing", "EUR"): -COFFEE,
    ("merchant", "EUR"): COFFEE - FEE,
    ("fees", "EUR"): FEE,
}


async def deliver(
    client: httpx.AsyncClient, paypal: PaypalServer, body: bytes, **changes: Any
) -> httpx.Response:
    headers = paypal.headers(body, **changes)
    return await client.post(HOOK, content=body, headers=headers)


async def paid(client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources) -> str:
    """Place an order, approve it, have it captured; returns the capture's id."""
    assert (await place(client, "paypal")).status_code == 201
    (ref,) = paypal.orders
    paypal.approve(ref)
    await look(resources)
    assert (await payment(resources))["order_status"] == "paid"
    return str(paypal.captures(ref)[0]["id"])


async def test_an_approved_order_is_captured_when_the_customer_comes_back(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    created = await place(client, "paypal")
    (asked,) = paypal.orders.values()
    assert created.json()["checkout_url"] == f"https://www.paypal.test/{asked['id']}"
    unit = asked["purchase_units"][0]
    ours = await payment(resources)
    assert unit["amount"] == {"currency_code": "EUR", "value": "24.90"}
    assert (unit["custom_id"], asked["intent"]) == (str(ours["id"]), "CAPTURE")

    paypal.approve(asked["id"])
    back = await client.get(f"/checkout/paypal/{ours['id']}", params={"token": asked["id"]})
    assert back.status_code == 303
    assert paypal.moved == 0, "the worker captures; the customer does not wait for it"
    await look(resources)
    assert (await payment(resources))["order_status"] == "paid"
    assert paypal.moved == Decimal("24.90")
    assert await books(resources) == PAID


async def test_an_approved_order_is_captured_when_the_browser_never_returns(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    await place(client, "paypal")
    (ref,) = paypal.orders
    told = await deliver(
        client, paypal, paypal.event("CHECKOUT.ORDER.APPROVED", paypal.approve(ref))
    )
    assert told.json() == {"status": "applied"}
    assert (await payment(resources))["status"] == "open", "approved is not paid"
    await look(resources)
    assert (await payment(resources))["order_status"] == "paid"
    assert paypal.moved == Decimal("24.90")


@pytest.mark.parametrize("fault", ["fail", "fail_after_commit", "garbage", "busy"])
async def test_a_capture_whose_answer_was_lost_moves_money_once(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources, fault: Any
) -> None:
    await place(client, "paypal")
    (ref,) = paypal.orders
    paypal.approve(ref)
    paypal.faults = [fault]
    for _ in range(3):
        await look(resources)
    assert (await payment(resources))["order_status"] == "paid"
    assert paypal.moved == Decimal("24.90")
    assert await books(resources) == PAID


async def test_two_who_capture_at_once_move_money_once(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:

    await place(client, "paypal")
    (ref,) = paypal.orders
    paypal.approve(ref)
    gateway = resources.gateways.need("paypal")
    events = await asyncio.gather(*(gateway.ask(ref) for _ in range(10)))
    assert paypal.moved == Decimal("24.90")
    assert {event.key for event in events if event} == {events[0].key if events[0] else ""}


async def test_an_order_that_was_made_twice_is_one(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    paypal.faults = ["fail_after_commit"]
    assert (await place(client, "paypal")).status_code == 202
    await look(resources)
    assert (await payment(resources))["status"] == "open"
    assert len(paypal.orders) == 1, "the key is the same"


async def test_a_token_is_kept_and_made_anew_when_it_has_ended(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    await place(client, "paypal")
    await look(resources)
    assert len(paypal.tokens) == 1
    paypal.tokens[:] = ["another"]
    assert (await place(client, "paypal", key="paypal-2")).status_code == 201
    assert len(paypal.tokens) == 2


async def test_a_refusal_is_kept_by_its_issue(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    paypal.faults = ["refuse"]
    assert (await place(client, "paypal")).status_code == 502
    assert (await payment(resources))["last_error"] == "PAYEE_ACCOUNT_RESTRICTED"


async def test_currencies_that_paypal_writes_otherwise(
    client: httpx.AsyncClient, paypal: PaypalServer
) -> None:
    assert (await place(client, "paypal", currency="JPY")).status_code == 201
    (made,) = paypal.orders.values()
    assert made["purchase_units"][0]["amount"] == {"currency_code": "JPY", "value": "4200"}
    kwd = await order(client, key="k", sku="course", currency="KWD", gateway="paypal")
    assert (kwd.status_code, kwd.json()["code"]) == (422, "gateway_not_offered")


async def test_an_order_that_nobody_approved_ends(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    await place(client, "paypal")
    await look(resources)
    assert (await payment(resources))["status"] == "open"
    paypal.orders.clear()  # PayPal forgets them
    await look(resources)
    assert (await payment(resources))["status"] == "expired"


async def test_a_pending_capture_waits_and_a_declined_one_can_be_paid_again(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    paypal.capture_status = "PENDING"
    await place(client, "paypal")
    (ref,) = paypal.orders
    paypal.approve(ref)
    await look(resources)
    assert (await payment(resources))["status"] == "processing"
    paypal.captures(ref)[0]["status"] = "COMPLETED"
    await look(resources)
    assert (await payment(resources))["order_status"] == "paid"


async def test_what_paypal_did_not_sign_is_refused_and_leaves_no_trace(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    await place(client, "paypal")
    (ref,) = paypal.orders
    body = paypal.event("CHECKOUT.ORDER.APPROVED", paypal.approve(ref))
    good = paypal.headers(body)
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certs = f"{paypal.url}/v1/notifications/certs"
    paypal.certificates |= {
        "STRANGER": STRANGER.sign(SIGNER, NAME),
        "OTHER-NAME": AUTHORITY.sign(SIGNER, "paypal.com.example.net"),
        "ENDED": AUTHORITY.sign(SIGNER, NAME, days=-1),
        "JUNK": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    }
    now = time.time()
    for name, altered, headers in (
        ("tampered body", body + b" ", good),
        ("another key", body, paypal.headers(body, key=own)),
        ("another webhook's", body, paypal.headers(body, webhook_id="OTHER")),
        ("from the future", body, paypal.headers(body, at=now + 400)),
        ("long ago", body, paypal.headers(body, at=now - 5 * 86400)),
        ("another authority", body, paypal.headers(body, url=f"{certs}/STRANGER")),
        ("another name", body, paypal.headers(body, url=f"{certs}/OTHER-NAME")),
        ("an ended certificate", body, paypal.headers(body, url=f"{certs}/ENDED")),
        ("no certificate", body, paypal.headers(body, url=f"{certs}/JUNK")),
        ("a missing one", body, paypal.headers(body, url=f"{certs}/NONE")),
        ("no signature", body, good | {"PAYPAL-TRANSMISSION-SIG": ""}),
        ("no base64", body, good | {"PAYPAL-TRANSMISSION-SIG": "%%"}),
        ("another algorithm", body, good | {"PAYPAL-AUTH-ALGO": "SHA1withRSA"}),
        ("nothing", body, {}),
    ):
        refused = await client.post(HOOK, content=altered, headers=headers)
        assert refused.status_code == 400, name
    assert await scalar(resources, "SELECT count(*) FROM payments.webhook_inbox") == 0
    assert (await client.post(HOOK, content=body, headers=good)).status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        "https://paypal.com.example.net/v1/notifications/certs/CERT-1",
        "https://evilpaypal.com/v1/notifications/certs/CERT-1",
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
        "https://user@api.paypal.com/v1/notifications/certs/CERT-1",
        "https://169.254.169.254/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../oauth2/token",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?x=1",
        "file:///etc/passwd",
        "https://[",
        "",
    ],
)
async def test_a_certificate_is_asked_of_paypal_and_of_nobody_else(
    client: httpx.AsyncClient, paypal: PaypalServer, url: str
) -> None:
    body = paypal.event("CHECKOUT.ORDER.APPROVED", {"id": "1"})
    refused = await deliver(client, paypal, body, url=url or "x")
    assert refused.status_code == 400


async def test_a_certificate_that_cannot_be_had_now_is_no_refusal(
    client: httpx.AsyncClient, paypal: PaypalServer
) -> None:
    body = paypal.event("CHECKOUT.ORDER.APPROVED", {"id": "1"})
    away = "https://nothing-answers-here.paypal.com/v1/notifications/certs/CERT-1"
    answer = await deliver(client, paypal, body, url=away)
    assert answer.status_code == 503, "PayPal delivers it again"


async def test_a_certificate_is_fetched_once(
    client: httpx.AsyncClient, paypal: PaypalServer
) -> None:
    for _ in range(3):
        body = paypal.event("BILLING.PLAN.CREATED", {"id": "1"})
        assert (await deliver(client, paypal, body)).json() == {"status": "ignored"}
    assert paypal.count("GET", "/CERT-1") == 1


async def test_strangers_have_few_certificates_fetched_and_known_ones_are_fetched_again(
    client: httpx.AsyncClient, paypal: PaypalServer
) -> None:
    body = paypal.event("BILLING.PLAN.CREATED", {"id": "1"})
    certs = f"{paypal.url}/v1/notifications/certs"
    many = [deliver(client, paypal, body, url=f"{certs}/NONE-{number}") for number in range(40)]
    found = [answer.status_code for answer in await asyncio.gather(*many)]
    assert (found.count(400), found.count(503)) == (STRANGERS, 40 - STRANGERS)
    assert sum("NONE" in path for _, path in paypal.calls) == STRANGERS
    certificates = Certificates(api_base=paypal.url, outgoing_ca=AUTHORITY.pem)
    now = datetime.now(UTC)
    assert await certificates.key(f"{certs}/CERT-1", now)
    for number in range(STRANGERS):
        with pytest.raises(InvalidWebhookError):
            await certificates.key(f"{certs}/NONE-{number}", now + KEPT)
    assert await certificates.key(f"{certs}/CERT-1", now + KEPT), "whoever else asks for what"
    assert paypal.count("GET", "/CERT-1") == 2
    await certificates.close()


async def test_without_a_webhook_id_there_is_no_endpoint(
    app: FastAPI, client: httpx.AsyncClient, settings: ServiceSettings, paypal: PaypalServer
) -> None:
    silent = settings.paypal.model_copy(update={"webhook_id": None})
    other = build(settings.model_copy(update={"paypal": silent}), name="tests-silent")
    app.state.resources, before = other, app.state.resources
    body = paypal.event("CHECKOUT.ORDER.APPROVED", {"id": "1"})
    assert (await deliver(client, paypal, body)).status_code == 404
    app.state.resources = before
    await other.close()


async def test_a_body_made_to_fit_the_checksum_moves_nothing(
    client: httpx.AsyncClient, paypal: PaypalServer, resources: Resources
) -> None:
    """CRC-32 can be met by whoever may append four bytes: what they say is asked, not believed."""
    await place(client, "paypal")
    (ref,) = paypal.orders
    genuine = paypal.event("BILLING.PLAN.CREATED", {"id": "1"})
    headers = paypal.headers(genuine)
    lie = {
        "id": "WH-FORGED", "event_type": "PAYMENT.CAPTURE.COMPLETED", "create_time": "",
        "resource": {
            "id": "CAP-FORGED", "status": "COMPLETED",
            "amount": {"currency_code": "EUR", "value": "24.90"},
            "supplementary_data": {"related_ids": {"order_id": ref}},
        },
    }  # fmt: skip
    forged = _fit(json.dumps(lie).encode(), zlib.crc32(genuine))
    if forged is None:
        pytest.fail("no forgery was found")
    assert zlib.crc32(forged) == zlib.crc32(genuine)
    assert (await client.post(HOOK, content=forged, headers=headers)).status_code in (200, 400)
    await look(resources)
    assert (await payment(resources))["status"] == "open"
    assert await books(resources) == {}


def _fit(body: bytes, wanted: int) -> bytes | None:
    """Return `body` with eight letters more in a field, so that its CRC-32 is `wanted`.

    CRC-32 is linear over GF(2): which bits to turn is a system of 32 equations.
    """
    text = body[:-1] + b', "pad": "' + b"@" * 32 + b'"}'
    start = text.index(b"@" * 32)
    base = zlib.crc32(text)
    columns = []
    for index in range(32):
        for bit in range(2):  # "@" to "C": letters, whatever is turned
            changed = bytearray(text)
            changed[start + index] ^= 1 << bit
            columns.append((zlib.crc32(bytes(changed)) ^ base, 1 << (index * 2 + bit)))
    rows: list[tuple[int, int]] = []
    for value, chosen in columns:
        for known, its in rows:
            if value ^ known < value:
                value, chosen = value ^ known, chosen ^ its
        if value:
            rows.append((value, chosen))
            rows.sort(reverse=True)
    need, turned = wanted ^ base, 0
    for value, chosen in rows:
        if need ^ value < need:
            need, turned = need ^ value, turned ^ chosen
    if need:
        return None
    found = bytearray(text)
    for number in range(64):
        if turned >> number & 1:
            found[start + number // 2] ^= 1 << (number % 2)
    return bytes(found)

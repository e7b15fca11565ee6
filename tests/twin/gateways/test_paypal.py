"""PayPal: orders, approval, signatures, keys and refusals."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from paypalserversdk.exceptions.error_exception import ErrorException

from tests.twin.edge.harness import run
from tests.twin.gateways.paypal_world import (
    HOOK,
    Rest,
    approve,
    create,
    paid,
    types,
    verified,
    wanted,
    world,
)
from twin.gateways.paypal import API_HOST, BROWSER_HOST
from twin.gateways.paypal.money import CURRENCIES, ZERO_DECIMAL
from twin.gateways.paypal.webhooks import RETRIES


def test_an_order_is_approved_captured_and_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            order = await create(at, client)
            assert order.status == "PAYER_ACTION_REQUIRED"
            (action,) = [link for link in order.links if link.rel == "payer-action"]
            address = f"https://{BROWSER_HOST}:8443/checkoutnow?token={order.id}"
            assert action.href == address
            with pytest.raises(ErrorException) as refused:
                await at.call(lambda: client.orders.capture_order({"id": order.id}))
            assert "ORDER_NOT_APPROVED" in refused.value.response.text
            back = parse_qs(urlsplit(await approve(at, order.id)).query)
            assert back["token"] == [order.id]
            assert back["o"] == ["1"]
            found = (await at.call(lambda: client.orders.get_order({"id": order.id}))).body
            assert found.status == "APPROVED"
            assert back["PayerID"] == [found.payer.payer_id]
            done = await at.call(lambda: client.orders.capture_order({"id": order.id}))
            assert (done.status_code, done.body.status) == (201, "COMPLETED")
            capture = done.body.purchase_units[0].payments.captures[0]
            assert (capture.status, capture.amount.value) == ("COMPLETED", "10.00")
            assert capture.custom_id == "payment-1"
            parts = capture.seller_receivable_breakdown
            assert (parts.paypal_fee.value, parts.net_amount.value) == ("0.83", "9.17")
            with pytest.raises(ErrorException) as refused:
                await at.call(lambda: client.orders.capture_order({"id": order.id}))
            assert "ORDER_ALREADY_CAPTURED" in refused.value.response.text
            same = await at.call(
                lambda: client.payments.get_captured_payment({"capture_id": capture.id})
            )
            assert same.body.supplementary_data.related_ids.order_id == order.id
            await at.merchant.until(3)
            assert types(at) == [
                "CHECKOUT.ORDER.APPROVED",
                "PAYMENT.CAPTURE.COMPLETED",
                "CHECKOUT.ORDER.COMPLETED",
            ]
            assert json.loads(at.merchant.bodies[1])["resource"]["id"] == capture.id
            for index in range(3):
                await verified(at, tmp_path, index)
            with pytest.raises(InvalidSignature):
                await verified(at, tmp_path, 0, "WH0OTHER")

    run(scenario())


def test_paypal_itself_tells_whether_a_signature_is_its_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            rest = Rest(at)
            await paid(at, client)
            await at.merchant.until(3)
            headers = at.merchant.headers[0]
            asked = {
                "auth_algo": headers["PAYPAL-AUTH-ALGO"],
                "cert_url": headers["PAYPAL-CERT-URL"],
                "transmission_id": headers["PAYPAL-TRANSMISSION-ID"],
                "transmission_sig": headers["PAYPAL-TRANSMISSION-SIG"],
                "transmission_time": headers["PAYPAL-TRANSMISSION-TIME"],
                "webhook_id": HOOK,
                "webhook_event": json.loads(at.merchant.bodies[0]),
            }
            path = "/v1/notifications/verify-webhook-signature"
            assert await rest("POST", path, asked) == (200, {"verification_status": "SUCCESS"})
            for changed in (
                {"webhook_id": "WH0OTHER"},
                {"transmission_sig": "AAAA"},
                {"transmission_time": "2026-01-01T00:00:00Z"},
                {"cert_url": "https://evil.example/cert"},
                {"webhook_event": {**asked["webhook_event"], "summary": "other"}},
                {"webhook_event": json.loads(at.merchant.bodies[1])},
                {"webhook_event": {"id": "WH-made-up"}},
            ):
                answer = await rest("POST", path, {**asked, **changed})
                assert answer == (200, {"verification_status": "FAILURE"}), changed
            status, told = await rest("GET", f"/v1/notifications/webhooks/{HOOK}")
            assert (status, told["id"]) == (200, HOOK)
            event = asked["webhook_event"]
            same = await rest("GET", f"/v1/notifications/webhooks-events/{event['id']}")
            assert same == (200, event)

    run(scenario())


def test_a_rolled_certificate_signs_and_the_old_one_can_still_be_fetched(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            await approve(at, (await create(at, client)).id)
            await at.merchant.until(1)
            at.gateway.webhooks.roll_secret(at.gateway.webhooks.endpoints()[0]["id"], overlap=0)
            await approve(at, (await create(at, client)).id)
            await at.merchant.until(2)
            urls = {headers["PAYPAL-CERT-URL"] for headers in at.merchant.headers}
            assert len(urls) == 2
            for index in range(2):
                await verified(at, tmp_path, index)
        async with world(tmp_path) as (at, client):
            assert len(at.gateway.book.tables["certificate"]) == 2

    run(scenario())
    assert len(RETRIES) == 25
    assert 2.5 * 86400 < sum(RETRIES) < 3.5 * 86400


@pytest.mark.parametrize(
    ("body", "status", "issue", "field"),
    [
        ({"intent": "STEAL"}, 400, "INVALID_PARAMETER_VALUE", "/intent"),
        ({"purchase_units": []}, 400, "INVALID_ARRAY_MIN_ITEMS", "/purchase_units"),
        ({"colour": "red"}, 400, "UNKNOWN_PARAMETER", "/colour"),
        ({"intent": None}, 400, "INVALID_PARAMETER_VALUE", "/intent"),
        (wanted("ten"), 400, "INVALID_PARAMETER_SYNTAX", "/purchase_units/0/amount/value"),
        (wanted("1.001"), 422, "DECIMAL_PRECISION", "/purchase_units/0/amount/value"),
        (wanted("0.00"), 422, "CANNOT_BE_ZERO_OR_NEGATIVE", "/purchase_units/0/amount/value"),
        (wanted("-1.00"), 422, "CANNOT_BE_ZERO_OR_NEGATIVE", "/purchase_units/0/amount/value"),
        (wanted("100.50", "JPY"), 422, "DECIMALS_NOT_SUPPORTED", "/purchase_units/0/amount/value"),
        (wanted("100.00", "HUF"), 422, "DECIMALS_NOT_SUPPORTED", "/purchase_units/0/amount/value"),
        (
            wanted("1.00", "INR"),
            422,
            "CURRENCY_NOT_SUPPORTED",
            "/purchase_units/0/amount/currency_code",
        ),
        (wanted(unit={"custom_id": "x" * 256}), 400, "INVALID_STRING_LENGTH", None),
    ],
)
def test_orders_are_refused_in_the_gateways_words(
    tmp_path: Path, body: dict[str, Any], status: int, issue: str, field: str | None
) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, _):
            rest = Rest(at)
            sent = {**wanted(), **body}
            got, told = await rest(
                "POST", "/v2/checkout/orders", sent, **{"PayPal-Request-Id": "k"}
            )
            assert (got, told["details"][0]["issue"]) == (status, issue)
            if field is not None:
                assert told["details"][0]["field"] == field
            assert told["debug_id"]
            assert not len(at.gateway.book.tables["order"])

    run(scenario())


def test_keys_tokens_and_types_are_checked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, _):
            rest = Rest(at)
            assert (await rest.token("wrong"))[0] == 401
            assert (await rest.token(grant_type="password"))[0] == 400
            url = f"{at.urls[API_HOST]}/v2/checkout/orders"
            for headers in ({}, {"Authorization": "Bearer made-up"}):
                status, told, _ = await at.send("POST", url, json={}, headers=headers)
                assert (status, told["error"]) == (401, "invalid_token")
            status, told = await rest("POST", "/v2/checkout/orders", wanted())
            assert told["details"][0]["issue"] == "PAYPAL_REQUEST_ID_REQUIRED"
            key = {"PayPal-Request-Id": "order-1"}
            status, first = await rest("POST", "/v2/checkout/orders", wanted(), **key)
            assert (status, set(first)) == (201, {"id", "status", "payment_source", "links"})
            status, again = await rest("POST", "/v2/checkout/orders", wanted(), **key)
            assert (status, again["id"]) == (200, first["id"])
            status, told = await rest("POST", "/v2/checkout/orders", wanted("11.00"), **key)
            assert (status, told["details"][0]["issue"]) == (422, "DUPLICATE_REQUEST_ID")
            at.faults(error_after_commit_next=1)
            key = {"PayPal-Request-Id": "order-2"}
            assert (await rest("POST", "/v2/checkout/orders", wanted(), **key))[0] == 500
            status, found = await rest("POST", "/v2/checkout/orders", wanted(), **key)
            assert status == 200, "who repeats the key gets what was made"
            assert len(at.gateway.book.tables["order"]) == 2
            assert (await rest("GET", f"/v2/checkout/orders/{found['id']}"))[0] == 200
            for path in ("/v2/checkout/orders/NONE", "/v2/payments/captures/NONE", "/v9"):
                status, told = await rest("GET", path)
                assert (status, told["name"]) == (404, "RESOURCE_NOT_FOUND")
            token = rest._token
            status, told, _ = await at.send(
                "POST", url, data="a=b", headers={"Authorization": f"Bearer {token}"}
            )
            assert (status, told["name"]) == (400, "INVALID_REQUEST") or status == 415

    run(scenario())


def test_the_approval_page_takes_made_up_buyers_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            order = await create(at, client, wanted(unit={"description": "<i>Book</i>"}))
            url = f"{at.urls[BROWSER_HOST]}/checkoutnow?token={order.id}"
            status, text, headers = await at.send("GET", url)
            assert "&lt;i&gt;Book" in text
            assert "$10.00 USD" in text
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            for wrong in (
                {"step": "login", "email": "me@example.com", "password": "x"},
                {"step": "login", "email": "buyer@example.com", "password": ""},
                {"step": "pay", "email": "me@example.com"},
            ):
                status, text, _ = await at.send("POST", url, data=wrong)
                assert (status, "not right" in text) == (422, True)
            found = (await at.call(lambda: client.orders.get_order({"id": order.id}))).body
            assert found.status == "PAYER_ACTION_REQUIRED"

    run(scenario())


def test_every_currency_can_be_ordered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            for currency in sorted(CURRENCIES):
                value = "500" if currency in ZERO_DECIMAL else "500.05"
                made = await create(at, client, wanted(value, currency))
                assert made.purchase_units[0].amount.value == value

    run(scenario())


def test_faults_reach_this_gateway_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            order = await create(at, client)
            at.faults(amount_delta=-100, clock_skew_seconds=3600, duplicate=1)
            await approve(at, order.id)
            done = await at.call(lambda: client.orders.capture_order({"id": order.id}))
            capture = done.body.purchase_units[0].payments.captures[0]
            assert capture.amount.value == "9.00"
            await at.merchant.until(6)
            stamp = at.merchant.headers[0]["PAYPAL-TRANSMISSION-TIME"]
            assert stamp > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3000))
            ids = [json.loads(body)["id"] for body in at.merchant.bodies]
            assert len(set(ids)) == 3
            sent = [headers["PAYPAL-TRANSMISSION-ID"] for headers in at.merchant.headers]
            assert len(set(sent)) == 6
            await verified(at, tmp_path, 5)

    run(scenario())

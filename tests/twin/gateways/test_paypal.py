"""The PayPal dialect, by its official client, by a payer, by a merchant who checks signatures."""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import requests
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.verification import PolicyBuilder, Store
from paypalserversdk.exceptions.error_exception import ErrorException
from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
from paypalserversdk.models.order_request import OrderRequest
from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient

from tests.twin.edge.harness import eventually, run
from tests.twin.gateways.bench import Bench, bench, hidden
from twin.gateways.paypal import API_HOST, BROWSER_HOST, PayPal, orders
from twin.gateways.paypal.certificates import NAME
from twin.gateways.paypal.money import CURRENCIES, ZERO_DECIMAL
from twin.gateways.paypal.webhooks import RETRIES

ID, SECRET, HOOK = "client-id", "client-secret", "WH0TWIN0000000000"
BACK, NO = "https://shop.example/back?o=1", "https://shop.example/no"


class _Elsewhere(requests.adapters.HTTPAdapter):
    """The official client knows PayPal's own addresses only."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:  # type: ignore[override]
        parts = urlsplit(request.url or "")
        request.url = f"{self._base}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        return super().send(request, **more)


@asynccontextmanager
async def world(home: Path, **more: Any) -> AsyncIterator[tuple[Bench[PayPal], Any]]:
    def account(endpoint: str) -> dict[str, Any]:
        keys = {"client_id": ID, "client_secret": SECRET, "webhook_id": HOOK}
        return {"paypal": {**keys, "webhook_url": f"{endpoint}/webhooks/paypal"}}

    async with bench(PayPal, home, account, **more) as at:
        session = requests.Session()
        session.mount("https://", _Elsewhere(at.urls[API_HOST]))
        client = PaypalServersdkClient(
            client_credentials_auth_credentials=ClientCredentialsAuthCredentials(ID, SECRET),
            http_client_instance=session,
        )
        yield at, client


def wanted(value: str = "10.00", currency: str = "USD", **more: Any) -> dict[str, Any]:
    unit = {
        "amount": {"currency_code": currency, "value": value},
        "custom_id": "payment-1",
        **more.pop("unit", {}),
    }
    context = {"return_url": BACK, "cancel_url": NO, "user_action": "PAY_NOW"}
    return {
        "intent": "CAPTURE",
        "purchase_units": [unit],
        "payment_source": {"paypal": {"experience_context": context}},
        **more,
    }


_KEYS = iter(range(10**6))


async def create(at: Bench[PayPal], client: Any, body: dict[str, Any] | None = None) -> Any:
    options = {
        "body": OrderRequest.from_dictionary(body or wanted()),
        "paypal_request_id": f"key-{next(_KEYS)}",
        "prefer": "return=representation",
    }
    return (await at.call(lambda: client.orders.create_order(options))).body


async def approve(
    at: Bench[PayPal], order_id: str, email: str = "buyer@example.com", step: str = "pay"
) -> str:
    """Log in and agree; returns where that leads."""
    url = f"{at.urls[BROWSER_HOST]}/checkoutnow?token={order_id}"
    login = {"step": "login", "email": email, "password": "x"}
    status, text, _ = await at.send("POST", url, data=login)
    assert status == 200, text
    status, text, headers = await at.send("POST", url, data={"step": step, **hidden(text)})
    assert status == 303, text
    return headers["Location"]


async def paid(at: Bench[PayPal], client: Any, body: dict[str, Any] | None = None) -> Any:
    """Create, approve, capture; returns the capture."""
    order = await create(at, client, body)
    await approve(at, order.id)
    done = await at.call(lambda: client.orders.capture_order({"id": order.id}))
    return done.body.purchase_units[0].payments.captures[0]


class Rest:
    """Calls of which the official client knows nothing, or that it would not send."""

    def __init__(self, at: Bench[PayPal]) -> None:
        self._at = at
        self._token = ""

    async def token(self, secret: str = SECRET, **form: str) -> tuple[int, Any]:
        status, body, _ = await self._at.send(
            "POST",
            f"{self._at.urls[API_HOST]}/v1/oauth2/token",
            data={"grant_type": "client_credentials", **form},
            headers={"Authorization": aiohttp.encode_basic_auth(ID, secret)},
        )
        return status, body

    async def __call__(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        self._token = self._token or (await self.token())[1]["access_token"]
        sent = {"Authorization": f"Bearer {self._token}", **headers}
        status, told, _ = await self._at.send(
            method, self._at.urls[API_HOST] + path, json=body, headers=sent
        )
        return status, told


def types(at: Bench[PayPal]) -> list[str]:
    return [json.loads(body)["event_type"] for body in at.merchant.bodies]


async def verified(at: Bench[PayPal], home: Path, index: int, webhook_id: str = HOOK) -> None:
    """Verify a delivery as a careful merchant does; raises for a bad one."""
    headers: Mapping[str, str] = at.merchant.headers[index]
    url = headers["PAYPAL-CERT-URL"]
    assert url.startswith(f"https://{API_HOST}/v1/notifications/certs/")
    status, pem, _ = await at.send("GET", at.urls[API_HOST] + urlsplit(url).path)
    assert status == 200
    leaf, *behind = x509.load_pem_x509_certificates(pem.encode())
    roots = x509.load_pem_x509_certificates((home / "ca.pem").read_bytes())
    verifier = PolicyBuilder().store(Store(roots)).build_server_verifier(x509.DNSName(NAME))
    verifier.verify(leaf, behind)
    crc = zlib.crc32(at.merchant.bodies[index].encode())
    when = headers["PAYPAL-TRANSMISSION-TIME"]
    text = f"{headers['PAYPAL-TRANSMISSION-ID']}|{when}|{webhook_id}|{crc}"
    key = leaf.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert headers["PAYPAL-AUTH-ALGO"] == "SHA256withRSA"
    signature = base64.b64decode(headers["PAYPAL-TRANSMISSION-SIG"])
    key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())


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


def test_buyers_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.gateways.common.gateway.SWEEP", 0.02)
    monkeypatch.setattr("twin.gateways.paypal.payments.SETTLE", 0.8)

    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            order = await create(at, client)
            await approve(at, order.id, "poor@example.com")
            capturing = {"id": order.id, "paypal_request_id": "capture-1"}
            with pytest.raises(ErrorException) as refused:
                await at.call(lambda: client.orders.capture_order(capturing))
            declined = json.loads(refused.value.response.text)
            assert declined["details"][0]["issue"] == "INSTRUMENT_DECLINED"
            assert declined["links"][-1]["rel"] == "redirect"
            await approve(at, order.id)
            done = await at.call(lambda: client.orders.capture_order(capturing))
            assert done.body.status == "COMPLETED", "another buyer may pay the same order"
            for email, ends in (("slow", "COMPLETED"), ("doubtful", "DENIED")):
                order = await create(at, client)
                await approve(at, order.id, f"{email}@example.com")
                done = await at.call(lambda id=order.id: client.orders.capture_order({"id": id}))
                capture = done.body.purchase_units[0].payments.captures[0]
                assert capture.status == "PENDING"
                with pytest.raises(ErrorException) as refused:
                    await at.call(
                        lambda id=capture.id: client.payments.refund_captured_payment(
                            {"capture_id": id}
                        )
                    )
                assert "PENDING_CAPTURE" in refused.value.response.text
                kinds = {"PAYMENT.CAPTURE.PENDING", f"PAYMENT.CAPTURE.{ends}"}

                async def told(kinds: set[str] = kinds, id: str = capture.id) -> bool:
                    events = map(json.loads, at.merchant.bodies)
                    mine = {e["event_type"] for e in events if e["resource"]["id"] == id}
                    return mine == kinds

                await eventually(told, f"{email} must be pending and then {ends}")
            order = await create(at, client)
            where = await approve(at, order.id, step="cancel")
            assert where == f"{NO}?token={order.id}"
            found = (await at.call(lambda: client.orders.get_order({"id": order.id}))).body
            assert found.status == "PAYER_ACTION_REQUIRED"

    run(scenario())


def test_refunds_never_exceed_the_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.gateways.common.gateway.SWEEP", 0.02)
    monkeypatch.setattr("twin.gateways.paypal.payments.SETTLE", 0.1)

    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            capture = await paid(at, client)
            path = f"/v2/payments/captures/{capture.id}/refund"
            rest = Rest(at)

            async def refund(value: str | None, currency: str = "USD", **headers: str) -> Any:
                money = {"currency_code": currency, "value": value}
                return await rest("POST", path, {"amount": money} if value else {}, **headers)

            key = {"PayPal-Request-Id": "refund-1", "Prefer": "return=representation"}
            status, first = await refund("4.00", **key)
            assert (status, first["status"], first["amount"]["value"]) == (201, "COMPLETED", "4.00")
            status, again = await refund("4.00", **key)
            assert (status, again["id"]) == (200, first["id"])
            status, told = await refund("4.01", **key)
            assert (status, told["details"][0]["issue"]) == (422, "DUPLICATE_REQUEST_ID")
            for value, currency, issue in (
                ("6.01", "USD", "REFUND_AMOUNT_EXCEEDED"),
                ("1.00", "EUR", "CURRENCY_MISMATCH"),
                ("0.00", "USD", "CANNOT_BE_ZERO_OR_NEGATIVE"),
                ("1.001", "USD", "DECIMAL_PRECISION"),
            ):
                status, told = await refund(value, currency)
                assert (status, told["details"][0]["issue"]) == (422, issue)
            at.faults(refund_fails_next=1)
            status, second = await refund(None)
            assert (status, second["status"]) == (201, "PENDING")
            await at.merchant.until(6)
            assert types(at)[3:] == [
                "PAYMENT.CAPTURE.REFUNDED", "PAYMENT.REFUND.PENDING", "PAYMENT.REFUND.FAILED"
            ]  # fmt: skip
            found = await at.call(lambda: client.payments.get_refund({"refund_id": second["id"]}))
            assert found.body.status == "FAILED"
            same = await at.call(
                lambda: client.payments.get_captured_payment({"capture_id": capture.id})
            )
            assert same.body.status == "PARTIALLY_REFUNDED"
            status, _ = await refund(None)
            status, told = await refund(None)
            assert (status, told["details"][0]["issue"]) == (422, "CAPTURE_FULLY_REFUNDED")
            event = json.loads(at.merchant.bodies[3])["resource"]
            assert any(
                link["rel"] == "up" and link["href"].endswith(capture.id) for link in event["links"]
            )

    run(scenario())


def test_what_is_authorised_is_captured_in_parts_or_voided(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            rest = Rest(at)
            ids = []
            for _ in range(2):
                order = await create(at, client, wanted(intent="AUTHORIZE"))
                await approve(at, order.id)
                done = await at.call(lambda id=order.id: client.orders.authorize_order({"id": id}))
                ids.append(done.body.purchase_units[0].payments.authorizations[0].id)
            path = f"/v2/payments/authorizations/{ids[0]}"
            part = {"amount": {"currency_code": "USD", "value": "4.00"}}
            assert (await rest("POST", f"{path}/capture", part))[0] == 201
            status, told = await rest("POST", f"{path}/void", {})
            assert (status, told["details"][0]["issue"]) == (422, "PREVIOUSLY_CAPTURED")
            more = {"amount": {"currency_code": "USD", "value": "6.01"}}
            status, told = await rest("POST", f"{path}/capture", more)
            assert (status, told["details"][0]["issue"]) == (422, "MAX_CAPTURE_AMOUNT_EXCEEDED")
            assert (await rest("POST", f"{path}/capture", {}))[0] == 201
            found = await at.call(
                lambda: client.payments.get_authorized_payment({"authorization_id": ids[0]})
            )
            assert found.body.status == "CAPTURED"
            path = f"/v2/payments/authorizations/{ids[1]}"
            assert (await rest("POST", f"{path}/void", {}))[0] == 204
            status, told = await rest("POST", f"{path}/capture", {})
            assert (status, told["details"][0]["issue"]) == (422, "AUTHORIZATION_VOIDED")
            plain = await create(at, client)
            status, told = await rest("POST", f"/v2/checkout/orders/{plain.id}/authorize", {})
            assert (status, told["details"][0]["issue"]) == (422, "ACTION_DOES_NOT_MATCH_INTENT")

    run(scenario())


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


def test_an_invoice_is_paid_once_and_old_orders_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            body = wanted(unit={"invoice_id": "inv-1"})
            await paid(at, client, body)
            order = await create(at, client, body)
            await approve(at, order.id)
            with pytest.raises(ErrorException) as refused:
                await at.call(lambda: client.orders.capture_order({"id": order.id}))
            assert "DUPLICATE_INVOICE_ID" in refused.value.response.text
            monkeypatch.setattr(orders, "LIFE", -1)
            status, _ = await Rest(at)("GET", f"/v2/checkout/orders/{order.id}")
            assert status == 404
            url = f"{at.urls[BROWSER_HOST]}/checkoutnow?token={order.id}"
            status, text, _ = await at.send("GET", url)
            assert (status, "Nothing to pay" in text) == (404, True)

    run(scenario())


def test_disputes_and_their_end_are_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            rest = Rest(at)
            captures = [await paid(at, client) for _ in range(2)]
            act = at.gateway.act
            with pytest.raises(ValueError, match="there is no"):
                act("open-dispute", {"capture": "NONE"})
            made = [act("open-dispute", {"capture": each.id}) for each in captures]
            _, found = await rest("GET", f"/v1/customer/disputes/{made[0]['id']}")
            assert found["disputed_transactions"][0]["seller_transaction_id"] == captures[0].id
            act("resolve-dispute", {"dispute": made[0]["id"], "favour": "seller"})
            with pytest.raises(ValueError, match="already"):
                act("resolve-dispute", {"dispute": made[0]["id"], "favour": "buyer"})
            accept = f"/v1/customer/disputes/{made[1]['id']}/accept-claim"
            assert (await rest("POST", accept, {"note": "sorry"}))[0] == 200
            _, found = await rest("GET", f"/v1/customer/disputes/{made[1]['id']}")
            outcome = found["dispute_outcome"]
            assert outcome["outcome_code"] == "RESOLVED_BUYER_FAVOUR"
            assert outcome["amount_refunded"]["value"] == "10.00"
            await at.merchant.until(10)
            kinds = [kind for kind in types(at) if "DISPUTE" in kind]
            assert kinds == ["CUSTOMER.DISPUTE.CREATED"] * 2 + ["CUSTOMER.DISPUTE.RESOLVED"] * 2
            query = f"disputed_transaction_id={captures[0].id}"
            _, page = await rest("GET", f"/v1/customer/disputes?{query}")
            assert [each["dispute_id"] for each in page["items"]] == [made[0]["id"]]
            _, page = await rest("GET", "/v1/customer/disputes?page_size=1")
            assert page["links"][-1]["rel"] == "next"

    run(scenario())


def test_transactions_are_reported(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            capture = await paid(at, client)
            await Rest(at)("POST", f"/v2/payments/captures/{capture.id}/refund", {})
            now = time.time()

            def at_time(seconds: float) -> str:
                return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + seconds))

            period = {"start_date": at_time(-60), "end_date": at_time(60)}
            found = await at.call(lambda: client.transaction_search.search_transactions(period))
            infos = [each.transaction_info for each in found.body.transaction_details]
            amounts = [info.transaction_amount.value for info in infos]
            assert amounts == ["10.00", "-10.00"]
            assert [info.fee_amount.value for info in infos] == ["-0.83", "0.00"]
            assert infos[0].custom_field == "payment-1"
            assert infos[1].paypal_reference_id == capture.id
            rest = Rest(at)
            path = "/v1/reporting/transactions"
            later = f"{path}?start_date={at_time(60)}&end_date={at_time(120)}"
            assert (await rest("GET", later))[1]["total_items"] == 0
            paged = f"{path}?start_date={at_time(-60)}&end_date={at_time(60)}&page_size=1&page=2"
            status, told = await rest("GET", paged)
            assert (told["total_pages"], len(told["transaction_details"])) == (2, 1)
            too_long = f"{path}?start_date={at_time(-40 * 86400)}&end_date={at_time(0)}"
            status, told = await rest("GET", too_long)
            assert (status, told["details"][0]["issue"]) == (400, "INVALID_DATE_RANGE")
            assert (await rest("GET", path))[0] == 400

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

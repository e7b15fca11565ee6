"""The PayPal dialect with its official client, a payer, and a merchant who checks signatures."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.verification import PolicyBuilder, Store
from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
from paypalserversdk.models.order_request import OrderRequest
from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient

from tests.twin.gateways.bench import Bench, bench, hidden
from twin.gateways.paypal import API_HOST, BROWSER_HOST, PayPal
from twin.gateways.paypal.certificates import NAME

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

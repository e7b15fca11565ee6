"""The PayPal calls that the service makes, answered as the documentation says, and its webhooks."""

from __future__ import annotations

import datetime as dt
import json
import time
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.app.gateways import serving
from tests.app.gateways.serving import Fault, Json, Server

CLIENT = ("A-client-of-the-tests", "paypal-secret-marker")
WEBHOOK_ID = "8PT597110X687430L"
NAME = "messageverificationcerts.paypal.com"


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=signs_certificates,
        crl_sign=signs_certificates, encipher_only=False, decipher_only=False,
    )  # fmt: skip


class Authority:
    """A certificate authority that a process of the tests has made, and what it has signed."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        self.certificate = (
            self._builder(subject, subject, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = _pem(self.certificate)

    def sign(self, key: rsa.RSAPrivateKey, name: str, *, days: int = 30) -> str:
        """Return a certificate for a name, with its authority behind it."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            self._builder(subject, self.certificate.subject, key.public_key(), days)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .sign(self.key, hashes.SHA256())
        )
        return _pem(made) + self.pem

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, days: int = 30
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=60))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


AUTHORITY, STRANGER = Authority(), Authority()
SIGNER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class PaypalServer(Server):
    """Orders, captures, refunds, disputes. `certificates` is what is served, by name."""

    orders: dict[str, Json] = field(default_factory=dict)
    refunds: dict[str, Json] = field(default_factory=dict)
    disputes: dict[str, Json] = field(default_factory=dict)
    keys: dict[str, tuple[Json, Json]] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    certificates: dict[str, str] = field(default_factory=dict)
    capture_status: str = "COMPLETED"
    refund_status: str = "COMPLETED"
    moved: Decimal = Decimal(0)
    odd_rows: list[Json] = field(default_factory=list)
    authority: str = AUTHORITY.pem

    def refusal(self, fault: Fault) -> Response:
        """Return an error of PayPal's form."""
        if fault == "forbid":
            return _error(403, "NOT_AUTHORIZED", "PERMISSION_DENIED")
        status = {"fail": 500, "busy": 429}.get(fault, 422)
        return _error(status, "UNPROCESSABLE_ENTITY", "PAYEE_ACCOUNT_RESTRICTED")

    async def token(self, request: Request) -> Response:
        """POST /v1/oauth2/token."""
        login = b64encode(":".join(CLIENT).encode()).decode()
        form = dict(await request.form())
        if request.headers.get("authorization") != f"Basic {login}" or form != {
            "grant_type": "client_credentials"
        }:
            return JSONResponse({"error": "invalid_client"}, 401)
        self.tokens.append(f"A21AA{next(self.numbers)}")
        return JSONResponse({"access_token": self.tokens[-1], "expires_in": 32400})

    def known(self, request: Request) -> bool:
        """Whether the call has a token that has not ended."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return given in self.tokens

    async def create(self, request: Request) -> Response:
        """POST /v2/checkout/orders."""
        data, before = await self._keyed(request)
        if before is not None:
            return before
        ref = f"{next(self.numbers):017d}"
        order = {
            "id": ref, "status": "PAYER_ACTION_REQUIRED", "intent": data["intent"],
            "create_time": _now(), "purchase_units": data["purchase_units"],
            "links": [{"rel": "payer-action", "href": f"https://www.paypal.test/{ref}"}],
        }  # fmt: skip
        self.orders[ref] = order
        return self._keep(request, data, order)

    async def order(self, request: Request) -> Response:
        """GET /v2/checkout/orders/{ref}."""
        found = self.orders.get(request.path_params["ref"])
        if found is None:
            return _error(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID")
        return JSONResponse(found)

    async def capture(self, request: Request) -> Response:
        """POST /v2/checkout/orders/{ref}/capture."""
        data, before = await self._keyed(request)
        if before is not None:
            return before
        order = self.orders[request.path_params["ref"]]
        if order["status"] == "COMPLETED":
            return _error(422, "UNPROCESSABLE_ENTITY", "ORDER_ALREADY_CAPTURED")
        if order["status"] != "APPROVED":
            return _error(422, "UNPROCESSABLE_ENTITY", "ORDER_NOT_APPROVED")
        unit = order["purchase_units"][0]
        self.moved += Decimal(unit["amount"]["value"])
        capture = {
            "id": f"CAP{next(self.numbers):014d}", "status": self.capture_status,
            "create_time": _now(),
            "amount": unit["amount"], "custom_id": unit["custom_id"],
            "seller_receivable_breakdown": {
                "paypal_fee": {"currency_code": unit["amount"]["currency_code"], "value": "1.11"}
            },
        }  # fmt: skip
        order["status"] = "COMPLETED"
        unit["payments"] = {"captures": [capture]}
        return self._keep(request, data, order)

    async def refund(self, request: Request) -> Response:
        """POST /v2/payments/captures/{ref}/refund."""
        data, before = await self._keyed(request)
        if before is not None:
            return before
        return self._keep(request, data, self.give_back(request.path_params["ref"], **data))

    async def refund_get(self, request: Request) -> Response:
        """GET /v2/payments/refunds/{ref}."""
        found = self.refunds.get(request.path_params["ref"])
        return JSONResponse(found) if found else _error(404, "RESOURCE_NOT_FOUND", "-")

    async def every_dispute(self, request: Request) -> Response:
        """GET /v1/customer/disputes: one to a page, to be paged through."""
        query = request.query_params
        after, before = query["update_time_after"], query["update_time_before"]
        refs = [r for r, d in self.disputes.items() if after <= d.get("update_time", "") <= before]
        at = int(query.get("next_page_token", "0"))
        more = f"{self.url}/v1/customer/disputes?next_page_token={at + 1}"
        links = [{"rel": "next", "href": more}] if len(refs) > at + 1 else []
        items = [{"dispute_id": ref} for ref in refs[at : at + 1]]
        return JSONResponse({"items": items, "links": links})

    async def dispute(self, request: Request) -> Response:
        """GET /v1/customer/disputes/{ref}."""
        found = self.disputes.get(request.path_params["ref"])
        return (
            JSONResponse(found)
            if found
            else _error(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID")
        )

    async def report(self, request: Request) -> Response:
        """GET /v1/reporting/transactions."""
        query, rows = request.query_params, list(self.odd_rows)
        for order in self.orders.values():
            for capture in self.captures(order["id"]):
                rows.append(_row(capture, "T0006", custom_field=capture["custom_id"]))
                fee = capture["seller_receivable_breakdown"]["paypal_fee"]
                rows[-1]["fee_amount"] = fee | {"value": f"-{fee['value']}"}
        for refund in self.refunds.values():
            ref = refund["links"][0]["href"].rpartition("/")[2]
            rows.append(_row(refund, "T1107", paypal_reference_id=ref))
            value = f"-{refund['amount']['value']}"
            rows[-1]["transaction_amount"] = refund["amount"] | {"value": value}
        start, end = _moment(query["start_date"]), _moment(query["end_date"])
        if start > end:
            return _error(400, "INVALID_REQUEST", "INVALID_DATE_RANGE")
        code = query.get("transaction_type")
        found = [
            {"transaction_info": row}
            for row in sorted(rows, key=lambda row: str(row["transaction_initiation_date"]))
            if start <= _moment(row["transaction_initiation_date"]) <= end
            and code in (None, row["transaction_event_code"])
        ]
        size, page = int(query["page_size"]), int(query["page"])
        return JSONResponse(
            {
                "transaction_details": found[(page - 1) * size : page * size],
                "total_pages": -(-len(found) // size),
            }
        )

    async def certificate(self, request: Request) -> Response:
        """GET /v1/notifications/certs/{name}."""
        found = self.certificates.get(request.path_params["name"])
        return Response(found) if found else Response(status_code=404)

    def approve(self, ref: str) -> Json:
        """Approve an order as a customer does."""
        self.orders[ref]["status"] = "APPROVED"
        return self.orders[ref]

    def captures(self, ref: str) -> list[Json]:
        """Return what was captured of an order."""
        found: list[Json] = (
            self.orders[ref]["purchase_units"][0].get("payments", {}).get("captures", [])
        )
        return found

    def give_back(self, capture: str, amount: Json, **ids: str) -> Json:
        """Refund at PayPal; without ids as its pages do."""
        before = sum(
            (Decimal(r["amount"]["value"]) for r in self.refunds.values()
             if r["links"][0]["href"].endswith(capture)), Decimal(0)
        )  # fmt: skip
        total = amount | {"value": f"{before + Decimal(amount['value']):.2f}"}
        ref = f"REF{next(self.numbers):014d}"
        self.refunds[ref] = ids | {
            "id": ref, "status": self.refund_status, "amount": amount, "create_time": _now(),
            "seller_payable_breakdown": {"total_refunded_amount": total},
            "links": [{"rel": "up", "href": f"{self.url}/v2/payments/captures/{capture}"}],
        }  # fmt: skip
        for order in self.orders.values():
            for one in self.captures(order["id"]):
                if one["id"] == capture:
                    payments = order["purchase_units"][0]["payments"]
                    payments.setdefault("refunds", []).append(self.refunds[ref])
        return self.refunds[ref]

    async def _keyed(self, request: Request) -> tuple[Json, Response | None]:
        if not self.known(request):
            return {}, JSONResponse({"error": "invalid_token"}, 401)
        data = await request.json()
        kept = self.keys.get(request.headers["paypal-request-id"])
        if kept is None:
            return data, None
        if kept[0] != data:
            return data, _error(422, "UNPROCESSABLE_ENTITY", "DUPLICATE_REQUEST_ID")
        return data, JSONResponse(kept[1], 200)

    def _keep(self, request: Request, data: Json, answer: Json) -> Response:
        self.keys[request.headers["paypal-request-id"]] = (data, answer)
        return JSONResponse(answer, 201)

    def event(self, event_type: str, resource: Json) -> bytes:
        """Return a delivery's bytes."""
        return json.dumps(
            {
                "id": f"WH-{next(self.numbers):08d}", "create_time": _now(),
                "event_type": event_type, "resource": resource,
            }
        ).encode()  # fmt: skip

    def headers(
        self,
        body: bytes,
        *,
        at: float | None = None,
        key: rsa.RSAPrivateKey = SIGNER,
        url: str | None = None,
        webhook_id: str = WEBHOOK_ID,
    ) -> dict[str, str]:
        """Return a delivery's headers, signed as PayPal signs."""
        self.certificates.setdefault("CERT-1", AUTHORITY.sign(SIGNER, NAME))
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at or time.time()))
        message = f"transmission|{when}|{webhook_id}|{zlib.crc32(body)}"
        signature = key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256())
        return {
            "PAYPAL-TRANSMISSION-ID": "transmission",
            "PAYPAL-TRANSMISSION-TIME": when,
            "PAYPAL-TRANSMISSION-SIG": b64encode(signature).decode(),
            "PAYPAL-CERT-URL": url or f"{self.url}/v1/notifications/certs/CERT-1",
            "PAYPAL-AUTH-ALGO": "SHA256withRSA",
        }


@asynccontextmanager
async def running() -> AsyncIterator[PaypalServer]:
    """Run it."""
    state = PaypalServer()
    paths = [
        ("/v2/checkout/orders", state.create, "POST"),
        ("/v2/checkout/orders/{ref}", state.order, "GET"),
        ("/v2/checkout/orders/{ref}/capture", state.capture, "POST"),
        ("/v2/payments/captures/{ref}/refund", state.refund, "POST"),
        ("/v2/payments/refunds/{ref}", state.refund_get, "GET"),
        ("/v1/customer/disputes", state.every_dispute, "GET"),
        ("/v1/customer/disputes/{ref}", state.dispute, "GET"),
        ("/v1/reporting/transactions", state.report, "GET"),
        ("/v1/notifications/certs/{name}", state.certificate, "GET"),
    ]
    routes = [Route(path, state.guarded(call), methods=[m]) for path, call, m in paths]
    routes.append(Route("/v1/oauth2/token", state.token, methods=["POST"]))
    async with serving.serve(state, routes):
        yield state


def _row(what: Json, code: str, **more: object) -> Json:
    return more | {
        "transaction_id": what["id"], "transaction_event_code": code,
        "transaction_amount": what["amount"], "transaction_status": "S",
        "transaction_initiation_date": what["create_time"],
    }  # fmt: skip


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _error(status: int, name: str, issue: str) -> Response:
    return JSONResponse({"name": name, "details": [{"issue": issue}]}, status)

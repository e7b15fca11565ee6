"""The API over HTTP: OAuth, idempotency, errors as PayPal's.

Sources: developer.paypal.com/api/rest (authentication, requests, responses) and the references of
Orders v2, Payments v2, Disputes v1, Transaction Search v1, Webhooks v1; read 2026-11.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from pydantic_core import ErrorDetails

from twin.gateways.common.faults import FaultBox
from twin.gateways.common.jsonapi import JsonApi, Operation, Refusal, Reply
from twin.gateways.common.tables import Book, new_id
from twin.gateways.paypal.certificates import Certificates
from twin.gateways.paypal.errors import error, issue, refusal

TOKEN_LIFE = 32_400
_TOKEN = "/v1/oauth2/token"  # noqa: S105  (a path)
_CERTIFICATES = "/v1/notifications/certs/"
_SCOPE = (
    "https://uri.paypal.com/services/payments/payment/authcapture "
    "https://uri.paypal.com/services/payments/refund "
    "https://uri.paypal.com/services/disputes/read-seller "
    "https://uri.paypal.com/services/reporting/search/read "
    "https://uri.paypal.com/services/applications/webhooks openid"
)
_ISSUES = {
    "missing": ("MISSING_REQUIRED_PARAMETER", "A required field / parameter is missing."),
    "string_too_long": (
        "INVALID_STRING_LENGTH",
        "The value of a field is either too short or too long.",
    ),
    "literal_error": ("INVALID_PARAMETER_VALUE", "The value of a field is invalid."),
    "too_long": ("INVALID_ARRAY_MAX_ITEMS", "The number of items in an array is too large."),
    "too_short": ("INVALID_ARRAY_MIN_ITEMS", "The number of items in an array is too small."),
    "extra_forbidden": ("UNKNOWN_PARAMETER", "The field is not known to this request."),
}
_ISSUES["string_too_short"] = _ISSUES["string_too_long"]
_SYNTAX = (
    "INVALID_PARAMETER_SYNTAX",
    "The value of a field does not conform to the expected format.",
)


class Api(JsonApi):
    """Answers `api-m.paypal.test`."""

    key_header = "PayPal-Request-Id"
    key_life = 6 * 3600.0

    def __init__(
        self,
        book: Book,
        faults: FaultBox,
        certificates: Certificates,
        client: tuple[str, str],
        operations: Sequence[Operation],
    ) -> None:
        super().__init__(book, faults, operations)
        self._certificates = certificates
        self._client = client

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        if request.path == _TOKEN and request.method == "POST":
            return await self._token(request)
        if request.path.startswith(_CERTIFICATES) and request.method == "GET":
            pem = self._certificates.pem(request.path.removeprefix(_CERTIFICATES))
            if pem is not None:
                return web.Response(text=pem, content_type="application/x-pem-file")
        return await super().handle(request)

    async def _token(self, request: web.BaseRequest) -> web.StreamResponse:
        """Give a token for the client's id and secret (RFC 6749, 4.4)."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        try:
            pair = base64.b64decode(given, validate=True)
        except binascii.Error:
            pair = b""
        known = hmac.compare_digest(pair, ":".join(self._client).encode())
        if scheme.lower() != "basic" or not known or not all(self._client):
            told = {
                "error": "invalid_client",
                "error_description": "Client Authentication failed",
            }
            return web.json_response(told, status=401)
        form = parse_qs((await self._read(request)).decode(errors="replace"))
        if form.get("grant_type") != ["client_credentials"]:
            described = "unsupported grant_type" if "grant_type" in form else "grant_type is null"
            kind = "unsupported_grant_type" if "grant_type" in form else "invalid_request"
            return web.json_response({"error": kind, "error_description": described}, status=400)
        token = "A21AA" + new_id("", 92)
        now = time.time()
        with self._book.transaction():
            for id, kept in self._book.tables["token"].items():
                if kept["expires_at"] < now:
                    self._book.tables["token"].drop(id)
            self._book.tables["token"].put(token, {"id": token, "expires_at": now + TOKEN_LIFE})
        return web.json_response(
            {
                "scope": _SCOPE,
                "access_token": token,
                "token_type": "Bearer",
                "app_id": "APP-TWIN0000000000000",
                "expires_in": TOKEN_LIFE,
                "nonce": f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(now))}{new_id()}",
            }
        )

    # --- the dialect ----------------------------------------------------------------------------
    def authenticate(self, request: web.BaseRequest, body: bytes) -> None:
        """Take a token that was given and has not ended."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        kept = self._book.tables["token"].get(token.strip())
        if scheme.lower() != "bearer" or kept is None or kept["expires_at"] < time.time():
            told = {
                "error": "invalid_token",
                "error_description": "Token signature verification failed",
            }
            raise Refusal(401, told)

    def unknown(self, request: web.BaseRequest) -> Refusal:
        """Refuse an address that does not exist."""
        return refusal("RESOURCE_NOT_FOUND")

    def malformed(self, why: str, status: int = 400) -> Refusal:
        """Refuse what cannot be read."""
        if status == 415:
            return refusal("UNSUPPORTED_MEDIA_TYPE")
        return refusal("INVALID_REQUEST", issue("MALFORMED_REQUEST_JSON", f"Request: {why}."))

    def invalid(self, errors: Sequence[ErrorDetails], where: str) -> Refusal:
        """Refuse parameters: every fault, each with the place where it is."""
        details = []
        for each in errors:
            name, told = _ISSUES.get(each["type"], _SYNTAX)
            place = "/" + "/".join(map(str, each["loc"]))
            value: Any = each["input"] if each["type"] != "missing" else None
            shown = value if isinstance(value, str | int | float) else None
            detail = issue(name, told, place if where == "body" else str(each["loc"][-1]), shown)
            details.append({**detail, "location": where})
        return refusal("INVALID_REQUEST", *details)

    def broken(self) -> Reply:
        """Answer 500."""
        return Reply(status=500, body=error("INTERNAL_SERVER_ERROR"))

    def check_key(self, key: str) -> None:
        """Take keys of at most 108 characters."""
        if len(key) > 108:
            told = "The value of a field is either too short or too long."
            raise refusal("INVALID_REQUEST", issue("INVALID_STRING_LENGTH", told, self.key_header))

    def key_in_use(self, key: str) -> Refusal:
        """Refuse a key whose first request still runs."""
        told = "A previous request on this resource is currently in progress. Please wait for "
        told += "some time and try again."
        return refusal("RESOURCE_CONFLICT", issue("PREVIOUS_REQUEST_IN_PROGRESS", told))

    def key_reused(self, key: str) -> Refusal:
        """Refuse a key that came with another body."""
        told = "The value of PayPal-Request-Id header has already been used. Please specify a "
        told += "different value and try again."
        return refusal("UNPROCESSABLE_ENTITY", issue("DUPLICATE_REQUEST_ID", told))

    def replayed(self, reply: Reply) -> Reply:
        """Say 200 to a request that was answered 201 the first time."""
        return Reply(status=200 if reply.status == 201 else reply.status, body=reply.body)

    def headers(self) -> dict[str, str]:
        """Return the id of the answer."""
        return {"Paypal-Debug-Id": new_id("", 13, "0123456789abcdef")}

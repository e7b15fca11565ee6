"""AWS signature version 4, verified as an S3 server does (header and presigned query).

Source: AWS, "Signature Version 4 signing process", the S3 variant: the path is encoded once and
never normalized, and the payload's hash is what `x-amz-content-sha256` says.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote_plus

_ALGORITHM = "AWS4-HMAC-SHA256"
_SKEW = timedelta(minutes=15)
_UNSIGNED = "UNSIGNED-PAYLOAD"


class Refused(Exception):
    """Why a request is not let in: an S3 error code, its HTTP status and its words."""

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A request as it came over the wire; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Claim:
    access_key: str
    scope: str
    signed_headers: tuple[str, ...]
    signature: str
    stamp: str
    payload: str
    query: list[tuple[str, str]]


def verify(request: Signed, secret_of: Callable[[str], str | None], now: datetime) -> str:
    """Return the access key that signed the request; raises Refused when none that is known did."""
    query = _parse(request.query)
    claim = _presigned(query, now) if "X-Amz-Signature" in dict(query) else _header(request, query)
    secret = secret_of(claim.access_key)
    if secret is None:
        raise Refused(
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        )
    if not hmac.compare_digest(_sign(request, claim, secret), claim.signature):
        raise Refused(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )
    _check_time(claim.stamp, now, presigned="X-Amz-Signature" in dict(query))
    return claim.access_key


def _header(request: Signed, query: list[tuple[str, str]]) -> _Claim:
    kind, _, rest = request.headers.get("authorization", "").partition(" ")
    if kind != _ALGORITHM:
        raise Refused("AccessDenied", "Access Denied.")
    fields = dict(field.strip().partition("=")[::2] for field in rest.split(","))
    payload = request.headers.get("x-amz-content-sha256", "")
    if len(payload) == 64 and payload != hashlib.sha256(request.body).hexdigest():
        raise Refused(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            status=400,
        )
    return _claim(fields, request.headers.get("x-amz-date", ""), payload, query)


def _presigned(query: list[tuple[str, str]], now: datetime) -> _Claim:
    values = dict(query)
    fields = {
        "Credential": values.get("X-Amz-Credential", ""),
        "SignedHeaders": values.get("X-Amz-SignedHeaders", ""),
        "Signature": values["X-Amz-Signature"],
    }
    stamp = values.get("X-Amz-Date", "")
    lifetime = timedelta(seconds=int(values.get("X-Amz-Expires", "0") or 0))
    if now > _moment(stamp) + lifetime:
        raise Refused("AccessDenied", "Request has expired")
    rest = [(name, value) for name, value in query if name != "X-Amz-Signature"]
    return _claim(fields, stamp, _UNSIGNED, rest)


def _claim(
    fields: Mapping[str, str], stamp: str, payload: str, query: list[tuple[str, str]]
) -> _Claim:
    access_key, _, scope = fields.get("Credential", "").partition("/")
    if scope.count("/") != 3:
        raise Refused("AuthorizationHeaderMalformed", "The credential is malformed.", status=400)
    return _Claim(
        access_key=access_key,
        scope=scope,
        signed_headers=tuple(fields.get("SignedHeaders", "").split(";")),
        signature=fields.get("Signature", ""),
        stamp=stamp,
        payload=payload,
        query=query,
    )


def _sign(request: Signed, claim: _Claim, secret: str) -> str:
    headers = "".join(
        f"{name}:{' '.join(request.headers.get(name, '').split())}\n"
        for name in claim.signed_headers
    )
    query = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in sorted(claim.query)
    )
    canonical = "\n".join(
        (
            request.method,
            request.path,
            query,
            headers,
            ";".join(claim.signed_headers),
            claim.payload,
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join((_ALGORITHM, claim.stamp, claim.scope, digest))
    key = f"AWS4{secret}".encode()
    for part in claim.scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _check_time(stamp: str, now: datetime, *, presigned: bool) -> None:
    if not presigned and abs(now - _moment(stamp)) > _SKEW:
        raise Refused(
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        )


def _moment(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refused("AccessDenied", "The request has no valid date.") from None


def _parse(query: str) -> list[tuple[str, str]]:
    """Pairs of a query string, `?acl` as an empty value."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]

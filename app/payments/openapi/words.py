"""The fixed texts and schemas of the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

KEY_PATTERN: Final = r"^[\x21-\x7e]{1,255}$"

DESCRIPTION: Final = """
Amounts are integers in the currency's minor unit (`1999` EUR is 19.99 €; JPY has none; KWD has
three), written without a fraction or an exponent. Times are RFC 3339 in UTC.

**Who asks.** A browser has the session's cookie, and sends with everything that changes something
the header `X-CSRF-Token`. A program logs in at `/api/v1/auth/login` for a token of 15 minutes, or
uses an API key; both go into `Authorization: Bearer`. A key can do what its scopes name, a scope
being a tag of this document and `read` or `write`. Keys that begin with `pk_test_` belong to the
sandbox and `pk_live_` to the live installation; neither opens the other.

**Once.** A POST that moves money needs an `Idempotency-Key`: any text of your choice. The same key
with the same body returns the first answer again (`Idempotency-Replayed: true`), with another body
it is refused (422), and while the first request runs it is refused for the moment (409).

**Lists** come newest first, in pages: pass `next_cursor` as `cursor` for the next one. A cursor
stays right while rows are added. `null`: this is the last page.

**Limits.** `RateLimit-Policy` and `RateLimit` say how many requests fit
(draft-ietf-httpapi-ratelimit-headers-10); a request too many is answered 429 with `Retry-After`.
With a key or a session the requests are counted for whom it belongs to, from wherever they come,
and else for the address.

**Errors** are problem details (RFC 9457). `code` is stable, `detail` is for people; `request_id`
finds the request in our logs.
"""

TAGS: Final[list[dict[str, Any]]] = [
    {"name": "orders", "description": "What is sold, and what you bought."},
    {"name": "ledger", "description": "Your accounts: what happened in them, sending, exchanging."},
    {"name": "subscriptions", "description": "What is paid for again and again."},
    {"name": "webhooks", "description": "Where you are told what happens."},
    {"name": "api-keys", "description": "With what your programs log in."},
    {"name": "people", "description": "Opening an account and logging in."},
    {"name": "errors", "description": "What can go wrong."},
]

HEADERS: Final[dict[str, Any]] = {
    "X-Request-Id": {
        "description": "names this request in our logs",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$"},
        "example": "9f8c1e0d2b3a4c5d6e7f8091a2b3c4d5",
    },
    "RateLimit": {
        "description": "how many requests still fit (`r`), and when there is room for one more"
        " (`t`, seconds); one item for each limit that covers this path",
        "schema": {
            "type": "string",
            "pattern": r'^"[a-z-]+";r=\d+;t=\d+(, "[a-z-]+";r=\d+;t=\d+)*$',
        },
        "example": '"api";r=998;t=4',
    },
    "RateLimit-Policy": {
        "description": "the limits of this path: `q` requests in `w` seconds",
        "schema": {
            "type": "string",
            "pattern": r'^"[a-z-]+";q=\d+;w=\d+(, "[a-z-]+";q=\d+;w=\d+)*$',
        },
        "example": '"api";q=1000;w=3600',
    },
    "Retry-After": {
        "description": "seconds until the request may be sent again",
        "schema": {"type": "integer", "minimum": 1},
        "example": 30,
    },
    "WWW-Authenticate": {
        "description": "how to log in",
        "required": True,
        "schema": {"type": "string", "pattern": "^Bearer"},
        "example": "Bearer",
    },
    "Idempotency-Replayed": {
        "description": "`true` where this is the answer to an earlier request with the same key",
        "schema": {"type": "string", "const": "true"},
        "example": "true",
    },
}

SECURITY: Final[dict[str, Any]] = {
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-session",
        "description": "a browser's log-in; what changes something also needs `X-CSRF-Token`",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "from `/api/v1/auth/login`; ends after 15 minutes or with the log-in",
    },
    "key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "pk_live_… or pk_test_…",
        "description": "an API key with scopes, from `/api/v1/api-keys`",
    },
}

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "instance", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "says more"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "what happened this time, for people"},
        "code": {"type": "string", "description": "stable; what programs compare with"},
        "instance": {"type": "string", "description": "the path that was asked for"},
        "request_id": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "description": "each thing that is wrong with the payload",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "violated-policies": {
            "type": "array",
            "description": "the limits that this request is too many for",
            "items": {"type": "string"},
        },
    },
    "examples": [
        {
            "type": "/problems/insufficient_funds",
            "title": "There is not enough money in the account.",
            "status": 409,
            "detail": "There is not enough money in the account.",
            "code": "insufficient_funds",
            "instance": "/api/v1/transactions",
            "request_id": "9f8c1e0d2b3a4c5d6e7f8091a2b3c4d5",
        }
    ],
}

ALWAYS: Final = {
    "429": "Too many requests: `Retry-After` says when to come back.",
    "503": "A part of the service does not answer. Nothing was changed; try again.",
}
SECURED: Final = {
    "401": "Nobody is logged in, or what proves it has ended.",
    "403": "The key lacks the scope, or the form's token is missing.",
}
INPUT: Final = {"422": "A parameter or a field is missing or is not what it must be."}
BODY: Final = {
    "400": "The body is not JSON that can be read in one way only.",
    "413": "The body is larger than 256 KiB.",
}
KEYED: Final = {
    "400": "The body is no JSON, or the `Idempotency-Key` is missing.",
    "409": "A request with this key is running.",
    "422": "A field is not what it must be, or the key came with another body.",
}

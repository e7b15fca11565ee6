"""One context, one log line and one measurement for each request. The outermost middleware."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from payments.ops import metrics
from payments.ops.client import client_address
from payments.ops.logs import get_logger

log = get_logger("payments.requests")

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
"""W3C Trace Context, version 00: trace id and parent span id, neither all zero."""

QUIET_PATHS = frozenset({"/livez", "/readyz"})
"""Probes every few seconds: measured, and logged only when they fail."""


class RequestContext:
    """Gives every request an id, measures it, and writes its line when the answer is out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request inside its context."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        fields = _identify(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = fields["request_id"]
        state["client_address"] = client_address(scope)
        status = 500

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = fields["request_id"]
            await send(message)

        started = time.perf_counter()
        with (
            structlog.contextvars.bound_contextvars(**fields),
            metrics.HTTP_IN_FLIGHT.track_inprogress(),
        ):
            try:
                await self.app(scope, receive, with_id)
            finally:
                _record(scope, status, time.perf_counter() - started)


def _identify(scope: Scope) -> dict[str, str]:
    """Return the request's id, taken over from the gateway when well-formed, and the trace's."""
    headers = Headers(scope=scope)
    told = headers.get("x-request-id", "")
    fields = {"request_id": told if _REQUEST_ID.fullmatch(told) else secrets.token_hex(16)}
    if trace := _TRACEPARENT.fullmatch(headers.get("traceparent", "")):
        fields["trace_id"], fields["parent_span_id"] = trace.groups()
    return fields


def route_of(scope: Scope) -> str:
    """Return the matched route's template, `unmatched` for a path that no route has."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) and path else "unmatched"


def _record(scope: Scope, status: int, seconds: float) -> None:
    route, method = route_of(scope), _method(scope)
    metrics.HTTP_REQUESTS.labels(method, route, str(status)).inc()
    metrics.HTTP_DURATION.labels(method, route).observe(seconds)
    if status < 400 and scope["path"] in QUIET_PATHS:
        return
    # The template and not the path: a path may carry what somebody typed or a token of an e-mail.
    write = log.error if status >= 500 else log.info
    write(
        "request.answered",
        method=method,
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 1),
        client=scope["state"]["client_address"],
    )


def _method(scope: Scope) -> str:
    """Return the method, `OTHER` for one of a client's own invention (a label must be bounded)."""
    method: str = scope["method"]
    known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    return method if method in known else "OTHER"

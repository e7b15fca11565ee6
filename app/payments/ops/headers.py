"""Security headers on every answer, set by the service itself.

The edge adds its own later; the service does not rely on it, because a page that is only safe
behind one particular proxy is not safe.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        # Also holds for redirects after a form: the way to a hosted checkout is a page of its own.
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""No inline script, no inline style, nothing from elsewhere, in no frame."""

HEADERS: tuple[tuple[str, str], ...] = (
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    # Not `no-referrer`: browsers then send `Origin: null` with our own forms (Fetch standard).
    ("referrer-policy", "same-origin"),
    (
        "permissions-policy",
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "
        "magnetometer=(), microphone=(), midi=(), payment=(), usb=()",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-permitted-cross-domain-policies", "none"),
)

HSTS = ("strict-transport-security", "max-age=31536000")
"""A year (RFC 6797). Without includeSubDomains: the zone's owner decides that, at the edge."""

NO_STORE = ("cache-control", "no-store")
"""For whatever does not say otherwise: balances do not belong into anybody's cache."""


class SecurityHeaders:
    """ASGI middleware that adds what an answer does not already have. Outermost but one."""

    def __init__(self, app: ASGIApp, *, https: bool = True) -> None:
        self.app = app
        self._defaults = (*HEADERS, NO_STORE, *((HSTS,) if https else ()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the headers to its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._defaults:
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers)

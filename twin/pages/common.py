"""What the twin's pages have in common.

Nothing here needs a login: the front answers on the loopback only. So that no other website can
turn a knob through a visitor's browser, every change must come from this page itself, or from a
client that is no browser.
"""

from __future__ import annotations

import time
from typing import Final

from aiohttp import web

from twin.edge.site import Handler

LARGEST_FORM: Final = 64 * 1024
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def own(handler: Handler) -> Handler:
    """Refuse what a browser sends on behalf of another site."""

    async def guarded(request: web.BaseRequest, **parts: str) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        fetched = request.headers.get("Sec-Fetch-Site", "none")
        foreign = origin is not None and origin != f"https://{request.headers['Host']}"
        if foreign or fetched not in ("same-origin", "none"):
            return web.Response(status=403, text="Only this page itself may change anything.\n")
        return await handler(request, **parts)

    return guarded


async def body_of(request: web.BaseRequest) -> bytes:
    """Return a request's body; empty where it is larger than a form can be."""
    body = b""
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > LARGEST_FORM:
            return b""
    return body


def time_of_day(moment: float) -> str:
    """Write a moment (seconds since the epoch) as the machine's wall clock shows it."""
    return time.strftime("%H:%M:%S", time.localtime(moment))


def date_and_time(moment: float) -> str:
    """Write a moment with its day."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))

"""The stages that every request for a zone's host goes through, in their order.

Rules, rate limits, cache, transforms and Access are stages too: each is added to the list that
`twin.edge.server` builds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.utils import formatdate

from twin.edge import pages
from twin.edge.exchange import Exchange, Next, Reply, Result
from twin.edge.headers import for_origin

MIB = 1024 * 1024
BODY_LIMITS = {"free": 100 * MIB, "pro": 100 * MIB, "business": 200 * MIB, "enterprise": 500 * MIB}
"""The largest request body by plan (developers.cloudflare.com, "Upload limits")."""


async def mark_reply(exchange: Exchange, following: Next) -> Result:
    """Set the headers that every reply of the edge carries."""
    result = await following(exchange)
    if isinstance(result, Reply):
        result.headers["Server"] = "cloudflare"
        result.headers["CF-RAY"] = exchange.ray
        result.headers.setdefault("Date", formatdate(usegmt=True))
    return result


async def limit_body(exchange: Exchange, following: Next, megabytes: int | None = None) -> Result:
    """Refuse a body above the plan's limit, announced or not, with 413; `max_upload` lowers it."""
    limit = BODY_LIMITS[exchange.zone.plan]
    if megabytes:
        limit = min(limit, int(megabytes) * MIB)
    announced = exchange.request.content_length
    if announced is not None and announced > limit:
        return pages.error(413, host=exchange.host, ray=exchange.ray)
    if exchange.body is None:
        return await following(exchange)
    counted = _Counted(exchange.body, limit)
    exchange.body = aiter(counted)
    result = await following(exchange)
    if counted.exceeded and isinstance(result, Reply):
        if result.finish is not None:
            result.finish()
        return pages.error(413, host=exchange.host, ray=exchange.ray)
    return result


async def set_headers(exchange: Exchange, following: Next) -> Result:
    """Set what the origin is told of the visitor."""
    exchange.headers = for_origin(exchange.request, exchange.visitor, exchange.scheme, exchange.ray)
    return await following(exchange)


class _Counted:
    """A body that breaks off above a limit."""

    def __init__(self, body: AsyncIterator[bytes], limit: int) -> None:
        self.exceeded = False
        self._body = body
        self._left = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            self._left -= len(piece)
            if self._left < 0:
                self.exceeded = True
                raise ValueError("the request's body is above the plan's limit")
            yield piece

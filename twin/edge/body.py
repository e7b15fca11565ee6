"""Looking into a request's body without taking it away from the origin."""

from __future__ import annotations

from collections.abc import AsyncIterator

from twin.edge.exchange import Exchange

INSPECTED = 128 * 1024
"""Bytes of a body that rules can see: what the largest plan inspects (cloudflare-docs, waf:
`http.request.body.raw`, 128 KB); a longer one is cut, and goes to the origin whole."""


async def look(exchange: Exchange) -> bytes:
    """Return the beginning of the body, at most INSPECTED bytes; asking twice reads it once.

    The rest is not read: it still comes through `exchange.body`, after what was looked at.
    """
    if exchange.seen_body is not None:
        return exchange.seen_body
    source = exchange.body
    if source is None:
        exchange.seen_body = b""
        return b""
    pieces: list[bytes] = []
    size = 0
    async for piece in source:
        pieces.append(piece)
        size += len(piece)
        if size >= INSPECTED:
            break
    exchange.seen_body = b"".join(pieces)[:INSPECTED]
    exchange.body_cut = size >= INSPECTED
    exchange.body = _again(pieces, source)
    return exchange.seen_body


async def _again(pieces: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    async for piece in rest:
        yield piece

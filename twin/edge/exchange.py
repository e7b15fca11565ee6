"""What goes through the edge's pipeline: one request for a zone's host, and its reply.

A stage gets the exchange and the rest of the pipeline. It may answer by itself, change the request
before it goes on, or change the reply that comes back; a reply's body is not read before the front
sends it, so that a stage in the middle costs no buffering.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from twin.edge.routes import Zone


@dataclass(kw_only=True)
class Reply:
    """A status, headers and a body that comes in pieces. `finish` is always called in the end."""

    status: int
    headers: CIMultiDict[str]
    body: bytes | AsyncIterator[bytes] = b""
    reason: str | None = None
    finish: Callable[[], None] | None = None


@dataclass(kw_only=True)
class Upgraded:
    """The connection became a websocket and is over: `response` says how it was answered."""

    response: web.StreamResponse


Result = Reply | Upgraded


@dataclass(kw_only=True)
class Exchange:
    """One request on its way to an origin; `headers` are those that the origin will see."""

    request: web.BaseRequest
    zone: Zone
    host: str
    visitor: str
    scheme: str
    ray: str
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: AsyncIterator[bytes] | None = None
    country: str = "XX"
    """ISO 3166-1 alpha-2; `XX` where it is not known."""
    skips: set[str] = field(default_factory=set)
    """What skip rules took out: `phase:<phase>`, `product:<product>`, `ruleset:<id>`,
    `rule:<ruleset id>/<rule id>`."""
    seen_body: bytes | None = None
    """The beginning of the body once somebody looked (`twin.edge.body.look`); None before."""
    body_cut: bool = False
    """True where the body is longer than what was looked at."""
    fields: Any = None
    """The request as rules see it, made once (`twin.edge.fields.FieldSource.of`)."""

    normalised_path: str = ""
    """The path as rules see it; empty before it was normalised, and where that is switched off."""
    forwarded: str = ""
    """The path and query that the origin gets, where those are not the request's own."""
    asks_with: str = ""
    """The method that the origin gets, where the cache asks in another way than the visitor."""

    @property
    def to_origin(self) -> str:
        """The path and query that the origin gets."""
        return self.forwarded or self.target

    @property
    def target(self) -> str:
        """The request's path and query, byte for byte as they came."""
        return self.request.raw_path

    @property
    def path(self) -> str:
        """The path alone."""
        return self.request.raw_path.partition("?")[0]


Next = Callable[[Exchange], Awaitable[Result]]
Stage = Callable[[Exchange, Next], Awaitable[Result]]


def pipeline(stages: Sequence[Stage], last: Next) -> Next:
    """Chain stages, first to last, in front of the one that always answers."""
    handler = last
    for stage in reversed(stages):
        handler = _bind(stage, handler)
    return handler


def _bind(stage: Stage, following: Next) -> Next:
    async def step(exchange: Exchange) -> Result:
        return await stage(exchange, following)

    return step

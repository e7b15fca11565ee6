"""The cache stage: answers from what was kept, asks the origin once for what was not.

Statuses are those of cloudflare-docs, cache/concepts/cache-responses: HIT, MISS, EXPIRED,
REVALIDATED, STALE, BYPASS, DYNAMIC; a reply that no origin was to be asked for has none. A reply
that may be kept is read as a whole before it is sent, so that those who wait for the same file do
not wait for the first visitor's line; what is larger than the shelf takes goes through as it comes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from typing import Any, Final

from multidict import CIMultiDict

from twin.clock import Clock
from twin.edge.delivery import freshness, keys, partial
from twin.edge.delivery.deployed import CACHE, Deployed, ZoneDelivery
from twin.edge.delivery.freshness import Policy, Verdict
from twin.edge.delivery.shelf import LARGEST, Kept, Key, Shelf
from twin.edge.exchange import Exchange, Next, Reply, Result
from twin.edge.fields import FieldSource
from twin.edge.headers import is_websocket

STATUS: Final = "CF-Cache-Status"
_CONDITIONS: Final = (
    "Range",
    "If-Range",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
)
"""Answered here: the origin is asked for the whole."""
_OF_ONE_ANSWER: Final = ("Age", "Date", "Set-Cookie", STATUS)
_NOT_SHARED: Final = frozenset((206, 304))


class Cache:
    """One data centre's cache."""

    def __init__(
        self, deployed: Deployed, fields: FieldSource, clock: Clock, shelf: Shelf | None = None
    ) -> None:
        self.shelf = shelf or Shelf()
        self.counts: Counter[str] = Counter()
        """Requests by cache status."""
        self._deployed = deployed
        self._fields = fields
        self._clock = clock
        self._fetching: dict[Key, asyncio.Future[bool]] = {}

    async def __call__(self, exchange: Exchange, following: Next) -> Result:
        """Answer an exchange, from the shelf where that is possible."""
        zone = self._deployed.zone(exchange.zone.id)
        asks = exchange.request.method in ("GET", "HEAD") and not is_websocket(exchange.request)
        policy = self._policy(exchange, zone) if asks else _DYNAMIC
        if not policy.eligible:
            return self._marked(await following(exchange), "DYNAMIC")
        if zone.on("development_mode"):
            return self._marked(await following(exchange), "BYPASS")
        key = (*keys.make(exchange, policy.key), keys.encodings(exchange))
        for _ in range(2):
            kept = self._find(key)
            if kept is not None and self._clock.now() < kept.fresh_until:
                return self._serve(exchange, kept, policy, "HIT")
            running = self._fetching.get(key)
            if running is None:
                return await self._lead(exchange, following, policy, key, kept)
            if not await asyncio.shield(running):
                break  # not for sharing: everybody asks by themselves
        return await self._fetch(exchange, following, policy, key, None)

    def purge(
        self,
        *,
        zone: str = "",
        everything: bool = False,
        files: Collection[str] = (),
        hosts: Collection[str] = (),
        prefixes: Collection[str] = (),
    ) -> int:
        """Throw kept replies out as the API's purge does; returns how many.

        `files` are URLs, `prefixes` hosts with the beginning of a path, both without the port;
        `zone` limits it to one zone's.
        """
        starts = tuple(prefixes)

        def wanted(kept: Kept) -> bool:
            if zone and kept.zone != zone:
                return False
            by_name = kept.url in files or kept.host in hosts
            return everything or by_name or bool(starts and _bare(kept.url).startswith(starts))

        return self.shelf.purge(wanted)

    # --- asking the origin ----------------------------------------------------------------------
    async def _lead(
        self, exchange: Exchange, following: Next, policy: Policy, key: Key, stale: Kept | None
    ) -> Result:
        """Ask the origin while others with the same key wait."""
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._fetching[key] = waiting
        try:
            return await self._fetch(exchange, following, policy, key, stale)
        finally:
            del self._fetching[key]
            found = self._find(key)
            waiting.set_result(found is not None and self._clock.now() < found.fresh_until)

    async def _fetch(
        self, exchange: Exchange, following: Next, policy: Policy, key: Key, stale: Kept | None
    ) -> Result:
        for name in _CONDITIONS:
            exchange.headers.popall(name, None)
        exchange.asks_with = "GET"
        if stale is not None:
            for header, condition in (
                ("ETag", "If-None-Match"),
                ("Last-Modified", "If-Modified-Since"),
            ):
                if header in stale.headers:
                    exchange.headers[condition] = stale.headers[header]
        reply = await following(exchange)
        if not isinstance(reply, Reply):
            return reply
        now = self._clock.now()
        if stale is not None and reply.status == 304:
            _end(reply)
            self._renew(exchange, key, stale, reply, policy)
            return self._serve(exchange, stale, policy, "REVALIDATED")
        if reply.status >= 500 and stale and now < stale.fresh_until + stale.may_be_stale:
            _end(reply)
            return self._serve(exchange, stale, policy, "STALE")
        verdict = self._judge(exchange, reply.status, reply.headers, policy)
        status = "EXPIRED" if stale is not None and verdict.status == "MISS" else verdict.status
        body = await _read(reply) if verdict.ttl > 0 and reply.status not in _NOT_SHARED else None
        if body is None:
            if stale is not None:
                self.shelf.drop(self._place(key, stale))
            return self._pass(exchange, reply, policy, status)
        _end(reply)
        kept = _keep(exchange, reply, body, verdict, now)
        self.shelf.put(self._place(key, kept), kept)
        return self._serve(exchange, kept, policy, status)

    def _renew(
        self, exchange: Exchange, key: Key, stale: Kept, reply: Reply, policy: Policy
    ) -> None:
        """Take a 304's headers over, and count anew (RFC 9111, section 3.2)."""
        skipped = {name.lower() for name in _OF_ONE_ANSWER} | {"content-length", "etag"}
        news = [
            (name, value) for name, value in reply.headers.items() if name.lower() not in skipped
        ]
        for name, _ in news:
            stale.headers.popall(name, None)
        for name, value in news:
            stale.headers.add(name, value)
        now = self._clock.now()
        verdict = self._judge(exchange, stale.status, stale.headers, policy)
        stale.stored, stale.fresh_until = now, now + verdict.ttl
        self.shelf.put(self._place(key, stale), stale)

    def _judge(
        self, exchange: Exchange, status: int, headers: CIMultiDict[str], policy: Policy
    ) -> Verdict:
        return freshness.judge(
            status,
            headers,
            policy,
            authorised="Authorization" in exchange.request.headers,
            plan=exchange.zone.plan,
            path=exchange.to_origin.partition("?")[0],
        )

    # --- answering ------------------------------------------------------------------------------
    def _serve(self, exchange: Exchange, kept: Kept, policy: Policy, status: str) -> Reply:
        reply = partial.answer(exchange, kept)
        if status in ("HIT", "REVALIDATED", "STALE"):
            reply.headers["Age"] = str(int(self._clock.now() - kept.stored))
        if exchange.request.method == "HEAD" and reply.body:
            reply.body = _nothing()  # the length stays
        self._browser(exchange, reply, policy)
        self._marked(reply, status)
        return reply

    def _pass(self, exchange: Exchange, reply: Reply, policy: Policy, status: str) -> Reply:
        """Hand a reply on that is not kept; the visitor's own conditions are answered here."""
        given = exchange.request.headers
        if reply.status == 200 and partial.unchanged(given, reply.headers):
            _end(reply)
            reply = partial.not_modified(reply.headers)
        elif exchange.request.method == "HEAD":
            _end(reply)
            reply.body = _nothing()
        if status != "BYPASS":
            self._browser(exchange, reply, policy)
        self._marked(reply, status)
        return reply

    def _browser(self, exchange: Exchange, reply: Reply, policy: Policy) -> None:
        settings = self._deployed.zone(exchange.zone.id).settings
        ttl = settings.get("browser_cache_ttl", freshness.DEFAULT_BROWSER_TTL)
        freshness.tell_browser(reply.headers, policy, int(ttl))

    def _marked(self, result: Result, status: str) -> Result:
        self.counts[status] += 1
        if isinstance(result, Reply):
            result.headers[STATUS] = status
        return result

    # --- what is kept where ---------------------------------------------------------------------
    def _find(self, key: Key) -> Kept | None:
        """Return what is kept for a key, which ends with the encodings that a visitor takes."""
        return self.shelf.get((*key[:-1], "any")) or self.shelf.get(key)

    def _place(self, key: Key, kept: Kept) -> Key:
        return key if kept.varies else (*key[:-1], "any")

    def _policy(self, exchange: Exchange, zone: ZoneDelivery) -> Policy:
        path = exchange.normalised_path or exchange.path
        name = path.rpartition("/")[2].lower()
        _, dot, extension = name.rpartition(".")
        known = path == "/robots.txt" or (bool(dot) and extension in freshness.EXTENSIONS)
        eligible, by_rule, said = known, False, dict[str, Any]()
        rules = zone.rules.get(CACHE, ())
        fields = self._fields.of(exchange) if rules else {}
        for rule in rules:
            if rule.condition(fields):
                said |= {
                    name: value for name, value in rule.parameters.items() if value is not None
                }
        if "cache" in said:
            eligible = by_rule = bool(said["cache"])
        return Policy(
            eligible=eligible,
            by_rule=by_rule,
            edge=said.get("edgeTtl") or {},
            browser=said.get("browserTtl"),
            key=said.get("cacheKey") or {},
        )


_DYNAMIC: Final = Policy(eligible=False)


def _keep(exchange: Exchange, reply: Reply, body: bytes, verdict: Verdict, now: float) -> Kept:
    headers = CIMultiDict(reply.headers)
    age = headers.get("Age", "0")
    for name in _OF_ONE_ANSWER:
        headers.popall(name, None)
    told = freshness.directives(headers)
    forbidden = told.keys() & {"must-revalidate", "proxy-revalidate", "s-maxage"}
    grace = told.get("stale-if-error", "0")
    return Kept(
        status=reply.status,
        reason=reply.reason,
        headers=headers,
        body=body,
        stored=now,
        fresh_until=now + verdict.ttl - (float(age) if age.isdigit() else 0.0),
        may_be_stale=float(grace) if grace.isdigit() and not forbidden else 0.0,
        zone=exchange.zone.id,
        host=exchange.host,
        url=f"{exchange.scheme}://{exchange.host}{exchange.to_origin}",
        varies="Content-Encoding" in headers
        or "accept-encoding" in headers.get("Vary", "").lower(),
    )


async def _read(reply: Reply) -> bytes | None:
    """Read a reply's body; None where it is too large or broke off: it then goes on as it came."""
    if isinstance(reply.body, bytes):
        return reply.body if len(reply.body) <= LARGEST else None
    announced = reply.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) > LARGEST:
        return None
    source, pieces, size = reply.body, list[bytes](), 0
    try:
        async for piece in source:
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST:
                reply.body = _again(pieces, source)
                return None
    except Exception as error:
        # The visitor shall see a broken transfer, not a short file.
        reply.body = _broken(pieces, error)
        return None
    return b"".join(pieces)


async def _again(pieces: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    async for piece in rest:
        yield piece


async def _broken(pieces: list[bytes], error: Exception) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    raise error


async def _nothing() -> AsyncIterator[bytes]:
    for piece in list[bytes]():
        yield piece


def _end(reply: Reply) -> None:
    if reply.finish is not None:
        reply.finish()
        reply.finish = None


def _bare(url: str) -> str:
    return url.partition("://")[2]

"""The delivery's stages, in the words of `twin.edge.exchange`: what `twin.edge.server` chains.

Zone settings carried out here: `always_use_https`, `security_header` (HSTS and nosniff),
`websockets`, `max_upload`; TLS's own are in `twin.edge.tls`, `browser_cache_ttl` and
`development_mode` in the cache. Without effect in the twin: `http2`, `http3`, `0rtt` (the server
library speaks HTTP/1.1), `ipv6` (the twin's internet is IPv4), `brotli` and `early_hints` (replies
pass as the origin made them), `automatic_https_rewrites` and whatever else rewrites pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twin.clock import Clock
from twin.edge import pages, stages
from twin.edge.delivery import headers, redirects
from twin.edge.delivery.cache import Cache
from twin.edge.delivery.deployed import REDIRECTS, Deployed, ZoneDelivery
from twin.edge.delivery.paths import normalise
from twin.edge.exchange import Exchange, Next, Reply, Result
from twin.edge.fields import FieldSource
from twin.edge.headers import is_websocket
from twin.edge.journal import Journal
from twin.edge.routes import Routes
from twin.store import Store


class Delivery:
    """Carries out what zones have deployed, beside what stops requests."""

    def __init__(
        self, store: Store, clock: Clock, journal: Journal, fields: FieldSource, routes: Routes
    ) -> None:
        self.deployed = Deployed(store)
        self.cache = Cache(self.deployed, fields, clock)
        self._journal = journal
        self._fields = fields
        self._routes = routes

    def _zone(self, exchange: Exchange) -> ZoneDelivery:
        return self.deployed.zone(exchange.zone.id)

    async def reply_headers(self, exchange: Exchange, following: Next) -> Result:
        """Set HSTS, then transform: also the replies that other stages make."""
        result = await following(exchange)
        if isinstance(result, Reply):
            zone = self._zone(exchange)
            _security_header(exchange, zone.settings.get("security_header"), result)
            headers.transform_reply(result, zone, self._fields.of(exchange))
        return result

    async def settings(self, exchange: Exchange, following: Next) -> Result:
        """Carry out the settings that answer by themselves."""
        zone = self._zone(exchange)
        if exchange.scheme == "http" and zone.on("always_use_https"):
            self._record(exchange, "always_use_https", "redirect")
            return redirects.to_https(exchange)
        if is_websocket(exchange.request) and not zone.on("websockets", "on"):
            # What the real edge answers is not documented; it does not connect.
            self._record(exchange, "websockets", "block")
            return pages.error(400, host=exchange.host, ray=exchange.ray)
        return await stages.limit_body(exchange, following, zone.settings.get("max_upload"))

    async def normalise(self, exchange: Exchange, following: Next) -> Result:
        """Write the path in its normal form, for the rules and perhaps for the origin."""
        kind, scope = self._zone(exchange).normalisation
        if scope in ("incoming", "both"):
            path, question, query = exchange.target.partition("?")
            exchange.normalised_path = normalise(path, kind)
            if scope == "both":
                exchange.forwarded = exchange.normalised_path + question + query
        return await following(exchange)

    async def redirect(self, exchange: Exchange, following: Next) -> Result:
        """Answer with the first single redirect that matches."""
        zone = self._zone(exchange)
        if REDIRECTS in zone.rules:
            found = redirects.single(exchange, zone, self._fields.of(exchange), self._routes)
            if found:
                rule, reply = found
                self._journal.record(
                    exchange,
                    phase=REDIRECTS,
                    action="redirect",
                    rule=rule.name,
                    description=rule.description,
                    detail=reply.headers["Location"],
                )
                return reply
        return await following(exchange)

    async def request_headers(self, exchange: Exchange, following: Next) -> Result:
        """Transform what the origin will see."""
        zone = self._zone(exchange)
        await headers.transform_request(exchange, zone, self._fields.of(exchange))
        return await following(exchange)

    def _record(self, exchange: Exchange, setting: str, action: str) -> None:
        self._journal.record(exchange, phase="settings", action=action, rule=setting)


def _security_header(exchange: Exchange, setting: Any, reply: Reply) -> None:
    """Set Strict-Transport-Security as the setting says: on HTTPS alone (RFC 6797, 7.2)."""
    hsts = setting.get("strict_transport_security") if isinstance(setting, Mapping) else None
    if not hsts or not hsts.get("enabled"):
        return
    reply.headers.popall("Strict-Transport-Security", None)
    if exchange.scheme == "https":
        value = f"max-age={int(hsts.get('max_age') or 0)}"
        value += "; includeSubDomains" if hsts.get("include_subdomains") else ""
        value += "; preload" if hsts.get("preload") else ""
        reply.headers["Strict-Transport-Security"] = value
    if hsts.get("nosniff"):
        reply.headers["X-Content-Type-Options"] = "nosniff"

"""The twin's HTTPS front: every name it serves, on one port, told apart by Host.

Hosts of the account's zones go through the edge's pipeline to their origins; the payment gateway's
and the twin's own names are answered here; anything else is refused, whatever address it resolved
from, so that a foreign name that was pointed at the loopback reaches nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from twin.access import Access
from twin.ca import CertificateAuthority
from twin.clock import Clock
from twin.edge import pages, stages
from twin.edge.delivery.stages import Delivery
from twin.edge.direct import Direct
from twin.edge.exchange import Exchange, Reply, Stage, pipeline
from twin.edge.fields import FieldSource
from twin.edge.firewall import Firewall
from twin.edge.headers import new_ray
from twin.edge.journal import Journal
from twin.edge.listener import Listener
from twin.edge.logs import note
from twin.edge.origin import ORIGIN_TIMEOUT, Origin
from twin.edge.routes import Routes
from twin.edge.tls import Certificates, Terms
from twin.edge.tunnel import NAMES as TUNNEL_NAMES
from twin.edge.tunnel import Tunnels
from twin.gateways import Gateways
from twin.gateways.common.gateway import Site as Host
from twin.pages.cache import CachePages
from twin.pages.home import Home
from twin.store import Store
from twin.waf import rulesets as waf_rules
from twin.waf.engine import Engine
from twin.waf.stage import ManagedRules
from twin.world import World

TWIN_HOST = "twin.localhost"
SHUTDOWN = 5.0
"""Seconds that running requests have when the front stops."""
_LONGEST_LINE = 64 * 1024


class Edge:
    """The front, the tunnel and what they serve. Runs in the event loop that starts it.

    `firewall` is the managed rules' engine (`twin.waf`); without it they are not enforced.
    `run_dir` takes the unix sockets `edge.sock` and `tunnel.sock`. Starting raises
    `twin.edge.listener.PortTaken` when the port is not free; port 0 takes a free one.
    """

    def __init__(
        self,
        home: Path,
        store: Store,
        world: World,
        account: Mapping[str, Any],
        https_port: int,
        run_dir: Path,
        *,
        origin_timeout: float = ORIGIN_TIMEOUT,
        clock: Clock | None = None,
        firewall: Path | None = None,
    ) -> None:
        self.port = https_port
        self.clock = clock or Clock()
        self.journal = Journal(self.clock)
        self.routes = Routes(store, account)
        self.tunnels = Tunnels(store)
        self._authority = CertificateAuthority(home)
        self._run_dir = run_dir
        direct = Direct(store, run_dir, self._authority.certificate, self.clock)
        self._origin = Origin(self.routes, self.tunnels, direct, origin_timeout)
        self.fields = FieldSource(store, self.clock)
        self.firewall = Firewall(store, self.journal, self.fields)
        self.delivery = Delivery(store, self.clock, self.journal, self.fields, self.routes)
        self.waf = Engine(firewall) if firewall is not None else None
        self.access = Access(
            store,
            account,
            self.clock,
            self.journal,
            self.routes,
            self.fields.visitors,
            lambda: self.port,
        )
        # Outermost first: what is added to a reply by the first is added to every page of the
        # others.
        order: Sequence[Stage] = (
            stages.mark_reply,
            self.delivery.reply_headers,
            self.delivery.settings,
            self.firewall.arrive,
            self.delivery.normalise,
            # From here on `exchange.headers` are what the origin will see.
            stages.set_headers,
            self.firewall.tell_country,
            self.delivery.redirect,
            self.firewall.custom,
            self.firewall.settings,
            self.firewall.rate_limits,
            ManagedRules(
                waf_rules.Deployed(store),
                self.fields,
                self.journal,
                self.waf,
                self.firewall.challenges,
            ),
            self.firewall.bots,
            self.access.guard,
            self.delivery.request_headers,
            self.delivery.cache,
            self.firewall.rate_limits_to_origin,
        )
        self._pipeline = pipeline(order, self._origin)
        self._listener: Listener | None = None
        self._servers: list[web.Server] = []
        self.gateways = Gateways(store, account, self._authority.certificate_file)
        self.stripe = self.gateways.stripe
        self._home = Home(store, self)
        CachePages(self._home.site, self.delivery.cache)
        own: dict[str, Host] = {TWIN_HOST: self._home.site}
        for gateway in self.gateways.all.values():
            own.update(gateway.hosts())
        # A Zero Trust team has a host as soon as it is deployed.
        teams = cast(MutableMapping[str, Host], self.access.sites)
        self._sites: Mapping[str, Host] = ChainMap(own, teams)
        self._certificates = Certificates(
            self._authority, self.routes, self._sites, TWIN_HOST, self.delivery.deployed.settings
        )

    async def start(self) -> None:
        """Listen on the port and the two unix sockets, and deliver what waits."""
        options: dict[str, Any] = {
            "access_log": None,
            "auto_decompress": False,
            "max_line_size": _LONGEST_LINE,
            "max_field_size": _LONGEST_LINE,
        }
        self._servers = [
            web.Server(self._handle, **options),
            web.Server(self._handle_plain, **options),
        ]
        self._listener = Listener(self._certificates.context, *self._servers)
        try:
            self.port = self._listener.listen_tcp(self.port)
            self._listener.listen_unix(self._run_dir / "edge.sock")
            tunnel_names = self._certificates.for_names(TUNNEL_NAMES, Terms())
            await self.tunnels.start(self._run_dir / "tunnel.sock", tunnel_names)
            await self.gateways.start(self.port)
            if self.waf is not None:
                await self.waf.start()
        except BaseException:
            await self.stop()
            raise
        note(logging.INFO, "edge listens", port=self.port, run_dir=self._run_dir)

    async def stop(self) -> None:
        """Stop listening, let running requests end, hang up on connectors. Twice is fine."""
        if self._listener is None:
            return
        await self._listener.close()
        for server in self._servers:
            server.pre_shutdown()  # ends idle keep-alive connections
        await asyncio.gather(*(server.shutdown(SHUTDOWN) for server in self._servers))
        await self.gateways.stop()
        await self._origin.close()
        if self.waf is not None:
            await self.waf.stop()
        await self.tunnels.stop()

    # --- HTTP -----------------------------------------------------------------------------------
    async def _handle_plain(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve a zone's host, by its settings; send the twin's own names to HTTPS."""
        if self.routes.zone(_host(request)) is not None:
            return await self._handle(request, "http")
        if _host(request) not in self._sites or not request.raw_path.startswith("/"):
            return await _send(request, pages.error(1001, host=_host(request), ray=new_ray()))
        location = f"https://{request.headers['Host'].strip()}{request.raw_path}"
        return web.Response(status=308, headers={"Location": location})

    async def _handle(self, request: web.BaseRequest, scheme: str = "https") -> web.StreamResponse:
        started = time.perf_counter()
        host, ray = _host(request), new_ray()
        response = await self._answer(request, scheme, host, ray)
        note(
            logging.DEBUG,
            "request",
            host=host,
            method=request.method,
            path=request.raw_path.partition("?")[0],
            status=response.status,
            ms=round((time.perf_counter() - started) * 1000, 1),
            ray=ray,
        )
        return response

    async def _answer(
        self, request: web.BaseRequest, scheme: str, host: str, ray: str
    ) -> web.StreamResponse:
        if not request.raw_path.startswith("/"):
            return await _send(request, pages.error(400, host=host, ray=ray))
        site = self._sites.get(host)
        zone = self.routes.zone(host)
        if site is None and zone is None:
            return await _send(request, pages.error(1001, host=host, ray=ray))
        if request.headers.get("Expect", "").lower() == "100-continue":
            assert request.transport is not None  # noqa: S101  (a request that just came)
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if site is not None:
            return await site.handle(request)
        assert zone is not None  # noqa: S101  (narrowing)
        exchange = Exchange(
            request=request,
            zone=zone,
            host=host,
            visitor=request.remote or "127.0.0.1",
            scheme=scheme,
            ray=ray,
            body=request.content.iter_any() if request.body_exists else None,
        )
        self.journal.requests += 1
        result = await self._pipeline(exchange)
        return await _send(request, result) if isinstance(result, Reply) else result.response


def _host(request: web.BaseRequest) -> str:
    name = request.headers.get("Host", "").strip().lower()
    return name.rpartition(":")[0].rstrip(".") if ":" in name else name.rstrip(".")


async def _send(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Send a reply; one that breaks off on the way breaks the connection, so that it shows."""
    try:
        if isinstance(reply.body, bytes):
            return web.Response(
                status=reply.status, reason=reply.reason, headers=reply.headers, body=reply.body
            )
        response = web.StreamResponse(
            status=reply.status, reason=reply.reason, headers=reply.headers
        )
        await response.prepare(request)
        try:
            async for piece in reply.body:
                await response.write(piece)
        except Exception as error:
            note(logging.WARNING, "reply broke off", reason=error)
            if request.transport is not None:
                request.transport.abort()
        return response
    finally:
        if reply.finish is not None:
            reply.finish()

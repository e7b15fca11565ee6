"""The tunnel's edge side: who is connected, and how a stream to an origin is opened.

Connectors authenticate with their tunnel's token. Several connections and several connectors may
serve one tunnel; a new stream goes to the one with the fewest, never to one that drains.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import hmac
import itertools
import json
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin.edge.connector.wire import SILENCE_LIMIT, Kind, Link
from twin.edge.logs import note
from twin.edge.transport import OriginRefused, StreamTransport
from twin.store import Record, Store

TUNNEL = "cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared"
NAMES = ("region1.v2.argotunnel.com", "region2.v2.argotunnel.com")
LOCATION = "twin01"
HELLO_TIMEOUT = 10.0


class NoConnector(Exception):
    """No connector serves the tunnel just now."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """Where a connector shall connect to: what an ingress rule's `service` says."""

    host: str
    port: int
    tls: bool = False
    server_name: str = ""
    verify: bool = True
    connect_timeout: float = 30.0


def tunnel_secret(store: Store, record: Record) -> str:
    """Return a tunnel's secret (base64), given by the program or made up by the cloud."""
    return str(store.load("cloudflare/tunnel-secret", record.id) or "")


def authenticate(store: Store, token: str) -> str:
    """Return the id of the token's tunnel; raises PermissionError with the real edge's words."""
    try:
        fields: dict[str, Any] = json.loads(base64.b64decode(token, validate=True))
        account, tunnel, secret = (str(fields[key]) for key in "ats")
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise PermissionError("Unauthorized: Invalid tunnel token") from None
    record = store.get(TUNNEL, tunnel)
    if record is None or record.outputs.get("accountId") != account:
        raise PermissionError("Unauthorized: Tunnel not found")
    known = tunnel_secret(store, record)
    if not known or not hmac.compare_digest(known.encode(), secret.encode()):
        raise PermissionError("Unauthorized: Invalid tunnel secret")
    return tunnel


class Tunnels:
    """Every connected connector, by tunnel; and the listener they dial."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._links: dict[str, list[ConnectorLink]] = {}
        self._open: set[ConnectorLink] = set()
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self, socket: Path, tls: ssl.SSLContext) -> None:
        """Listen on a unix socket; a stale one is replaced."""
        socket.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: ConnectorLink(self), str(socket), ssl=tls, ssl_handshake_timeout=HELLO_TIMEOUT
        )
        socket.chmod(0o666)  # the relay's user; the folder around it is 0700
        self._watch = asyncio.create_task(self._watch_links())

    async def stop(self) -> None:
        """Hang up on every connector."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for link in list(self._open):
            link.close()

    def connectors(self, tunnel: str) -> list[dict[str, Any]]:
        """Return who serves a tunnel: id, version, connections and open streams."""
        found: dict[str, dict[str, Any]] = {}
        for link in self._links.get(tunnel, []):
            entry = found.setdefault(
                link.connector,
                {"id": link.connector, "version": link.version, "connections": 0, "streams": 0},
            )
            entry["connections"] += 1
            entry["streams"] += len(link.streams)
        return list(found.values())

    def open_early(self, tunnel: str, service: Service, protocol: asyncio.Protocol) -> None:
        """Join `protocol` to an origin that is yet to be reached; raises NoConnector.

        What it says waits at the connector. Where nobody answers, it is told of a lost connection,
        with OriginRefused as the reason. It saves a way to the connector and back.
        """
        self._link(tunnel).open(service, protocol).begin()

    async def open(
        self, tunnel: str, service: Service, protocol: asyncio.Protocol
    ) -> StreamTransport:
        """Join `protocol` to an origin; raises NoConnector, or OriginRefused when nobody answers.

        A connection that breaks before the origin was reached is tried once more on another.
        """
        for attempt in itertools.count():
            transport = self._link(tunnel).open(service, protocol)
            try:
                await transport.opened
            except OriginRefused as error:
                if error.code == errno.ECONNRESET and attempt == 0:
                    continue
                raise
            except BaseException:
                transport.abort()
                raise
            return transport
        raise AssertionError("unreachable")

    def _link(self, tunnel: str) -> ConnectorLink:
        serving = [link for link in self._links.get(tunnel, []) if not link.draining]
        if not serving:
            raise NoConnector(tunnel)
        return min(serving, key=lambda each: len(each.streams))

    # --- called by links ------------------------------------------------------------------------
    def arrived(self, link: ConnectorLink) -> None:
        """Watch a new connection until it says who it is."""
        self._open.add(link)

    def register(self, link: ConnectorLink, hello: dict[str, Any]) -> None:
        """Admit a connection; raises PermissionError."""
        link.tunnel = authenticate(self._store, str(hello.get("token", "")))
        link.connector = str(hello.get("connector", ""))
        link.version = str(hello.get("version", ""))
        self._links.setdefault(link.tunnel, []).append(link)
        note(logging.INFO, "connector registered", tunnel=link.tunnel, connector=link.connector)

    def left(self, link: ConnectorLink) -> None:
        """Forget a connection."""
        self._open.discard(link)
        serving = self._links.get(link.tunnel, [])
        if link in serving:
            serving.remove(link)
            note(logging.INFO, "connector left", tunnel=link.tunnel, connector=link.connector)

    async def _watch_links(self) -> None:
        """Hang up on the silent, and on connectors whose tunnel was deleted."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(2.0)
            for link in list(self._open):
                limit = SILENCE_LIMIT if link.tunnel else HELLO_TIMEOUT
                if loop.time() - link.heard > limit:
                    link.close()
                elif link.tunnel and self._store.get(TUNNEL, link.tunnel) is None:
                    link.refuse("Unauthorized: Tunnel not found", retry=False)


class ConnectorLink(Link):
    """One connection of one connector."""

    def __init__(self, tunnels: Tunnels) -> None:
        super().__init__()
        self.tunnel = ""
        self.connector = ""
        self.version = ""
        self.draining = False
        self._tunnels = tunnels
        self._numbers = itertools.count(1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        super().connection_made(transport)
        self._tunnels.arrived(self)

    def on_frame(self, kind: Kind, stream: int, payload: bytes) -> None:
        """Act on what a connector says beside its streams."""
        if kind is Kind.PING:
            self.send(Kind.PONG)
        elif kind is Kind.DRAIN:
            self.draining = True
        elif kind is Kind.HELLO and not self.tunnel:
            try:
                self._tunnels.register(self, json.loads(payload))
            except PermissionError as error:
                note(logging.WARNING, "connector refused", reason=error)
                self.refuse(str(error), retry=False)
            else:
                self.send_json(Kind.WELCOME, {"location": LOCATION})

    def refuse(self, reason: str, *, retry: bool) -> None:
        """Say why and hang up."""
        self.send_json(Kind.REFUSED, {"reason": reason, "retry": retry})
        self.close()

    def open(self, service: Service, protocol: asyncio.Protocol) -> StreamTransport:
        """Ask the connector for a stream to an origin."""
        transport = StreamTransport(self, next(self._numbers), protocol)
        self.send_json(
            Kind.OPEN,
            {
                "host": service.host,
                "port": service.port,
                "tls": service.tls,
                "server_name": service.server_name,
                "verify": service.verify,
                "timeout": service.connect_timeout,
            },
            transport.number,
        )
        return transport

    def on_broken(self, error: Exception) -> None:
        """Say so in the log."""
        note(logging.WARNING, "connector broke the protocol", reason=error)

    def on_lost(self) -> None:
        """Leave the list."""
        self._tunnels.left(self)

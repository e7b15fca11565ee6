"""What the connector does: keeps its connections to the edge, and opens origins when asked.

Every connection is tried again for ever, with a growing pause, except when the edge says that the
token is not good: then the process ends with an error, and whoever started it sees why.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import random
import signal
import ssl
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .wire import BACKLOG_HIGH, PING_EVERY, SILENCE_LIMIT, Kind, Link, Stream

SERVER_NAME = "region1.v2.argotunnel.com"
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0
"""Seconds between attempts to reach the edge: doubled each time, with up to a half of jitter."""
CONNECT_TIMEOUT = 10.0

log = logging.getLogger("cloudflared")


@dataclass(frozen=True)
class Settings:
    """What the command line and the environment said."""

    token: str
    edge: tuple[str, int]
    ca_file: Path
    metrics: tuple[str, int]
    connections: int
    grace_period: float
    version: str


class Refused(Exception):
    """The edge does not take this connector."""


class Agent:
    """The running connector."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.id = str(uuid.uuid4())
        self.requests = 0
        self._links: set[EdgeLink] = set()
        self._draining = asyncio.Event()
        self._tls = ssl.create_default_context(cafile=str(settings.ca_file))

    @property
    def ready_connections(self) -> int:
        """How many connections the edge has accepted."""
        return sum(link.welcome.is_set() for link in self._links)

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit code."""
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, self._draining.set)
        host, port = self.settings.metrics
        server = await asyncio.start_server(self._metrics, host, port)
        log.info("Starting tunnel connectorID=%s version=%s", self.id, self.settings.version)
        log.info("Starting metrics server on %s:%s", *server.sockets[0].getsockname()[:2])
        keepers = [
            asyncio.create_task(self._keep(index)) for index in range(self.settings.connections)
        ]
        stop = asyncio.create_task(self._draining.wait())
        done, _ = await asyncio.wait([*keepers, stop], return_when=asyncio.FIRST_COMPLETED)
        code = 0
        if stop in done:
            await self._drain()
        else:
            error = next(task for task in done).exception()
            log.error("Register tunnel error from server side error=%r", str(error))
            code = 1
        for task in (*keepers, stop):
            task.cancel()
        await asyncio.gather(*keepers, stop, return_exceptions=True)
        server.close()
        return code

    async def _keep(self, index: int) -> None:
        """Hold one connection to the edge; raises Refused when it is no use trying again."""
        pause = FIRST_PAUSE
        while True:
            link: EdgeLink | None = None
            try:
                link = await self._connect(index)
                pause = FIRST_PAUSE
                await link.closed
                log.warning("Lost connection with the edge connIndex=%s", index)
            except OSError as error:
                log.warning("Unable to establish connection with the edge error=%s", error)
            finally:
                if link is not None:
                    self._links.discard(link)
                    link.close()
            await asyncio.sleep(pause * random.uniform(1.0, 1.5))  # noqa: S311  (jitter)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _connect(self, index: int) -> EdgeLink:
        host, port = self.settings.edge
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, link = await loop.create_connection(
                lambda: EdgeLink(self), host, port, ssl=self._tls, server_hostname=SERVER_NAME
            )
            self._links.add(link)
            hello = {"token": self.settings.token, "connector": self.id, "index": index}
            link.send_json(Kind.HELLO, {**hello, "version": self.settings.version})
            try:
                await link.registered()
            except BaseException:
                self._links.discard(link)
                link.close()
                raise
        log.info("Registered tunnel connection connIndex=%s location=%s", index, link.location)
        return link

    async def _drain(self) -> None:
        """Take no new streams, and wait for those that run, for as long as the grace period."""
        log.info("Initiating graceful shutdown")
        for link in self._links:
            link.send(Kind.DRAIN)
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(self.settings.grace_period):
                while any(link.busy for link in self._links):
                    await asyncio.sleep(0.05)

    async def _metrics(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.TimeoutError, ValueError):
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = self._report(head.split(b" ", 2)[1].decode("latin-1"))
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
                    f"\r\nConnection: close\r\n\r\n{body}".encode()
                )
                await writer.drain()
        writer.close()

    def _report(self, path: str) -> tuple[str, str, str]:
        ready = self.ready_connections
        if path == "/ready":
            fit = bool(ready) and not self._draining.is_set()
            body = {"status": 200 if fit else 503, "readyConnections": ready}
            status = "200 OK" if fit else "503 Service Unavailable"
            return status, "application/json", json.dumps({**body, "connectorId": self.id})
        if path == "/healthcheck":
            return "200 OK", "text/plain", "OK\n"
        if path == "/metrics":
            lines = (
                f"cloudflared_tunnel_ha_connections {ready}\n"
                f"cloudflared_tunnel_total_requests {self.requests}\n"
                f'build_info{{version="{self.settings.version}"}} 1\n'
            )
            return "200 OK", "text/plain; version=0.0.4", lines
        return "404 Not Found", "text/plain", "not found\n"


class EdgeLink(Link):
    """One connection to the edge."""

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        loop = asyncio.get_running_loop()
        self.agent = agent
        self.welcome = asyncio.Event()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.location = ""
        self._answer: asyncio.Future[None] = loop.create_future()
        self._pinging: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """True while a stream runs."""
        return bool(self.streams or self._opening)

    async def registered(self) -> None:
        """Wait for the edge's verdict; raises Refused, or ConnectionError to try again."""
        await self._answer
        self.welcome.set()
        self._pinging = asyncio.create_task(self._ping())

    async def _ping(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self.send(Kind.PING)
            await asyncio.sleep(PING_EVERY)
            if loop.time() - self.heard > SILENCE_LIMIT:
                log.warning("The edge is silent, reconnecting")
                self.close()
                return

    def on_frame(self, kind: Kind, stream: int, payload: bytes) -> None:
        """Act on what the edge asks of the link, or on a new stream."""
        if kind is Kind.WELCOME:
            self.location = str(json.loads(payload)["location"])
            if not self._answer.done():
                self._answer.set_result(None)
        elif kind is Kind.REFUSED:
            told = json.loads(payload)
            error: Exception = Refused(told["reason"])
            if told["retry"]:
                error = ConnectionRefusedError(errno.ECONNREFUSED, told["reason"])
            if not self._answer.done():
                self._answer.set_exception(error)
            elif not told["retry"]:
                log.error("The edge ended the tunnel: %s", told["reason"])
        elif kind is Kind.OPEN:
            self.agent.requests += 1
            origin = OriginStream(self, stream)
            task = asyncio.create_task(origin.open(json.loads(payload)))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def on_lost(self) -> None:
        """Let the keeper try again."""
        self.welcome.clear()
        if self._pinging is not None:
            self._pinging.cancel()
        if not self._answer.done():
            self._answer.set_exception(ConnectionResetError(errno.ECONNRESET, "edge hung up"))
        if not self.closed.done():
            self.closed.set_result(None)


class OriginStream(Stream, asyncio.Protocol):
    """A stream of the edge's, joined to a connection to an origin."""

    def __init__(self, link: Link, number: int) -> None:
        super().__init__(link, number)
        self._origin: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._early_end = False
        self._clogged = False
        self._unread = 0

    async def open(self, wanted: dict[str, Any]) -> None:
        """Connect to the origin; a failure resets the stream with the reason and its errno."""
        tls: ssl.SSLContext | None = None
        if wanted["tls"]:
            tls = ssl.create_default_context()
            if not wanted["verify"]:
                tls.check_hostname = False
                tls.verify_mode = ssl.CERT_NONE
        name = wanted["server_name"] or wanted["host"]
        try:
            async with asyncio.timeout(wanted["timeout"]):
                await asyncio.get_running_loop().create_connection(
                    lambda: self,
                    wanted["host"],
                    wanted["port"],
                    ssl=tls,
                    server_hostname=name if tls else None,
                )
        except TimeoutError:
            self.reset(f"dial tcp {wanted['host']}:{wanted['port']}: i/o timeout", errno.ETIMEDOUT)
        except OSError as error:
            # Name resolution and TLS failures carry codes of their own kind.
            refused = error.errno == errno.ECONNREFUSED
            self.reset(str(error), errno.ECONNREFUSED if refused else errno.EHOSTUNREACH)

    # --- the edge's side ------------------------------------------------------------------------
    def on_data(self, data: bytes) -> None:
        """Hand bytes to the origin; what waits for its connection is kept."""
        if self._origin is None:
            self._early.append(data)
            return
        self._origin.write(data)
        if self._clogged:
            self._unread += len(data)
        else:
            self.consumed(len(data))

    def on_end(self) -> None:
        """Pass the half-close on."""
        if self._origin is None:
            self._early_end = True
        elif self._origin.can_write_eof():
            self._origin.write_eof()

    def on_reset(self, reason: str, code: int) -> None:
        """Drop the origin's connection too."""
        if self._origin is not None:
            self._origin.abort()

    def on_drained(self) -> None:
        """Let the origin send again."""
        if self._origin is not None:
            self._origin.resume_reading()

    # --- the origin's side ----------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self._origin = cast(asyncio.Transport, transport)
        if self.gone:
            self._origin.abort()
            return
        self.link.send(Kind.OPENED, b"", self.number)
        early, self._early = self._early, []
        for data in early:
            self.on_data(data)
        if self._early_end:
            self.on_end()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self.write(data)
        if self.backlog >= BACKLOG_HIGH and self._origin is not None:
            self._origin.pause_reading()

    def eof_received(self) -> bool:  # noqa: D102
        self.end()
        return True  # the other half stays open

    def pause_writing(self) -> None:  # noqa: D102
        self._clogged = True

    def resume_writing(self) -> None:  # noqa: D102
        self._clogged = False
        unread, self._unread = self._unread, 0
        self.consumed(unread)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        if exc is None:
            self.end()
        else:
            self.reset(str(exc))

    def _finish(self) -> None:
        super()._finish()
        if self._origin is not None:
            self._origin.close()

"""A running edge with a deployed site behind a connector process, all on the loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import json
import os
import socket
import ssl
import sys
import tempfile
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from twin.edge.routes import CONFIG, RECORD
from twin.edge.server import Edge
from twin.edge.tunnel import TUNNEL
from twin.store import Store

T = TypeVar("T")
ZONE = {"id": "a" * 32, "name": "payments.localhost", "plan": "pro", "account_id": "b" * 32}
SITE = "pay.payments.localhost"
TUNNEL_ID = "11111111-2222-4333-8444-555555555555"
SECRET = base64.b64encode(b"s" * 32).decode()
STRIPE_KEY = "sk_test_twin"
WEBHOOK_SECRET = "whsec_twin"


def account(webhook_url: str = "", zones: Sequence[Mapping[str, str]] = (ZONE,)) -> dict[str, Any]:
    endpoints = [{"url": webhook_url, "secret": WEBHOOK_SECRET}] if webhook_url else []
    return {
        "cloudflare": {"accounts": [{"id": "b" * 32, "name": "tests"}], "zones": list(zones)},
        "stripe": {"secret_key": STRIPE_KEY, "webhook_endpoints": endpoints},
    }


def deploy(store: Store, ingresses: list[dict[str, Any]]) -> None:
    """Record what a deployment of the site leaves behind."""
    tunnel = {"accountId": "b" * 32, "configSrc": "cloudflare"}
    store.put(TUNNEL, TUNNEL_ID, {}, {**tunnel, "name": "pay"})
    store.save("cloudflare/tunnel-secret", TUNNEL_ID, SECRET)
    config = {"accountId": "b" * 32, "tunnelId": TUNNEL_ID, "config": {"ingresses": ingresses}}
    store.put(CONFIG, TUNNEL_ID, {}, config)
    record = {"zoneId": "a" * 32, "type": "CNAME", "proxied": True, "name": SITE}
    store.put(RECORD, "r1", {}, {**record, "content": f"{TUNNEL_ID}.cfargotunnel.com"})


def token(secret: str = SECRET, tunnel: str = TUNNEL_ID) -> str:
    fields = {"a": "b" * 32, "t": tunnel, "s": secret}
    return base64.b64encode(json.dumps(fields).encode()).decode()


def proxy_header(visitor: str) -> bytes:
    """What HAProxy sends before a visitor's own bytes (PROXY protocol, version 2)."""
    address = ipaddress.ip_address(visitor)
    kind = 0x11 if address.version == 4 else 0x21
    addresses = address.packed * 2 + (40_000).to_bytes(2) + (443).to_bytes(2)
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, kind]) + len(addresses).to_bytes(2) + addresses


class Loopback(AbstractResolver):
    """Every name is this machine."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": 2,
                "proto": 0,
                "flags": 0,
            }
        ]

    async def close(self) -> None: ...


class Connector:
    """A connector process."""

    def __init__(self, process: asyncio.subprocess.Process, metrics: int) -> None:
        self.process = process
        self.metrics = metrics

    async def ended(self) -> tuple[int, str]:
        """Wait for its end; returns the exit code and what it wrote."""
        assert self.process.stderr is not None
        told = await self.process.stderr.read()
        return await self.process.wait(), told.decode()

    async def ready(self) -> bool:
        with contextlib.suppress(OSError, aiohttp.ClientError):
            url = f"http://127.0.0.1:{self.metrics}/ready"
            async with aiohttp.ClientSession() as client, client.get(url) as answer:
                return answer.status == 200
        return False

    async def requests(self) -> int:
        """How many requests it has been given so far."""
        url = f"http://127.0.0.1:{self.metrics}/metrics"
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            lines = (await answer.text()).splitlines()
        return int(next(line.split()[1] for line in lines if "total_requests" in line))

    async def wait_ready(self) -> None:
        await eventually(self.ready, "the connector never got ready", 45)

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


async def eventually(check: Callable[[], Awaitable[bool]], why: str, seconds: float = 15.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await check():
        assert asyncio.get_running_loop().time() < deadline, why
        await asyncio.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Site:
    """The edge, its store, a client and what is to be cleaned up."""

    edge: Edge
    store: Store
    home: Path
    client: aiohttp.ClientSession
    relay_port: int
    run_dir: Path
    stack: contextlib.AsyncExitStack
    connectors: list[Connector] = field(default_factory=list)

    def url(self, path: str = "/", host: str = SITE) -> str:
        return f"https://{host}:{self.edge.port}{path}"

    async def raw(self, request: bytes, host: str = SITE, *, whole: bool = True) -> bytes:
        """Send exact bytes; returns everything that comes back, or its first line."""
        tls = ssl.create_default_context(cafile=str(self.home / "ca.pem"))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.edge.port, ssl=tls, server_hostname=host
        )
        writer.write(request)
        answer = await (reader.read() if whole else reader.readline())
        writer.close()
        return answer

    async def relayed(self, visitor: str) -> socket.socket:
        """Connect as the pop does for a visitor of the twin's internet; returns the socket."""
        loop = asyncio.get_running_loop()
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        await loop.sock_connect(connection, str(self.run_dir / "edge.sock"))
        await loop.sock_sendall(connection, proxy_header(visitor))
        return connection

    async def connector(
        self, text: str | None = None, *, ready: bool = True, n: int = 2
    ) -> Connector:
        metrics = free_port()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "twin.edge.connector",
            "tunnel",
            "--no-autoupdate",
            "--metrics",
            f"127.0.0.1:{metrics}",
            "--edge",
            f"127.0.0.1:{self.relay_port}",
            "--cacert",
            str(self.home / "ca.pem"),
            "--ha-connections",
            str(n),
            "run",
            env={**os.environ, "TUNNEL_TOKEN": token() if text is None else text},
            stderr=asyncio.subprocess.PIPE if not ready else asyncio.subprocess.DEVNULL,
        )
        connector = Connector(process, metrics)
        self.stack.push_async_callback(connector.stop)
        self.connectors.append(connector)
        if ready:
            await connector.wait_ready()
        return connector

    async def origin(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    ) -> int:
        """Serve plain HTTP as the gateway would; returns the port, and deploys the route to it."""
        server = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.1)
        await server.setup()
        self.stack.push_async_callback(server.cleanup)
        listening = web.TCPSite(server, "127.0.0.1", 0)
        await listening.start()
        port = int(server.addresses[0][1])
        deploy(
            self.store,
            [
                {"hostname": SITE, "service": f"http://127.0.0.1:{port}"},
                {"service": "http_status:404"},
            ],
        )
        return port


@contextlib.asynccontextmanager
async def running(
    home: Path,
    *,
    webhook_url: str = "",
    port: int = 0,
    origin_timeout: float = 100.0,
    firewall: Path | None = None,
    zones: Sequence[Mapping[str, str]] = (ZONE,),
    beside: Mapping[str, Any] | None = None,
) -> AsyncIterator[Site]:
    async with contextlib.AsyncExitStack() as stack:
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pp-", dir="/tmp")))
        home.mkdir(exist_ok=True)
        store = Store(home / "twin.db")
        stack.callback(store.close)
        edge = Edge(
            home,
            store,
            None,  # type: ignore[arg-type]
            {**account(webhook_url, zones), **(beside or {})},
            port,
            run_dir,
            origin_timeout=origin_timeout,
            firewall=firewall,
        )
        await edge.start()
        stack.push_async_callback(edge.stop)
        relay = await asyncio.start_server(
            lambda r, w: _relay(r, w, run_dir / "tunnel.sock"), "127.0.0.1", 0
        )
        stack.callback(relay.close)
        tls = ssl.create_default_context(cafile=str(home / "ca.pem"))
        client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=Loopback(), ssl=tls, limit=0),
            auto_decompress=False,
        )
        stack.push_async_callback(client.close)
        yield Site(edge, store, home, client, relay.sockets[0].getsockname()[1], run_dir, stack)


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Path) -> None:
    """Forward bytes, as the pop of the twin's internet does."""
    try:
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(str(target))
    except OSError:
        writer.close()
        return
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(
            _pump(reader, upstream_writer), _pump(upstream_reader, writer), return_exceptions=True
        )


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(60):
            return await work

    return asyncio.run(bounded())

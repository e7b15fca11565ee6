"""Any gateway on loopback servers, one for each of its hosts, and a merchant who listens."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp
from aiohttp import web

from tests.twin.gateways.world import serve
from twin.ca import CertificateAuthority
from twin.gateways.common.faults import Faults
from twin.gateways.common.gateway import Gateway
from twin.store import Store

G = TypeVar("G", bound=Gateway)
T = TypeVar("T")


@dataclass
class Listener:
    """What arrived, in order: path, headers, body. `answer` decides how each is taken."""

    paths: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    answer: Callable[[int], int] = lambda count: 200

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        self.bodies.append((await request.content.read()).decode())
        self.paths.append(request.path)
        self.headers.append(request.headers)
        return web.Response(status=self.answer(len(self.bodies)))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.bodies) < count:
                await asyncio.sleep(0.01)


@dataclass
class Bench(Generic[G]):
    gateway: G
    urls: dict[str, str]
    """Where each host answers."""
    merchant: Listener
    http: aiohttp.ClientSession
    store: Store

    async def call(self, work: Callable[[], T]) -> T:
        """Use an official client, which blocks."""
        return await asyncio.to_thread(work)

    def faults(self, **values: Any) -> None:
        self.gateway.faults.set(Faults(**values))

    async def send(self, method: str, url: str, **more: Any) -> tuple[int, Any, Mapping[str, str]]:
        async with self.http.request(method, url, allow_redirects=False, **more) as answer:
            json = "json" in answer.content_type
            return answer.status, await (answer.json() if json else answer.text()), answer.headers


@contextlib.asynccontextmanager
async def bench(
    make: Callable[[Store, Mapping[str, Any], Path], G],
    home: Path,
    account: Callable[[str], Mapping[str, Any]],
    *,
    retries: Sequence[float] | None = None,
) -> AsyncIterator[Bench[G]]:
    """Run a gateway; `account` makes its account from the merchant's address."""
    async with contextlib.AsyncExitStack() as stack:
        merchant = Listener()
        endpoint = await serve(stack, merchant.take)
        store = Store(home / "twin.db")
        stack.callback(store.close)
        gateway = make(store, account(endpoint), CertificateAuthority(home).certificate_file)
        if retries is not None:
            gateway.webhooks._retries = retries
        await gateway.start(8443)
        stack.push_async_callback(gateway.stop)
        urls = {host: await serve(stack, site.handle) for host, site in gateway.hosts().items()}
        http = aiohttp.ClientSession()
        stack.push_async_callback(http.close)
        yield Bench(gateway, urls, merchant, http, store)


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of a page's form."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    return {name: unescape(value) for name, value in found}

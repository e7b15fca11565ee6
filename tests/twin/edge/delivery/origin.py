"""A site whose origin says what reached it, or what a test wants it to say."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.twin.edge.harness import Site, running

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Origin:
    """Counts requests; answers with what it got, or with `reply` where that is set."""

    def __init__(self) -> None:
        self.seen: list[web.BaseRequest] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"x" * 1000
        self.mirrors = False

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        if self.mirrors:
            pairs = [[name, value] for name, value in request.headers.items()]
            content = {"method": request.method, "path": request.raw_path, "headers": pairs}
            return web.json_response(content, headers=self.headers)
        tag = self.headers.get("ETag")
        if tag and request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=self.headers)
        return web.Response(status=self.status, headers=self.headers, body=self.body)


@contextlib.asynccontextmanager
async def served(home: Path, *, mirrors: bool = False) -> AsyncIterator[tuple[Site, Origin]]:
    """An edge with a connector and an origin behind it."""
    origin = Origin()
    origin.mirrors = mirrors
    async with running(home) as site:
        await site.origin(origin)
        await site.connector(n=1)
        yield site, origin


def headers_of(body: bytes) -> dict[str, str]:
    """The headers that a mirroring origin got, lower-case, several of one name joined."""
    found: dict[str, str] = {}
    content: dict[str, Any] = json.loads(body)
    for name, value in content["headers"]:
        key = name.lower()
        found[key] = f"{found[key]} | {value}" if key in found else value
    return found

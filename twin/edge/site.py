"""A website of the twin's own: a few routes, matched by method and path."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[..., Awaitable[web.StreamResponse]]


class Site:
    """Routes of one host. A handler gets the request and the path's named parts as keywords."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def route(self, method: str, path: str, handler: Handler) -> None:
        """Add a route; `{name}` in the path takes one segment."""
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path))
        self._routes.append((method, re.compile(pattern), handler))

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]] | None:
        """Return the route's handler and the path's parts; HEAD finds what GET does."""
        wanted = "GET" if method == "HEAD" else method
        for known, pattern, handler in self._routes:
            match = pattern.fullmatch(path)
            if match is not None and known == wanted:
                return handler, match.groupdict()
        return None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; 404 without a route for it."""
        found = self.find(request.method, request.path)
        if found is None:
            return web.Response(status=404, text="There is nothing here.\n")
        handler, parts = found
        return await handler(request, **parts)

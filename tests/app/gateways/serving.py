"""Running a small gateway over real HTTP on a free port, with what can go wrong."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Fault = Literal["fail", "fail_after_commit", "refuse", "forbid", "busy", "garbage"]
Json = dict[str, Any]


@dataclass
class Server:
    """State and knobs. `faults` are used up, one per call that changes something.

    While it is `shut` nobody is let in: their key is not known any more.
    """

    url: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    shut: bool = False
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def refusal(self, fault: Fault) -> Response:
        """Return the gateway's own words for a call that it does not make."""
        raise NotImplementedError

    def guarded(self, call: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """Return a call that may fail before or after it has its effect."""

        async def answer(request: Request) -> Response:
            self.calls.append((request.method, request.url.path))
            if self.shut:
                return self.refusal("forbid")
            fault = self.faults.pop(0) if self.faults and request.method == "POST" else None
            if fault in ("fail", "refuse", "forbid", "busy"):
                return self.refusal(fault)
            response: Response = await call(request)
            if fault == "fail_after_commit":
                return self.refusal("fail")
            return Response("<html>", 502) if fault == "garbage" else response

        return answer

    def count(self, method: str, path: str) -> int:
        """Return how many calls of a kind came, by the end of their path."""
        return sum(m == method and p.endswith(path) for m, p in self.calls)


@asynccontextmanager
async def serve(state: Server, routes: Sequence[Route]) -> AsyncIterator[None]:
    """Answer on a free port of this loop."""
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=list(routes)),
            host="127.0.0.1",
            port=0,
            log_config=None,
            timeout_graceful_shutdown=0,
        )
    )
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    state.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield
    finally:
        server.should_exit = True
        await running

"""What wraps every request besides its log line: its place in the drain, the size of its body."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from payments.errors import DrainingError, TooLargeError, problem_response

# The largest thing anyone sends us is a webhook; Stripe's largest events stay below 100 KiB.
MAX_BODY_BYTES: Final = 256 * 1024


class Drain:
    """Counts running requests and, once begun, refuses new ones at once.

    A 503 with `Connection: close` tells the gateway to take the other replica and not to reuse the
    connection; requests that are already running finish. `/livez` and `/readyz` still answer (the
    latter looks at `draining`), so that probes see why.
    """

    def __init__(self) -> None:
        self.draining = False
        self.running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self) -> None:
        """Refuse new requests from now on."""
        self.draining = True

    def enter(self) -> None:
        """Count a request in."""
        self.running += 1
        self._idle.clear()

    def leave(self) -> None:
        """Count a request out."""
        self.running -= 1
        if self.running == 0:
            self._idle.set()

    async def wait_idle(self, timeout: float) -> bool:
        """Wait until no request runs; False when `timeout` seconds were not enough."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
        except TimeoutError:
            return False
        return True


class DrainMiddleware:
    """Puts every request under a `Drain`."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self.app = app
        self.drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with 503 while draining; else count the request while it runs."""
        if scope["type"] != "http" or scope["path"] in ("/livez", "/readyz"):
            await self.app(scope, receive, send)
            return
        if self.drain.draining:
            response = problem_response(
                Request(scope),
                status=DrainingError.status,
                code=DrainingError.code,
                title=DrainingError.title,
                detail="This replica is stopping. Nothing was done; send the request again.",
                headers={"Connection": "close", "Retry-After": "1"},
            )
            await response(scope, receive, send)
            return
        self.drain.enter()
        try:
            await self.app(scope, receive, send)
        finally:
            self.drain.leave()


class BodyLimitMiddleware:
    """Ends a request whose body is larger than `limit` bytes with 413, declared or not."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse by `Content-Length` before reading, and by counting while reading."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or int(declared) > self.limit:
            await self._refuse(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                raise TooLargeError(f"The body is larger than {self.limit} bytes.")
            return message

        await self.app(scope, counted, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = problem_response(
            Request(scope),
            status=TooLargeError.status,
            code=TooLargeError.code,
            title=TooLargeError.title,
            detail=f"The body is larger than {self.limit} bytes.",
            headers={"Connection": "close"},
        )
        await response(scope, receive, send)

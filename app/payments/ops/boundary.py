"""The last catch: whatever went wrong inside, the answer is an error like every other.

The framework's own last handler stands outside all middleware: its answers would have neither a
request id nor security headers, and it raises the error again for the server to log once more.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from payments import errors


class ErrorBoundary:
    """ASGI middleware that answers an unhandled error with 500, unless an answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; catch what comes back instead of an answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception as error:
            if begun:
                raise  # half an answer is out: only closing the connection tells the client
            response = await errors.on_unexpected(Request(scope), error)
            await response(scope, receive, send)

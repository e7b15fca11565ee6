"""Serving HTTP, and stopping without losing a request.

On SIGTERM the process keeps listening: new requests are answered 503 with `Connection: close`
while running ones finish. Closing the listening socket at once, as servers do by default, would
turn the requests already in its queue into connection resets.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI

from payments.app import check_login
from payments.middleware import Drain
from payments.ops.logs import get_logger
from payments.settings import ServiceSettings

log = get_logger(__name__)

# The gateway needs a moment to learn that this replica is leaving; a request may take this long.
MIN_DRAIN_SECONDS: Final = 3.0
MAX_DRAIN_SECONDS: Final = 25.0


class DrainingServer(uvicorn.Server):
    """A server that drains on SIGTERM or SIGINT; a second signal ends the waiting."""

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Drain,
        *,
        min_seconds: float = MIN_DRAIN_SECONDS,
        max_seconds: float = MAX_DRAIN_SECONDS,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._min_seconds = min_seconds
        self._max_seconds = max_seconds
        self._stopping: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain instead of stopping at once."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        if self._stopping is not None:
            self.should_exit = True
            return
        log.info("server.draining", running=self._drain.running)
        self._drain.begin()
        self._stopping = asyncio.get_running_loop().create_task(self._stop_when_idle())

    async def _stop_when_idle(self) -> None:
        await asyncio.sleep(self._min_seconds)
        if not await self._drain.wait_idle(self._max_seconds - self._min_seconds):
            log.warning("server.drain_incomplete", running=self._drain.running)
        self.should_exit = True


def serve(app: FastAPI, settings: ServiceSettings) -> bool:
    """Serve until told to stop; False when the application could not start.

    Raises `UnsafeRoleError` before the first request.
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="httptools",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # Who the client is, is decided in one place: payments.ops.client.
        proxy_headers=False,
        # Longer than the gateway keeps its idle connections, so that it is the one who closes:
        # else a request could cross our close on the wire.
        timeout_keep_alive=75,
        backlog=1024,
    )
    server = DrainingServer(config, app.state.drain)

    async def run() -> None:
        await check_login(app.state.resources)
        await server.serve()

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run())
    return server.started

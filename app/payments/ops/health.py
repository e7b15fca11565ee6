"""Three questions about health, and why they are three.

`/livez`: is this process able to answer at all? It looks at nothing else: restarting every
replica because the database blinks would turn a blip into an outage.
`/readyz`: should requests come here now? Database, cache and schema; asked by the gateway and
the image's health check.
`/health`: how is the platform, gateways included? For people and uptime checks.

Every look has a short timeout, all run at once, and a result is kept for a moment, so that any
number of probes costs one look. Answers carry names and yes or no, never a reason: the reason is
in the log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from payments.ops.logs import get_logger

log = get_logger("payments.health")

Check = Callable[[], Awaitable[None]]
"""Returns when all is well, raises when not."""

TIMEOUT = 1.0
READY_FOR = 1.0
GATEWAY_TIMEOUT = 3.0
GATEWAYS_FOR = 30.0
"""Seconds. A gateway is asked at most twice a minute, whoever calls `/health` how often."""


class _Kept:
    """One check with its last result; at most one look at a time."""

    def __init__(self, name: str, check: Check, *, seconds: float, timeout: float) -> None:
        self.name = name
        self._check = check
        self._seconds = seconds
        self._timeout = timeout
        self._ok = False
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def ok(self) -> bool:
        if time.monotonic() < self._until:
            return self._ok
        async with self._lock:
            if time.monotonic() >= self._until:
                self._ok = await self._look()
                self._until = time.monotonic() + self._seconds
            return self._ok

    async def _look(self) -> bool:
        try:
            await asyncio.wait_for(self._check(), self._timeout)
        except Exception as error:  # whatever it is: not well
            log.warning("health.failed", check=self.name, error=f"{type(error).__name__}: {error}")
            return False
        return True


class Health:
    """What a replica depends on, by name, and whether it is leaving."""

    def __init__(
        self, dependencies: Mapping[str, Check], *, release: str, draining: Callable[[], bool]
    ) -> None:
        self.release = release
        self.draining = draining
        self._ready = [
            _Kept(name, check, seconds=READY_FOR, timeout=TIMEOUT)
            for name, check in dependencies.items()
        ]
        self._gateways: list[_Kept] = []

    def watch_gateway(self, name: str, check: Check) -> None:
        """Show a gateway in `/health`; `check` asks it something cheap that needs our key."""
        self._gateways.append(_Kept(name, check, seconds=GATEWAYS_FOR, timeout=GATEWAY_TIMEOUT))

    async def ready(self) -> dict[str, bool]:
        """Look at what a request needs."""
        return await _all(self._ready)

    async def whole(self) -> dict[str, bool]:
        """Look at everything, gateways included."""
        return await _all([*self._ready, *self._gateways])


async def _all(checks: list[_Kept]) -> dict[str, bool]:
    results = await asyncio.gather(*(check.ok() for check in checks))
    return {check.name: ok for check, ok in zip(checks, results, strict=True)}


def router(health: Health) -> APIRouter:
    """Return the three endpoints over one `Health`."""
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/livez", methods=["GET", "HEAD"])
    async def livez() -> Response:
        return JSONResponse({"status": "alive"})

    @routes.api_route("/readyz", methods=["GET", "HEAD"])
    async def readyz() -> Response:
        checks = await health.ready()
        ok = all(checks.values()) and not health.draining()
        status = "ready" if ok else "draining" if health.draining() else "not ready"
        return JSONResponse({"status": status, "checks": checks}, 200 if ok else 503)

    # The second one is where clients of earlier versions ask.
    @routes.api_route("/health", methods=["GET", "HEAD"])
    @routes.api_route("/api/health", methods=["GET", "HEAD"])
    async def whole() -> Response:
        checks = await health.whole()
        ok = all(checks.values())
        body = {
            "status": "healthy" if ok else "unhealthy",
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "checks": checks,
            "version": health.release,
        }
        return JSONResponse(body, 200 if ok else 503)

    return routes

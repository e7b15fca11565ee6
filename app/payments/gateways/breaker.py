"""A circuit breaker per gateway: after several calls without an answer, none is made for a while.

Per process, on purpose: it needs no round trip, and a gateway that is away is away for all. A call
that is not made is *unknown* to its caller like one that was not answered, because an earlier call
under the same key may have had its effect. Whoever begins something new asks `admits` first and
goes to another gateway.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import Counter, Gauge

from payments.gateways.protocol import (
    GatewayBusyError,
    GatewayForbiddenError,
    GatewayRefusedError,
    GatewayUnknownError,
)
from payments.ops.logs import get_logger
from payments.ops.metrics import REGISTRY

log = get_logger(__name__)

FAILURES: Final = 5
"""Calls in a row without an answer until the breaker opens."""
WINDOW_SECONDS: Final = 60.0
"""Within which they must be: a gateway that is asked once an hour is not judged by yesterday."""
PAUSE_SECONDS: Final = 20.0
"""How long no call is made; then one is, and decides."""

OPEN: Final = Gauge(
    "gateway_circuit_open",
    "Whether no calls are made to a gateway because it did not answer (1) or they are (0).",
    ("gateway",),
    registry=REGISTRY,
)
OPENED: Final = Counter(
    "gateway_circuit_opened_total",
    "How often calls to a gateway were stopped.",
    ("gateway",),
    registry=REGISTRY,
)


class CircuitOpenError(GatewayUnknownError):
    """The call was not made. What earlier calls under its key did is as unknown as before."""


class Breaker:
    """Counts what became of a gateway's calls, and holds them back while it does not answer."""

    def __init__(
        self,
        gateway: str,
        *,
        failures: int = FAILURES,
        window: float = WINDOW_SECONDS,
        pause: float = PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateway = gateway
        self._most = failures
        self._window = window
        self._pause = pause
        self._clock = clock
        self._failed: list[float] = []
        self._opened: float | None = None
        self._probing = False
        OPEN.labels(gateway).set(0)

    @property
    def admits(self) -> bool:
        """Whether a call would be made now."""
        if self._opened is None:
            return True
        return not self._probing and self._clock() >= self._opened + self._pause

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Make one call inside; its `Gateway…Error` says what became of it.

        Raises `CircuitOpenError` without running the block while the breaker is open.
        """
        if not self.admits:
            raise CircuitOpenError("not asked: the gateway has not answered for a while")
        probe = self._opened is not None
        self._probing = self._probing or probe
        try:
            yield
        except (GatewayRefusedError, GatewayBusyError) as error:
            self._answered()
            if isinstance(error, GatewayForbiddenError):
                # Until somebody mends our key there, or its rights, no call of the kind will do.
                log.error("gateway.forbidden", gateway=self._gateway, reason=error.code)
            raise
        except GatewayUnknownError:
            self._did_not_answer()
            raise
        else:
            self._answered()
        finally:
            if probe:
                self._probing = False

    def _answered(self) -> None:
        self._failed.clear()
        if self._opened is not None:
            self._opened = None
            OPEN.labels(self._gateway).set(0)
            log.info("gateway.circuit_closed", gateway=self._gateway)

    def _did_not_answer(self) -> None:
        now = self._clock()
        self._failed = [moment for moment in self._failed if moment > now - self._window]
        self._failed.append(now)
        if self._opened is not None:
            self._opened = now  # the call that should decide has decided
        elif len(self._failed) >= self._most:
            self._opened = now
            OPEN.labels(self._gateway).set(1)
            OPENED.labels(self._gateway).inc()
            log.error("gateway.circuit_opened", gateway=self._gateway, failures=len(self._failed))

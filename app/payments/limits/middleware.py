"""The limits at the door: pure ASGI, one round trip to the cache for a request that is counted.

One more tells whose a key or a session is, where a limit counts callers. Outside of everything that
reads a body or asks a database: a request too many costs next to nothing. While the cache is away
nobody is unlimited: a request that may change something (log-in, registration, whatever moves
money) is refused with 503, because its limit cannot be held; one that only reads is counted in this
process alone (`local`). After a failure the cache is left alone for a moment, so that an outage
does not make every request wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from prometheus_client import Counter
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from payments.errors import (
    LimitsUnavailableError,
    TooManyRequestsError,
    problem_response,
    retry_after,
)
from payments.limits.callers import Callers
from payments.limits.counters import AWAY_SECONDS, Counters, CountersAwayError, Standing
from payments.limits.headers import duration, fields
from payments.limits.local import LocalCounters
from payments.limits.rules import Limit, covering
from payments.ops.metrics import REGISTRY

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

REFUSED: Final = Counter(
    "rate_limited_total",
    "Requests refused because a visitor sent too many, by limit.",
    ("limit",),
    registry=REGISTRY,
)
UNCOUNTED: Final = Counter(
    "rate_limit_cache_away_total",
    "Requests that came while the counters did not answer, by what became of them.",
    ("outcome",),
    registry=REGISTRY,
)


class RateLimits:
    """Puts every request under the limits that cover it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Sequence[Limit],
        counters: Counters,
        callers: Callers,
        clock: Callable[[], float],
    ) -> None:
        self.app = app
        self._limits = tuple(limits)
        self._counters = counters
        self._callers = callers
        self._clock = clock
        self._local = LocalCounters()
        self._was_away = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with 429, or pass the request on and say in its answer how many are left."""
        rows = covering(self._limits, scope["method"], scope["path"]) if _is_http(scope) else ()
        if not rows:
            await self.app(scope, receive, send)
            return
        address = scope["state"]["client_address"]
        standings = await self._count(rows, address, scope)
        if standings is None:
            if scope["method"] not in SAFE_METHODS:
                UNCOUNTED.labels("refused").inc()
                await _refuse_uncounted(scope, receive, send)
                return
            UNCOUNTED.labels("counted_here").inc()
            visitor = self._counters.visitor(address)
            standings = self._local.count(rows, visitor, self._clock())
        told = fields(standings)
        worst = max(standings, key=lambda standing: standing.refused)
        if worst.refused:
            await _refuse(scope, receive, send, standings, worst, told)
            return

        async def with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in told.items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, with_fields)

    async def _count(
        self, rows: Sequence[Limit], address: str, scope: Scope
    ) -> tuple[Standing, ...] | None:
        """Ask the cache; None while it is away."""
        caller = None
        if any(row.per == "caller" for row in rows):
            caller = await self._callers.of(scope)
        scope["state"]["known_caller"] = caller
        try:
            counted = await self._counters.count(rows, address, caller)
        except CountersAwayError:
            self._was_away = True
            return None
        if self._was_away:
            self._was_away = False
            self._local.forget()
        return counted


def _is_http(scope: Scope) -> bool:
    kind: str = scope["type"]
    return kind == "http"


async def _refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    standings: Sequence[Standing],
    worst: Standing,
    told: Mapping[str, str],
) -> None:
    violated = [standing.limit.name for standing in standings if standing.refused]
    for name in violated:
        REFUSED.labels(name).inc()
    limit = worst.limit
    response = problem_response(
        Request(scope),
        status=TooManyRequestsError.status,
        code=TooManyRequestsError.code,
        title=TooManyRequestsError.title,
        detail=f"At most {limit.requests} requests in {duration(limit.period)} are taken here."
        f" Try again in {duration(worst.refused)}.",
        headers={**told, **retry_after(worst.refused)},
        extra={"violated-policies": violated},
    )
    await response(scope, receive, send)


async def _refuse_uncounted(scope: Scope, receive: Receive, send: Send) -> None:
    response = problem_response(
        Request(scope),
        status=LimitsUnavailableError.status,
        code=LimitsUnavailableError.code,
        title=LimitsUnavailableError.title,
        detail="Without the counters nothing that changes something is taken. Nothing was changed;"
        " try again.",
        headers=retry_after(AWAY_SECONDS),
    )
    await response(scope, receive, send)

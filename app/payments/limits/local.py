"""Counting in this process alone, while the cache is away.

The rules are those of `counters`; what is lost is that replicas share them, so a visitor may get
as many times the limit as there are replicas, and a restart forgets. Used for requests that only
read. Memory is bounded: visitors seen least lately are forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final

from payments.limits.counters import Standing
from payments.limits.rules import Limit

MOST_VISITORS: Final = 2_000
"""With 1,000 times of 8 bytes for each limit that is at most 20 MB, in the worst of outages."""


class LocalCounters:
    """Counts requests by limit and visitor, in memory; times in seconds."""

    def __init__(self, most: int = MOST_VISITORS) -> None:
        self._most = most
        self._times: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._blocked: dict[tuple[str, str], float] = {}

    def count(self, limits: Sequence[Limit], visitor: str, now: float) -> tuple[Standing, ...]:
        """Count one request; return where the visitor stands with each limit."""
        waits = [self._wait(limit, visitor, now) for limit in limits]
        counted = not any(waits)
        return tuple(
            self._settle(limit, visitor, now, wait, counted=counted)
            for limit, wait in zip(limits, waits, strict=True)
        )

    def forget(self) -> None:
        """Forget everybody: the cache is back, and it is the cache that counts."""
        self._times.clear()
        self._blocked.clear()

    def _wait(self, limit: Limit, visitor: str, now: float) -> float:
        key = (limit.name, visitor)
        times = self._times.setdefault(key, deque())
        self._times.move_to_end(key)
        while len(self._times) > self._most:
            oldest, _ = self._times.popitem(last=False)
            self._blocked.pop(oldest, None)
        if (until := self._blocked.get(key, now)) > now:
            return until - now
        self._blocked.pop(key, None)
        while times and times[0] <= now - limit.period:
            times.popleft()
        return times[0] + limit.period - now if len(times) >= limit.requests else 0.0

    def _settle(
        self, limit: Limit, visitor: str, now: float, wait: float, *, counted: bool
    ) -> Standing:
        key = (limit.name, visitor)
        times = self._times.setdefault(key, deque())
        if counted:
            times.append(now)
        elif wait and times and limit.block:
            self._blocked[key] = now + limit.block
            times.clear()
            wait = float(limit.block)
        reset = wait or (times[0] + limit.period - now if times else 0.0)
        left = 0 if wait else limit.requests - len(times)
        return Standing(limit=limit, left=left, reset=reset, refused=wait)

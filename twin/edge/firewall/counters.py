"""Counters of one rate limiting rule: how many requests in its period, and who is mitigated.

The rate is the sliding estimate that Cloudflare describes (blog.cloudflare.com,
"counting-things-a-lot-of-different-things"): the count of the running period plus the share of the
one before it that still lies in the window. Periods begin with the first request that a counter
counts. What exceeds the limit is the request that lifts the rate above it, the (n+1)th.

Memory is bounded: the counters that were used least recently go first, then the mitigations that
end soonest.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from twin.clock import Clock

MOST_COUNTERS: Final = 50_000
MOST_MITIGATIONS: Final = 50_000

Key = tuple[object, ...]


@dataclass(slots=True)
class _Window:
    began: float
    now: float = 0.0
    before: float = 0.0


class Counters:
    """The counters of one rule. `period` and `timeout` in seconds, `timeout` 0: throttle."""

    def __init__(self, clock: Clock, *, limit: int, period: int, timeout: int) -> None:
        self.limit = limit
        self.period = period
        self.timeout = timeout
        self._clock = clock
        self._windows: OrderedDict[Key, _Window] = OrderedDict()
        self._until: dict[Key, float] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, key: Key, weight: float = 1) -> float:
        """Count a request; returns the rate with it."""
        window = self._window(key)
        window.now += weight
        return self._rate(window)

    def rate(self, key: Key) -> float:
        """Return the rate of the requests so far."""
        return self._rate(self._window(key)) if key in self._windows else 0.0

    def exceeded(self, rate: float) -> bool:
        """True when a rate is above the limit."""
        # An estimate a hair above is rounding, not a request.
        return rate > self.limit + 1e-9

    def mitigate(self, key: Key) -> float:
        """Begin a mitigation and return its end; what was counted is forgotten."""
        self._windows.pop(key, None)
        if len(self._until) >= MOST_MITIGATIONS:
            self._until.pop(next(iter(self._until)))  # the timeout is one: the oldest ends first
        until = self._until[key] = self._clock.now() + self.timeout
        return until

    def until(self, key: Key) -> float | None:
        """Return when a running mitigation ends, or None."""
        until = self._until.get(key)
        if until is not None and until <= self._clock.now():
            del self._until[key]
            return None
        return until

    def reset(self, key: Key) -> None:
        """Start from nothing: the visitor passed a challenge, or somebody lifted the block."""
        self._windows.pop(key, None)
        self._until.pop(key, None)

    def mitigations(self) -> Iterator[tuple[Key, float]]:
        """Return who is mitigated until when; what is over is forgotten."""
        now = self._clock.now()
        self._until = {key: until for key, until in self._until.items() if until > now}
        yield from self._until.items()

    def room_in(self, key: Key) -> int:
        """Return the seconds until one more request stays within the limit (throttling)."""
        window = self._window(key)
        elapsed = self._clock.now() - window.began
        rest = self.period - elapsed
        share = self.limit - 1 - window.now
        if window.before and share >= 0:
            return max(1, math.ceil(rest - share * self.period / window.before))
        # Then what was counted in this period must fade in the next one.
        fades = max(0.0, 1 - (self.limit - 1) / window.now) if window.now else 0.0
        return max(1, math.ceil(rest + fades * self.period))

    def _window(self, key: Key) -> _Window:
        now = self._clock.now()
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= MOST_COUNTERS:
                self._windows.popitem(last=False)
            window = self._windows[key] = _Window(began=now)
            return window
        self._windows.move_to_end(key)
        periods = int((now - window.began) // self.period)
        if periods:
            window.before = window.now if periods == 1 else 0.0
            window.now = 0.0
            window.began += periods * self.period
        return window

    def _rate(self, window: _Window) -> float:
        left = 1 - (self._clock.now() - window.began) / self.period
        return window.now + window.before * max(0.0, left)

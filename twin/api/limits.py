"""A request limit with a rolling window, as the clouds' APIs have it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable


class RollingLimit:
    """At most `most` requests in any `seconds`."""

    def __init__(
        self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = most
        self._seconds = seconds
        self._clock = clock
        self._times: deque[float] = deque()

    def take(self) -> bool:
        """Count a request; False when it is one too many (which is not counted)."""
        self._forget()
        if len(self._times) >= self.most:
            return False
        self._times.append(self._clock())
        return True

    @property
    def remaining(self) -> int:
        """Requests left in the window."""
        self._forget()
        return self.most - len(self._times)

    @property
    def seconds_left(self) -> float:
        """Until the oldest request leaves the window; 0 without one."""
        self._forget()
        return self._times[0] + self._seconds - self._clock() if self._times else 0.0

    def _forget(self) -> None:
        now = self._clock()
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()

"""The twin's clock: the machine's, and a step that tests and people may add to it.

Whatever lasts in the twin (a rate limit's mitigation, a cached file, an Access session, a key's
rotation) is measured with this clock, so that fifteen minutes can be looked at without waiting.
"""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch, as the twin sees them. It moves forward only."""

    def __init__(self) -> None:
        self.ahead = 0.0
        """Seconds that the twin is ahead of the machine."""

    def now(self) -> float:
        """Return the twin's time."""
        return time.time() + self.ahead

    def advance(self, seconds: float) -> None:
        """Move ahead. Raises ValueError for a step back."""
        if not seconds >= 0:
            raise ValueError(f"seconds={seconds!r}: the twin's clock moves forward only")
        self.ahead += seconds

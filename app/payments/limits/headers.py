"""What a client is told of its limits: `RateLimit-Policy` and `RateLimit`.

The fields of draft-ietf-httpapi-ratelimit-headers-10: structured lists (RFC 9651) with one item
per limit. Policy: `q` requests in `w` seconds; state: `r` more fit, and in `t` seconds one more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from payments.limits.counters import Standing


def fields(standings: Sequence[Standing]) -> dict[str, str]:
    """Return both fields, the limit that is nearest to its end first."""
    nearest = sorted(standings, key=lambda s: (-s.refused, s.left, -s.reset))
    return {
        "ratelimit-policy": ", ".join(
            f'"{s.limit.name}";q={s.limit.requests};w={s.limit.period}' for s in nearest
        ),
        "ratelimit": ", ".join(
            f'"{s.limit.name}";r={s.left};t={math.ceil(s.reset)}' for s in nearest
        ),
    }


def duration(seconds: float) -> str:
    """Return a length of time for a person: `15 minutes`, rounded up."""
    whole = math.ceil(seconds)
    for size, name in ((3600, "hour"), (60, "minute")):
        if whole >= size:
            number = math.ceil(whole / size)
            return f"{number} {name}s" if number > 1 else f"one {name}"
    return f"{whole} seconds" if whole > 1 else "a second"

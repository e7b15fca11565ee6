"""Log-outs: an assertion that was issued before its subject logged out is worth nothing here.

Access itself goes on accepting what it signed until it expires, which may be hours: whoever kept a
copy could replay it. We remember for each subject when they last logged out, as long as an
assertion can be old. Also remembers who was here lately, so that an entry is written down once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from redis.asyncio import Redis

from payments.access.assertion import LEEWAY_SECONDS, MAX_AGE_SECONDS, Identity

NOTED_SECONDS: Final = 3600
"""An admin at work is written down once an hour, and so is each reason to refuse somebody."""


class Revocations:
    """In the cache, shared by all replicas; without it nobody is let in."""

    def __init__(self, cache: Redis, clock: Callable[[], float]) -> None:
        self._cache = cache
        self._clock = clock

    async def revoked(self, identity: Identity) -> bool:
        """Say whether the subject logged out after the assertion was issued."""
        at = await self._cache.get(_key("revoked", identity))
        return at is not None and identity.issued <= float(at)

    async def revoke(self, identity: Identity) -> None:
        """Refuse everything that was issued to this subject until now."""
        seconds = int(MAX_AGE_SECONDS + LEEWAY_SECONDS)
        await self._cache.set(_key("revoked", identity), str(self._clock()), ex=seconds)
        await self._cache.delete(_key("noted:entered", identity))

    async def first_of_the_hour(self, identity: Identity, what: str) -> bool:
        """Say whether this subject did not do that in the last hour, and remember that they did."""
        key = _key(f"noted:{what}", identity)
        return bool(await self._cache.set(key, "1", ex=NOTED_SECONDS, nx=True))


def _key(kind: str, identity: Identity) -> str:
    return f"access:{kind}:{hashlib.sha256(identity.subject.encode()).hexdigest()}"

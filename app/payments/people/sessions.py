"""Sessions in the cache: an opaque random id in a cookie, its digest as the key.

Whoever reads the cache cannot log in as anybody: the id itself is never stored. A session ends
after `IDLE` without a request and after `ABSOLUTE` in any case (ASVS 5.0 7.3.1 and 7.3.2; OWASP
Session Management: 15 to 30 minutes idle). Every read checks both against the service's clock and
moves the idle time on, in one script; the cache's own expiry only clears away.

`session:<digest>` is a hash; `sessions-of:<user>` the set of a person's digests, for the list and
for revoking all. Keys of one person may live on different slots: no cluster is used (design: HA
managed Valkey).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from redis.asyncio import Redis

from payments.errors import UnauthenticatedError

COOKIE = "__Host-session"
"""The prefix makes browsers insist on Secure, Path=/ and no Domain (RFC 6265bis 4.1.3.2)."""

IDLE = 30 * 60
ABSOLUTE = 12 * 3600
"""Seconds."""

MAX_PER_PERSON = 20
"""Further log-ins end the oldest session: a list one can read, and a bound on the cache."""

# KEYS: session. ARGV: now ms, idle ms, absolute ms. Returns the fields, or nothing when it is over.
_TOUCH = """
local now = tonumber(ARGV[1])
local seen = redis.call('HMGET', KEYS[1], 'created', 'seen')
if not seen[1] or not seen[2] then return {} end
local left = math.min(tonumber(seen[2]) + ARGV[2], tonumber(seen[1]) + ARGV[3]) - now
if left <= 0 then
  redis.call('DEL', KEYS[1])
  return {}
end
redis.call('HSET', KEYS[1], 'seen', ARGV[1])
redis.call('PEXPIRE', KEYS[1], math.min(ARGV[2], tonumber(seen[1]) + ARGV[3] - now))
return redis.call('HGETALL', KEYS[1])
"""


@dataclass(frozen=True, kw_only=True)
class Session:
    """One log-in of one person. `key` is the digest; times are seconds since the epoch."""

    key: str
    user_id: UUID
    email: str
    role: str
    address: str
    agent: str
    created: float
    seen: float


class Sessions:
    """Opens, reads, rotates and ends sessions. One instance serves a replica's requests."""

    def __init__(self, cache: Redis, clock: Callable[[], float]) -> None:
        self._cache = cache
        self._clock = clock

    async def open(
        self, *, user_id: UUID, email: str, role: str, address: str, agent: str
    ) -> tuple[str, Session]:
        """Start a session; return the cookie's value (never seen again) and the session."""
        token, now = secrets.token_urlsafe(32), self._clock()
        session = Session(
            key=_key(token),
            user_id=user_id,
            email=email,
            role=role,
            address=address,
            agent=agent[:200],
            created=now,
            seen=now,
        )
        for old in (await self.of(user_id))[MAX_PER_PERSON - 1 :]:
            await self.end(old)
        await self._store(session)
        return token, session

    async def read(self, token: str | None) -> Session | None:
        """Return the live session of a cookie's value and count this as use, or None."""
        if not token or len(token) > 200:
            return None
        return await self.touch(_key(token))

    async def touch(self, key: str) -> Session | None:
        """Return the live session of a digest and count this as use, or None."""
        argv = (round(self._clock() * 1000), IDLE * 1000, ABSOLUTE * 1000)
        raw = await self._cache.eval(_TOUCH, 1, f"session:{key}", *argv)
        flat = [_text(item) for item in raw]
        return _parse(key, dict(zip(flat[::2], flat[1::2], strict=True)))

    async def rotate(self, session: Session, *, role: str | None = None) -> tuple[str, Session]:
        """Give the session a new id and end the old one: at every change of privilege.

        The absolute end stays where it was, so that rotating cannot be used to live for ever.
        Raises `UnauthenticatedError` when the old one has ended: it must not come back as another.
        """
        token = secrets.token_urlsafe(32)
        fresh = Session(**(vars(session) | {"key": _key(token), "role": role or session.role}))
        # In this order: at no moment is there neither of the two for `end_all` to find.
        await self._store(fresh)
        if not await self.end(session):
            await self.end(fresh)
            raise UnauthenticatedError
        return token, fresh

    async def end(self, session: Session) -> bool:
        """End one session at once, on every replica; say whether it was there."""
        async with self._cache.pipeline(transaction=True) as pipe:
            pipe.delete(f"session:{session.key}")
            pipe.srem(f"sessions-of:{session.user_id}", session.key)
            ended, _ = await pipe.execute()
        return bool(ended)

    async def end_all(self, user_id: UUID, *, but: Session | None = None) -> int:
        """End every session of a person, except `but`; return how many there were."""
        ended = [s for s in await self.of(user_id) if but is None or s.key != but.key]
        for session in ended:
            await self.end(session)
        return len(ended)

    async def of(self, user_id: UUID) -> list[Session]:
        """Return a person's live sessions, the latest used first."""
        members = f"sessions-of:{user_id}"
        found: list[Session] = []
        for raw in await cast(Awaitable[Any], self._cache.smembers(members)):
            key = _text(raw)
            fields = await cast(Awaitable[Any], self._cache.hgetall(f"session:{key}"))
            session = _parse(key, {_text(k): _text(v) for k, v in fields.items()})
            if session and self._live(session):
                found.append(session)
            else:
                await cast(Awaitable[Any], self._cache.srem(members, key))
        return sorted(found, key=lambda s: s.seen, reverse=True)

    def _live(self, session: Session) -> bool:
        now = self._clock()
        return now < session.seen + IDLE and now < session.created + ABSOLUTE

    async def _store(self, session: Session) -> None:
        left = min(session.seen + IDLE, session.created + ABSOLUTE) - self._clock()
        name, members = f"session:{session.key}", f"sessions-of:{session.user_id}"
        fields: dict[Any, Any] = {
            "user": str(session.user_id),
            "email": session.email,
            "role": session.role,
            "address": session.address,
            "agent": session.agent,
            "created": round(session.created * 1000),
            "seen": round(session.seen * 1000),
        }
        async with self._cache.pipeline(transaction=True) as pipe:
            pipe.hset(name, mapping=fields)
            pipe.pexpire(name, max(1, round(left * 1000)))
            pipe.sadd(members, session.key)
            pipe.expire(members, ABSOLUTE)
            await pipe.execute()


def _parse(key: str, fields: dict[str, str]) -> Session | None:
    if not fields:
        return None
    return Session(
        key=key,
        user_id=UUID(fields["user"]),
        email=fields["email"],
        role=fields["role"],
        address=fields["address"],
        agent=fields["agent"],
        created=int(fields["created"]) / 1000,
        seen=int(fields["seen"]) / 1000,
    )


def cache_name(token: str) -> str:
    """Return where the session of a cookie's value is kept."""
    return f"session:{_key(token)}"


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

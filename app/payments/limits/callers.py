"""Who a request is from, for the limits that count callers, before anybody is authenticated.

The cache is asked. A client behind the address of others has limits of its own, and one that comes
from many addresses has them once. Only what is known to be somebody's counts as theirs: a session
is in the cache while it lives, and a key is noted there when it was let in. An invented one is
nobody's, so it is counted by its address, and inventing many gains nothing; one that was revoked is
struck out when it is refused, so whoever found it cannot use up its owner's requests. A key that
was not used for a month is counted by its address once.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from payments.limits.counters import Counters, CountersAwayError
from payments.ops.logs import get_logger
from payments.people.sessions import COOKIE, cache_name
from payments.people.tokens import Tokens

log = get_logger(__name__)

KNOWN_SECONDS: Final = 30 * 86_400
KEY_PREFIX: Final = "pk_"
MOST_CHARACTERS: Final = 1024


class KnownKeys:
    """The keys that were let in of late, by a digest that only this service can make."""

    def __init__(self, cache: Redis, key: bytes) -> None:
        self._cache = cache
        self._key = hmac.digest(key, b"known key v1", "sha256")

    def name(self, secret: str) -> str:
        """Return where a key's owner is noted."""
        return f"key-owner:{hmac.new(self._key, secret.encode(), hashlib.sha256).hexdigest()}"

    async def note(self, secret: str, owner: UUID) -> None:
        """Note whose a key is. Never raises: without it the key's requests count by address."""
        try:
            await self._cache.set(self.name(secret), str(owner), ex=KNOWN_SECONDS)
        except RedisError as error:
            log.warning("limits.key_not_noted", error=type(error).__name__)

    async def strike_out(self, secret: str) -> None:
        """Forget a key that is refused. Never raises."""
        try:
            await self._cache.delete(self.name(secret))
        except RedisError as error:
            log.warning("limits.key_not_struck_out", error=type(error).__name__)


class Callers:
    """Finds out whose a request's key, token or cookie is."""

    def __init__(self, cache: Redis, counters: Counters, keys: KnownKeys, tokens: Tokens) -> None:
        self._cache = cache
        self._counters = counters
        self._keys = keys
        self._tokens = tokens

    async def of(self, scope: Scope) -> str | None:
        """Return what stands for the caller; None for nobody who is known."""
        headers = Headers(scope=scope)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and bearer and len(bearer) <= MOST_CHARACTERS:
            if bearer.startswith(KEY_PREFIX):
                return await self._owner("get", self._keys.name(bearer))
            session = self._tokens.session_of(bearer)
            return None if session is None else await self._owner("hget", f"session:{session}")
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        return await self._owner("hget", cache_name(cookie)) if cookie else None

    async def _owner(self, how: str, name: str) -> str | None:
        async def ask() -> Any:
            cache: Any = self._cache
            return await (cache.get(name) if how == "get" else cache.hget(name, "user"))

        try:
            found = await self._counters.in_turn(ask)
        except CountersAwayError:
            return None
        return None if found is None else f"user:{found.decode()}"

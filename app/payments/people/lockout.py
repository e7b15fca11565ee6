"""Lockout after failed log-ins: per account and per client address, exact across replicas.

An attempt is counted *before* the password is looked at, in one Lua script: a thousand attempts
sent at once cannot all pass a check that none of them has failed yet. A success forgets the
account's count and gives the address its attempt back.

The account's key is made from what was typed, whether or not such an account exists, so a lock
tells nobody who is a customer. An attacker can lock a stranger out for at most `longest`; that is
the price of counting per account, and why the wait is capped at minutes.

Times are the service's clock in milliseconds (NTP keeps replicas within much less than the first
wait); the cache's own expiry only clears away what has been forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from payments.ops.client import bucket_of


@dataclass(frozen=True, kw_only=True)
class Rule:
    """So many attempts are free; each further one doubles the wait. Seconds."""

    free: int
    first: float
    longest: float
    forget: float

    def __post_init__(self) -> None:
        """Refuse a rule that never locks or whose memory is shorter than its wait."""
        if self.free < 1 or not 0 < self.first <= self.longest <= self.forget:
            raise ValueError(f"lockout rule: need 1 ≤ free, 0 < first ≤ longest ≤ forget: {self}")


ACCOUNT = Rule(free=5, first=30, longest=15 * 60, forget=24 * 3600)
"""ASVS 5.0 6.3.1 asks for a defence against guessing; 15 minutes is the seed's block time."""

ADDRESS = Rule(free=20, first=60, longest=15 * 60, forget=3600)
"""Wider, because an office or a mobile carrier shares one address."""

# KEYS: one hash per rule {n, last, until}. ARGV: now ms, then free, first, longest, forget per key.
# Returns the longest wait in ms; with any wait nothing is counted, so knocking on a locked door
# neither prolongs the lock nor fills the other counter.
_BEGIN = """
local now = tonumber(ARGV[1])
local wait = 0
local count = {}
for i, key in ipairs(KEYS) do
  local seen = redis.call('HMGET', key, 'n', 'last', 'until')
  local forget = tonumber(ARGV[4 * i + 1])
  local n = tonumber(seen[1]) or 0
  if n > 0 and now - tonumber(seen[2]) >= forget then n = 0 end
  local open = n > 0 and tonumber(seen[3]) or 0
  if open - now > wait then wait = open - now end
  count[i] = n + 1
end
if wait > 0 then return math.ceil(wait) end
for i, key in ipairs(KEYS) do
  local free, first = tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1])
  local longest, forget = tonumber(ARGV[4 * i]), tonumber(ARGV[4 * i + 1])
  local open = 0
  if count[i] >= free then
    open = now + math.min(longest, first * 2 ^ math.min(count[i] - free, 30))
  end
  redis.call('HSET', key, 'n', count[i], 'last', ARGV[1], 'until', string.format('%.0f', open))
  redis.call('PEXPIRE', key, forget)
end
return 0
"""

# KEYS: account, address. Both locks were set by this very attempt if at all: lift them.
_SUCCEED = """
redis.call('DEL', KEYS[1])
local n = tonumber(redis.call('HGET', KEYS[2], 'n') or '0')
if n <= 1 then redis.call('DEL', KEYS[2])
else redis.call('HSET', KEYS[2], 'n', n - 1, 'until', 0) end
return 0
"""


class Lockout:
    """Counts attempts in the cache. One instance serves every request of a replica."""

    def __init__(
        self,
        cache: Redis,
        clock: Callable[[], float],
        account: Rule = ACCOUNT,
        address: Rule = ADDRESS,
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._rules = (account, address)

    async def begin(self, email: str, address: str) -> float:
        """Count one attempt; return 0, or the seconds to wait when it must not be made."""
        argv: list[float] = [round(self._clock() * 1000)]
        for rule in self._rules:
            argv += [rule.free, *(round(s * 1000) for s in (rule.first, rule.longest, rule.forget))]
        keys = _keys(email, address)
        wait = await self._cache.eval(_BEGIN, len(keys), *keys, *argv)
        return int(wait) / 1000

    async def succeed(self, email: str, address: str) -> None:
        """Forget the account's failures and give the address its attempt back."""
        keys = _keys(email, address)
        await self._cache.eval(_SUCCEED, len(keys), *keys)


def _keys(email: str, address: str) -> list[str]:
    # Digests: what was typed may be anything, a password in the wrong field included.
    return [f"lockout:account:{_digest(email)}", f"lockout:address:{_digest(bucket_of(address))}"]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

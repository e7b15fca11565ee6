"""Counting in the cache: one script for all limits of a request, exact whoever asks when.

For each limit and visitor the cache holds the times of the last requests that were let in, at most
as many as the limit allows. A request is let in when every limit that covers it has room; then it
is counted in all of them, else in none. So in *any* period of that length, not only in those that
begin at a full minute, no more than the allowed number are let in. A request too many at a limit
with a block replaces the times by the block's end, as a negative number: what comes meanwhile is
refused without prolonging it, and afterwards the visitor starts anew.

Own script, and no library: `limits` 5.8 (and slowapi on it) has no block that lasts longer than
the window, counts several limits in as many round trips, and reads the time inside, where no test
can move it. GCRA needs less memory (one number) but spaces requests out: after a pause it lets in
up to twice the number within one period. The price of the log is ten bytes for each request let
in: 10 kB for a visitor who uses up 1,000 an hour.

Times are the service's clock in milliseconds (NTP keeps replicas within far less than a period);
the cache's own expiry only clears away what has been forgotten.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from payments.limits.rules import Limit
from payments.ops.client import bucket_of
from payments.ops.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")

# KEYS: one list per limit. ARGV: now, then requests, period, block of each; times in ms.
# Returns, per limit: how many more fit, ms until one more does, ms for which this one is refused.
SCRIPT: Final = """
local now = tonumber(ARGV[1])
local answer, full = {}, false
for i, key in ipairs(KEYS) do
  local most, period = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local oldest = tonumber(redis.call('LINDEX', key, 0) or '0')
  if oldest < 0 and -oldest <= now then
    redis.call('DEL', key)
    oldest = 0
  end
  while oldest > 0 and oldest <= now - period do
    redis.call('LPOP', key)
    oldest = tonumber(redis.call('LINDEX', key, 0) or '0')
  end
  local left, open, refused = most, 0, 0
  if oldest < 0 then
    left, open = 0, -oldest - now
    refused = open
  elseif oldest > 0 then
    left, open = most - redis.call('LLEN', key), oldest + period - now
    if left <= 0 then left, refused = 0, open end
  end
  full = full or refused > 0
  answer[i] = {left, open, refused, oldest}
end
for i, key in ipairs(KEYS) do
  local period, block = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local left, refused, oldest = answer[i][1], answer[i][3], answer[i][4]
  if not full then
    redis.call('RPUSH', key, ARGV[1])
    redis.call('PEXPIRE', key, period)
    answer[i][1] = left - 1
    if oldest == 0 then answer[i][2] = period end
  elseif refused > 0 and oldest > 0 and block > 0 then
    redis.call('DEL', key)
    redis.call('RPUSH', key, string.format('%.0f', -(now + block)))
    redis.call('PEXPIRE', key, block)
    answer[i][2], answer[i][3] = block, block
  end
  answer[i][4] = nil
end
return answer
"""


TIMEOUT_SECONDS: Final = 2.0
AWAY_SECONDS: Final = 1.0
"""How long the cache is left alone after it failed to answer: an outage must not make every request
wait for it."""

MOST_AT_ONCE: Final = 32
"""Requests of this process that are being counted; the others wait in order, which costs nothing.
Waiting for a connection wakes all who wait at each release: 5,000 at once then fail."""


class CountersAwayError(Exception):
    """The cache does not answer, or did not a moment ago."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a visitor stands with one limit, after the request was counted or refused.

    `left` more requests fit now; `reset` seconds until one more does; `refused` is 0, or the
    seconds to wait because this limit had no room for the request.
    """

    limit: Limit
    left: int
    reset: float
    refused: float


class Counters:
    """Counts requests by visitor. One instance serves a replica."""

    def __init__(self, cache: Redis, clock: Callable[[], float], key: bytes) -> None:
        self._clock = clock
        self._script = cache.register_script(SCRIPT)
        self._turn = asyncio.Semaphore(MOST_AT_ONCE)
        self._asked_again_at = 0.0
        # Of its own, as `people.csrf` has one: a key authenticates one kind of message.
        self._key = hmac.digest(key, b"rate limit v1", "sha256")

    async def count(
        self, limits: Sequence[Limit], address: str, caller: str | None = None
    ) -> tuple[Standing, ...]:
        """Count one request against `limits`; return where its visitor stands with each.

        A limit per caller counts `caller`, where that is known, and else the address like every
        other. Raises `CountersAwayError`.
        """
        argv = [round(self._clock() * 1000)]
        for limit in limits:
            argv += [limit.requests, limit.period * 1000, limit.block * 1000]
        keys = [
            f"limit:{limit.name}:{self.visitor(limit.counted(address, caller))}" for limit in limits
        ]
        rows = await self.in_turn(lambda: self._ask(keys, argv))
        return tuple(
            Standing(limit=limit, left=int(left), reset=int(reset) / 1000, refused=int(wait) / 1000)
            for limit, (left, reset, wait) in zip(limits, rows, strict=True)
        )

    async def in_turn(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the cache when it is our turn; the time limit is for it, not for the queue.

        Raises `CountersAwayError`.
        """
        async with self._turn:
            if time.monotonic() < self._asked_again_at:
                raise CountersAwayError
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    return await ask()
            except (RedisError, OSError, TimeoutError) as error:
                self._asked_again_at = time.monotonic() + AWAY_SECONDS
                log.warning("limits.cache_unavailable", error=type(error).__name__)
                raise CountersAwayError from error

    async def _ask(self, keys: list[str], argv: list[int]) -> list[list[int]]:
        rows: list[list[int]] = await self._script(keys=keys, args=argv)
        return rows

    def visitor(self, address: str) -> str:
        """Return what stands for a visitor in keys.

        Keyed, because all addresses there are can be hashed in an hour: whoever reads the cache
        learns of no one that they were here.
        """
        told = bucket_of(address).encode()
        return hmac.new(self._key, told, hashlib.sha256).hexdigest()[:32]

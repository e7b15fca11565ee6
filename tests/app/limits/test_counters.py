"""Counting: exactly what the table says, against a simple model, with time moved and not waited."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from payments import cache
from payments.limits.counters import Counters
from payments.limits.local import LocalCounters
from payments.limits.rules import Limit
from payments.settings import CacheSettings

KEY = b"k" * 32
ADDRESS = "198.51.100.7"


class Hands:
    """A clock whose hands are moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def _limit(name: str, requests: int, period: int, block: int = 0) -> Limit:
    return Limit(name=name, paths=("/x",), requests=requests, period=period, block=block)


class Model:
    """What the words say: all requests let in are remembered, and every period is looked at."""

    def __init__(self) -> None:
        self.let_in: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.blocked: dict[tuple[str, str], float] = {}

    def count(self, limits: list[Limit], visitor: str, now: float) -> list[float]:
        waits = []
        for limit in limits:
            key = (limit.name, visitor)
            recent = [t for t in self.let_in[key] if t > now - limit.period]
            if self.blocked.get(key, now) > now:
                waits.append(self.blocked[key] - now)
            elif len(recent) < limit.requests:
                waits.append(0.0)
            elif limit.block:
                self.blocked[key] = now + limit.block
                waits.append(float(limit.block))
            else:
                waits.append(min(recent) + limit.period - now)
        if not any(waits):
            for limit in limits:
                self.let_in[limit.name, visitor].append(now)
        return waits


LIMITS = st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(0, 12)).map(
    lambda t: (t[0], t[1], t[2] if t[2] >= t[1] else 0)
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 9000),  # ms that pass before
        st.sampled_from(["198.51.100.7", "198.51.100.8", "2001:db8::1"]),
        st.sets(st.sampled_from([0, 1, 2]), min_size=1),  # which limits cover it
    ),
    max_size=60,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(table=st.tuples(LIMITS, LIMITS, LIMITS), steps=STEPS)
def test_cache_and_process_count_as_the_model_does(
    redis_url: str,
    table: tuple[tuple[int, int, int], ...],
    steps: list[tuple[int, str, set[int]]],
) -> None:
    limits = [_limit(f"l{number}", *row) for number, row in enumerate(table)]

    async def run() -> None:
        valkey = cache.connect(CacheSettings.model_validate({"url": redis_url}))
        await valkey.flushdb()
        clock, model, local = Hands(), Model(), LocalCounters()
        counters = Counters(valkey, clock, KEY)
        for passed, address, chosen in steps:
            clock.now = round(clock.now + passed / 1000, 3)
            rows = [limits[number] for number in sorted(chosen)]
            wanted = [round(wait, 3) for wait in model.count(rows, address, clock.now)]
            shared = await counters.count(rows, address)
            assert [s.refused for s in shared] == wanted
            here = local.count(rows, address, clock.now)
            assert [round(s.refused, 3) for s in here] == wanted
            for a, b in zip(shared, here, strict=True):
                assert (a.left, a.reset) == (b.left, round(b.reset, 3))
        await valkey.aclose()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("requests", "period", "block"), [(10, 60, 900), (5, 3600, 3600), (10, 60, 60)]
)
async def test_the_next_request_is_refused_for_exactly_the_stated_time(
    valkey: Redis, requests: int, period: int, block: int
) -> None:
    clock = Hands()
    counters = Counters(valkey, clock, KEY)
    limit = _limit("x", requests, period, block)

    async def refused() -> float:
        return (await counters.count((limit,), ADDRESS))[0].refused

    for _ in range(requests):
        assert await refused() == 0
        clock.now += 1
    assert await refused() == block
    clock.now += block / 2
    assert await refused() == block / 2, "knocking does not prolong a block"
    clock.now += block / 2 - 0.001
    assert await refused() == 0.001
    clock.now += 0.001
    for _ in range(requests):
        assert await refused() == 0, "after a block the visitor starts anew"
    assert await refused() == block


async def test_without_a_block_a_place_is_free_when_the_oldest_request_is_a_period_ago(
    valkey: Redis,
) -> None:
    clock = Hands()
    counters = Counters(valkey, clock, KEY)
    limit = _limit("x", 3, 60)
    left = []
    for _ in range(3):
        left.append((await counters.count((limit,), ADDRESS))[0].left)
        clock.now += 10
    assert left == [2, 1, 0]
    assert (await counters.count((limit,), ADDRESS))[0].refused == 30
    clock.now += 30
    assert (await counters.count((limit,), ADDRESS))[0].refused == 0
    assert (await counters.count((limit,), ADDRESS))[0].refused == 10


async def test_of_a_thousand_at_once_exactly_the_allowed_number_is_let_in(redis_url: str) -> None:
    """Two replicas, each with connections of its own."""
    clock = Hands()
    limits = (_limit("narrow", 100, 60, 900), _limit("wide", 1000, 3600))
    settings_ = CacheSettings.model_validate({"url": redis_url})
    replicas = [cache.connect(settings_) for _ in range(2)]
    await replicas[0].flushdb()
    both = [Counters(replica, clock, KEY) for replica in replicas]

    async def ask(number: int) -> float:
        standings = await both[number % 2].count(limits, ADDRESS)
        return max(standing.refused for standing in standings)

    waits = await asyncio.gather(*(ask(number) for number in range(1000)))
    assert sum(wait == 0 for wait in waits) == 100
    assert set(waits) == {0, 900}
    standing = (await both[0].count(limits[1:], ADDRESS))[0]
    assert standing.left == 1000 - 100 - 1, "a refused request counts nowhere"
    for replica in replicas:
        await replica.aclose()


async def test_visitors_are_apart_and_an_ipv6_network_is_one(valkey: Redis) -> None:
    counters = Counters(valkey, Hands(), KEY)
    limit = _limit("x", 1, 60)

    async def refused(address: str) -> bool:
        return (await counters.count((limit,), address))[0].refused > 0

    assert [await refused(a) for a in ("192.0.2.1", "192.0.2.2", "192.0.2.1")] == [
        False,
        False,
        True,
    ]
    assert [await refused(a) for a in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")] == [
        False,
        True,
        False,
    ]


async def test_the_cache_learns_no_address_and_forgets_by_itself(valkey: Redis) -> None:
    counters = Counters(valkey, Hands(), KEY)
    await counters.count((_limit("plain", 1, 60), _limit("block", 1, 60, 900)), ADDRESS)
    await counters.count((_limit("block", 1, 60, 900),), ADDRESS)
    keys = sorted(await valkey.keys("*"))
    assert len(keys) == 2
    assert not [key for key in keys if b"198" in key]
    assert 0 < await valkey.pttl(keys[1]) <= 60_000
    assert 60_000 < await valkey.pttl(keys[0]) <= 900_000
    assert Counters(valkey, Hands(), b"z" * 32).visitor(ADDRESS).encode() not in keys[0], "keyed"


def test_the_process_forgets_whom_it_saw_least_lately() -> None:
    local = LocalCounters(most=2)
    limit = _limit("x", 1, 60)
    for visitor in ("a", "b", "c"):
        local.count((limit,), visitor, 1.0)
    assert local.count((limit,), "c", 1.0)[0].refused
    assert not local.count((limit,), "a", 1.0)[0].refused, "memory is bounded"

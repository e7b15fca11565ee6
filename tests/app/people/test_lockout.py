"""Lockout: how many attempts, how long a wait, exact whoever counts at the same time."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from payments.people.lockout import ACCOUNT, ADDRESS, Lockout, Rule

ADA, BOB = "ada@example.com", "bob@example.com"
HERE, THERE = "198.51.100.7", "203.0.113.9"


class Watch:
    """A clock that stands still until it is moved: waits can be compared exactly."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def lockout(valkey: Redis, watch: Watch) -> Lockout:
    return Lockout(valkey, watch)


async def _fail(lockout: Lockout, times: int, email: str = ADA, address: str = HERE) -> None:
    for _ in range(times):
        assert await lockout.begin(email, address) == 0


async def test_five_attempts_are_free_and_the_sixth_waits(lockout: Lockout) -> None:
    await _fail(lockout, ACCOUNT.free)
    assert await lockout.begin(ADA, HERE) == ACCOUNT.first


async def test_each_further_failure_doubles_the_wait_up_to_fifteen_minutes(
    lockout: Lockout, watch: Watch
) -> None:
    await _fail(lockout, ACCOUNT.free)
    waits = []
    for turn in range(8):
        # Another address each time, so that only the account's rule counts.
        waits.append(await lockout.begin(ADA, f"203.0.113.{turn}"))
        watch.now += waits[-1]
        await _fail(lockout, 1, address=f"203.0.113.{turn}")
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


async def test_knocking_on_a_locked_door_changes_nothing(lockout: Lockout, watch: Watch) -> None:
    await _fail(lockout, ACCOUNT.free)
    for _ in range(100):
        await lockout.begin(ADA, THERE)
    watch.now += ACCOUNT.first - 1
    assert await lockout.begin(ADA, HERE) == 1
    watch.now += 1
    assert await lockout.begin(ADA, HERE) == 0
    assert await lockout.begin(BOB, THERE) == 0, "the other address made no attempt"


async def test_a_success_forgets_the_account_s_failures(lockout: Lockout) -> None:
    await _fail(lockout, ACCOUNT.free)
    await lockout.succeed(ADA, HERE)
    await _fail(lockout, ACCOUNT.free)


async def test_failures_are_forgotten_after_a_day(lockout: Lockout, watch: Watch) -> None:
    await _fail(lockout, ACCOUNT.free - 1)
    watch.now += ACCOUNT.forget
    await _fail(lockout, ACCOUNT.free)
    assert await lockout.begin(ADA, HERE) == ACCOUNT.first


async def test_an_address_that_tries_many_accounts_waits(lockout: Lockout) -> None:
    for number in range(ADDRESS.free):
        await _fail(lockout, 1, email=f"person{number}@example.com")
    assert await lockout.begin(ADA, HERE) == ADDRESS.first
    assert await lockout.begin(ADA, THERE) == 0, "others are not held up"


async def test_own_successes_buy_an_address_no_further_guesses(lockout: Lockout) -> None:
    for number in range(ADDRESS.free - 1):
        await _fail(lockout, 1, email=f"person{number}@example.com")
        if number % 2:
            await _fail(lockout, 1, email=BOB)
            await lockout.succeed(BOB, HERE)
    await _fail(lockout, 1)
    assert await lockout.begin(BOB, HERE) == ADDRESS.first


async def test_one_ipv6_client_is_its_whole_network(lockout: Lockout) -> None:
    for number in range(ADDRESS.free):
        await _fail(
            lockout, 1, email=f"person{number}@example.com", address=f"2001:db8:1:2::{number:x}"
        )
    assert await lockout.begin(ADA, "2001:db8:1:2:ffff::1") == ADDRESS.first
    assert await lockout.begin(ADA, "2001:db8:1:3::1") == 0


async def test_of_many_attempts_at_once_on_two_replicas_only_the_free_ones_are_made(
    valkey: Redis, redis_url: str, watch: Watch
) -> None:
    other = Redis.from_url(redis_url)
    try:
        replicas = [Lockout(valkey, watch), Lockout(other, watch)]
        attempts = [replicas[n % 2].begin(ADA, f"203.0.113.{n}") for n in range(40)]
        made = [wait for wait in await asyncio.gather(*attempts) if wait == 0]
    finally:
        await other.aclose()
    assert len(made) == ACCOUNT.free, "counted before the password is looked at"


async def test_nothing_that_was_typed_stands_in_the_cache(lockout: Lockout, valkey: Redis) -> None:
    await _fail(lockout, 1, email="my secret password")
    keys = [key.decode() for key in await valkey.keys("*")]
    assert len(keys) == 2
    assert not any("secret" in key or HERE in key for key in keys)


@pytest.mark.parametrize(
    "rule",
    [
        {"free": 0, "first": 1, "longest": 2, "forget": 3},
        {"free": 1, "first": 0, "longest": 2, "forget": 3},
        {"free": 1, "first": 3, "longest": 2, "forget": 3},
        {"free": 1, "first": 1, "longest": 4, "forget": 3},
    ],
)
def test_a_rule_that_would_not_hold_is_refused(rule: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="lockout rule"):
        Rule(**rule)

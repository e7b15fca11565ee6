"""Sessions: how long they live, how they end, and what the cache knows of them."""

from __future__ import annotations

from uuid import uuid4

import pytest
from redis.asyncio import Redis

from payments.errors import UnauthenticatedError
from payments.people.sessions import ABSOLUTE, IDLE, MAX_PER_PERSON, Session, Sessions
from tests.app.people.fixtures import Clock

PERSON = uuid4()


@pytest.fixture
def time_of_day() -> Clock:
    return Clock()


@pytest.fixture
def sessions(valkey: Redis, time_of_day: Clock) -> Sessions:
    return Sessions(valkey, time_of_day)


async def _open(sessions: Sessions) -> tuple[str, Session]:
    return await sessions.open(
        user_id=PERSON, email="ada@example.com", role="customer", address="::1", agent="tests"
    )


async def test_a_session_ends_after_half_an_hour_without_use(
    sessions: Sessions, time_of_day: Clock
) -> None:
    token, _ = await _open(sessions)
    time_of_day.move(IDLE - 1)
    assert await sessions.read(token), "still in time"
    time_of_day.move(IDLE - 1)
    assert await sessions.read(token), "use starts the half hour anew"
    time_of_day.move(IDLE + 1)
    assert await sessions.read(token) is None


async def test_a_session_ends_after_twelve_hours_of_constant_use(
    sessions: Sessions, time_of_day: Clock
) -> None:
    token, _ = await _open(sessions)
    for _ in range(ABSOLUTE // (IDLE - 60) + 1):
        time_of_day.move(IDLE - 60)
        alive = await sessions.read(token)
    assert alive is None


async def test_a_new_id_does_not_lengthen_a_session_s_life(
    sessions: Sessions, time_of_day: Clock
) -> None:
    token, _ = await _open(sessions)
    for _ in range(ABSOLUTE // 600):
        time_of_day.move(599)
        if alive := await sessions.read(token):
            token, _ = await sessions.rotate(alive)
    time_of_day.move(ABSOLUTE // 600 + 1)
    assert await sessions.read(token) is None


async def test_the_cache_forgets_by_itself_what_is_over(sessions: Sessions, valkey: Redis) -> None:
    await _open(sessions)
    keys = await valkey.keys("session*")
    assert len(keys) == 2
    for key in keys:
        assert 0 < await valkey.pttl(key) <= ABSOLUTE * 1000


async def test_a_rotated_session_s_old_id_is_worth_nothing(sessions: Sessions) -> None:
    old, session = await _open(sessions)
    new, _ = await sessions.rotate(session, role="admin")
    assert await sessions.read(old) is None
    fresh = await sessions.read(new)
    assert fresh is not None
    assert fresh.role == "admin"
    assert len(await sessions.of(PERSON)) == 1


async def test_a_session_that_has_ended_comes_back_under_no_new_id(sessions: Sessions) -> None:
    _, session = await _open(sessions)
    await sessions.end_all(PERSON)
    with pytest.raises(UnauthenticatedError):
        await sessions.rotate(session)
    assert await sessions.of(PERSON) == []


async def test_whoever_reads_the_cache_cannot_use_what_is_there(
    sessions: Sessions, valkey: Redis
) -> None:
    token, session = await _open(sessions)
    seen = repr(await valkey.keys("*"))
    seen += repr(await valkey.hgetall(f"session:{session.key}"))
    assert session.key in seen, "else this test looks in the wrong place"
    assert token not in seen
    assert await sessions.read(session.key) is None, "the key in the cache is no id"


async def test_ending_all_ends_all_but_the_one_that_asked(sessions: Sessions) -> None:
    first, mine = await _open(sessions)
    second, _ = await _open(sessions)
    third, _ = await _open(sessions)
    assert await sessions.end_all(PERSON, but=mine) == 2
    assert await sessions.read(first)
    assert await sessions.read(second) is None
    assert await sessions.read(third) is None
    assert await sessions.end_all(PERSON) == 1


async def test_the_list_has_live_sessions_only_and_the_latest_used_first(
    sessions: Sessions, time_of_day: Clock
) -> None:
    await _open(sessions)
    time_of_day.move(IDLE - 10)
    second, _ = await _open(sessions)
    time_of_day.move(5)
    await _open(sessions)
    time_of_day.move(10)
    await sessions.read(second)
    listed = await sessions.of(PERSON)
    assert len(listed) == 2, "the first has been idle for too long"
    assert listed[0].seen > listed[1].seen


async def test_nobody_has_more_sessions_than_the_limit(
    sessions: Sessions, time_of_day: Clock
) -> None:
    first, _ = await _open(sessions)
    for _ in range(MAX_PER_PERSON):
        time_of_day.move(1)
        await _open(sessions)
    assert len(await sessions.of(PERSON)) == MAX_PER_PERSON
    assert await sessions.read(first) is None, "the oldest gives way"


@pytest.mark.parametrize("token", [None, "", "nonsense", "x" * 10_000, "*", "session:"])
async def test_what_is_no_id_is_nobody(sessions: Sessions, token: str | None) -> None:
    await _open(sessions)
    assert await sessions.read(token) is None

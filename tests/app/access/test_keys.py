"""The team's keys: by id, renewed when unknown, not too often, and not for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from payments.access.keys import FLOOR_SECONDS, FRESH_SECONDS, STALE_SECONDS, Keys
from payments.access.keys import KeysUnavailableError as Unavailable
from tests.app.access.team import Team, team_site


class Hands:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def fresh_team() -> Iterator[Team]:
    with team_site() as made:
        yield made


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def keys(fresh_team: Team, clock: Hands) -> Keys:
    return Keys(fresh_team.url, outgoing_ca=None, clock=clock)


async def test_a_key_is_fetched_once_and_found_by_its_id(keys: Keys, fresh_team: Team) -> None:
    for _ in range(3):
        assert await keys.find("first") is not None
    assert fresh_team.fetched == 1


async def test_a_rotated_key_is_found_and_the_last_one_still_is(
    keys: Keys, fresh_team: Team, clock: Hands
) -> None:
    assert await keys.find("first")
    fresh_team.rotate("second")
    clock.now += FLOOR_SECONDS
    assert await keys.find("second"), "an unknown id is a reason to look again"
    assert await keys.find("first")
    fresh_team.rotate("third")
    clock.now += FLOOR_SECONDS
    assert await keys.find("third")
    assert await keys.find("first") is None, "what is withdrawn is gone with the next look"


async def test_invented_ids_do_not_make_us_a_flood(
    keys: Keys, fresh_team: Team, clock: Hands
) -> None:
    for number in range(50):
        assert await keys.find(f"invented-{number}") is None
    assert fresh_team.fetched == 1
    clock.now += FLOOR_SECONDS
    assert await keys.find("invented") is None
    assert fresh_team.fetched == 2


async def test_while_the_site_is_away_known_keys_are_good_for_a_day(
    keys: Keys, fresh_team: Team, clock: Hands
) -> None:
    assert await keys.find("first")
    fresh_team.away = True
    clock.now += FRESH_SECONDS + 1
    for _ in range(5):
        assert await keys.find("first"), "stale, and better than locking everybody out"
    assert fresh_team.fetched == 2, "a site that is away is not asked by every request"
    clock.now += STALE_SECONDS
    with pytest.raises(Unavailable):
        await keys.find("first")
    fresh_team.away = False
    clock.now += FLOOR_SECONDS
    assert await keys.find("first")


async def test_without_any_key_nobody_is_let_in(keys: Keys, fresh_team: Team) -> None:
    fresh_team.away = True
    with pytest.raises(Unavailable):
        await keys.find("first")


@pytest.mark.parametrize("published", [[], ["first"] * 400])
async def test_what_is_no_set_of_keys_is_no_reason_to_forget_the_last_one(
    keys: Keys, fresh_team: Team, clock: Hands, published: list[str]
) -> None:
    assert await keys.find("first")
    fresh_team.published = published
    clock.now += FRESH_SECONDS + 1
    assert await keys.find("first")

"""An account that changes while a password is checked: what was let in a moment ago must not stay.

No test waits for anything: what happens meanwhile is done by the check of the password itself, the
one long step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import text

from payments.people import passwords, repository
from payments.people.service import People
from payments.resources import Resources
from tests.app.people.site import OTHER_PASSWORD, PASSWORD, Browser, browser_on

Meanwhile = Callable[[Callable[[], Awaitable[object]]], None]

ELSEWHERE = "203.0.113.9"


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Let something happen during the next check of a password, once."""
    check = passwords.matches

    def during(happen: Callable[[], Awaitable[object]]) -> None:
        async def slow(stored: str | None, password: str) -> bool:
            monkeypatch.setattr(passwords, "matches", check)
            fits = await check(stored, password)
            await happen()
            return fits

        monkeypatch.setattr(passwords, "matches", slow)

    return during


@pytest.fixture
def people(site: FastAPI) -> People:
    made: People = site.state.people
    return made


async def _person(people: People, browser: Browser) -> UUID:
    """Let somebody join; return who they are."""
    await browser.join()
    session = await people.sessions.read(browser.session)
    assert session is not None
    return session.user_id


async def _change(browser: Browser, new: str) -> int:
    answer = await browser.send("/account/password", on="/account", current=PASSWORD, password=new)
    return answer.status_code


@pytest.mark.parametrize("what", ["lock", "role", "password"])
async def test_a_log_in_under_way_does_not_survive_what_ends_all_sessions(
    site: FastAPI, browser: Browser, people: People, meanwhile: Meanwhile, what: str
) -> None:
    person = await _person(people, browser)
    happen: dict[str, Callable[[], Awaitable[object]]] = {
        "lock": lambda: people.set_locked(person, locked=True, by="system"),
        "role": lambda: people.change_role(person, "viewer", by="system"),
        "password": lambda: _change(browser, OTHER_PASSWORD),
    }
    async with browser_on(site, ELSEWHERE, email=browser.email) as other:
        meanwhile(happen[what])
        assert (await other.log_in()).status_code == 401
        assert other.session is None
    left = [session.address for session in await people.sessions.of(person)]
    assert ELSEWHERE not in left
    assert len(left) == (what == "password"), "whoever changed the password stays"


async def test_a_change_of_password_under_way_does_not_survive_a_lock(
    browser: Browser, people: People, meanwhile: Meanwhile
) -> None:
    person = await _person(people, browser)
    meanwhile(lambda: people.set_locked(person, locked=True, by="system"))
    answer = await browser.send(
        "/account/password", on="/account", current=PASSWORD, password=OTHER_PASSWORD
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert await people.sessions.of(person) == []


async def test_nor_a_lock_that_looked_for_sessions_before_the_new_one_was_there(
    browser: Browser, people: People, resources: Resources, meanwhile: Meanwhile
) -> None:
    person = await _person(people, browser)

    async def lock() -> None:
        async with resources.database.transaction() as session:
            await repository.set_disabled(session, person, disabled=True)

    meanwhile(lock)
    assert await _change(browser, OTHER_PASSWORD) == 303
    assert await people.sessions.of(person) == []


async def test_of_two_changes_of_a_password_at_once_the_second_is_refused(
    site: FastAPI, browser: Browser, people: People, meanwhile: Meanwhile
) -> None:
    await browser.join()
    async with browser_on(site, ELSEWHERE, email=browser.email) as other:
        await other.log_in()
        meanwhile(lambda: _change(browser, OTHER_PASSWORD))
        assert await _change(other, "nine kettles on a shelf") == 422
        assert (await other.log_in(password=OTHER_PASSWORD)).status_code == 303


async def test_two_log_ins_at_once_that_both_hash_the_password_anew_succeed(
    site: FastAPI, browser: Browser, resources: Resources, meanwhile: Meanwhile
) -> None:
    await browser.register()
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    change = text("UPDATE payments.users SET password_hash = :weak WHERE email = :email")
    async with resources.database.transaction() as session:
        await session.execute(change, {"weak": weak, "email": browser.email})
    async with browser_on(site, ELSEWHERE, email=browser.email) as other:
        meanwhile(other.log_in)
        assert (await browser.log_in()).status_code == 303
        assert (await other.get("/account")).response.status_code == 200
    assert (await browser.get("/account")).response.status_code == 200

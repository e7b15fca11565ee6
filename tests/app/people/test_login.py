"""Registering, logging in and out, as a browser does it."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import text

from payments.people import passwords
from payments.people.lockout import ACCOUNT
from payments.people.service import People
from payments.people.sessions import COOKIE, IDLE
from payments.people.web import local_path
from payments.resources import Resources
from tests.app.people.fixtures import Clock
from tests.app.people.site import OTHER_PASSWORD, PASSWORD, Browser, Page, browser_on


def _same_page(first: httpx.Response, second: httpx.Response) -> bool:
    """Compare what a person sees; tokens and ids differ on every page."""
    return (first.status_code, Page(first).words) == (second.status_code, Page(second).words)


async def test_somebody_registers_logs_in_and_is_known(browser: Browser) -> None:
    answer = await browser.register()
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?told=registered")
    answer = await browser.log_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard")
    page = await browser.get("/account")
    assert page.response.status_code == 200
    assert browser.email in page.words
    assert "Firefox" in page.words
    assert "198.51.100.7" in page.words


async def test_an_address_logs_in_however_it_is_typed(browser: Browser) -> None:
    await browser.register(browser.email.title())
    assert (await browser.log_in(f" {browser.email.upper()} ")).status_code == 303


async def test_the_session_s_cookie_has_every_flag(browser: Browser) -> None:
    await browser.register()
    cookie = (await browser.log_in()).headers["set-cookie"]
    parts = {part.strip() for part in cookie.split(";")[1:]}
    assert cookie.startswith("__Host-session=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=strict", "Max-Age=43200"} <= parts
    assert not any(part.lower().startswith("domain") for part in parts), "__Host- forbids it"
    assert len(browser.session or "") >= 43, "256 random bits"


async def test_registering_an_address_again_looks_like_the_first_time_and_changes_nothing(
    site: FastAPI, browser: Browser
) -> None:
    first = await browser.register()
    async with browser_on(site, email=browser.email) as other:
        second = await other.register(password=OTHER_PASSWORD)
        assert dict(first.headers).keys() == dict(second.headers).keys()
        assert first.headers["location"] == second.headers["location"]
        assert (await other.log_in(password=OTHER_PASSWORD)).status_code == 401
    assert (await browser.log_in()).status_code == 303


async def test_a_wrong_password_and_an_unknown_address_look_the_same(browser: Browser) -> None:
    await browser.register()
    wrong = await browser.log_in(password=OTHER_PASSWORD)
    unknown = await browser.log_in("eve@example.com", OTHER_PASSWORD)
    assert wrong.status_code == 401
    assert _same_page(wrong, unknown)
    assert browser.session is None


async def test_a_wrong_password_and_an_unknown_address_take_the_same_time(
    browser: Browser, site: FastAPI
) -> None:
    await browser.register()
    times: dict[str, list[float]] = {browser.email: [], "eve@example.com": []}
    for turn in range(12):
        for email, measured in times.items():
            # Another address each time, and no more failures per account than are free.
            async with browser_on(site, f"203.0.113.{turn}") as other:
                fields = (await other.get("/login")).forms["/login"]
                started = time.perf_counter()
                await other.client.post(
                    "/login", data=fields | {"email": email, "password": OTHER_PASSWORD}
                )
                measured.append(time.perf_counter() - started)
            if turn % 3 == 2:
                await site.state.resources.cache.flushdb()
    known, unknown = (statistics.median(measured) for measured in times.values())
    assert 0.5 < known / unknown < 2, f"{known:.3f} s and {unknown:.3f} s"


@pytest.mark.parametrize("email", ["", "nonsense", "\x00", "ä@example.com", "x" * 100_000])
async def test_what_is_no_address_is_refused_like_a_wrong_password(
    browser: Browser, email: str
) -> None:
    answer = await browser.log_in(email, "\x00" * 20)
    assert answer.status_code == 401
    assert "do not fit together" in answer.text


@pytest.mark.parametrize("whose", ["mine", "nobody's"])
async def test_after_five_failures_the_account_waits_whether_or_not_it_exists(
    browser: Browser, clock: Clock, whose: str
) -> None:
    await browser.register()
    email = browser.email if whose == "mine" else "nobody@example.com"
    for _ in range(ACCOUNT.free):
        assert (await browser.log_in(email, OTHER_PASSWORD)).status_code == 401
    locked = await browser.log_in(email, PASSWORD)
    assert locked.status_code == 429, "the right password too"
    assert 0 < int(locked.headers["retry-after"]) <= ACCOUNT.first
    assert "Try again in a minute" in locked.text
    clock.move(ACCOUNT.first + 1)
    expected = 303 if whose == "mine" else 401
    assert (await browser.log_in(email, PASSWORD)).status_code == expected


async def test_a_planted_session_id_is_worth_nothing_after_the_login(
    site: FastAPI, browser: Browser
) -> None:
    await browser.join()
    planted = browser.session
    async with browser_on(site, email=browser.email) as victim:
        victim.client.cookies.set(COOKIE, planted or "")
        fields = {"email": browser.email, "password": PASSWORD}
        # Somebody logged in is sent home, so the victim's form comes from before the planting.
        async with browser_on(site) as fresh:
            page = await fresh.get("/login")
            victim.client.cookies.update(fresh.client.cookies)
        answer = await victim.client.post("/login", data=page.forms["/login"] | fields)
        assert answer.status_code == 303
        assert answer.cookies[COOKIE] != planted
    gone = await browser.get("/account")
    assert gone.response.status_code == 303
    assert gone.response.headers["location"].startswith("/login")


async def test_a_session_ends_when_it_is_not_used(browser: Browser, clock: Clock) -> None:
    await browser.join()
    clock.move(IDLE - 5)
    assert (await browser.get("/account")).response.status_code == 200
    clock.move(IDLE + 5)
    answer = (await browser.get("/account")).response
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Faccount")


async def test_logging_out_ends_the_session_on_the_server(browser: Browser) -> None:
    await browser.join()
    kept = browser.session or ""
    answer = await browser.send("/logout", on="/account")
    assert answer.headers["location"] == "/login?told=out"
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert browser.session is None
    browser.client.cookies.set(COOKIE, kept, domain="pay.example.com")
    assert (await browser.get("/account")).response.status_code == 303


@pytest.mark.parametrize(
    ("target", "reached"),
    [
        ("/account", "/account"),
        ("/orders/1?returned=1", "/orders/1?returned=1"),
        ("", "/dashboard"),
        ("https://evil.example/", "/dashboard"),
        ("//evil.example/", "/dashboard"),
        ("/\\evil.example/", "/dashboard"),
        ("/\t/evil.example/", "/dashboard"),
        ("/account\r\nset-cookie: a=b", "/dashboard"),
        ("javascript:alert(1)", "/dashboard"),
        ("account", "/dashboard"),
    ],
)
def test_the_way_back_after_a_login_stays_on_this_site(target: str, reached: str) -> None:
    assert local_path(target, "/dashboard") == reached


@pytest.mark.parametrize(
    ("target", "reached"), [("/account", "/account"), ("//evil.example", "/dashboard")]
)
async def test_a_login_goes_where_the_person_wanted_to_go(
    browser: Browser, target: str, reached: str
) -> None:
    await browser.register()
    page = await browser.get("/login", params={"next": target})
    fields = {"email": browser.email, "password": PASSWORD}
    answer = await browser.client.post("/login", data=page.forms["/login"] | fields)
    assert (answer.status_code, answer.headers["location"]) == (303, reached)


async def test_whoever_is_logged_in_needs_no_form(browser: Browser) -> None:
    await browser.join()
    for path in ("/login", "/register"):
        answer = (await browser.get(path)).response
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard")


@pytest.mark.parametrize(
    ("email", "password", "word"),
    [
        ("nonsense", PASSWORD, "not an e-mail address"),
        ("eve@example.com", "short", "at least 12"),
        ("eve@example.com", "x" * 5000, "at most 128"),
        ("", "", "not an e-mail address"),
    ],
)
async def test_a_wrong_registration_shows_the_form_again_with_the_reason(
    browser: Browser, email: str, password: str, word: str
) -> None:
    answer = await browser.register(email, password)
    assert answer.status_code == 422
    assert word in answer.text
    assert "<script>" not in (await browser.register("<script>@x", PASSWORD)).text
    if password:
        assert password not in answer.text, "a password is never sent back"


async def test_a_new_password_ends_all_other_sessions_and_gives_this_one_a_new_id(
    site: FastAPI, browser: Browser
) -> None:
    await browser.join()
    before = browser.session
    async with browser_on(site, "203.0.113.9", email=browser.email) as other:
        await other.log_in()
        answer = await browser.send(
            "/account/password", on="/account", current=PASSWORD, password=OTHER_PASSWORD
        )
        assert answer.headers["location"] == "/account?told=password"
        assert (await other.get("/account")).response.status_code == 303
        assert (await other.log_in(password=PASSWORD)).status_code == 401
        assert (await other.log_in(password=OTHER_PASSWORD)).status_code == 303
    assert browser.session != before
    assert (await browser.get("/account")).response.status_code == 200


@pytest.mark.parametrize(
    ("current", "new", "word"),
    [
        (OTHER_PASSWORD, "nine kettles on a shelf", "not your current password"),
        (PASSWORD, "short", "at least 12"),
        (PASSWORD, "{email}", "e-mail address"),
    ],
)
async def test_a_password_is_not_changed_without_the_current_one_or_to_a_weak_one(
    browser: Browser, current: str, new: str, word: str
) -> None:
    await browser.join()
    new = new.format(email=browser.email)
    answer = await browser.send("/account/password", on="/account", current=current, password=new)
    assert answer.status_code == 422
    assert word in answer.text
    await browser.send("/logout", on="/account")
    assert (await browser.log_in()).status_code == 303, "the old one still holds"


async def test_guessing_the_current_password_from_a_stolen_session_is_locked_too(
    browser: Browser,
) -> None:
    await browser.join()
    statuses = [
        (
            await browser.send(
                "/account/password", on="/account", current=f"guess {n} of it", password=PASSWORD
            )
        ).status_code
        for n in range(ACCOUNT.free + 1)
    ]
    assert statuses == [422] * ACCOUNT.free + [429]


async def test_somebody_ends_their_sessions_elsewhere(site: FastAPI, browser: Browser) -> None:
    await browser.join()
    async with browser_on(site, "203.0.113.9", email=browser.email) as other:
        await other.log_in()
        assert "203.0.113.9" in (await browser.get("/account")).words
        await browser.send("/account/sessions/end-others", on="/account")
        assert (await other.get("/account")).response.status_code == 303
    page = await browser.get("/account")
    assert page.response.status_code == 200
    assert "203.0.113.9" not in page.words


async def test_a_role_changes_for_good_and_ends_the_sessions_of_before(
    site: FastAPI, browser: Browser, resources: Resources
) -> None:
    await browser.join()
    people: People = site.state.people
    session = await people.sessions.read(browser.session)
    assert session is not None
    assert session.role == "customer"
    assert await people.change_role(session.user_id, "admin", by="system")
    assert not await people.change_role(session.user_id, "admin", by="system"), "it is one already"
    assert await people.sessions.read(browser.session) is None
    assert (await browser.log_in()).status_code == 401, "an admin's only way in is Access"
    assert await people.change_role(session.user_id, "customer", by="system")
    assert (await browser.log_in()).status_code == 401, "nobody knows the password any more"
    assert not await people.change_role(session.user_id, "admin", by="system", first=True), (
        "once somebody has decided, it is nobody's first visit"
    )


async def _user(resources: Resources, statement: str, **parameters: str) -> Any:
    async with resources.database.transaction() as session:
        return (await session.execute(text(statement), parameters)).scalars().all()


async def test_a_login_brings_an_old_hash_up_to_date(
    browser: Browser, resources: Resources
) -> None:
    await browser.register()
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    change = "UPDATE payments.users SET password_hash = :weak WHERE email = :email RETURNING id"
    assert await _user(resources, change, weak=weak, email=browser.email)
    assert (await browser.log_in()).status_code == 303
    query = "SELECT password_hash FROM payments.users WHERE email = :email"
    (fresh,) = await _user(resources, query, email=browser.email)
    assert fresh != weak
    assert not passwords.outdated(fresh)
    assert await passwords.matches(fresh, PASSWORD)


async def test_a_disabled_account_looks_like_a_wrong_password(
    browser: Browser, resources: Resources
) -> None:
    await browser.register()
    refused = await browser.log_in(password=OTHER_PASSWORD)
    change = "UPDATE payments.users SET disabled_at = now() WHERE email = :email RETURNING id"
    assert await _user(resources, change, email=browser.email)
    assert _same_page(await browser.log_in(), refused)


async def test_two_registrations_of_one_address_at_once_make_one_account(
    site: FastAPI, browser: Browser, resources: Resources
) -> None:
    async def register(address: str) -> int:
        async with browser_on(site, address, email=browser.email) as one:
            return (await one.register()).status_code

    statuses = await asyncio.gather(*(register(f"203.0.113.{n}") for n in range(6)))
    assert statuses == [303] * 6
    query = "SELECT id FROM payments.users WHERE email = :email"
    assert len(await _user(resources, query, email=browser.email)) == 1

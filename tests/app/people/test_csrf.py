"""Form tokens: bound to one browser, checked on every form, never the same twice."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI

from payments.people.csrf import VISITOR_COOKIE, Csrf
from tests.app.people.site import PASSWORD, Browser, browser_on

KEY = b"k" * 32

OURS = {"origin": "https://pay.example.com", "sec-fetch-site": "same-origin"}
ANOTHER_SITE = [
    {"origin": "https://evil.example"},
    {"origin": "https://pay.example.com:8443"},
    {"origin": "https://pay.example.com:nonsense"},
    {"origin": "null"},
    {"origin": "https://pay.example.com.evil.example"},
    {"origin": "http://pay.example.com"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]


def test_a_token_fits_its_binding_and_no_other() -> None:
    tokens = Csrf(KEY)
    token = tokens.issue("one")
    assert tokens.valid(token, "one")
    assert not tokens.valid(token, "two")
    assert not Csrf(b"l" * 32).valid(token, "one")


def test_no_two_tokens_are_alike() -> None:
    tokens = Csrf(KEY)
    assert len({tokens.issue("one") for _ in range(100)}) == 100


@pytest.mark.parametrize("token", [None, "", "nonsense", "ä" * 64, "A" * 64, "A" * 63])
def test_what_is_no_token_does_not_fit(token: str | None) -> None:
    assert not Csrf(KEY).valid(token, "one")


def test_every_changed_character_spoils_a_token() -> None:
    tokens = Csrf(KEY)
    token = tokens.issue("one")
    for at in range(len(token)):
        other = "A" if token[at] != "A" else "B"
        assert not tokens.valid(token[:at] + other + token[at + 1 :], "one")


def test_nothing_fits_without_a_binding() -> None:
    tokens = Csrf(KEY)
    assert not tokens.valid(tokens.issue(""), "")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Csrf(b"short")


async def test_every_form_on_the_site_carries_a_token(browser: Browser) -> None:
    pages = ["/login", "/register"]
    found = [await browser.get(path) for path in pages]
    await browser.join()
    found.append(await browser.get("/account"))
    for page in found:
        assert page.forms
        for action, fields in page.forms.items():
            assert len(fields["csrf"]) >= 64, action


@pytest.mark.parametrize("path", ["/login", "/register"])
async def test_a_form_of_nobody_s_browser_is_refused(browser: Browser, path: str) -> None:
    fields = {"email": browser.email, "password": PASSWORD}
    assert (await browser.client.post(path, data=fields)).status_code == 403


@pytest.mark.parametrize("path", ["/login", "/register"])
async def test_a_token_made_for_another_visitor_is_refused(
    site: FastAPI, browser: Browser, path: str
) -> None:
    async with browser_on(site) as attacker:
        planted = (await attacker.get(path)).forms[path]["csrf"]
    await browser.get(path)
    fields = {"email": browser.email, "password": PASSWORD, "csrf": planted}
    answer = await browser.client.post(path, data=fields)
    assert answer.status_code == 403
    assert "out of date" in answer.text


@pytest.mark.parametrize("path", ["/logout", "/account/password", "/account/sessions/end-others"])
async def test_a_form_of_somebody_logged_in_needs_this_session_s_token(
    site: FastAPI, browser: Browser, path: str
) -> None:
    await browser.join()
    async with browser_on(site, email=browser.email) as other:
        await other.log_in()
        token = (await other.get("/account")).forms["/logout"]["csrf"]
    for data in ({}, {"csrf": "nonsense"}, {"csrf": token}):
        answer = await browser.client.post(path, data=data)
        assert answer.status_code == 403, data
    assert (await browser.get("/account")).response.status_code == 200, "nothing happened"


async def test_a_token_in_the_query_is_not_looked_at(browser: Browser) -> None:
    await browser.join()
    token = (await browser.get("/account")).forms["/logout"]["csrf"]
    answer = await browser.client.post("/logout", params={"csrf": token})
    assert answer.status_code == 403


async def test_a_script_of_ours_may_send_the_token_as_a_header(browser: Browser) -> None:
    await browser.join()
    token = (await browser.get("/account")).forms["/logout"]["csrf"]
    answer = await browser.client.post("/logout", headers={"x-csrf-token": token})
    assert answer.status_code == 303


@pytest.mark.parametrize("headers", ANOTHER_SITE)
async def test_a_request_that_another_site_started_is_refused_with_the_right_token_too(
    browser: Browser, headers: dict[str, str]
) -> None:
    await browser.join()
    token = (await browser.get("/account")).forms["/logout"]["csrf"]
    answer = await browser.client.post("/logout", data={"csrf": token}, headers=headers)
    assert answer.status_code == 403
    answer = await browser.client.post("/logout", data={"csrf": token}, headers=OURS)
    assert answer.status_code == 303


@pytest.mark.parametrize("headers", ANOTHER_SITE)
@pytest.mark.parametrize(("path", "status"), [("/logout", 403), ("/api/v1/auth/logout", 401)])
async def test_another_site_cannot_have_the_session_s_cookie_dropped(
    browser: Browser, path: str, status: int, headers: dict[str, str]
) -> None:
    assert browser.session is None, "with a form of another site no strict cookie is sent"
    answer = await browser.client.post(path, headers=headers)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers
    assert "clear-site-data" not in answer.headers


async def test_somebody_whose_session_is_over_is_logged_out_from_a_page_of_ours(
    browser: Browser,
) -> None:
    answer = await browser.client.post("/logout", headers=OURS)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?told=out")
    assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_the_visitor_s_cookie_is_kept_and_cannot_be_chosen_short(browser: Browser) -> None:
    first = (await browser.get("/login")).response
    cookie = first.headers["set-cookie"]
    assert cookie.startswith(f"{VISITOR_COOKIE}=")
    for part in ("HttpOnly", "Secure", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie
    again = (await browser.get("/login")).response
    assert "set-cookie" not in again.headers
    short: httpx.Response = await browser.client.get(
        "/login", headers={"cookie": f"{VISITOR_COOKIE}=1"}
    )
    assert VISITOR_COOKIE in short.headers["set-cookie"]

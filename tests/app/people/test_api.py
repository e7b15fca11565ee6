"""Accounts over HTTP: what a client of the API does instead of forms and cookies."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import jwt
import pytest
import pytest_asyncio
from fastapi import FastAPI

from payments.people.sessions import COOKIE
from payments.people.tokens import LIFETIME_SECONDS
from tests.app.fixtures import PUBLIC_URL
from tests.app.people.fixtures import Clock
from tests.app.people.site import OTHER_PASSWORD, PASSWORD, Browser

LOGIN, TRANSACTIONS = "/api/v1/auth/login", "/api/v1/transactions"


@pytest_asyncio.fixture
async def program(site: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps no cookies."""
    transport = httpx.ASGITransport(app=site, client=("172.18.0.2", 40000))
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL) as made:
        yield made


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def _register(program: httpx.AsyncClient, email: str) -> dict[str, str]:
    credentials = {"email": email, "password": PASSWORD}
    assert (await program.post("/api/v1/register", json=credentials)).status_code == 202
    return credentials


async def _token(program: httpx.AsyncClient, email: str) -> str:
    answer = await program.post(LOGIN, json=await _register(program, email))
    program.cookies.clear()
    token: str = answer.json()["access_token"]
    return token


async def test_a_program_registers_logs_in_and_asks_with_its_token(
    program: httpx.AsyncClient,
) -> None:
    credentials = await _register(program, "p1@example.com")
    answer = await program.post(LOGIN, json=credentials)
    assert answer.status_code == 200
    assert answer.json()["token_type"] == "Bearer"
    assert answer.json()["expires_in"] == LIFETIME_SECONDS == 900
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(COOKIE)
    assert {"httponly", "secure", "samesite=strict"} <= set(cookie.lower().split("; "))
    program.cookies.clear()
    token = answer.json()["access_token"]
    assert (await program.get(TRANSACTIONS)).status_code == 401
    assert (await program.get(TRANSACTIONS, headers=_bearer(token))).status_code == 200
    assert credentials["email"] not in str(jwt.decode(token, options={"verify_signature": False}))


async def test_the_paths_of_earlier_versions_still_answer(program: httpx.AsyncClient) -> None:
    credentials = {"email": "older@example.com", "password": PASSWORD}
    assert (await program.post("/api/register", json=credentials)).status_code == 202
    answer = await program.post("/api/auth/login", json=credentials)
    program.cookies.clear()
    bearer = _bearer(answer.json()["access_token"])
    assert (await program.get("/api/transactions", headers=bearer)).json()["data"] == []
    assert (await program.get("/api/health")).json()["version"] == "tests"


async def test_registering_twice_tells_nothing(program: httpx.AsyncClient) -> None:
    first = await program.post(
        "/api/v1/register", json={"email": "p2@example.com", "password": PASSWORD}
    )
    second = await program.post(
        "/api/v1/register", json={"email": "p2@example.com", "password": OTHER_PASSWORD}
    )
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    changed = {"email": "p2@example.com", "password": OTHER_PASSWORD}
    assert (await program.post(LOGIN, json=changed)).status_code == 401


@pytest.mark.parametrize(
    ("email", "password"), [("nobody", PASSWORD), ("p3@example.com", "short"), ("", "")]
)
async def test_an_account_needs_an_address_and_a_password(
    program: httpx.AsyncClient, email: str, password: str
) -> None:
    answer = await program.post("/api/v1/register", json={"email": email, "password": password})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_token_ends_after_a_quarter_of_an_hour_and_can_be_renewed(
    program: httpx.AsyncClient, clock: Clock
) -> None:
    token = await _token(program, "p4@example.com")
    clock.move(LIFETIME_SECONDS - 1)
    renewed = await program.post("/api/v1/auth/token", headers=_bearer(token))
    assert renewed.status_code == 200
    clock.move(1)
    ended = await program.get(TRANSACTIONS, headers=_bearer(token))
    assert ended.status_code == 401
    assert ended.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    fresh = _bearer(renewed.json()["access_token"])
    assert (await program.get(TRANSACTIONS, headers=fresh)).status_code == 200


async def test_a_token_is_worth_nothing_after_the_log_out(program: httpx.AsyncClient) -> None:
    token = await _token(program, "p5@example.com")
    assert (await program.post("/api/v1/auth/logout", headers=_bearer(token))).status_code == 204
    assert (await program.get(TRANSACTIONS, headers=_bearer(token))).status_code == 401


async def test_a_lock_ends_tokens_and_keeps_new_ones_from_being_made(
    program: httpx.AsyncClient, site: FastAPI
) -> None:
    token = await _token(program, "p6@example.com")
    user = jwt.decode(token, options={"verify_signature": False})["sub"]
    assert await site.state.people.set_locked(user, locked=True, by="system")
    assert (await program.get(TRANSACTIONS, headers=_bearer(token))).status_code == 401
    again = await program.post(LOGIN, json={"email": "p6@example.com", "password": PASSWORD})
    assert again.status_code == 401


async def test_a_token_of_ones_own_making_is_none(
    program: httpx.AsyncClient, site: FastAPI
) -> None:
    good = await _token(program, "p7@example.com")
    claims = jwt.decode(good, options={"verify_signature": False})
    key = site.state.resources.settings.session_key_bytes
    forged = {
        "unsigned": jwt.encode(claims, None, algorithm="none"),
        "another key": jwt.encode(claims, b"x" * 32, algorithm="HS256"),
        "the session key itself": jwt.encode(claims, key, algorithm="HS256"),
        "cut": good[:-4],
        "endless": good + "A" * 2000,
    }
    for how, token in forged.items():
        answer = await program.get(TRANSACTIONS, headers=_bearer(token))
        assert answer.status_code == 401, how
    api_key = {"authorization": "Bearer pk_test_1"}
    assert (await program.get(TRANSACTIONS, headers=api_key)).status_code == 401


async def test_guessing_is_locked_as_on_the_page(program: httpx.AsyncClient) -> None:
    credentials = await _register(program, "p8@example.com")
    wrong = credentials | {"password": "not the right password"}
    statuses = [(await program.post(LOGIN, json=wrong)).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    locked = await program.post(LOGIN, json=credentials)
    assert locked.status_code == 429
    assert 0 < int(locked.headers["retry-after"]) <= 30


async def test_another_site_cannot_log_a_browser_in(program: httpx.AsyncClient) -> None:
    credentials = await _register(program, "p9@example.com")
    foreign = {"origin": "https://evil.example"}
    assert (await program.post(LOGIN, json=credentials, headers=foreign)).status_code == 403
    as_text = await program.post(
        LOGIN, content=str(credentials).replace("'", '"'), headers={"content-type": "text/plain"}
    )
    assert as_text.status_code == 422, "what a form of another site could send is no JSON to us"


async def test_a_cookie_still_needs_the_forms_token_and_a_bearer_does_not(
    browser: Browser, program: httpx.AsyncClient
) -> None:
    await browser.join()
    assert (await browser.client.post("/api/v1/auth/logout")).status_code == 403
    token = await _token(program, "p10@example.com")
    assert (await program.post("/api/v1/auth/logout", headers=_bearer(token))).status_code == 204

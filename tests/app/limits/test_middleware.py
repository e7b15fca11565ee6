"""The limits at the door: what a visitor, a program and a payment provider see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from payments.app import create_app
from payments.resources import build
from tests.app.backends import APP, Cluster
from tests.app.fixtures import PUBLIC_URL, WEBHOOK_SECRET
from tests.app.people.fixtures import Clock, settings_for
from tests.app.people.site import PASSWORD, Page, browser_on
from tests.app.stripe_server import event, sign

SEEDS = """[
  {"name": "login", "methods": ["POST"], "paths": ["/login"], "prefixes": [],
   "requests": 10, "period": 60, "block": 900},
  {"name": "register", "methods": ["POST"], "paths": ["/register"], "prefixes": [],
   "requests": 5, "period": 3600, "block": 3600},
  {"name": "api", "methods": null, "paths": [], "prefixes": ["/api/"],
   "requests": 20, "period": 3600, "block": 0}
]"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited_of_module(postgres: Cluster, redis_url: str) -> AsyncIterator[FastAPI]:
    with postgres.database() as name:
        settings = settings_for(
            postgres.url(APP, name), redis_url, "http://127.0.0.1:9", rate_limits=SEEDS
        )
        made = create_app(build(settings, name="payments-tests"))
        async with made.router.lifespan_context(made):
            yield made


@pytest_asyncio.fixture
async def limited(limited_of_module: FastAPI) -> FastAPI:
    """The application under limits, on an empty cache."""
    await limited_of_module.state.resources.cache.flushdb()
    limited_of_module.state.clock = time.time
    return limited_of_module


@pytest.fixture
def moved(limited: FastAPI) -> Clock:
    made = Clock()
    limited.state.clock = made
    return made


def _client(app: FastAPI, address: str = "198.51.100.7") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, client=("172.18.0.2", 40000))
    return httpx.AsyncClient(
        transport=transport, base_url=PUBLIC_URL, headers={"x-real-ip": address}
    )


async def test_the_eleventh_log_in_of_a_minute_is_refused_for_a_quarter_of_an_hour(
    limited: FastAPI, moved: Clock
) -> None:
    async with browser_on(limited) as browser:
        form = (await browser.get("/login")).forms["/login"]
        for number in range(10):
            answer = await browser.client.post("/login", data=form | {"email": f"x{number}@y.org"})
            assert answer.status_code == 401
        refused = await browser.client.post("/login", data=form)
        assert refused.status_code == 429
        assert 895 <= int(refused.headers["retry-after"]) <= 900
        page = Page(refused)
        assert refused.headers["content-type"].startswith("text/html")
        assert "Too many attempts" in page.words
        assert "Try again in 15 minutes" in page.words
        moved.move(890)
        assert (await browser.client.post("/login", data=form)).status_code == 429
        moved.move(11)
        assert (await browser.client.post("/login", data=form)).status_code == 401


async def test_a_program_is_told_where_it_stands_and_gets_problem_details(
    limited: FastAPI, moved: Clock
) -> None:
    async with _client(limited) as client:
        first = await client.get("/api/v1/products")
        assert first.status_code == 200
        assert first.headers["ratelimit-policy"] == '"api";q=20;w=3600'
        assert first.headers["ratelimit"] == '"api";r=19;t=3600'
        for _ in range(19):
            last = await client.get("/api/v1/products")
        assert last.headers["ratelimit"].startswith('"api";r=0;t=')
        refused = await client.get("/api/v1/products", headers={"accept": "text/html"})
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        problem = refused.json()
        assert problem["code"] == "too_many_requests"
        assert problem["violated-policies"] == ["api"]
        assert int(refused.headers["retry-after"]) <= 3600
        assert refused.headers["ratelimit"].startswith('"api";r=0;t=')
        assert refused.headers["content-security-policy"], "a refusal is an answer like any other"
        moved.move(3601)
        assert (await client.get("/api/v1/products")).status_code == 200


async def test_a_thousand_log_ins_at_once_reach_the_passwords_ten_times(limited: FastAPI) -> None:
    async with _client(limited) as client:
        answers = await asyncio.gather(*(client.post("/login") for _ in range(1000)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(429) == 990
    assert statuses.count(403) == 10, "the form had no token: it got as far as the form's own check"


async def test_another_address_is_another_visitor_and_a_forged_one_is_not(
    limited: FastAPI,
) -> None:
    async with _client(limited) as client:
        for number in range(21):
            answer = await client.get(
                "/api/v1/products",
                headers={
                    "cf-connecting-ip": f"203.0.113.{number}",
                    "x-forwarded-for": f"203.0.113.{number}",
                },
            )
        assert answer.status_code == 429
    async with _client(limited, "198.51.100.8") as other:
        assert (await other.get("/api/v1/products")).status_code == 200


async def test_providers_and_probes_are_never_refused(limited: FastAPI) -> None:
    async with _client(limited) as client:
        for number in range(40):
            body = event("payment_intent.created", {"id": f"pi_{number}"}, key=f"evt_{number}")
            answer = await client.post(
                "/webhooks/stripe",
                content=body,
                headers={"stripe-signature": sign(body, WEBHOOK_SECRET)},
            )
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers
            assert (await client.get("/livez")).status_code == 200


async def test_without_the_cache_nothing_changes_and_reading_stays_limited(
    limited: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redis.exceptions import ConnectionError as CacheConnectionError

    asked = 0

    async def away(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        raise CacheConnectionError("away")

    monkeypatch.setattr("payments.limits.counters.Counters._ask", away)
    async with _client(limited, "203.0.113.99") as client:
        refused = await client.post("/login", data={"email": "a@b.org", "password": PASSWORD})
        assert refused.status_code == 503
        assert refused.json()["code"] == "limits_unavailable"
        assert refused.headers["retry-after"] == "1"
        statuses = [(await client.get("/api/v1/products")).status_code for _ in range(21)]
        assert statuses == [200] * 20 + [429], "each process keeps counting by itself"
    assert asked < 5, "a cache that is away is not asked by every request"

"""The limits at the door: what a visitor, a program and a payment provider see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from payments.api_keys import service as api_keys
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
   "requests": 20, "period": 3600, "block": 0, "per": "caller"}
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
    gate = asyncio.Semaphore(20)  # they share the process of the service, and all its waiting

    async def knock(client: httpx.AsyncClient) -> httpx.Response:
        async with gate:
            return await client.post("/login")

    async with _client(limited) as client:
        answers = await asyncio.gather(*(knock(client) for _ in range(1000)))
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


async def _key_of(app: FastAPI, owner: UUID) -> dict[str, str]:
    async with app.state.resources.database.transaction() as session:
        made = await api_keys.make(
            session, customer_id=owner, name="k", scopes=["orders:read"], mode="test"
        )
    return {"authorization": f"Bearer {made.secret}", "x-key": str(made.key.id)}


async def test_a_callers_requests_are_counted_for_them_from_wherever_they_come(
    limited: FastAPI,
) -> None:
    ann, ben = uuid4(), uuid4()
    mine, another_of_mine = await _key_of(limited, ann), await _key_of(limited, ann)
    others = await _key_of(limited, ben)
    async with _client(limited) as client:
        for key in (mine, another_of_mine, others):
            assert (await client.get("/api/v1/orders", headers=key)).status_code == 200
        for _ in range(20):
            await client.get("/api/v1/products")
        assert (await client.get("/api/v1/products")).status_code == 429, "nobody's are used up"
        answer = await client.get("/api/v1/orders", headers=others)
        assert answer.status_code == 200, "a neighbour behind the same address is not limited by it"
    for number in range(20):
        async with _client(limited, f"203.0.113.{number}") as client:
            key = (mine, another_of_mine)[number % 2]
            assert (await client.get("/api/v1/orders", headers=key)).status_code == 200
    async with _client(limited, "203.0.113.99") as client:
        refused = await client.get("/api/v1/orders", headers=mine)
        assert refused.status_code == 429, "another address is not another visitor"
        assert (await client.get("/api/v1/products")).status_code == 200


async def test_keys_that_are_nobodys_are_counted_by_address_and_use_up_nobodys_requests(
    limited: FastAPI,
) -> None:
    owner = uuid4()
    found, kept = await _key_of(limited, owner), await _key_of(limited, owner)
    async with _client(limited, "192.0.2.1") as client:
        for key in (found, kept):
            assert (await client.get("/api/v1/orders", headers=key)).status_code == 200
    async with limited.state.resources.database.transaction() as session:
        await api_keys.revoke(session, customer_id=owner, key_id=UUID(found["x-key"]))
    async with _client(limited) as client:
        statuses = [
            (await client.get("/api/v1/orders", headers=found)).status_code for _ in range(22)
        ]
        assert statuses == [401] * 21 + [429], "the first was known, the rest are the address's"
        invented = {"authorization": "Bearer pk_test_" + "x" * 43}
        assert (await client.get("/api/v1/orders", headers=invented)).status_code == 429
        assert (await client.get("/api/v1/orders", headers=kept)).status_code == 200


async def test_a_session_is_counted_for_its_person(limited: FastAPI) -> None:
    token, _ = await limited.state.people.sessions.open(
        user_id=uuid4(), email="a@b.org", role="customer", address="192.0.2.1", agent=""
    )
    cookie = {"cookie": f"__Host-session={token}"}
    for number in range(20):
        async with _client(limited, f"203.0.113.{number}") as client:
            assert (await client.get("/api/v1/orders", headers=cookie)).status_code == 200
    async with _client(limited) as client:
        assert (await client.get("/api/v1/orders", headers=cookie)).status_code == 429
        assert (await client.get("/api/v1/orders")).status_code == 401


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

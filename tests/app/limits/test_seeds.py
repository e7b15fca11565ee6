"""The seeds' five limits in the service: the program's own table, with time moved, not slept."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from components.edge.limits import LIMITS, for_service
from payments.app import create_app
from payments.resources import build
from tests.app.backends import APP, Cluster
from tests.app.fixtures import PUBLIC_URL
from tests.app.people.fixtures import Clock, settings_for

EXAMPLES = {
    "login": ("POST", "/login"),
    "register": ("POST", "/register"),
    "create-subscription": ("POST", "/api/v1/payments/create-subscription"),
    "transactions": ("GET", "/api/v1/transactions"),
    "api": ("GET", "/api/v1/products"),
}
BY_NAME = {limit.name: limit for limit in LIMITS}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited_of_module(postgres: Cluster, redis_url: str) -> AsyncIterator[FastAPI]:
    with postgres.database() as name:
        settings = settings_for(
            postgres.url(APP, name), redis_url, "http://127.0.0.1:9", rate_limits=for_service()
        )
        made = create_app(build(settings, name="payments-tests"))
        async with made.router.lifespan_context(made):
            yield made


@pytest_asyncio.fixture
async def clock(limited_of_module: FastAPI) -> AsyncIterator[Clock]:
    await limited_of_module.state.resources.cache.flushdb()
    made = limited_of_module.state.clock = Clock()
    yield made
    limited_of_module.state.clock = time.time


@pytest.mark.parametrize("name", BY_NAME)
async def test_the_request_after_the_last_allowed_one_is_refused_for_as_long_as_the_table_says(
    limited_of_module: FastAPI, clock: Clock, name: str
) -> None:
    limit = BY_NAME[name]
    method, path = EXAMPLES[name]
    transport = httpx.ASGITransport(app=limited_of_module, client=("172.18.0.2", 40000))
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL) as client:
        client.headers["x-real-ip"] = "198.51.100.7"

        async def ask() -> httpx.Response:
            return await client.request(method, path)

        for _ in range(limit.requests):
            assert (await ask()).status_code != 429
        refused = await ask()
        assert refused.status_code == 429
        problem = refused.json()
        assert (problem["status"], problem["code"]) == (429, "too_many_requests")
        assert problem["violated-policies"] == [name]
        # A challenge is the edge's: the service lets in again as the period passes.
        lasts = limit.block or limit.period
        assert lasts - 30 <= int(refused.headers["retry-after"]) <= lasts
        clock.move(lasts - 31)
        assert (await ask()).status_code == 429
        clock.move(32)
        assert (await ask()).status_code != 429

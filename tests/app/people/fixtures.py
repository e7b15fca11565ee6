"""The application as it is deployed, a clock that tests move, a gateway, and a browser.

One database and one application serve a module's tests: a person of its own in each test keeps
them apart. What changes the application or looks at whole tables makes its own.
"""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr
from redis.asyncio import Redis

from payments import cache
from payments.app import create_app
from payments.resources import Resources, build
from payments.settings import CacheSettings, ServiceSettings
from tests.app.backends import APP, Cluster
from tests.app.fixtures import NO_LIMITS, PUBLIC_URL, WEBHOOK_SECRET
from tests.app.people.site import Browser, browser_on
from tests.app.stripe_server import KEY, StripeServer, event, serve, sign

__all__ = [
    "browser",
    "clock",
    "resources",
    "site",
    "site_of_module",
    "till",
    "till_of_module",
    "valkey",
]


class Clock:
    """Seconds since the epoch; moved, never waited for."""

    def __init__(self) -> None:
        self.moved = 0.0

    def __call__(self) -> float:
        return time.time() + self.moved

    def move(self, seconds: float) -> None:
        self.moved += seconds


class Till:
    """What the gateway of the tests does when it is told to."""

    def __init__(self, server: StripeServer) -> None:
        self.server = server

    @property
    def last(self) -> dict[str, str]:
        """The session made last."""
        return list(self.server.sessions.values())[-1]

    async def confirm(self, browser: Browser) -> None:
        """Take the money of the last session, and tell the service."""
        await self.tell(browser, "checkout.session.completed", self.server.pay(self.last["id"]))

    async def tell(self, browser: Browser, kind: str, session: dict[str, str]) -> None:
        """Deliver a signed event."""
        body = event(kind, session, key=f"evt_{kind}_{session['id']}")
        answer = await browser.client.post(
            "/webhooks/stripe",
            content=body,
            headers={"stripe-signature": sign(body, WEBHOOK_SECRET)},
        )
        assert answer.status_code == 200, answer.text


def settings_for(database: str, redis_url: str, gateway: str, **more: object) -> ServiceSettings:
    """Return settings as the environment would give them."""
    return ServiceSettings.model_validate(
        {
            "environment": "tests",
            "release": "tests",
            "database": {"url": database},
            "cache": {"url": redis_url},
            "allow_plaintext_backends": True,
            "public_url": PUBLIC_URL,
            "session_key": base64.b64encode(b"k" * 32).decode(),
            "rate_limits": NO_LIMITS,
            "stripe": {
                "secret_key": KEY,
                "api_base": gateway,
                "webhook_secrets": WEBHOOK_SECRET,
            },
            **more,
        }
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def till_of_module() -> AsyncIterator[Till]:
    async with serve() as server:
        yield Till(server)


@pytest.fixture
def till(till_of_module: Till) -> Till:
    """The gateway, without faults and sessions of others."""
    till_of_module.server.faults.clear()
    till_of_module.server.sessions.clear()
    return till_of_module


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site_of_module(
    postgres: Cluster, redis_url: str, till_of_module: Till
) -> AsyncIterator[FastAPI]:
    with postgres.database() as name:
        settings = settings_for(postgres.url(APP, name), redis_url, till_of_module.server.url)
        made = create_app(build(settings, name="payments-tests"))
        async with made.router.lifespan_context(made):
            yield made


@pytest_asyncio.fixture
async def site(site_of_module: FastAPI) -> FastAPI:
    """The application as it is deployed, on an empty cache."""
    await site_of_module.state.resources.cache.flushdb()
    site_of_module.state.clock = time.time
    return site_of_module


@pytest.fixture
def resources(site: FastAPI) -> Resources:
    """What the application works with."""
    held: Resources = site.state.resources
    return held


@pytest_asyncio.fixture
async def valkey(redis_url: str) -> AsyncIterator[Redis]:
    """An empty cache, for what needs no database."""
    made = cache.connect(CacheSettings(url=SecretStr(redis_url)))
    await made.flushdb()
    yield made
    await made.aclose()


@pytest.fixture
def clock(site: FastAPI) -> Clock:
    """The application's clock."""
    made = Clock()
    site.state.clock = made
    return made


@pytest_asyncio.fixture
async def browser(site: FastAPI) -> AsyncIterator[Browser]:
    """One person's browser."""
    async with browser_on(site) as made:
        yield made

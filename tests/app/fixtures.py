"""Fixtures: `settings`, `resources`, `app`, `client`, and who is logged in."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI, Request

from payments.app import create_app
from payments.resources import Resources, build
from payments.security import Principal
from payments.settings import ServiceSettings
from tests.app import backends
from tests.app.backends import APP, Cluster
from tests.app.stripe_server import KEY, StripeServer, serve

NO_LIMITS = "[]"
"""The tests of everything else send more requests than any visitor may."""

WEBHOOK_SECRET = "whsec_tests_first"
OTHER_WEBHOOK_SECRET = "whsec_tests_second"
PUBLIC_URL = "https://pay.example.com"
USER_HEADER = "x-test-user"

ALICE = UUID("00000000-0000-4000-8000-00000000000a")
BOB = UUID("00000000-0000-4000-8000-00000000000b")

__all__ = [
    "app",
    "client",
    "database_name",
    "postgres",
    "redis_url",
    "resources",
    "settings",
    "shared_database",
    "stripe_server",
]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A server with a migrated template database."""
    with backends.cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A server; tests that use it start from an empty one."""
    with backends.redis() as url:
        yield url


@pytest.fixture(scope="session")
def shared_database(postgres: Cluster) -> Iterator[str]:
    """A migrated database that tests take turns with."""
    with postgres.database() as name:
        yield name


@pytest.fixture
def database_name(postgres: Cluster, shared_database: str) -> str:
    """A migrated database with nothing in it but what migrations put there."""
    postgres.empty(shared_database)
    return shared_database


@pytest_asyncio.fixture
async def stripe_server() -> AsyncIterator[StripeServer]:
    """A gateway that speaks Stripe."""
    async with serve() as server:
        yield server


@pytest.fixture
def settings(
    postgres: Cluster, database_name: str, redis_url: str, stripe_server: StripeServer
) -> ServiceSettings:
    """Settings as the environment would give them, with the app's login."""
    return ServiceSettings.model_validate(
        {
            "environment": "tests",
            "release": "tests",
            "database": {"url": postgres.url(APP, database_name)},
            "cache": {"url": redis_url},
            "allow_plaintext_backends": True,
            "public_url": PUBLIC_URL,
            "session_key": base64.b64encode(b"k" * 32).decode(),
            "rate_limits": NO_LIMITS,
            "stripe": {
                "secret_key": KEY,
                "api_base": stripe_server.url,
                "webhook_secrets": f"{WEBHOOK_SECRET},{OTHER_WEBHOOK_SECRET}",
            },
        }
    )


@pytest_asyncio.fixture
async def resources(settings: ServiceSettings) -> AsyncIterator[Resources]:
    """The connections of one process, on an empty cache."""
    made = build(settings, name="payments-tests")
    await made.cache.flushdb()
    yield made
    await made.close()


async def by_header(request: Request) -> Principal | None:
    """Log a request in as whom its test header names."""
    told = request.headers.get(USER_HEADER)
    return Principal(id=UUID(told)) if told else None


@pytest_asyncio.fixture
async def app(resources: Resources) -> AsyncIterator[FastAPI]:
    """The application, started; tests log in with a header."""
    made = create_app(resources)
    made.state.authenticator = by_header
    async with made.router.lifespan_context(made):
        yield made


@pytest_asyncio.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, logged in as Alice."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url=PUBLIC_URL, headers={USER_HEADER: str(ALICE)}
    ) as made:
        yield made

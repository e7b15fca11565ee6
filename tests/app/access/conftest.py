"""Fixtures: an Access team, and the application behind it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from payments.access.config import AccessSettings
from payments.app import create_app
from payments.resources import build
from tests.app.access.team import OFFICE, SETTINGS, Team, team_site
from tests.app.backends import APP, Cluster
from tests.app.fixtures import PUBLIC_URL
from tests.app.people.fixtures import *  # noqa: F403 - pytest finds fixtures by their names here
from tests.app.people.fixtures import Till, settings_for


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    with team_site() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site_of_module(
    postgres: Cluster, redis_url: str, till_of_module: Till, team: Team
) -> AsyncIterator[FastAPI]:
    """The application as it is deployed, with an admin."""
    with pytest.MonkeyPatch.context() as patch, postgres.database() as name:
        patch.setattr(AccessSettings, "certificates_url", property(lambda _: team.url))
        settings = settings_for(
            postgres.url(APP, name), redis_url, till_of_module.server.url, access=SETTINGS
        )
        made = create_app(build(settings, name="payments-tests"))
        async with made.router.lifespan_context(made):
            yield made


@pytest.fixture
def moving(site: FastAPI, team: Team, clock: object) -> Iterator[object]:
    """The clock that application and team share."""
    team.clock = site.state.clock
    yield clock
    team.clock = time.time


@pytest_asyncio.fixture
async def admin(site: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client in the office, behind the gateway; it says nothing of who it is."""
    transport = httpx.ASGITransport(app=site, client=("172.18.0.2", 40000))
    async with httpx.AsyncClient(
        transport=transport, base_url=PUBLIC_URL, headers={"x-real-ip": OFFICE}
    ) as made:
        yield made

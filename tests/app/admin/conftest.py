"""Fixtures: the application behind Access, and an admin's browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio
from fastapi import FastAPI

from tests.app.access.conftest import *  # noqa: F403 - pytest finds fixtures by their names here
from tests.app.access.team import API_AUDIENCE, OFFICE, Team
from tests.app.people.site import Browser, browser_on


@pytest_asyncio.fixture
async def desk(site: FastAPI, team: Team) -> AsyncIterator[Browser]:
    """An admin's browser: what it sends has come through Access."""
    async with browser_on(site) as made:
        made.client.headers["cf-access-jwt-assertion"] = team.assertion()
        yield made


@pytest_asyncio.fixture
async def api(site: FastAPI, team: Team) -> AsyncIterator[httpx.AsyncClient]:
    """An admin's program in the office."""
    transport = httpx.ASGITransport(app=site, client=("172.18.0.2", 40000))
    headers = {
        "x-real-ip": OFFICE,
        "cf-access-jwt-assertion": team.assertion(aud=[API_AUDIENCE]),
    }
    async with httpx.AsyncClient(
        transport=transport, base_url="https://pay.example.com", headers=headers
    ) as made:
        yield made

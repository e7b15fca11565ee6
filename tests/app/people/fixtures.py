"""The application with its real authenticator, a clock that tests move, and a browser on it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr
from redis.asyncio import Redis

from payments import cache
from payments.app import create_app
from payments.resources import Resources
from payments.settings import CacheSettings
from tests.app.people.site import Browser, browser_on

__all__ = ["browser", "clock", "site", "valkey"]


class Clock:
    """Seconds since the epoch; moved, never waited for."""

    def __init__(self) -> None:
        self.moved = 0.0

    def __call__(self) -> float:
        return time.time() + self.moved

    def move(self, seconds: float) -> None:
        self.moved += seconds


@pytest_asyncio.fixture
async def valkey(redis_url: str) -> AsyncIterator[Redis]:
    """An empty cache, for what needs no database."""
    made = cache.connect(CacheSettings(url=SecretStr(redis_url)))
    await made.flushdb()
    yield made
    await made.aclose()


@pytest_asyncio.fixture
async def site(resources: Resources) -> AsyncIterator[FastAPI]:
    """The application as it is deployed."""
    made = create_app(resources)
    async with made.router.lifespan_context(made):
        yield made


@pytest_asyncio.fixture
async def clock(site: FastAPI) -> Clock:
    """The application's clock."""
    made = Clock()
    site.state.clock = made
    return made


@pytest_asyncio.fixture
async def browser(site: FastAPI) -> AsyncIterator[Browser]:
    """One person's browser."""
    async with browser_on(site) as made:
        yield made

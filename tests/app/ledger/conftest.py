"""Fixtures of the ledger's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from payments.db import Database
from tests.app.backends import APP, Cluster


@pytest_asyncio.fixture
async def database(postgres: Cluster, database_name: str) -> AsyncIterator[Database]:
    """The app's own way into a fresh database."""
    made = Database(postgres.settings(APP, database_name), name="tests", pool_size=20)
    yield made
    await made.close()

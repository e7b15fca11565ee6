"""What the tests of slow customers and of many share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from payments.resources import Resources
from tests.app.webhooks_out import helpers
from tests.app.webhooks_out.helpers import Dripping


@pytest_asyncio.fixture
async def dripping() -> AsyncIterator[Dripping]:
    async with helpers.dripping() as server:
        yield server


@pytest.fixture
def private(resources: Resources) -> Resources:
    """The resources of an installation that tells addresses of this machine."""
    return helpers.private(resources)

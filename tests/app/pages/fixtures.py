"""The site with a gateway that answers."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from payments.settings import ServiceSettings
from tests.app.pages.served import served
from tests.app.pages.stripe_double import StripeDouble

__all__ = ["settings", "stripe"]


@pytest_asyncio.fixture
async def stripe() -> AsyncIterator[StripeDouble]:
    """A Stripe of this test's own."""
    double = StripeDouble(port=free_port())
    async with served(double.app(), double.port):
        yield double


@pytest.fixture
def settings(settings: ServiceSettings, stripe: StripeDouble) -> ServiceSettings:
    """The settings of all tests, with that Stripe's address."""
    gateway = settings.stripe.model_copy(update={"api_base": stripe.api_base})
    return settings.model_copy(update={"stripe": gateway})


def free_port() -> int:
    """Return a port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

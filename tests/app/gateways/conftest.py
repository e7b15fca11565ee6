"""Each gateway over real HTTP, and the service with all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from payments.gateways.config import CryptomusSettings, PaypalSettings, RazorpaySettings
from payments.resources import Resources
from payments.settings import ServiceSettings
from tests.app.gateways import cryptomus_server, paypal_server, razorpay_server
from tests.app.gateways.counters import Counter, Cryptomus, Paypal, Razorpay, Stripe
from tests.app.gateways.cryptomus_server import CryptomusServer
from tests.app.gateways.paypal_server import PaypalServer
from tests.app.gateways.razorpay_server import RazorpayServer
from tests.app.stripe_server import StripeServer


@pytest_asyncio.fixture
async def razorpay() -> AsyncIterator[RazorpayServer]:
    """A gateway that speaks Razorpay."""
    async with razorpay_server.running() as server:
        yield server


@pytest_asyncio.fixture
async def paypal() -> AsyncIterator[PaypalServer]:
    """A gateway that speaks PayPal."""
    async with paypal_server.running() as server:
        yield server


@pytest_asyncio.fixture
async def cryptomus() -> AsyncIterator[CryptomusServer]:
    """A gateway that speaks Cryptomus."""
    async with cryptomus_server.running() as server:
        yield server


@pytest.fixture
def changes() -> dict[str, Any]:
    """Settings that a test module has otherwise."""
    return {}


@pytest.fixture
def settings(
    settings: ServiceSettings,
    razorpay: RazorpayServer,
    paypal: PaypalServer,
    cryptomus: CryptomusServer,
    changes: dict[str, Any],
) -> ServiceSettings:
    """Settings with the keys of all four."""
    updates: dict[str, Any] = {
        "razorpay": RazorpaySettings.model_validate(
            {
                "key_id": razorpay_server.KEY_ID,
                "key_secret": razorpay_server.KEY_SECRET,
                "webhook_secrets": ",".join(razorpay_server.SECRETS),
                "api_base": razorpay.url,
            }
        ),
        "paypal": PaypalSettings.model_validate(
            {
                "client_id": paypal_server.CLIENT[0],
                "client_secret": paypal_server.CLIENT[1],
                "webhook_id": paypal_server.WEBHOOK_ID,
                "api_base": paypal.url,
            }
        ),
        "cryptomus": CryptomusSettings.model_validate(
            {
                "enabled": True,
                "merchant": cryptomus_server.MERCHANT,
                "api_key": cryptomus_server.API_KEY,
                "api_base": cryptomus.url,
            }
        ),
        "outgoing_ca": paypal.authority,
    }
    return settings.model_copy(update=updates | changes)


@pytest.fixture(params=["stripe", "razorpay", "paypal", "cryptomus"])
def counter(
    request: pytest.FixtureRequest,
    stripe_server: StripeServer,
    razorpay: RazorpayServer,
    paypal: PaypalServer,
    cryptomus: CryptomusServer,
    resources: Resources,
) -> Counter:
    """Each gateway in turn."""
    counters: list[Counter] = [
        Stripe(stripe_server),
        Razorpay(razorpay),
        Paypal(paypal, resources),
        Cryptomus(cryptomus),
    ]
    return next(one for one in counters if one.name == request.param)

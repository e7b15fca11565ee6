"""A bad network between the service and Postgres, and its gateway: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from payments.settings import ServiceSettings
from tests.app.backends import APP
from tests.app.stress.customers import compare, prepared, settled
from tests.app.stress.figures import keep
from tests.app.stress.proxy import TOXICS, Network, network
from tests.app.stress.service import let_time_pass, service
from tests.app.stress.test_kills import REPAIR_SECONDS, agree
from tests.app.stripe_server import StripeServer

LEGS = ("database", "gateway")


async def spoiled(
    folder: Path,
    redis_url: str,
    stripe: StripeServer,
    settings: ServiceSettings,
    wires: Network,
    toxics: tuple[str, ...],
    seconds: float,
) -> dict[str, object]:
    """Run the load while each leg is bad in each way for `seconds`; returns the figures."""
    gateway = wires.leg("gateway", urlsplit(stripe.url).port or 0)
    through = f"http://127.0.0.1:{gateway}"
    with service(folder, redis_url, through, way=lambda port: wires.leg("database", port)) as made:
        own = settings.model_copy(update={"database": made.cluster.settings(APP, made.database)})
        made.start("api")
        made.start("worker")
        await made.ready()
        chance = random.Random(3)  # noqa: S311
        bad = len(toxics) * len(LEGS) * seconds
        customers = await prepared(
            made, own, stripe, chance, subscribing=8, within=bad, faults=False
        )
        load = asyncio.create_task(customers.run(4))
        supervising = asyncio.create_task(made.supervise())
        await asyncio.sleep(1.0)
        for toxic in toxics:
            for leg in LEGS:
                wires.spoil(leg, toxic)
                await asyncio.sleep(seconds)
                wires.mend(leg)
                await asyncio.sleep(0.5)
        began = time.monotonic()
        customers.stop()
        hurrying = asyncio.create_task(let_time_pass(made))
        try:
            await asyncio.wait_for(load, REPAIR_SECONDS)
            assert await settled(made, REPAIR_SECONDS), f"something waits still: {made.tail()}"
        finally:
            hurrying.cancel()
            supervising.cancel()
        repair = round(time.monotonic() - began, 1)
        counted = compare(made, customers)
        await agree(own)
    return {"toxics": list(toxics), "legs": list(LEGS), "repair_seconds": repair, **counted}


@pytest.mark.timeout(300)
async def test_connections_that_are_reset_lose_and_double_nothing(
    tmp_path: Path, redis_url: str, stripe_server: StripeServer, settings: ServiceSettings
) -> None:
    with network() as wires:
        found = await spoiled(
            tmp_path, redis_url, stripe_server, settings, wires, ("reset_peer",), 1.5
        )
    assert found["payments"]


@pytest.mark.stress
@pytest.mark.timeout(300)
async def test_every_bad_network_loses_and_doubles_nothing(
    tmp_path: Path, redis_url: str, stripe_server: StripeServer, settings: ServiceSettings
) -> None:
    with network() as wires:
        found = await spoiled(
            tmp_path, redis_url, stripe_server, settings, wires, tuple(TOXICS), 4.0
        )
    keep("network", found)

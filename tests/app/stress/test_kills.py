"""api, worker and Postgres are killed at random moments under load: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from payments.resources import build
from payments.settings import ServiceSettings
from tests.app.backends import APP
from tests.app.orders.helpers import books
from tests.app.stress.customers import Customers, compare, prepared, settled
from tests.app.stress.figures import keep
from tests.app.stress.service import PARTS, Service, let_time_pass, pick, service
from tests.app.stripe_server import StripeServer

REPAIR_SECONDS = 200.0
"""A payment is looked at after a minute, then after one more; a sweep comes every 15 s."""

AIM_SECONDS = 5.0
"""How long a kill waits for a charge to hit: a worker that was killed takes as long to start."""


async def kill_series(
    made: Service, customers: Customers, kills: int, *, hurry: bool
) -> list[tuple[float, str]]:
    """Kill and restart at random moments; returns what was killed when (seconds)."""
    began, killed = time.monotonic(), []
    load = asyncio.create_task(customers.run(6))
    supervising = asyncio.create_task(made.supervise())
    await asyncio.wait_for(customers.subscribers.renewing.wait(), REPAIR_SECONDS)
    for number in range(kills):
        await asyncio.sleep(customers.chance.uniform(0.2, 1.2))
        part = PARTS[number] if number < len(PARTS) else pick(customers.chance)
        if part != "api" and (number < len(PARTS) or customers.chance.random() < 0.5):
            await customers.subscribers.aim(AIM_SECONDS)
        killed.append((round(time.monotonic() - began, 2), part))
        made.kill(part)
        made.start(part)
        if part == "api":
            await made.ready()
    customers.stop()
    if hurry:
        hurrying = asyncio.create_task(let_time_pass(made))
    await asyncio.wait_for(load, REPAIR_SECONDS)
    assert await settled(made, REPAIR_SECONDS), f"something waits still: {made.tail()}"
    supervising.cancel()
    if hurry:
        hurrying.cancel()
    return killed


async def agree(settings: ServiceSettings) -> None:
    """Prove that nothing in the books of a database contradicts a rule."""
    resources = build(settings, name="tests-books")
    try:
        await books(resources)
    finally:
        await resources.close()


async def run(
    folder: Path,
    redis_url: str,
    stripe: StripeServer,
    settings: ServiceSettings,
    kills: int,
    *,
    hurry: bool = False,
) -> dict[str, object]:
    """One whole series, and its figures."""
    with service(folder, redis_url, stripe.url) as made:
        own = settings.model_copy(update={"database": made.cluster.settings(APP, made.database)})
        for part in ("api", "worker"):
            made.start(part)  # type: ignore[arg-type]
        await made.ready()
        chance = random.Random(int(os.environ.get("STRESS_SEED", "1")))  # noqa: S311
        customers = await prepared(
            made, own, stripe, chance, subscribing=min(4 + kills, 24), within=kills * 1.5
        )
        began = time.monotonic()
        killed = await kill_series(made, customers, kills, hurry=hurry)
        repair = round(time.monotonic() - began - killed[-1][0], 1)
        counted = compare(made, customers)
        await agree(own)
    return {
        "kills": len(killed),
        "repair_seconds_after_the_last": repair,
        **counted,
        "killed": killed,
    }


@pytest.mark.timeout(300)
async def test_a_kill_of_each_loses_and_doubles_nothing(
    tmp_path: Path, redis_url: str, stripe_server: StripeServer, settings: ServiceSettings
) -> None:
    found = await run(tmp_path, redis_url, stripe_server, settings, len(PARTS), hurry=True)
    assert found["kills"] == len(PARTS)


@pytest.mark.stress
@pytest.mark.timeout(480)
async def test_fifty_kills_lose_and_double_nothing(
    tmp_path: Path, redis_url: str, stripe_server: StripeServer, settings: ServiceSettings
) -> None:
    found = await run(tmp_path, redis_url, stripe_server, settings, 50)
    assert found["kills"] == 50
    keep("kills", found)

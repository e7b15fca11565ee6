"""Customers among each other: who is slow, or has much to be told, keeps nobody else waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from payments.resources import Resources
from payments.schema.connect import libpq_parameters
from payments.webhooks_out import deliver
from payments.webhooks_out.models import Endpoint
from payments.webhooks_out.places import Places
from payments.worker import deliveries, run
from tests.app.fixtures import ALICE, BOB
from tests.app.orders.helpers import scalar
from tests.app.webhooks_out.helpers import Dripping, fill, receiving

HALF = deliveries.AT_ONCE // 2
JOBS = (
    "SELECT count(*) FROM payments.procrastinate_jobs WHERE task_name = 'webhooks_out.deliver'"
    " AND (scheduled_at IS NULL OR scheduled_at <= now()) AND status = 'todo'"
)
NOT_DELIVERED = "SELECT count(*) FROM payments.webhook_deliveries WHERE state <> 'delivered'"


@pytest.fixture
def places() -> Places:
    """Those of one worker."""
    return Places(deliveries.AT_ONCE)


@asynccontextmanager
async def at_work(resources: Resources) -> AsyncIterator[None]:
    """Have a worker run."""
    with libpq_parameters(resources.settings.database, name="tests") as parameters:
        working = asyncio.create_task(run.work(resources, parameters))
        try:
            yield
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that happens soon."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.02)


async def until_none(resources: Resources, count: str) -> None:
    """Wait until the database has none of something left."""
    async with asyncio.timeout(20):
        while await scalar(resources, count):
            await asyncio.sleep(0.05)


@pytest.fixture
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the clock sweep nothing: what is delivered was delivered by jobs."""

    async def sweep(*_: Any) -> None: ...

    monkeypatch.setattr(deliveries, "sweep", sweep)


@pytest.mark.usefixtures("no_sweep")
async def test_a_customer_who_hangs_keeps_no_other_waiting(
    dripping: Dripping, private: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "TIMEOUT_SECONDS", 40.0)
    await fill(private, dripping.url, 30)
    async with receiving() as receiver:
        await fill(private, receiver.url, 1, customer_id=BOB)
        async with at_work(private):
            try:
                await until(lambda: bool(receiver.got))
                await until(lambda: dripping.held == HALF)
                await until_none(private, JOBS)
                await fill(private, receiver.url, 1, customer_id=BOB)
                await until(lambda: len(receiver.got) == 2)
                assert dripping.begun == dripping.held == HALF, "it hung all the time"
            finally:
                dripping.patient = False
            await until(lambda: dripping.begun > HALF)
    assert dripping.most == HALF


@pytest.mark.usefixtures("no_sweep")
@pytest.mark.parametrize(("queued", "seconds"), [(40, 8.0), (1, 8.0), (1, 0.1)])
async def test_a_burst_is_delivered_whole_without_a_sweep(
    private: Resources, monkeypatch: pytest.MonkeyPatch, queued: int, seconds: float
) -> None:
    monkeypatch.setattr(deliveries, "JOB_SECONDS", seconds)
    async with receiving() as receiver:
        await fill(private, receiver.url, 40, queued=queued)
        async with at_work(private):
            await until_none(private, NOT_DELIVERED)
        assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 40
        assert len(receiver.got) == 40, "each of them once"


async def test_sweeps_and_jobs_share_the_places(
    dripping: Dripping, private: Resources, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "TIMEOUT_SECONDS", 1.0)
    await fill(private, dripping.url, 30)
    await asyncio.gather(
        deliveries.sweep(private, places),
        deliveries.sweep(private, places),
        deliveries.make_due(private, places, seconds=1),
    )
    assert dripping.most == HALF
    assert dripping.begun > HALF, "when one has ended the next begins"
    assert await scalar(private, JOBS) > 30, "the rest is left to a job more"


def test_a_sweep_ends_before_the_next_and_a_job_before_its_worker_is_stopped() -> None:
    assert deliveries.SWEEP_SECONDS + deliver.TIMEOUT_SECONDS < 15
    assert deliveries.JOB_SECONDS + deliver.TIMEOUT_SECONDS < run.STOP_SECONDS


async def test_a_place_is_free_again_after_an_attempt_that_failed(
    private: Resources, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any, **__: Any) -> None:
        raise ArithmeticError

    monkeypatch.setattr(deliver, "send", fails)
    await fill(private, "http://127.0.0.1:9/hooks", 2 * deliveries.AT_ONCE)
    await deliveries.make_due(private, places, seconds=5)
    assert places.free == deliveries.AT_ONCE
    untried = "SELECT count(*) FROM payments.webhook_deliveries WHERE attempts = 0"
    assert await scalar(private, untried) == 0, "one that fails stops no other"


async def test_a_place_is_free_again_after_an_attempt_that_was_cancelled(
    dripping: Dripping, private: Resources, places: Places
) -> None:
    await fill(private, dripping.url)
    making = asyncio.create_task(deliveries.make_due(private, places, seconds=5))
    await until(lambda: dripping.held == HALF)
    assert (places.free, places.full()) == (HALF, [ALICE])
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert (places.free, places.full()) == (deliveries.AT_ONCE, [])


async def test_a_place_is_free_again_wherever_it_was_cancelled(
    private: Resources, places: Places
) -> None:
    await fill(private, "http://127.0.0.1:9/hooks", 80)
    for milliseconds in range(40):
        making = asyncio.create_task(deliveries.make_due(private, places, seconds=5))
        await asyncio.sleep(milliseconds / 1000)
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
        assert (places.free, places.full()) == (deliveries.AT_ONCE, []), milliseconds
        assert not places.choosing.locked(), milliseconds


async def test_those_who_come_later_find_places_too(
    dripping: Dripping, private: Resources, places: Places
) -> None:
    for number in range(1, 7):
        await fill(private, dripping.url, 6, customer_id=UUID(int=number))
    found = []
    async with AsyncExitStack() as taken:
        while due := await taken.enter_async_context(deliver.next_due(private, places)):
            found.append(due.endpoint.customer_id.int)
    assert found == [1, 1, 1, 1, 2, 2, 3, 4]
    assert places.free == deliveries.AT_ONCE


async def test_what_waits_for_a_disabled_endpoint_fails_and_stops_nothing(
    private: Resources, places: Places
) -> None:
    async with receiving() as receiver:
        gone, _ = await fill(private, receiver.url, 5)
        await fill(private, receiver.url, 1, customer_id=BOB)
        async with private.database.transaction() as session:
            (await session.get_one(Endpoint, gone)).enabled = False
        await deliveries.make_due(private, places, seconds=5)
        assert len(receiver.got) == 1
    failed = (
        "SELECT count(*) FROM payments.webhook_deliveries WHERE state = 'failed' AND attempts = 0"
    )
    assert await scalar(private, failed) == 5

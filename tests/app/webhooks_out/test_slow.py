"""Endpoints that take their time: they get ten seconds, and nobody's money waits for them."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import pytest
from sqlalchemy import text

from payments import jobs
from payments.resources import Resources
from payments.schema.connect import libpq_parameters
from payments.webhooks_out import addresses, deliver
from payments.webhooks_out.places import Places
from payments.worker import deliveries, run
from tests.app.orders.helpers import scalar
from tests.app.webhooks_out.helpers import Dripping, fill

EVENTS = (
    "SELECT count(*) FROM payments.procrastinate_jobs"
    " WHERE queue_name = 'payments' AND task_name = 'inbox.process'"
)


async def test_an_attempt_ends_after_its_time_whatever_drips_in(
    dripping: Dripping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "TIMEOUT_SECONDS", 1.0)
    attempt = deliver.Attempt(message_id="m", url=dripping.url, body=b"{}", secrets=(b"k",))
    began = time.monotonic()
    answer = await deliver.send(attempt, outgoing_ca=None, allow_private=True)
    assert time.monotonic() - began < 3, "each line that came began the wait anew"
    assert (answer.taken, answer.error) == (False, "TimeoutError")


async def test_a_name_server_that_does_not_answer_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slow(*_: object, **__: object) -> list[object]:
        time.sleep(3)
        return []

    monkeypatch.setattr(addresses.socket, "getaddrinfo", slow)
    monkeypatch.setattr(deliver, "TIMEOUT_SECONDS", 0.5)
    attempt = deliver.Attempt(message_id="m", url="https://a.example/", body=b"", secrets=(b"k",))
    began = time.monotonic()
    answer = await deliver.send(attempt, outgoing_ca=None, allow_private=False)
    assert time.monotonic() - began < 2
    assert answer.error == "TimeoutError"


async def test_an_endpoint_that_holds_every_delivery_keeps_no_event_waiting(
    dripping: Dripping, private: Resources
) -> None:
    for number in range(1, 5):  # as many customers as it takes to have every place
        await fill(private, dripping.url, customer_id=UUID(int=number))
    with libpq_parameters(private.settings.database, name="tests") as parameters:
        working = asyncio.create_task(run.work(private, parameters))
        try:
            async with asyncio.timeout(20):
                while dripping.held < deliveries.AT_ONCE:
                    await asyncio.sleep(0.05)
            for _ in range(3 * run.CONCURRENCY):
                async with private.database.transaction() as session:
                    await jobs.enqueue(session, jobs.PROCESS_EVENT, {"inbox_id": 1})
            async with asyncio.timeout(3):
                while await scalar(private, EVENTS):
                    await asyncio.sleep(0.05)
            assert dripping.held == deliveries.AT_ONCE, "all of them were held all the time"
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def test_one_delivery_that_cannot_be_made_stops_no_other(
    dripping: Dripping, private: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "TIMEOUT_SECONDS", 0.3)
    await fill(private, dripping.url, 2)
    async with private.database.transaction() as session:
        await session.execute(text("UPDATE payments.webhook_endpoints SET url = 'https://ü/'"))
    await deliveries.sweep(private, Places(deliveries.AT_ONCE))
    errors = "SELECT count(*) FROM payments.webhook_deliveries WHERE error LIKE '%ASCII%'"
    assert await scalar(private, errors) == 2

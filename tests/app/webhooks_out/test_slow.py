"""Endpoints that take their time: they get ten seconds, and nobody's money waits for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import text

from payments import jobs
from payments.resources import Resources
from payments.schema.connect import libpq_parameters
from payments.webhooks_out import addresses, deliver
from payments.webhooks_out.models import Delivery, Endpoint, Message
from payments.webhooks_out.signing import Seal, new_secret
from payments.worker import deliveries, run
from tests.app.fixtures import ALICE
from tests.app.orders.helpers import scalar

EVENTS = (
    "SELECT count(*) FROM payments.procrastinate_jobs"
    " WHERE queue_name = 'payments' AND task_name = 'inbox.process'"
)
WAITING = 40
DRIP = 0.2


@dataclass
class Dripping:
    """A server that sends a header line now and then, and never an answer's end."""

    url: str = ""
    held: int = 0
    most: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.held += 1
        self.most = max(self.most, self.held)
        try:
            await reader.read(100)
            writer.write(b"HTTP/1.1 200 OK\r\n")
            while not reader.at_eof():
                writer.write(b"x: y\r\n")
                await writer.drain()
                await asyncio.sleep(DRIP)
        except OSError:
            pass
        finally:
            self.held -= 1
            writer.close()


@pytest_asyncio.fixture
async def dripping() -> AsyncIterator[Dripping]:
    state = Dripping()
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
    yield state
    server.close()


@pytest.fixture
def private(resources: Resources) -> Resources:
    """The resources of an installation that tells addresses of this machine."""
    settings = resources.settings.model_copy(update={"webhooks_to_private_addresses": True})
    return replace(resources, settings=settings)


async def fill(resources: Resources, url: str, number: int = WAITING) -> None:
    """Have `number` messages wait for an endpoint, with their jobs."""
    sealed = Seal(resources.settings.session_key_bytes).close(new_secret())
    endpoint = Endpoint(
        id=UUID(int=1), customer_id=ALICE, url=url, events=["order.paid"], secret=sealed
    )
    async with resources.database.transaction() as session:
        session.add(endpoint)
        for one in range(number):
            message = Message(id=UUID(int=one), customer_id=ALICE, type="order.paid", data={})
            session.add(message)
            await session.flush()
            delivery = Delivery(
                message_id=message.id, endpoint_id=endpoint.id, next_attempt_at=datetime.now(UTC)
            )
            session.add(delivery)
            await session.flush()
            await jobs.enqueue(session, jobs.DELIVER_WEBHOOK, {"delivery_id": delivery.id})


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
    await fill(private, dripping.url)
    with libpq_parameters(private.settings.database, name="tests") as parameters:
        working = asyncio.create_task(run.work(private, parameters))
        try:
            async with asyncio.timeout(20):
                while dripping.held < run.DELIVERIES_AT_ONCE:
                    await asyncio.sleep(0.05)
            for _ in range(3 * run.CONCURRENCY):
                async with private.database.transaction() as session:
                    await jobs.enqueue(session, jobs.PROCESS_EVENT, {"inbox_id": 1})
            async with asyncio.timeout(3):
                while await scalar(private, EVENTS):
                    await asyncio.sleep(0.05)
            assert dripping.held == run.DELIVERIES_AT_ONCE, "all of them were held all the time"
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def test_a_sweep_takes_as_long_as_one_attempt(
    dripping: Dripping, private: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "TIMEOUT_SECONDS", 3.0)
    await fill(private, dripping.url)
    began = time.monotonic()
    await deliveries.sweep(private)
    assert time.monotonic() - began < 20, "sixteen attempts, one after the other, take 48"
    assert dripping.most == deliveries.SWEPT_AT_ONCE
    states = "SELECT count(*) FROM payments.webhook_deliveries WHERE error = 'TimeoutError'"
    assert await scalar(private, states) == deliveries.SWEPT_AT_ONCE


async def test_one_delivery_that_cannot_be_made_stops_no_other(
    dripping: Dripping, private: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "TIMEOUT_SECONDS", 0.3)
    await fill(private, dripping.url, 2)
    async with private.database.transaction() as session:
        await session.execute(text("UPDATE payments.webhook_endpoints SET url = 'https://ü/'"))
    await deliveries.sweep(private)
    errors = "SELECT count(*) FROM payments.webhook_deliveries WHERE error LIKE '%ASCII%'"
    assert await scalar(private, errors) == 2

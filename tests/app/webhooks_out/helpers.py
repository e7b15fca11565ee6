"""Servers of customers, and messages that wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from payments import jobs
from payments.resources import Resources
from payments.webhooks_out.models import Delivery, Endpoint, Message
from payments.webhooks_out.signing import Seal, new_secret
from tests.app.fixtures import ALICE

WAITING = 40
DRIP = 0.2


@dataclass
class Receiver:
    """A client's server: what it was told, and how it answers."""

    url: str = ""
    status: int = 204
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.got.append((dict(request.headers), await request.body()))
        location = {"location": "http://127.0.0.1:1/elsewhere"} if self.status == 302 else {}
        return Response(status_code=self.status, headers=location)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    state = Receiver()
    app = Starlette(routes=[Route("/hooks", state.take, methods=["POST"])])
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    state.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/hooks"
    try:
        yield state
    finally:
        server.should_exit = True
        await running


@dataclass
class Dripping:
    """A server that sends a header line now and then, and never an answer's end."""

    url: str = ""
    begun: int = 0
    held: int = 0
    most: int = 0
    patient: bool = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.begun += 1
        self.held += 1
        self.most = max(self.most, self.held)
        gone = asyncio.create_task(reader.read())
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n")
            while self.patient and not gone.done():
                writer.write(b"x: y\r\n")
                await writer.drain()
                await asyncio.wait({gone}, timeout=DRIP)
        except OSError:
            pass
        finally:
            self.held -= 1
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            writer.close()


@asynccontextmanager
async def dripping() -> AsyncIterator[Dripping]:
    state = Dripping()
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
    yield state
    server.close()


def private(resources: Resources) -> Resources:
    """Return the resources of an installation that tells addresses of this machine."""
    settings = resources.settings.model_copy(update={"webhooks_to_private_addresses": True})
    return replace(resources, settings=settings)


async def fill(
    resources: Resources,
    url: str,
    number: int = WAITING,
    *,
    customer_id: UUID = ALICE,
    queued: int | None = None,
) -> tuple[UUID, list[UUID]]:
    """Have `number` messages wait for a customer's endpoint, the first `queued` with their jobs.

    Returns the endpoint and the messages.
    """
    messages = [uuid4() for _ in range(number)]
    sealed = Seal(resources.settings.session_key_bytes).close(new_secret())
    endpoint = Endpoint(
        id=uuid4(), customer_id=customer_id, url=url, events=["order.paid"], secret=sealed
    )
    async with resources.database.transaction() as session:
        session.add(endpoint)
        for one, message_id in enumerate(messages):
            message = Message(id=message_id, customer_id=customer_id, type="order.paid", data={})
            session.add(message)
            await session.flush()
            delivery = Delivery(
                message_id=message.id, endpoint_id=endpoint.id, next_attempt_at=datetime.now(UTC)
            )
            session.add(delivery)
            await session.flush()
            if queued is None or one < queued:
                await jobs.enqueue(session, jobs.DELIVER_WEBHOOK, {"delivery_id": delivery.id})
    return endpoint.id, messages

"""The jobs that talk to customers' servers: a queue, a runner and a sweep of their own.

A customer decides how long their server takes. Whatever they decide, it must not keep a payment,
a refund or a renewal waiting; so nothing here shares a place with those. Nor another customer's
webhooks; so nobody has all the places there are.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final
from uuid import UUID

from procrastinate import App, BaseConnector
from sqlalchemy import select

from payments import jobs
from payments.resources import Resources
from payments.webhooks_out import deliver as webhooks_out
from payments.webhooks_out import service as endpoints
from payments.webhooks_out.models import Endpoint
from payments.webhooks_out.places import Places
from payments.webhooks_out.signing import Seal
from payments.worker.sweeps import attempt, counted

AT_ONCE: Final = 8
"""Attempts, and jobs. Mostly they wait for somebody else's server, and need nothing of ours."""

JOB_SECONDS: Final = 8.0
"""How long a job begins attempts: with the last one's time, less than `run.STOP_SECONDS`."""
SWEEP_SECONDS: Final = 3.0
"""The same for a sweep, which ends before the next begins."""


def build(connector: BaseConnector, resources: Resources) -> App:
    """Return the runner of deliveries.

    An application of its own: two runners of one would share its clock of periodic jobs.
    """
    app = App(connector=connector)
    places = Places(AT_ONCE)

    # A job says that something is due; whose turn it is shows when there is a place.
    @app.task(name=jobs.DELIVER_WEBHOOK, queue=jobs.DELIVERIES)
    async def deliver_webhook(delivery_id: int) -> None:
        await make_due(resources, places, seconds=JOB_SECONDS)

    @app.periodic(cron="* * * * * */15", periodic_id="sweep-deliveries")
    @app.task(name="sweep-deliveries", queue=jobs.DELIVERIES, queueing_lock="sweep-deliveries")
    async def sweep_by_clock(timestamp: int) -> None:
        await sweep(resources, places)

    @app.periodic(cron="41 * * * *", periodic_id="reseal")
    @app.task(name="reseal", queue=jobs.DELIVERIES, queueing_lock="reseal")
    async def reseal_by_clock(timestamp: int) -> None:
        if resources.settings.previous_session_keys:
            await reseal(resources)

    return app


async def reseal(resources: Resources) -> None:
    """Seal every secret under today's session key: the previous ones can be taken out then."""
    async with resources.database.transaction() as session:
        ids = (await session.scalars(select(Endpoint.id))).all()
    for one in ids:
        await attempt("seal", _reseal, resources, one)


async def _reseal(resources: Resources, endpoint_id: UUID) -> None:
    seal = Seal(*resources.settings.seal_keys)
    async with resources.database.transaction() as session:
        await endpoints.reseal(session, seal, endpoint_id)


async def sweep(resources: Resources, places: Places) -> None:
    """Make the deliveries that are due and that no job points to any more."""
    await make_due(resources, places, seconds=SWEEP_SECONDS)


async def make_due(resources: Resources, places: Places, *, seconds: float) -> None:
    """Make what is due and may take a place, and what may when an attempt has ended.

    After `seconds` no more is begun: what is due then is left to another job, so that nobody who
    waits for this one waits for a backlog.
    """
    until = time.monotonic() + seconds

    async def hand(group: asyncio.TaskGroup) -> None:
        with counted("delivery"):
            while time.monotonic() < until:
                async with webhooks_out.next_due(resources, places) as due:
                    if due is None:
                        return
                    # Another looks for more, now: this one may be busy for ten seconds.
                    group.create_task(hand(group))
                    with counted("delivery", due.delivery_id):
                        await webhooks_out.make(resources, due)
            await webhooks_out.hand_on(resources, places)

    async with asyncio.TaskGroup() as group:
        group.create_task(hand(group))

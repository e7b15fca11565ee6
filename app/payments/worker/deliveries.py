"""The jobs that talk to customers' servers: a queue, a runner and a sweep of their own.

A customer decides how long their server takes. Whatever they decide, it must not keep a payment,
a refund or a renewal waiting; so nothing here shares a place with those.
"""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from procrastinate import App, BaseConnector
from sqlalchemy import select

from payments import jobs
from payments.resources import Resources
from payments.webhooks_out import deliver as webhooks_out
from payments.webhooks_out import service as endpoints
from payments.webhooks_out.models import Endpoint
from payments.webhooks_out.signing import Seal
from payments.worker.sweeps import attempt

SWEPT_AT_ONCE: Final = 16
"""All at the same time: a sweep takes as long as one attempt, and ends before the next begins."""


def build(connector: BaseConnector, resources: Resources) -> App:
    """Return the runner of deliveries.

    An application of its own: two runners of one would share its clock of periodic jobs.
    """
    app = App(connector=connector)

    @app.task(name=jobs.DELIVER_WEBHOOK, queue=jobs.DELIVERIES)
    async def deliver_webhook(delivery_id: int) -> None:
        await webhooks_out.deliver(resources, delivery_id)

    @app.periodic(cron="* * * * * */15", periodic_id="sweep-deliveries")
    @app.task(name="sweep-deliveries", queue=jobs.DELIVERIES, queueing_lock="sweep-deliveries")
    async def sweep_by_clock(timestamp: int) -> None:
        await sweep(resources)

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


async def sweep(resources: Resources) -> None:
    """Make the deliveries that are due and that no job points to any more."""
    async with resources.database.transaction() as session:
        due = await webhooks_out.due(session, most=SWEPT_AT_ONCE)
    await asyncio.gather(
        *(attempt("delivery", webhooks_out.deliver, resources, one) for one in due)
    )

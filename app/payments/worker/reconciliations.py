"""The reconciliations: a queue and a runner of their own, one after the other.

A run goes through all that a gateway lists, however much that is, and several may be wanted at once
after an outage. Meanwhile what repairs payments and watches the books goes on.
"""

from __future__ import annotations

from typing import Final

from procrastinate import App, BaseConnector

from payments import jobs
from payments.ops.logs import get_logger
from payments.reconcile import command as reconciling
from payments.reconcile import health
from payments.resources import Resources

log = get_logger(__name__)

AT_ONCE: Final = 1


def build(connector: BaseConnector, resources: Resources) -> App:
    """Return the runner of reconciliations, an application of its own as `deliveries` is."""
    app = App(connector=connector)

    @app.task(name=jobs.RECONCILE_NOW, queue=jobs.RECONCILIATIONS)
    async def reconcile_now(gateway: str) -> None:
        await reconciling.everything(resources, [resources.gateways.need(gateway)])

    @app.periodic(cron="0 2 * * *", periodic_id="reconcile")
    @app.task(name="reconcile", queue=jobs.RECONCILIATIONS, queueing_lock="reconcile")
    async def reconcile_daily(timestamp: int) -> None:
        await reconciling.everything(resources, resources.gateways)

    # A worker that was down at two has missed it, and so has a gateway that did not answer.
    @app.periodic(cron="23 * * * *", periodic_id="reconcile-missed")
    @app.task(name="reconcile-missed", queue=jobs.RECONCILIATIONS, queueing_lock="reconcile-missed")
    async def reconcile_missed(timestamp: int) -> None:
        await catch_up(resources)

    return app


async def catch_up(resources: Resources) -> None:
    """Enqueue the reconciliations that were missed, each once."""
    missed = await reconciling.missed(resources)
    health.ALERTING.labels("reconciliation_late").set(int(bool(missed)))
    for gateway in missed:
        async with resources.database.transaction() as session:
            args = {"gateway": gateway}
            if await jobs.enqueue_once(session, jobs.RECONCILE_NOW, args):
                log.warning("reconciliation.missed", gateway=gateway)

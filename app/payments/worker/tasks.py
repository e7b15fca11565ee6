"""The jobs, but for `deliveries` to customers' servers and `reconciliations`.

Each says what to look at; what is to be done is read from the database then.

A job may run twice, and may find that somebody else did its work: both are fine. Sweeps by the
clock find what no job points to any more (a job that failed, a worker that died). No job has a
`lock`: one whose worker was killed would hold it for ever, and every later job with it would wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

from procrastinate import App, BaseConnector, RetryStrategy
from procrastinate.jobs import Status

from payments import jobs
from payments.idempotency import store as idempotency
from payments.inbox import service as inbox
from payments.ledger import service as ledger
from payments.orders import repair
from payments.reconcile import health
from payments.refunds import repair as refund_repair
from payments.resources import Resources
from payments.subscriptions import step as subscriptions
from payments.subscriptions import unwanted
from payments.webhooks_out import messages
from payments.worker import invariants
from payments.worker.sweeps import Id, attempt

BATCH: Final = 100
FAILED_JOBS_KEPT_HOURS: Final = 72
STALLED_SECONDS: Final = 120.0
LEARNING: Final = RetryStrategy(max_attempts=8, exponential_wait=4)
"""For what no sweep does: after 4 s, 16 s, 64 s and so on, for six hours in all."""
WITHOUT_SWEEP: Final = (jobs.LEARN_METHOD, jobs.RECONCILE_NOW)
MOST_ATTEMPTS: Final = 5
"""How often a job whose worker died is begun: it may be what kills them."""


def build(connector: BaseConnector, resources: Resources) -> App:
    """Return the job runner's application with every task on it."""
    app = App(connector=connector)
    messages.start()

    @app.task(name=jobs.PROCESS_EVENT, queue=jobs.QUEUE)
    async def process_event(inbox_id: int) -> None:
        await process(resources, inbox_id)

    @app.task(name=jobs.REPAIR_PAYMENT, queue=jobs.QUEUE)
    async def repair_payment(payment_id: str) -> None:
        await repair.repair(resources, UUID(payment_id))

    @app.task(name=jobs.REPAIR_REFUND, queue=jobs.QUEUE)
    async def repair_refund(refund_id: str) -> None:
        await refund_repair.repair(resources, UUID(refund_id))

    @app.task(name=jobs.LEARN_METHOD, queue=jobs.QUEUE, retry=LEARNING)
    async def learn_method(subscription_id: str, payment_id: str) -> None:
        await subscriptions.learn_method(resources, UUID(subscription_id), UUID(payment_id))

    # Every 15 s (croniter has the seconds in the last column, not in the first): what is due and
    # has no job of its own, or one that failed.
    @app.periodic(cron="* * * * * */15", periodic_id="sweep")
    @app.task(name="sweep", queue=jobs.QUEUE, queueing_lock="sweep")
    async def sweep_by_clock(timestamp: int) -> None:
        await sweep(resources)

    @app.periodic(cron="* * * * *", periodic_id="invariants")
    @app.task(name="invariants", queue=jobs.QUEUE, queueing_lock="invariants")
    async def check_invariants(timestamp: int) -> None:
        async with resources.database.transaction() as session:
            await invariants.check_recent(session)

    @app.periodic(cron="30 3 * * *", periodic_id="invariants-all")
    @app.task(name="invariants-all", queue=jobs.QUEUE, queueing_lock="invariants-all")
    async def check_all_invariants(timestamp: int) -> None:
        async with resources.database.transaction() as session:
            await invariants.check(session)

    @app.periodic(cron="* * * * *", periodic_id="failures")
    @app.task(name="failures", queue=jobs.QUEUE, queueing_lock="failures")
    async def watch_failures(timestamp: int) -> None:
        async with resources.database.transaction() as session:
            await health.watch(session)

    @app.periodic(cron="0 6 * * 1", periodic_id="week")
    @app.task(name="week", queue=jobs.QUEUE, queueing_lock="week")
    async def report_weekly(timestamp: int) -> None:
        async with resources.database.transaction() as session:
            await health.report_week(session)

    @app.periodic(cron="*/5 * * * *", periodic_id="expire")
    @app.task(name="expire", queue=jobs.QUEUE, queueing_lock="expire")
    async def expire_by_clock(timestamp: int) -> None:
        await expire(resources)

    @app.periodic(cron="17 * * * *", periodic_id="forget")
    @app.task(name="forget", queue=jobs.QUEUE, queueing_lock="forget")
    async def forget_finished(timestamp: int) -> None:
        await forget(app)

    return app


async def forget(app: App) -> None:
    """Delete jobs that failed long ago, and jobs whose worker is gone: a sweep does their work.

    What no sweep does is begun again.
    """
    manager = app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        if job.task_name in WITHOUT_SWEEP and job.attempts < MOST_ATTEMPTS:
            await manager.retry_job(job)
        else:
            await manager.finish_job(job, status=Status.FAILED, delete_job=True)
    await manager.delete_old_jobs(nb_hours=FAILED_JOBS_KEPT_HOURS, include_failed=True)


async def process(resources: Resources, inbox_id: int) -> None:
    """Try one event again."""
    async with resources.database.transaction() as session:
        await inbox.process(session, inbox_id)


async def sweep(resources: Resources) -> None:
    """Try everything that is due: events, then payments and refunds nobody knows the end of."""
    async with resources.database.transaction() as session:
        events = await inbox.due(session, most=BATCH)
        payments = await repair.due(session, most=BATCH)
        refunds = await refund_repair.due(session, most=BATCH)
        renewals = await subscriptions.due(session, most=BATCH)
        for_nothing = await unwanted.due(session, most=BATCH)
    await _each("event", process, resources, events)
    await _each("payment", repair.repair, resources, payments)
    await _each("refund", refund_repair.repair, resources, refunds)
    await _each("subscription", subscriptions.step, resources, renewals)
    await _each("unwanted money", unwanted.give_back, resources, for_nothing)


async def _each(
    what: str,
    act: Callable[[Resources, Id], Awaitable[object]],
    resources: Resources,
    ids: Sequence[Id],
) -> None:
    """Do what is due one by one."""
    for one in ids:
        await attempt(what, act, resources, one)


async def expire(resources: Resources) -> None:
    """Free holds that ran out and forget keys whose time is over, in small transactions."""
    freed = BATCH
    while freed == BATCH:
        async with resources.database.transaction() as session:
            freed = await ledger.expire_holds(session, most=BATCH)
    forgotten = BATCH
    while forgotten == BATCH:
        async with resources.database.transaction() as session:
            forgotten = await idempotency.forget_expired(session, most=BATCH)

"""Running the worker: its connection, its heartbeat, and stopping without dropping a job."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from procrastinate import App, PsycopgConnector

from payments import jobs, resources
from payments.ops.logs import get_logger
from payments.ops.metrics import BUILD
from payments.probe import HEARTBEAT_FILE
from payments.resources import Resources
from payments.schema.base import SCHEMA
from payments.schema.connect import libpq_parameters
from payments.settings import ServiceSettings
from payments.worker import deliveries, reconciliations, tasks

log = get_logger(__name__)

CONCURRENCY: Final = 4
QUERY_CONNECTIONS: Final = 3
"""With the one that listens, what `stacks` counts for a worker; each is needed for moments."""

HEARTBEAT_SECONDS: Final = 10.0
STOP_SECONDS: Final = 20.0
"""How long running jobs may take to end; then they are aborted and run again elsewhere."""

POLLING_SECONDS: Final = 5.0
OTHER_POLLING_SECONDS: Final = 1.0
"""The other queues are only polled: to listen would take more connections."""


def run(settings: ServiceSettings) -> None:
    """Run jobs until SIGTERM or SIGINT."""
    asyncio.run(_run(settings))


async def _run(settings: ServiceSettings) -> None:
    made = resources.build(settings, name="payments-worker", pool_size=CONCURRENCY + 2)
    BUILD.labels(settings.release).set(1)
    try:
        await made.database.verify_role()
        with libpq_parameters(settings.database, name="payments-worker") as parameters:
            await work(made, parameters)
    finally:
        await made.close()


async def work(made: Resources, parameters: dict[str, object]) -> None:
    """Work until told to stop, or until the database is gone for good."""
    connector = PsycopgConnector(
        # A direct connection, not the pool: LISTEN belongs to a session.
        kwargs={**parameters, "options": f"-c search_path={SCHEMA},pg_temp"},
        min_size=1,
        max_size=QUERY_CONNECTIONS,
    )
    money = tasks.build(connector, made)
    others = {
        jobs.DELIVERIES: (deliveries.build(connector, made), deliveries.AT_ONCE),
        jobs.RECONCILIATIONS: (reconciliations.build(connector, made), reconciliations.AT_ONCE),
    }
    heartbeat = made.settings.run_dir / HEARTBEAT_FILE
    async with money.open_async():
        beating = asyncio.create_task(_beat(heartbeat))
        runners = [
            asyncio.create_task(
                _runner(
                    money,
                    jobs.QUEUE,
                    concurrency=CONCURRENCY,
                    fetch_job_polling_interval=POLLING_SECONDS,
                    listen_notify=True,
                )
            ),
            *(
                asyncio.create_task(
                    _runner(
                        app,
                        queue,
                        concurrency=at_once,
                        fetch_job_polling_interval=OTHER_POLLING_SECONDS,
                        listen_notify=False,
                    )
                )
                for queue, (app, at_once) in others.items()
            ),
        ]
        _stop_on_signals(runners)
        log.info("worker.started")
        try:
            await _until_one_ends(runners)
        finally:
            log.info("worker.stopped")
            beating.cancel()
            heartbeat.unlink(missing_ok=True)


async def _runner(app: App, queue: str, **how: Any) -> None:
    await app.run_worker_async(
        queues=[queue],
        name=queue,
        wait=True,
        shutdown_graceful_timeout=STOP_SECONDS,
        # A sweep every 15 s would leave thousands of finished rows a day.
        delete_jobs="successful",
        install_signal_handlers=False,
        **how,
    )


async def _until_one_ends(runners: Sequence[asyncio.Task[None]]) -> None:
    """Wait for one of them, stop the others, and raise what ended it: alone none is a worker."""
    try:
        await asyncio.wait(runners, return_when=asyncio.FIRST_COMPLETED)
    finally:
        _stop(runners)
        ended = await asyncio.gather(*runners, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


def _stop(runners: Sequence[asyncio.Task[None]]) -> None:
    """Have them fetch no more jobs and wait for the running ones, which a second time would end."""
    for runner in runners:
        if not runner.cancelling():
            runner.cancel()


def _stop_on_signals(runners: Sequence[asyncio.Task[None]]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, runners)


async def _beat(path: Path) -> None:
    """Touch the heartbeat: it stops when this process's loop does, and not when a database does."""
    while True:
        path.touch()
        await asyncio.sleep(HEARTBEAT_SECONDS)

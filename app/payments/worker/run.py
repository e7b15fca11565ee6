"""Running the worker: its connection, its heartbeat, and stopping without dropping a job."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Final

from procrastinate import PsycopgConnector

from payments import jobs, resources
from payments.ops.logs import get_logger
from payments.ops.metrics import BUILD
from payments.probe import HEARTBEAT_FILE
from payments.resources import Resources
from payments.schema.base import SCHEMA
from payments.schema.connect import libpq_parameters
from payments.settings import ServiceSettings
from payments.worker.tasks import build

log = get_logger(__name__)

CONCURRENCY: Final = 4
HEARTBEAT_SECONDS: Final = 10.0
STOP_SECONDS: Final = 20.0
"""How long running jobs may take to end; then they are aborted and run again elsewhere."""

POLLING_SECONDS: Final = 5.0


def run(settings: ServiceSettings) -> None:
    """Run jobs until SIGTERM or SIGINT."""
    asyncio.run(_run(settings))


async def _run(settings: ServiceSettings) -> None:
    made = resources.build(settings, name="payments-worker", pool_size=CONCURRENCY + 1)
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
        max_size=CONCURRENCY + 2,
    )
    app = build(connector, made)
    heartbeat = made.settings.run_dir / HEARTBEAT_FILE
    async with app.open_async():
        beating = asyncio.create_task(_beat(heartbeat))
        working = asyncio.create_task(
            app.run_worker_async(
                queues=[jobs.QUEUE],
                name="payments",
                concurrency=CONCURRENCY,
                wait=True,
                fetch_job_polling_interval=POLLING_SECONDS,
                shutdown_graceful_timeout=STOP_SECONDS,
                # A sweep every 15 s would leave thousands of finished rows a day.
                delete_jobs="successful",
                install_signal_handlers=False,
                listen_notify=True,
            )
        )
        _stop_on_signals(working)
        log.info("worker.started")
        try:
            await working
        except asyncio.CancelledError:
            log.info("worker.stopped")
        finally:
            beating.cancel()
            heartbeat.unlink(missing_ok=True)


def _stop_on_signals(working: asyncio.Task[None]) -> None:
    """Cancel the worker's task: it then fetches no more jobs and waits for the running ones."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, working.cancel)


async def _beat(path: Path) -> None:
    """Touch the heartbeat: it stops when this process's loop does, and not when a database does."""
    while True:
        path.touch()
        await asyncio.sleep(HEARTBEAT_SECONDS)

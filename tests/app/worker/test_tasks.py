"""Jobs: part of their transaction, and nothing waits for a worker that died."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import procrastinate
import pytest
import pytest_asyncio
from procrastinate import App, PsycopgConnector
from sqlalchemy import text

from payments import jobs
from payments.ledger import service as ledger
from payments.money import Money
from payments.resources import Resources
from payments.schema.connect import libpq_parameters
from payments.schema.migrate import SCRIPTS
from payments.worker import invariants, tasks
from tests.app.backends import Cluster
from tests.app.ledger.books import fund
from tests.app.orders.helpers import scalar

COUNT = "SELECT count(*) FROM payments.procrastinate_jobs"


@pytest_asyncio.fixture
async def runner(resources: Resources) -> AsyncIterator[App]:
    """The job runner, as the worker opens it."""
    with libpq_parameters(resources.settings.database, name="tests") as parameters:
        connector = PsycopgConnector(kwargs={**parameters, "options": "-c search_path=payments"})
        made = tasks.build(connector, resources)
        async with made.open_async():
            yield made


def test_the_schema_in_the_migration_is_the_installed_runners() -> None:
    theirs = Path(procrastinate.__file__).parent / "sql" / "schema.sql"
    ours = SCRIPTS / "versions" / f"0006_procrastinate_{version('procrastinate')}.vendored"
    assert ours.read_text() == theirs.read_text(), (
        "the runner was upgraded: its own migrations must become one of ours"
    )


async def test_a_job_exists_only_if_its_transaction_commits(resources: Resources) -> None:
    async def fails() -> None:
        async with resources.database.transaction() as session:
            await jobs.enqueue(session, jobs.PROCESS_EVENT, {"inbox_id": 1})
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await fails()
    assert await scalar(resources, COUNT) == 0


async def test_the_app_may_run_the_queue_with_what_it_is_granted(
    resources: Resources, runner: App
) -> None:
    async with resources.database.transaction() as session:
        await jobs.enqueue(session, jobs.PROCESS_EVENT, {"inbox_id": 1})
    await runner.run_worker_async(wait=False, delete_jobs="successful", listen_notify=False)
    assert await scalar(resources, COUNT) == 0


async def test_a_job_whose_worker_died_stops_nothing(resources: Resources, runner: App) -> None:
    async with resources.database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO payments.procrastinate_jobs (queue_name, task_name, status, args)"
                " VALUES ('payments', 'sweep', 'doing', '{\"timestamp\": 1}')"
            )
        )
        await jobs.enqueue(session, "sweep", {"timestamp": 2})
    await runner.run_worker_async(wait=False, delete_jobs="successful", listen_notify=False)
    assert await scalar(resources, COUNT) == 1, "the new sweep ran although the old one never ended"
    await tasks.forget(runner)
    assert await scalar(resources, COUNT) == 0


async def test_holds_that_ran_out_are_freed_by_the_clock(resources: Resources) -> None:
    async with resources.database.transaction() as session:
        await ledger.post(session, [fund("alice", 100)])
    async with resources.database.transaction() as session:
        await ledger.hold(
            session,
            key="h",
            owner="alice",
            purpose="wallet",
            money=Money(60, "EUR"),
            expires_at=datetime.now(UTC) - timedelta(seconds=1),
        )
    await tasks.expire(resources)
    held = "SELECT sum(held)::int FROM payments.ledger_accounts"
    assert await scalar(resources, held) == 0


@pytest.mark.parametrize(
    ("damage", "invariant"),
    [
        ("UPDATE payments.ledger_accounts SET balance = balance + 1", "balances_equal_entries"),
        ("UPDATE payments.ledger_accounts SET held = 1", "held_equals_holds"),
        (
            "UPDATE payments.ledger_entries SET amount = amount + 1 WHERE amount > 0",
            "transfers_sum_to_zero",
        ),
    ],
)
async def test_damaged_books_are_noticed(
    resources: Resources,
    postgres: Cluster,
    database_name: str,
    damage: str,
    invariant: str,
) -> None:
    import psycopg

    async with resources.database.transaction() as session:
        await ledger.post(session, [fund("alice", 100)])
        assert set((await invariants.check(session)).values()) == {0}
    with psycopg.connect(postgres.superuser_url, dbname=database_name) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(damage)
    async with resources.database.transaction() as session:
        found = await invariants.check(session)
    assert found[invariant] > 0
    assert invariants.VIOLATIONS.labels(invariant)._value.get() == found[invariant]

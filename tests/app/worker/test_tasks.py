"""Jobs: part of their transaction, and nothing waits for a worker that died."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import httpx
import procrastinate
import psycopg
import pytest
import pytest_asyncio
from procrastinate import App, PsycopgConnector
from sqlalchemy import text

from payments import jobs
from payments.ledger import service as ledger
from payments.ledger.service import HOUSE, Entry, Transfer
from payments.money import Money
from payments.resources import Resources
from payments.schema.connect import libpq_parameters
from payments.schema.migrate import SCRIPTS
from payments.worker import invariants, reconciliations, run, tasks
from tests.app.backends import Cluster
from tests.app.ledger.books import fund
from tests.app.orders.helpers import scalar
from tests.app.refunds.test_refunds import ask, paid
from tests.app.stripe_server import StripeServer

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
    # The old one may be forgotten already: the runner makes up for what the last minutes missed.
    left = f"{COUNT} WHERE args ->> 'timestamp' = '2'"
    assert await scalar(resources, left) == 0, "the new sweep ran although the old one never ended"
    await tasks.forget(runner)
    assert await scalar(resources, COUNT) == 0


async def test_what_no_sweep_does_is_begun_again_when_its_worker_died(
    resources: Resources, runner: App
) -> None:
    async with resources.database.transaction() as session:
        for attempts in (0, tasks.MOST_ATTEMPTS):
            await session.execute(
                text(
                    "INSERT INTO payments.procrastinate_jobs"
                    " (queue_name, task_name, status, args, attempts)"
                    " VALUES ('payments', :task, 'doing', '{}', :attempts)"
                ),
                {"task": jobs.LEARN_METHOD, "attempts": attempts},
            )
    await tasks.forget(runner)
    left = "SELECT string_agg(status::text, ',') FROM payments.procrastinate_jobs"
    assert await scalar(resources, left) == "todo", "one that ends every worker is given up"


async def test_reconciliations_take_no_place_of_what_repairs_payments(
    resources: Resources, runner: App
) -> None:
    async with resources.database.transaction() as session:
        for _ in range(run.CONCURRENCY):
            await jobs.enqueue(session, jobs.RECONCILE_NOW, {"gateway": "stripe"})
        await jobs.enqueue(session, jobs.PROCESS_EVENT, {"inbox_id": 1})
    await runner.run_worker_async(
        queues=[jobs.QUEUE], wait=False, delete_jobs="successful", listen_notify=False
    )
    left = "SELECT array_agg(DISTINCT queue_name) FROM payments.procrastinate_jobs"
    assert await scalar(resources, left) == [jobs.RECONCILIATIONS]
    theirs = reconciliations.build(runner.connector, resources)
    assert jobs.RECONCILE_NOW not in runner.tasks
    assert {task.queue for name, task in theirs.tasks.items() if "reconcile" in name} == {
        jobs.RECONCILIATIONS
    }


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


async def test_the_sweep_comes_every_fifteen_seconds(runner: App) -> None:
    (sweep,) = (
        one
        for one in runner.periodic_registry.periodic_tasks.values()
        if one.periodic_id == "sweep"
    )
    start = datetime(2026, 11, 21, 6, 7, 1, tzinfo=UTC).timestamp()
    times = [start]
    for _ in range(5):
        times.append(sweep.croniter.get_next(ret_type=float, start_time=times[-1]))
    assert [int(moment - start) for moment in times[1:]] == [14, 29, 44, 59, 74]


@pytest.mark.parametrize("scope", ["recent", "all"])
@pytest.mark.parametrize(
    ("damage", "invariant"),
    [
        (
            "UPDATE payments.ledger_accounts SET balance = balance + 1",
            "balances_are_the_last_entries",
        ),
        ("UPDATE payments.ledger_accounts SET held = 1 WHERE floor IS NULL", "held_equals_holds"),
        (
            "UPDATE payments.ledger_entries SET amount = amount + 1 WHERE amount > 0",
            "transfers_sum_to_zero",
        ),
        (
            "UPDATE payments.ledger_entries SET balance_after = balance_after + 1",
            "running_balances_follow",
        ),
        (
            "UPDATE payments.ledger_accounts SET owner = 'house', purpose = 'suspense',"
            " balance = -1 WHERE balance < 0",
            "suspense_is_not_below_zero",
        ),
        ("UPDATE payments.orders SET status = 'refunded'", "orders_follow_payments"),
        ("UPDATE payments.payments SET refund_reserved = 1", "refunds_are_reserved"),
        ("UPDATE payments.payments SET disputed = 1", "disputes_are_counted"),
        ("UPDATE payments.payments SET refunded = 1", "payments_are_booked"),
        (
            "INSERT INTO payments.disputes (payment_id, gateway, account, dispute_ref, currency,"
            " amount) SELECT id, 'stripe', 'default', 'dp', 'EUR', 1 FROM payments.payments",
            "disputes_are_booked",
        ),
        (
            "INSERT INTO payments.gateway_payouts (gateway, account, payout_ref, status, currency,"
            " amount) VALUES ('stripe', 'default', 'po', 'paid', 'EUR', 1)",
            "gateway_payouts_are_booked",
        ),
        (
            "INSERT INTO payments.payouts (merchant, request_key, currency, amount, requested_by)"
            " VALUES ('m', 'k', 'EUR', 1, 'ada')",
            "payouts_are_booked",
        ),
        (
            "WITH s AS (INSERT INTO payments.subscriptions (customer_id, request_key, plan,"
            " currency, amount, status, anchor_day) VALUES (gen_random_uuid(), 'k', 'p', 'EUR', 1,"
            " 'active', 1) RETURNING id) INSERT INTO payments.subscription_invoices"
            " (subscription_id, kind, period_start, period_end, currency, amount, order_id)"
            " SELECT s.id, 'period', now(), now(), 'EUR', 1, o.id FROM s, payments.orders o",
            "invoices_follow_orders",
        ),
    ],
)
async def test_damaged_books_are_noticed(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    postgres: Cluster,
    database_name: str,
    damage: str,
    invariant: str,
    scope: str,
) -> None:
    ask = invariants.check if scope == "all" else invariants.check_recent
    await paid(client, stripe_server)
    async with resources.database.transaction() as session:
        assert set((await ask(session)).values()) == {0}
    with psycopg.connect(postgres.superuser_url, dbname=database_name) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(damage)
    async with resources.database.transaction() as session:
        found = await ask(session)
    assert found[invariant] > 0
    assert invariants.VIOLATIONS.labels(invariant, scope)._value.get() == found[invariant]


async def test_what_waits_is_counted_by_kind_and_by_currency(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    stripe_server.refund_status = "pending"
    await ask(resources, 100)
    transfer = Transfer(
        key="odd",
        kind="payment.suspense",
        subject=None,
        entries=(
            Entry(ledger.gateway("stripe", "default"), "gateway_clearing", Money(-700, "EUR")),
            Entry(HOUSE, "suspense", Money(700, "EUR")),
        ),
    )
    async with resources.database.transaction() as session:
        await ledger.post(session, [transfer])
        await invariants.check_recent(session)
    assert invariants.BACKLOG.labels("refunds_unfinished")._value.get() == 1
    assert invariants.SUSPENSE.labels("EUR")._value.get() == 700


async def test_what_was_damaged_long_ago_is_found_by_the_daily_run(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    postgres: Cluster,
    database_name: str,
) -> None:
    await paid(client, stripe_server)
    with psycopg.connect(postgres.superuser_url, dbname=database_name) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE payments.ledger_entries SET created_at = now() - interval '2 hours',"
            " amount = amount + CASE WHEN amount > 0 THEN 1 ELSE 0 END"
        )
    async with resources.database.transaction() as session:
        assert (await invariants.check(session))["transfers_sum_to_zero"] > 0
        assert (await invariants.check_recent(session))["transfers_sum_to_zero"] == 0
    gauge = invariants.VIOLATIONS.labels("transfers_sum_to_zero", "all")
    assert gauge._value.get() > 0, "a recent run that sees nothing does not hide it"

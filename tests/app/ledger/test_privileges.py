"""What the app's login can do to the books: post, and nothing else."""

from __future__ import annotations

import psycopg
import pytest

from payments.db import Database, UnsafeRoleError
from tests.app.backends import APP, MIGRATOR, Cluster

POST = """SELECT payments.ledger_post('[{"key": "k", "kind": "test", "entries": [
    {"owner": "a", "purpose": "suspense", "currency": "EUR", "amount": 5},
    {"owner": "b", "purpose": "suspense", "currency": "EUR", "amount": -5}]}]')"""


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments.ledger_entries SET amount = 6",
        "DELETE FROM payments.ledger_entries",
        "TRUNCATE payments.ledger_entries",
        "INSERT INTO payments.ledger_entries (transfer_id, account_id, currency, amount,"
        " balance_after) SELECT transfer_id, account_id, currency, 1, 1"
        " FROM payments.ledger_entries LIMIT 1",
        "UPDATE payments.ledger_transfers SET kind = 'other'",
        "DELETE FROM payments.ledger_transfers",
        "UPDATE payments.ledger_accounts SET balance = 1000000",
        "UPDATE payments.ledger_accounts SET floor = NULL",
        "INSERT INTO payments.ledger_purposes VALUES ('mint', 'credit', NULL, 1, 'x')",
        "DELETE FROM payments.ledger_holds",
        "SELECT payments.ledger_write('[]', NULL, NULL)",
        "ALTER TABLE payments.ledger_entries DISABLE TRIGGER ALL",
        "CREATE TABLE payments.other (id int)",
        "CREATE SCHEMA other",
        "SET ROLE tests_migrator",
    ],
)
def test_the_app_cannot(postgres: Cluster, database_name: str, statement: str) -> None:
    with postgres.connect(APP, database_name) as connection:
        connection.execute(POST)
        connection.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments.ledger_entries SET amount = 6",
        "DELETE FROM payments.ledger_entries",
        "TRUNCATE payments.ledger_entries",
        "UPDATE payments.ledger_transfers SET kind = 'other'",
        "DELETE FROM payments.ledger_transfers",
        "TRUNCATE payments.ledger_transfers CASCADE",
    ],
)
def test_even_the_owner_cannot_rewrite(
    postgres: Cluster, database_name: str, statement: str
) -> None:
    with postgres.connect(MIGRATOR, database_name) as connection:
        connection.execute(POST)
        connection.commit()
        with pytest.raises(psycopg.Error, match="append-only"):
            connection.execute(statement)


@pytest.mark.parametrize(
    ("login", "why"), [(MIGRATOR, "owns the schema"), ("postgres", "is a superuser")]
)
async def test_the_service_refuses_to_run_as(
    postgres: Cluster, database_name: str, login: str, why: str
) -> None:
    database = Database(postgres.settings(login, database_name), name="tests")
    with pytest.raises(UnsafeRoleError, match=why):
        await database.verify_role()
    await database.close()


async def test_the_service_refuses_a_database_without_tables(postgres: Cluster) -> None:
    with postgres.database("template0") as name:
        database = Database(postgres.settings(APP, name), name="tests")
        with pytest.raises(UnsafeRoleError, match="payments migrate"):
            await database.verify_role()
        await database.close()

"""`payments migrate`: the one-shot step before a release, as the migrator.

Two at once are fine: the second waits for the first under an advisory lock and finds nothing to
do. A statement that cannot get its lock soon gives up (`lock_timeout`), because a migration that
queues for a table makes every request queue behind it; the release stops and is tried again.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from payments.schema.base import SCHEMA
from payments.schema.connect import libpq_parameters
from payments.settings import DatabaseSettings

SCRIPTS: Final = Path(__file__).resolve().parents[2] / "migrations"

LOCK_TIMEOUT: Final = "5s"
WAIT_FOR_OTHER_SECONDS: Final = 300.0
_LOCK: Final = 7_203_550_002


class MigrationError(Exception):
    """The schema was not changed, or only up to the last revision that finished."""


def migrate(settings: DatabaseSettings, revision: str = "heads") -> tuple[str, str]:
    """Bring the schema up to `revision`; returns the revisions before and after.

    Each revision is one transaction. Raises `MigrationError`.
    """
    try:
        with libpq_parameters(settings, name="payments-migrate") as parameters:
            engine = create_engine(
                "postgresql+psycopg://", connect_args=parameters, poolclass=NullPool
            )
            with engine.connect() as connection:
                _lock(connection)
                return _upgrade(connection, revision)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()
        raise MigrationError(f"the database refused: {reason[0] if reason else error}") from error
    except CommandError as error:
        raise MigrationError(str(error)) from error


def config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration; there is no ini file, so that there is one way to run it."""
    made = Config()
    made.set_main_option("script_location", str(SCRIPTS))
    made.set_main_option("path_separator", "os")
    made.attributes["connection"] = connection
    return made


def context_options() -> dict[str, Any]:
    """Return how Alembic compares and records: only our schema, types and defaults included."""
    return {
        "version_table_schema": SCHEMA,
        "include_schemas": True,
        "transaction_per_migration": True,
        "compare_type": True,
        "compare_server_default": True,
    }


def _lock(connection: Connection) -> None:
    deadline = time.monotonic() + WAIT_FOR_OTHER_SECONDS
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):
        if time.monotonic() > deadline:
            raise MigrationError(
                f"another migration has been running for {WAIT_FOR_OTHER_SECONDS:.0f} s; "
                "look at pg_stat_activity for application_name payments-migrate"
            )
        time.sleep(0.2)
    connection.commit()


def _upgrade(connection: Connection, revision: str) -> tuple[str, str]:
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.commit()
    before = _current(connection)
    command.upgrade(config(connection), revision)
    connection.commit()
    return before, _current(connection)


def _current(connection: Connection) -> str:
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    heads = context.get_current_heads()
    connection.commit()
    return ", ".join(heads) or "nothing"

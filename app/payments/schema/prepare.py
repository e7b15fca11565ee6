"""`payments prepare-database`: what only the cluster's administrator can grant. Runs again safely.

Three logins: the administrator (here only), the migrator (owns the schema), the app (uses it).
Migrations grant to the group `payments_app`, which the app's login is put into here, so that
neither migrations nor this depend on what the logins are called. The administrator of a managed
cluster is not a superuser and may be no member of the migrator: it only needs to own the database
and to be allowed to create roles. The migrator creates the schema itself.
"""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import sql

from payments.schema.connect import libpq_parameters
from payments.settings import DatabaseSettings

APP_GROUP: Final = "payments_app"

# A release may run this on two hosts at once; any constant will do.
_LOCK: Final = 7_203_550_001


class PrepareError(Exception):
    """The database could not be prepared; the text says why and what to do."""


def prepare(settings: DatabaseSettings, *, migrator: str, app: str) -> None:
    """Grant both logins what they need in the database of `settings`, and nothing else.

    Raises `PrepareError`.
    """
    if migrator == app:
        raise PrepareError("migrator and app must be two logins: the app must not own its tables")
    try:
        with (
            libpq_parameters(settings, name="payments-prepare") as parameters,
            psycopg.connect(**parameters) as connection,
        ):
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            _check_logins(connection, migrator, app)
            _create_group(connection)
            _grant(connection, migrator, app)
    except psycopg.Error as error:
        raise PrepareError(f"the database refused: {_first_line(error)}") from error


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _check_logins(connection: psycopg.Connection, migrator: str, app: str) -> None:
    rows = connection.execute(
        "SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = ANY(%s)",
        ([migrator, app],),
    ).fetchall()
    found: dict[str, bool] = dict(rows)
    for name in (migrator, app):
        if name not in found:
            raise PrepareError(f"there is no login {name}: create it in the cluster first")
    if found[app]:
        raise PrepareError(
            f"the login {app} is a superuser or bypasses row security: the service refuses to run"
            " as it; make it an ordinary login"
        )


def _create_group(connection: psycopg.Connection) -> None:
    exists = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (APP_GROUP,)).fetchone()
    if exists is None:
        try:
            with connection.transaction():
                connection.execute(
                    sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(APP_GROUP))
                )
        except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            pass  # another database of this cluster is being prepared at the same moment


def _grant(connection: psycopg.Connection, migrator: str, app: str) -> None:
    database = connection.info.dbname
    statements = (
        "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        "GRANT CONNECT, CREATE ON DATABASE {database} TO {migrator}",
        "GRANT CONNECT ON DATABASE {database} TO {group}",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "GRANT {group} TO {app}",
    )
    for statement in statements:
        connection.execute(
            sql.SQL(statement).format(
                database=sql.Identifier(database),
                migrator=sql.Identifier(migrator),
                app=sql.Identifier(app),
                group=sql.Identifier(APP_GROUP),
            )
        )

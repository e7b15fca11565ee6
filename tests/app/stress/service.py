"""The whole service as processes, over a Postgres of its own: everything may be killed."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import psycopg

from payments.api_keys import service as api_keys
from payments.resources import build
from payments.settings import ServiceSettings
from tests.app.backends import APP, TEMPLATE, Cluster, Server, prepared
from tests.app.processes import environment, running

Part = Literal["api", "worker", "postgres"]
PARTS: Final[tuple[Part, ...]] = ("api", "worker", "postgres")
SCOPES: Final = (
    "orders:read", "orders:write", "subscriptions:read", "subscriptions:write", "ledger:write",
)  # fmt: skip


@dataclass
class Service:
    """api, worker and Postgres, each of which may be killed at any moment."""

    server: Server
    cluster: Cluster
    database: str
    env: dict[str, str]
    logs: Path
    port: int
    restarts: int = 0
    """Parts that ended by themselves (a worker whose database is gone), and were started again."""
    _running: dict[Part, tuple[ExitStack, subprocess.Popen[str]]] = field(default_factory=dict)
    _starts: int = 0

    @property
    def url(self) -> str:
        """Where the api listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, part: Part) -> None:
        """Start a part; returns before it is ready, except for Postgres."""
        if part == "postgres":
            self.server.start()
            return
        self._starts += 1
        stack = ExitStack()
        log = self.logs / f"{part}-{self._starts:03d}.log"
        process = stack.enter_context(running(part, self.env, log=log))
        self._running[part] = (stack, process)

    def kill(self, part: Part) -> None:
        """Kill a part at once: SIGKILL, or an immediate stop of Postgres."""
        if part == "postgres":
            self.server.stop(signal.SIGQUIT)
        elif part in self._running:
            self._running.pop(part)[0].close()

    async def supervise(self) -> None:
        """Start again what ended by itself, as the container engine does."""
        while True:
            await asyncio.sleep(0.5)
            for part, (stack, process) in list(self._running.items()):
                if process.poll() is not None:
                    self.restarts += 1
                    stack.close()
                    self.start(part)

    def close(self) -> None:
        """Kill everything."""
        for part in ("api", "worker"):
            self.kill(part)  # type: ignore[arg-type]
        self.server.stop(signal.SIGQUIT)

    def scalar(self, query: str) -> object:
        """Ask the database one thing, as the app."""
        return self.rows(query)[0][0]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database for all there is of something, as the app."""
        with psycopg.connect(self.cluster.url(APP, self.database), sslmode="disable") as db:
            return db.execute(query).fetchall()

    def execute(self, statement: str) -> None:
        """Change something, as the app."""
        with psycopg.connect(self.cluster.url(APP, self.database), sslmode="disable") as db:
            db.execute(statement)

    async def ready(self, seconds: float = 60) -> None:
        """Wait until the api takes connections."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise AssertionError(f"the api did not start: {self.tail()}")

    def tail(self) -> str:
        """Return the last lines of the newest logs."""
        newest = sorted(self.logs.glob("*.log"), key=lambda path: path.stat().st_mtime)[-2:]
        return "\n".join(path.read_text(encoding="utf-8")[-2000:] for path in newest)


@contextmanager
def service(
    folder: Path,
    redis_url: str,
    api_base: str,
    *,
    way: Callable[[int], int] | None = None,
    **more: str,
) -> Iterator[Service]:
    """Give the service on a fresh server; `api_base` is where its gateway is.

    `way` returns the port by which the service reaches the server's.
    """
    logs = folder / "logs"
    logs.mkdir()
    port = _free_port()
    # Not in the test's folder: the server does not run as root, and cannot enter it.
    with tempfile.TemporaryDirectory(prefix="pp-postgres-") as home:
        server = Server(Path(home))
        try:
            server.start()
            cluster = prepared(server.url)
            cluster.create("stress", TEMPLATE)
            reached = replace(cluster, port=way(cluster.port)) if way else cluster
            env = environment(
                reached, "stress", redis_url,
                PAYMENTS_PORT=str(port), PAYMENTS_RUN_DIR=str(folder),
                PAYMENTS_STRIPE_API_BASE=api_base, **more,
            )  # fmt: skip
            made = Service(server, cluster, "stress", env, logs, port)
            try:
                yield made
            finally:
                made.close()
        finally:
            server.stop(signal.SIGQUIT)


async def api_key(settings: ServiceSettings, customer: UUID | None = None) -> str:
    """Make a key for a new customer, in the database that `settings` name."""
    resources = build(settings, name="tests-keys")
    try:
        async with resources.database.transaction() as session:
            made = await api_keys.make(
                session, customer_id=customer or uuid4(), name="tests", scopes=SCOPES, mode="test"
            )
        return made.secret
    finally:
        await resources.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def pick(chance: random.Random) -> Part:
    """Choose what is killed next."""
    return chance.choice(PARTS)


async def let_time_pass(made: Service) -> None:
    """End leases and pauses again and again, as an hour would."""
    later = (
        "UPDATE payments.idempotency_keys SET lease_until = now() WHERE state = 'running'",
        "UPDATE payments.payments SET next_check_at = now() WHERE next_check_at IS NOT NULL",
    )
    while True:
        await asyncio.sleep(3)
        for statement in later:
            await asyncio.to_thread(made.execute, statement)

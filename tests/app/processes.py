"""The service's command, run as a container would run it."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.app.backends import APP, Cluster
from tests.app.fixtures import NO_LIMITS, WEBHOOK_SECRET
from tests.app.stripe_server import KEY

ROOT = Path(__file__).resolve().parents[2] / "app"


def environment(
    cluster: Cluster, database: str, redis_url: str, *, login: str = APP, **more: str
) -> dict[str, str]:
    """Return a container's environment; nothing of ours is inherited."""
    return {
        "PAYMENTS_ENVIRONMENT": "tests",
        "PAYMENTS_RELEASE": "tests",
        "PAYMENTS_DATABASE_URL": cluster.url(login, database),
        "PAYMENTS_CACHE_URL": redis_url,
        "PAYMENTS_ALLOW_PLAINTEXT_BACKENDS": "true",
        "PAYMENTS_PUBLIC_URL": "https://pay.example.com",
        "PAYMENTS_RATE_LIMITS": NO_LIMITS,
        "PAYMENTS_SESSION_KEY": base64.b64encode(bytes(32)).decode(),
        "PAYMENTS_STRIPE_SECRET_KEY": KEY,
        "PAYMENTS_STRIPE_WEBHOOK_SECRETS": WEBHOOK_SECRET,
        "PAYMENTS_HOST": "127.0.0.1",
        "PAYMENTS_METRICS_PORT": "0",
        **more,
    }


def command(
    name: str, env: Mapping[str, str], *, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "payments", *name.split()],
        env=_with_path(env), capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip


@contextmanager
def running(
    name: str, env: Mapping[str, str], *, log: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a command while the block runs; killed at its end if it still lives.

    What it writes goes into `log`, which somebody who lets it write much needs: a pipe that nobody
    reads is full after 64 KiB, and whoever writes into it waits.
    """
    with ExitStack() as stack:
        process = subprocess.Popen(
            [sys.executable, "-m", "payments", name],
            env=_with_path(env),
            stdout=stack.enter_context(log.open("wb")) if log else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def _with_path(env: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env}


def wait_until_well(env: Mapping[str, str], process: subprocess.Popen[str]) -> None:
    """Wait for the image's own health check to be content."""
    deadline = time.monotonic() + 30
    while command("probe", env).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"it did not start: {process.communicate()[0]}")
        time.sleep(0.1)

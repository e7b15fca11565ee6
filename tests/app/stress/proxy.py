"""A network that can be made bad: toxiproxy, built from its pinned Go modules and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

SOURCES: Final = Path(__file__).with_name("toxiproxy")
PACKAGE: Final = "github.com/Shopify/toxiproxy/v2/cmd/server"
TOXICS: Final[dict[str, dict[str, int]]] = {
    "latency": {"latency": 150, "jitter": 150},
    "reset_peer": {"timeout": 50},
    "timeout": {"timeout": 200},
    "slow_close": {"delay": 500},
    "bandwidth": {"rate": 20},
}
"""What is done to a connection; milliseconds, and kB/s (github.com/Shopify/toxiproxy#toxics)."""


def program() -> Path:
    """Return the built proxy; skips the test where there is no Go to build it with."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((SOURCES / name).read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = cache / "payments-tests" / f"toxiproxy-{digest.hexdigest()[:12]}"
    if built.exists():
        return built
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        pytest.skip("toxiproxy is built with Go, and there is none here (https://go.dev/dl/)")
    built.parent.mkdir(parents=True, exist_ok=True)
    part = built.with_name(f".{built.name}.{os.getpid()}")
    done = subprocess.run(
        [go, "build", "-trimpath", "-buildvcs=false", "-o", part, PACKAGE],
        cwd=SOURCES,
        env={**os.environ, "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0", "GOWORK": "off"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"toxiproxy could not be built: {done.stderr.strip()[-300:]}")
    part.rename(built)
    return built


@dataclass(frozen=True)
class Network:
    """Legs that lead somewhere, each of which can be made bad."""

    api: httpx.Client

    def leg(self, name: str, port: int) -> int:
        """Return the port of a way to `port` of this machine."""
        answer = self.api.post(
            "/proxies",
            json={"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{port}"},
        )
        answer.raise_for_status()
        return int(answer.json()["listen"].rpartition(":")[2])

    def spoil(self, leg: str, toxic: str) -> None:
        """Make a leg bad, both ways for what is slow and towards us for the rest."""
        self.api.post(
            f"/proxies/{leg}/toxics",
            json={"name": "bad", "type": toxic, "attributes": TOXICS[toxic]},
        ).raise_for_status()

    def mend(self, leg: str) -> None:
        """Make a leg good again."""
        self.api.delete(f"/proxies/{leg}/toxics/bad").raise_for_status()


@contextmanager
def network() -> Iterator[Network]:
    """Run the proxy while the block runs."""
    binary = program()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        proxy = subprocess.Popen(
            [binary, "-host", "127.0.0.1", "-port", str(port)], stdout=log, stderr=log
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as api:
                _wait(api)
                yield Network(api)
        finally:
            proxy.kill()
            proxy.wait()


def _wait(api: httpx.Client) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            api.get("/version").raise_for_status()
        except httpx.HTTPError:
            assert time.monotonic() < deadline, "toxiproxy did not start"
            time.sleep(0.05)
        else:
            return

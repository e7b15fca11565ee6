"""Run the real engine against the twin: tiny Python programs, a file backend, paper or docker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from twin.paper import PaperWorld
from twin.protocol.resource import Context, Package
from twin.protocol.server import ProviderServers
from twin.store import Store

PASSPHRASE = "a passphrase for tests"


def engine_path() -> Path | None:
    """The folder of the `pulumi` binary and its Python host: env, PATH, or the tools' cache."""
    told = os.environ.get("PULUMI_BIN_DIR")
    if told:
        return Path(told)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    found = shutil.which("pulumi")
    candidates = [Path(found).parent] if found else []
    candidates += sorted(cache.glob("payments-platform/engine/*/"), reverse=True)
    return next((c for c in candidates if (c / "pulumi-language-python").exists()), None)


@dataclass(frozen=True)
class Outcome:
    """What one run of the engine answered."""

    code: int
    output: str
    steps: dict[str, str]
    """The last operation of each resource by its name, `same` left out."""


class Engine:
    """One stack of one program, on a file backend in its own folder."""

    def __init__(self, folder: Path, binaries: Path, ports: dict[str, int]) -> None:
        self.folder = folder
        (folder / "state").mkdir()
        python = Path(sys.executable).parent
        self._env = {
            "PATH": f"{binaries}:{python}:/usr/bin:/bin",
            "HOME": str(folder),
            "PULUMI_HOME": str(folder / "pulumi"),
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DEBUG_PROVIDERS": ",".join(f"{n}:{p}" for n, p in ports.items()),
            "PULUMI_DEBUG_COMMANDS": "true",  # offers --event-log
            "NO_COLOR": "1",
            "VIRTUAL_ENV": sys.prefix,
        }
        (folder / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")
        self.run("stack", "init", "test")

    def program(self, text: str) -> None:
        """Replace the program."""
        (self.folder / "__main__.py").write_text(textwrap.dedent(text))

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `pulumi` itself."""
        done = subprocess.run(
            ["pulumi", "--non-interactive", *args],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Run `pulumi` and do not wait for it."""
        return subprocess.Popen(
            ["pulumi", "--non-interactive", *args],
            cwd=self.folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def up(self, *args: str) -> Outcome:
        """`pulumi up`."""
        return self._change("up", "--yes", "--skip-preview", *args)

    def preview(self, *args: str) -> Outcome:
        """`pulumi preview`."""
        return self._change("preview", *args)

    def refresh(self, *args: str) -> Outcome:
        """`pulumi refresh`."""
        return self._change("refresh", "--yes", "--skip-preview", *args)

    def destroy(self) -> Outcome:
        """`pulumi destroy`."""
        return self._change("destroy", "--yes", "--skip-preview")

    def state(self) -> str:
        """The stack as it lies on disk, secrets encrypted."""
        return next(self.folder.glob("state/.pulumi/stacks/**/test.json")).read_text()

    def resources(self) -> dict[str, dict[str, Any]]:
        """The stack's resources by name, as they lie on disk."""
        return _by_name(json.loads(self.state())["checkpoint"]["latest"])

    def revealed(self) -> dict[str, dict[str, Any]]:
        """The same with secrets shown (asks the engine)."""
        exported = json.loads(self.run("stack", "export", "--show-secrets").stdout)
        return _by_name(exported["deployment"])

    def _change(self, *args: str) -> Outcome:
        log = self.folder / "events.json"
        log.unlink(missing_ok=True)
        done = self.run(*args, "--diff", "--event-log", str(log), check=False)
        steps = {}
        for line in log.read_text().splitlines() if log.exists() else []:
            event = json.loads(line)
            found = event.get("resourcePreEvent", {}).get("metadata")
            if found and found["op"] not in ("same", "refresh"):
                steps[found["urn"].rsplit("::", 1)[1]] = found["op"]
        return Outcome(code=done.returncode, output=done.stdout + done.stderr, steps=steps)


def _by_name(deployment: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["urn"].rsplit("::", 1)[1]: entry for entry in deployment.get("resources", [])}


StartEngine = Callable[..., Engine]


@pytest.fixture
def paper_context() -> Iterator[Context]:
    """A paper world on an empty store."""
    store = Store(":memory:")
    yield Context(config={}, store=store, world=PaperWorld(store), account={})
    store.close()


@pytest.fixture
def start_engine(tmp_path: Path, paper_context: Context) -> Iterator[StartEngine]:
    """`start_engine(package, …)` serves these doubles on paper and makes an empty stack."""
    binaries = engine_path()
    if binaries is None:
        pytest.skip("no Pulumi engine: neither PULUMI_BIN_DIR nor PATH nor the cache has one")
    running: list[ProviderServers] = []

    def start(*packages: Package, context: Context = paper_context) -> Engine:
        servers = ProviderServers(packages, context)
        servers.start()
        running.append(servers)
        folder = tmp_path / f"stack-{len(running)}"
        folder.mkdir()
        return Engine(folder, binaries, servers.ports)

    yield start
    for servers in running:
        servers.stop(grace=1)

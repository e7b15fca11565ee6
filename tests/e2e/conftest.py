"""One platform for all end-to-end tests: an instance of its own, beside whatever runs here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from playwright.sync_api import Browser

from tests.e2e import people
from tools import engine, instance, twin
from tools.paths import ROOT, STACK, Home
from tools.runner import Runner
from twin.ports import first_free

_UP_SECONDS = 1500  # cold: the engine and every image are built first


@dataclass(frozen=True)
class Machine:
    """What stands on the machine that is not another instance's."""

    containers: frozenset[str]
    networks: frozenset[str]
    volumes: frozenset[str]
    processes: frozenset[str]


@dataclass
class Platform:
    """A running instance, and the commands that a person has for it."""

    home: Home
    port: int
    client: Any
    before: Machine
    first_up: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://pay.payments.localhost:{self.port}"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["make", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def make(self, *arguments: str, check: bool = True) -> str:
        running = self.start(*arguments)
        output = running.communicate(timeout=_UP_SECONDS)[0]
        assert not check or running.returncode == 0, f"make {' '.join(arguments)}:\n{output}"
        return output

    def psql(self, statement: str) -> str:
        """Ask the managed database, as its own administrator."""
        label = [f"payments.twin={self.home.instance}", "payments.twin.kind=database"]
        for container in self.client.containers.list(filters={"label": label}):
            if container.exec_run(["sh", "-c", "command -v psql"]).exit_code == 0:
                done = container.exec_run(
                    ["psql", "-p", "25060", "-d", "payments", "-XAtqc", statement],
                    user="postgres",
                )
                assert done.exit_code == 0, done.output.decode()
                return str(done.output.decode().strip())
        pytest.fail("the instance has no database")

    def engine(self, *arguments: str) -> str:
        """Run the engine on the deployed stack."""
        running = twin.find(self.home)
        assert running
        runner = Runner(
            engine=engine.ensure(lambda text: None),
            folder=self.home.path,
            stack=STACK,
            providers=running.debug_providers,
            passphrase_file=instance.passphrase_file(self.home),
        )
        return runner.call(*arguments, what=arguments[0], timeout=300).text

    def look(self) -> Machine:
        """What stands now, other instances' things left out."""

        def is_ours(labels: dict[str, str] | None) -> bool:
            owner = (labels or {}).get("payments.twin")
            return owner in (None, self.home.instance)

        everything = {"all": True, "ignore_removed": True}
        return Machine(
            containers=frozenset(
                it.name for it in self.client.containers.list(**everything) if is_ours(it.labels)
            ),
            networks=frozenset(
                it.name for it in self.client.networks.list() if is_ours(it.attrs.get("Labels"))
            ),
            volumes=frozenset(
                it.name for it in self.client.volumes.list() if is_ours(it.attrs.get("Labels"))
            ),
            processes=frozenset(self._processes()),
        )

    def _processes(self) -> Iterator[str]:
        """Every process that was started for this instance: they all inherit its folder's name."""
        mark = f"PAYMENTS_HOME={self.home.path}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    yield f"{folder.name} {command.decode(errors='replace')}"
            except OSError:
                continue


@pytest.fixture(scope="session")
def engine_client() -> Any:
    """The Docker engine; without one there is nothing to test here."""
    try:
        client = docker.from_env()
        client.ping()
    except (docker.errors.DockerException, requests.RequestException) as error:
        pytest.skip(f"no Docker engine answers: {error}")
    return client


@pytest.fixture(scope="session")
def platform(engine_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that `make up` brought up; taken down at the end whatever happened."""
    home = Home(tmp_path_factory.mktemp("an instance") / "home")
    made = Platform(home=home, port=first_free(9443), client=engine_client, before=_NOTHING)
    made.environment = {
        **{name: value for name, value in os.environ.items() if name != "MAKEFLAGS"},
        "PAYMENTS_HOME": str(home.path),
        "PORT": str(made.port),
    }
    made.before = made.look()
    try:
        made.first_up = made.make("up")
        yield made
    finally:
        if home.path.exists():
            made.make("down", check=False)
        shutil.rmtree(home.run_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def browser(platform: Platform) -> Iterator[Browser]:
    """A module's own: while it is open, nothing else in the process can run an event loop."""
    with people.chromium() as started:
        yield started


_NOTHING = Machine(frozenset(), frozenset(), frozenset(), frozenset())


@pytest.fixture
def times(platform: Platform) -> dict[str, Any]:
    """The phases of the last `make up`, in seconds."""
    found: dict[str, Any] = json.loads((platform.home.logs / "up-times.json").read_text())
    return found

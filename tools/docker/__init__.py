"""The Docker engine: the running one, else one that is installed and started, else what to do.

`DOCKER_HOST` is honoured, and a context of the Docker command line. As root on Debian or Ubuntu a
missing engine is installed from the distribution. Where systemd does not run, dockerd is started as
a process and recorded: `make down` stops it when nothing else uses it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import docker
import requests
from docker.errors import DockerException

from tools import process, system
from tools.errors import ToolError, tail
from tools.paths import cache_folder

OLDEST_API = (1, 41)  # Docker 20.10, Debian 12's: what the twin was tried on
_CALL_SECONDS = 120
_START_SECONDS = 60.0
_DEFAULT_SOCKET = Path("/var/run/docker.sock")


class Report(Protocol):
    """Where progress goes: `note` passes, `say` stays."""

    def note(self, text: str) -> None:
        """What is being done right now."""

    def say(self, text: str) -> None:
        """Something the person should know."""


def ensure(report: Report) -> Any:
    """A client of an engine that answers; the engine is installed and started where we may.

    Sets DOCKER_HOST for everything started from here when a context names another engine. Raises
    ToolError with the exact command for everything a person has to do.
    """
    _follow_context()
    client = _client()
    if client is None:
        _refuse_what_we_cannot_start()
        _install(report)
        _start(report)
        client = _client()
    if client is None:
        raise ToolError(
            "The Docker engine was started but does not answer.",
            "Look at its log: journalctl -u docker, or "
            f"{_record_file().with_suffix('.log')} where systemd does not run.",
        )
    version = client.version()
    api = tuple(int(part) for part in str(version["ApiVersion"]).split("."))
    if api < OLDEST_API:
        raise ToolError(
            f"The Docker engine is too old: {version['Version']}.", "Install 20.10 or newer."
        )
    return client


def connect() -> Any | None:
    """A client of the running engine, or None; starts nothing."""
    _follow_context()
    try:
        return _client()
    except ToolError:
        return None


def describe(client: Any) -> str:
    """`20.10.24 at /var/run/docker.sock`."""
    where = os.environ.get("DOCKER_HOST", f"unix://{_DEFAULT_SOCKET}").removeprefix("unix://")
    return f"Docker {client.version()['Version']} at {where}"


def _client() -> Any | None:
    try:
        client = docker.from_env(timeout=_CALL_SECONDS)
        client.ping()
    except (DockerException, requests.RequestException, OSError) as error:
        text = str(error)
        if "ermission denied" in text:
            raise ToolError(
                "You may not use the Docker engine: you are not in its group.",
                'sudo usermod -aG docker "$USER"   # then log out and in again, or: newgrp docker',
            ) from error
        return None
    return client


def _follow_context() -> None:
    """Take the engine of the Docker command line's context: the SDK knows DOCKER_HOST only."""
    if "DOCKER_HOST" in os.environ:
        return
    config = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker")) / "config.json"
    with contextlib.suppress(OSError, ValueError):
        name = os.environ.get("DOCKER_CONTEXT") or json.loads(config.read_text()).get(
            "currentContext", ""
        )
        if name and name != "default":
            done = process.run(
                ["docker", "context", "inspect", name, "-f", "{{.Endpoints.docker.Host}}"],
                what=f"Reading the Docker context {name}",
            )
            os.environ["DOCKER_HOST"] = done.out.strip()


def _refuse_what_we_cannot_start() -> None:
    named = os.environ.get("DOCKER_HOST")
    if named:
        raise ToolError(
            f"No Docker engine answers at {named} (DOCKER_HOST, or your Docker context).",
            "Start that engine, or unset DOCKER_HOST to use this machine's own.",
        )
    if system.is_root():
        return
    if shutil.which("dockerd"):
        start = "sudo systemctl start docker" if system.runs_systemd() else "sudo dockerd &"
        raise ToolError("The Docker engine is installed but does not run.", start)
    packages = " ".join(_packages())
    raise ToolError(
        "No Docker engine is installed, and only root may install one.",
        f"{system.install_command(_packages())}\n"
        'sudo usermod -aG docker "$USER"   # then log out and in again'
        if system.distribution().uses_apt
        else f"Install a Docker engine (https://docs.docker.com/engine/install/), or {packages}.",
    )


def _packages() -> list[str]:
    # Debian 13 splits the command line off; nothing here needs it, but a person will.
    known = system.distribution()
    split = known.id == "debian" and known.version.isdigit() and int(known.version) >= 13
    return ["docker.io", "docker-cli"] if split else ["docker.io"]


def _install(report: Report) -> None:
    if not shutil.which("dockerd"):
        system.apt_install(_packages(), "no Docker engine answers on this machine", report.say)


def _start(report: Report) -> None:
    if _answers(report, seconds=3.0):  # installing it may have started it
        return
    if system.runs_systemd():
        report.say("starting the Docker engine (systemctl start docker)")
        process.run(["systemctl", "start", "docker"], what="Starting the Docker engine")
    else:
        report.say("starting the Docker engine (dockerd as a process; `make down` stops it again)")
        log = _record_file().with_suffix(".log")
        pid = process.spawn_daemon(["dockerd"], log)
        _record_file().write_text(json.dumps({"pid": pid, "log": str(log)}))
        if not _answers(report, seconds=_START_SECONDS, pid=pid):
            _record_file().unlink(missing_ok=True)
            raise ToolError(
                "The Docker engine does not start here.",
                f"Its whole log: {log}",
                tail(log.read_text(errors="replace"), 8),
            )
    _answers(report, seconds=_START_SECONDS)


def _answers(report: Report, *, seconds: float, pid: int = 0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if _DEFAULT_SOCKET.exists() and _client() is not None:
            return True
        if pid and not process.is_running(pid):
            return False
        report.note("waiting for the Docker engine to answer")
        time.sleep(0.3)
    return False


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Let no `make down` in between stop a dockerd that we started."""
    aside = _record_file().with_suffix(".kept")
    with contextlib.suppress(FileNotFoundError):
        _record_file().rename(aside)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            aside.rename(_record_file())


def stop_ours(report: Report) -> None:
    """Stop a dockerd that we started as a process, unless a container of anyone runs on it."""
    try:
        pid = int(json.loads(_record_file().read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return
    if process.is_running(pid) and "dockerd" in process.command_line(pid):
        client = None if "DOCKER_HOST" in os.environ else _client()
        # One that cannot be asked may be full of other people's containers.
        if client is None or client.containers.list():
            report.say("the Docker engine we started keeps running: other containers use it")
            return
        report.note("stopping the Docker engine that was started for this")
        process.terminate(pid, grace=20.0)
    _record_file().unlink(missing_ok=True)


def _record_file() -> Path:
    return cache_folder() / "dockerd.json"

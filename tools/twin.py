"""The twin as a process of ours: started, asked, stopped, and found again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import process
from tools.bootstrap import environments
from tools.errors import ToolError, tail
from tools.paths import ROOT, Home
from twin import ports

Json = dict[str, Any]
Note = Callable[[str], None]
_READY_SECONDS = 120.0
_STOP_SECONDS = 60.0
_ANSWER_SECONDS = 10.0
_REMOVE_SECONDS = 600.0
_SOURCES = ("twin",)


@dataclass(frozen=True)
class Twin:
    """A running twin, by what it wrote into twin.json."""

    about: Json

    @property
    def pid(self) -> int:
        """Its process."""
        return int(self.about["pid"])

    @property
    def debug_providers(self) -> str:
        """PULUMI_DEBUG_PROVIDERS: where the engine attaches to which provider."""
        return ",".join(f"{name}:{port}" for name, port in self.about["providers"].items())

    def status(self) -> Json:
        """What runs. Raises ToolError when it does not answer."""
        return self._call("GET", "/status", None, _ANSWER_SECONDS)

    def collect(self, keep: Iterable[tuple[str, str]]) -> Json:
        """Remove every resource the engine does not know; `keep` is what it knows (token, id)."""
        return self._call("POST", "/collect", {"keep": [list(it) for it in keep]}, _REMOVE_SECONDS)

    def destroy_all(self) -> Json:
        """Remove everything of the instance."""
        return self._call("POST", "/destroy-all", {}, _REMOVE_SECONDS)

    def _call(self, method: str, path: str, body: Json | None, seconds: float) -> Json:
        request = urllib.request.Request(  # noqa: S310  (the address is the twin's own)
            f"{self.about['admin']['url']}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.about['admin']['token']}",
                "Content-Type": "application/json",
            },
        )
        # A proxy of the machine must not see this: it is a loopback address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=seconds) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise ToolError(f"The twin refused {path} ({error.code}).", details=text) from error
        except (OSError, ValueError) as error:
            raise ToolError(f"The twin does not answer ({error}).") from error
        return found if isinstance(found, dict) else {}


def find(home: Home) -> Twin | None:
    """The running twin of an instance, or None; a file that a killed twin left is not one."""
    try:
        about = json.loads(home.twin_json.read_text())
        twin = Twin(about)
        ours = process.is_running(twin.pid) and "twin" in process.command_line(twin.pid)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return twin if ours else None


def ensure(
    home: Home,
    port: int,
    note: Note,
    *,
    paper: bool = False,
    anew: bool = False,
    firewall: Path | None = None,
) -> Twin:
    """A twin that runs this revision's code on this port, started or found.

    `firewall` is the managed rules' engine; without it the edge does not enforce them. `anew`
    starts the twin again although one runs. Raises ToolError with its log's end when it does not
    come up, or with who holds the port.
    """
    running = find(home)
    wanted = f"{source_digest()} {port} {firewall or ''}".strip()
    marker = home.path / "twin-source"
    if running and not anew and marker.exists() and marker.read_text() == wanted:
        with contextlib.suppress(ToolError):
            running.status()
            return running
    if running:
        note("the twin's code or settings changed: starting it again")
    stop(home, note)
    if not paper:
        require_port(port)
    marker.write_text(wanted)
    options: list[str | Path] = ["--paper"] if paper else []
    if firewall is not None:
        options += ["--firewall", firewall]
    return _start(home, port, note, options)


def require_port(port: int) -> None:
    """Raise ToolError with who holds the port, and the way out, unless it is free."""
    if not ports.is_free(port):
        raise ToolError(
            f"Port {port} is taken by {ports.holder(port)}.",
            f"Stop it, or choose another port: make up PORT={ports.first_free(port + 1)}",
        )


def _start(home: Home, port: int, note: Note, options: list[str | Path]) -> Twin:
    home.twin_json.unlink(missing_ok=True)
    log = home.logs / "twin-process.log"
    log.unlink(missing_ok=True)
    argv: list[str | Path] = [environments(ROOT)["infra"].python, "-m", "twin", "serve",
                              "--home", home.path, "--https-port", str(port)]  # fmt: skip
    pid = process.spawn_daemon([*argv, *options], log, cwd=ROOT)
    note("waiting for the twin")
    deadline = time.monotonic() + _READY_SECONDS
    try:
        while time.monotonic() < deadline:
            if home.twin_json.exists():
                twin = find(home)
                if twin:
                    return twin
            if not process.is_running(pid):
                raise _died(home, log)
            last = tail(log.read_text(errors="replace"), 1)
            note(last or "waiting for the twin")
            time.sleep(0.1)
    except BaseException:
        process.terminate(pid, grace=_STOP_SECONDS)
        raise
    process.terminate(pid, grace=_STOP_SECONDS)
    raise ToolError(
        f"The twin was not ready within {_READY_SECONDS:.0f} s and was stopped.",
        f"Its log: {home.logs / 'twin.log'}",
        tail(log.read_text(errors="replace")),
    )


def _died(home: Home, log: Path) -> ToolError:
    return ToolError(
        "The twin did not start.",
        f"Its whole log: {home.logs / 'twin.log'}",
        tail(log.read_text(errors="replace"), 8),
    )


def stop(home: Home, note: Note) -> None:
    """Stop the twin of an instance, however it was left; machines keep running."""
    running = find(home)
    pids = {running.pid} if running else set()
    pids |= set(processes(home))
    for pid in pids:
        note(f"stopping the twin (process {pid})")
        process.terminate(pid, grace=_STOP_SECONDS)
    home.twin_json.unlink(missing_ok=True)


def processes(home: Home) -> list[int]:
    """Every twin process of this instance, also one that did not come as far as twin.json."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"twin" in words and b"serve" in words and os.fsencode(home.path) in words:
                found.append(int(folder.name))
    return found


def source_digest(root: Path = ROOT) -> str:
    """A digest of the twin's sources: another one means that a running twin is out of date."""
    digest = hashlib.sha256()
    for room in _SOURCES:
        for path in sorted((root / room).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(root)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]

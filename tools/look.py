"""`make status`, `make logs`, `make open`: look at what runs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from tools import process, smoke, twin
from tools.console import Ui
from tools.errors import EXIT_FAILED, ToolError, tail
from tools.paths import STACK, Home
from tools.state import State

_LINES = 40


def status(home: Home, ui: Ui) -> int:
    """Show the instance; the exit code is 0 when the site answers, else 1."""
    running = twin.find(home)
    if running is None:
        ui.say(f"No platform runs from {home.path}: make up" if not home.exists else
               f"The twin of {home.path} does not run: make up brings it back")  # fmt: skip
        return EXIT_FAILED
    found = running.status()
    state = State(home.path, STACK)
    outputs = state.outputs()
    url = str(outputs.get("url", ""))
    ui.console.print(_machines(found.get("machines") or {}))
    resources = sum((found.get("resources") or {}).values())
    ui.say(f"{resources} resources in the twin's clouds, instance {home.instance}")
    ui.say(f"twin process {running.pid}, {found.get('mode')}, https port {found['https_port']}")
    for note in (found.get("machines") or {}).get("notes", []):
        ui.warn(str(note))
    return _site(url, home, ui)


def _site(url: str, home: Home, ui: Ui) -> int:
    if not url:
        ui.say("nothing is deployed yet: make up", style="yellow")
        return EXIT_FAILED
    try:
        code, _ = smoke.get(f"{url.rstrip('/')}/health", home.path / "ca.pem")
    except OSError as error:
        ui.say(f"{url}  does not answer: {error}", style="red")
        return EXIT_FAILED
    ui.say(f"{url}  answers {code}", style="green" if code == 200 else "red")
    return 0 if code == 200 else EXIT_FAILED


def _machines(found: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("machine", "kind", "state", "health", "memory", "addresses"):
        table.add_column(title)
    for machine in found.get("machines", []):
        memory = machine.get("memory_bytes")
        cells = [str(machine.get(key, "")) for key in ("name", "kind", "state", "health")]
        cells.append(f"{memory >> 20} MiB" if memory else "")
        cells.append(" ".join((machine.get("addresses") or {}).values()))
        table.add_row(*map(Text, cells))
    return table


def logs(home: Home, ui: Ui, what: str, *, follow: bool) -> int:
    """Show the last lines of the twin, the last engine run and every container on the droplets."""
    if not home.exists:
        raise ToolError(f"There is no platform in {home.path}.", "make up")
    if follow:
        return _follow(home, what)
    shown = 0
    for name, text in _sources(home):
        if what and what not in name:
            continue
        shown += 1
        ui.say(f"── {name}", style="bold")
        ui.say(tail(text, _LINES) or "(nothing)")
    if not shown:
        names = ", ".join(name for name, _ in _sources(home))
        raise ToolError(f"No log is called {what}.", f"There are: {names}")
    return 0


def _sources(home: Home) -> Iterator[tuple[str, str]]:
    for file in sorted(home.logs.glob("*.log")):
        yield file.stem, file.read_text(errors="replace")
    for address in _hosts(home):
        for container in _ssh(home, address, "docker ps --format {{.Names}}").split():
            yield container, _ssh(home, address, f"docker logs --tail {_LINES} {container} 2>&1")


def _follow(home: Home, what: str) -> int:
    """Follow a container on a droplet when it is named, else the twin's log; until Ctrl-C."""
    argv = ["tail", "-n", str(_LINES), "-F", str(home.logs / "twin.log")]
    for address in _hosts(home) if what else []:
        for container in _ssh(home, address, "docker ps --format {{.Names}}").split():
            if what in container:
                argv = [*_login(home, address), f"docker logs -f --tail {_LINES} {container}"]
    try:
        process.run(argv, check=False, on_line=lambda line: _write(f"{line}\n"))
    except KeyboardInterrupt:
        _write("\n")
    return 0


def _hosts(home: Home) -> list[str]:
    found = State(home.path, STACK).outputs().get("hosts")
    return [str(address) for address in found] if isinstance(found, list) else []


def _login(home: Home, address: str) -> list[str]:
    return ["ssh", "-F", str(home.path / "ssh" / "config"), address]


def _ssh(home: Home, address: str, command: str) -> str:
    done = process.run([*_login(home, address), command], check=False, timeout=30)
    return done.out if done.code == 0 else f"{address}: {tail(done.text, 2)}"


def open_site(home: Home, ui: Ui) -> int:
    """Open the platform's page in a browser, or say its address where there is none."""
    url = str(State(home.path, STACK).outputs().get("url", ""))
    if not url:
        raise ToolError("Nothing is deployed here yet.", "make up")
    ui.say(url)
    opener = shutil.which("xdg-open") or shutil.which("open")
    if opener and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
                   or sys.platform == "darwin"):  # fmt: skip
        process.run([opener, url], check=False, timeout=30)
    return 0


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

"""One command at a time on an instance.

The lock is a file's `flock`: it ends with its holder, however that ends, so it is never stale. The
engine inherits it: while one that lost its parent is still at work, the next command waits its
turn.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tools.errors import ToolError
from tools.process import is_running, terminate


@dataclass(frozen=True, kw_only=True)
class Held:
    """A lock that is ours: the descriptor that children may inherit, and what it says."""

    descriptor: int
    holder: dict[str, Any]


@contextmanager
def hold(path: Path, command: str) -> Iterator[Held]:
    """Hold the lock for a command; the engine inherits its descriptor.

    Raises ToolError that names the holder. A lock file that its holder removed is made anew.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if _end_leftovers(path):
                continue
            raise _held(path) from None
        if _is_at(descriptor, path):
            break
        os.close(descriptor)  # the holder removed the folder between our open and our lock
    try:
        holder = {"pid": os.getpid(), "command": command, "since": _now()}
        note(descriptor, holder)
        yield Held(descriptor=descriptor, holder=holder)
        os.ftruncate(descriptor, 0)  # an earlier holder's name would mislead the next one
    finally:
        os.close(descriptor)


def note(descriptor: int, holder: dict[str, Any]) -> None:
    """Write who holds the lock, for the one who finds it held."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(path: Path) -> dict[str, Any]:
    try:
        holder = json.loads(path.read_text())
        return {"pid": holder["pid"], "engine": 0, **holder}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _end_leftovers(path: Path) -> bool:
    """End what a killed engine left running; True when there was something.

    The language host outlives its engine by minutes, and holds the lock it inherited. Nothing is
    ended while the command or the engine it started still runs.
    """
    holder = _holder(path)
    if not holder or is_running(holder["pid"]) or is_running(holder["engine"]):
        return False
    leftovers = [pid for pid in _processes_with(path) if pid != os.getpid()]
    for pid in leftovers:
        terminate(pid, grace=5.0)
    return bool(leftovers)


def _processes_with(path: Path) -> Iterator[int]:
    """The processes that have a file open."""
    wanted = path.stat()
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            if any(os.path.samestat(link.stat(), wanted) for link in folder.iterdir()):
                yield int(folder.parent.name)


def _held(path: Path) -> ToolError:
    holder = _holder(path)
    if not holder:
        return ToolError("Another command works on this instance.", "Wait until it is done.")
    command = holder.get("command", "")
    if is_running(holder["pid"]):
        return ToolError(
            f"`make {command}` (process {holder['pid']}, since {holder.get('since', '?')}) "
            "works on this instance.",
            "Wait until it is done, or stop it with Ctrl-C there.",
        )
    return ToolError(
        f"`make {command}` was killed, but the engine it started (process {holder['engine']}) "
        "still finishes what it had begun.",
        f"Wait until it is done, or stop it gently: kill -INT {holder['engine']}. "
        "Then run the command again: it recovers.",
    )


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _now() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")

"""One command at a time on an instance.

The lock is a file's `flock`: it ends with its holder, however that ends, so it is never stale. The
engine inherits it: while one that lost its parent is still at work, the next command waits its
turn.
"""

from __future__ import annotations

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
from tools.process import is_running


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
            message = _held(path)
            os.close(descriptor)
            raise message from None
        if _is_at(descriptor, path):
            break
        os.close(descriptor)  # the holder removed the folder between our open and our lock
    try:
        holder = {"pid": os.getpid(), "command": command, "since": _now()}
        note(descriptor, holder)
        yield Held(descriptor=descriptor, holder=holder)
    finally:
        os.close(descriptor)


def note(descriptor: int, holder: dict[str, Any]) -> None:
    """Write who holds the lock, for the one who finds it held."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _held(path: Path) -> ToolError:
    try:
        holder = json.loads(path.read_text())
        pid, command, since = holder["pid"], holder["command"], holder["since"]
    except (OSError, ValueError, KeyError):
        return ToolError("Another command works on this instance.", "Wait until it is done.")
    if is_running(pid):
        return ToolError(
            f"`make {command}` (process {pid}, since {since}) works on this instance.",
            "Wait until it is done, or stop it with Ctrl-C there.",
        )
    engine = holder.get("engine", 0)
    return ToolError(
        f"`make {command}` was killed, but the engine it started (process {engine or '?'}) still "
        "finishes what it had begun.",
        "Wait until it is done"
        + (f", or stop it gently: kill -INT {engine}" if engine else "")
        + ". Then run the command again: it recovers.",
    )


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _now() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")

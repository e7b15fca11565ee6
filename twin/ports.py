"""Which program holds a TCP port."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

_LISTEN = "0A"
_INTERPRETERS = ("python", "node", "java", "ruby")


def is_free(port: int) -> bool:
    """Whether 127.0.0.1:`port` can be listened on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def first_free(start: int) -> int:
    """The first free port from `start` on."""
    return next(port for port in range(start, 65536) if is_free(port))


def holder(port: int) -> str:
    """`nginx (process 812)` for who listens on a port, or that it cannot be seen."""
    inodes = set(_listening(port))
    for folder in Path("/proc").glob("[0-9]*") if inodes else ():
        with contextlib.suppress(OSError):
            for link in (folder / "fd").iterdir():
                target = str(link.readlink())
                if target.startswith("socket:[") and target[8:-1] in inodes:
                    return f"{_name(folder)} (process {folder.name})"
    return "another user's program (`sudo ss -ltnp` names it)"


def _name(process: Path) -> str:
    """A program's name; of an interpreter also what it runs."""
    name = (process / "comm").read_text().strip()
    if not name.startswith(_INTERPRETERS):
        return name
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")[1:]
    return f"{name} {' '.join(words)[:60]}".strip()


def _listening(port: int) -> Iterator[str]:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]

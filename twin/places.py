"""Where an instance of the twin lives: its name, its runtime folder, its files, its port."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import stat
from pathlib import Path
from typing import Any, Final

from twin import ports

_RUN_ROOT: Final = Path("/tmp")  # noqa: S108  (short on purpose: a socket's path ends at 108 bytes)


class PlaceError(Exception):
    """The instance cannot live there; the text says why and what to do. `code`: exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


PORT_TAKEN: Final = 2
ALREADY_RUNNING: Final = 3


def instance_name(home: Path) -> str:
    """`pp-` and six hex digits of the home's absolute path."""
    return f"pp-{hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:6]}"


def own_image(instance: str, reference: str) -> str:
    """What stands in for an image on one instance, built for it; droplets see the real name.

    Two instances on one engine do not overwrite each other's, nor anybody's real image.
    """
    return f"payments-twin/{instance}/{reference}"


def run_directory(instance: str) -> Path:
    """The instance's folder for sockets: ours alone, made when it is missing."""
    folder = _RUN_ROOT / instance
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PlaceError(f"{folder} is not a folder of this user; remove it and try again")
    folder.chmod(0o700)
    return folder


def lock(home: Path) -> int:
    """Hold the home against a second twin for as long as the descriptor is open."""
    descriptor = os.open(home / "twin.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode().strip() or "unknown"
        os.close(descriptor)
        raise PlaceError(
            f"a twin already runs on {home} (process {holder}); stop it with `kill {holder}`",
            ALREADY_RUNNING,
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def check_port(port: int) -> None:
    """PlaceError naming the port and its holder when another process listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise PlaceError(
                f"port {port} is reserved for root; take another, such as PORT=8443", PORT_TAKEN
            ) from None
        except OSError:
            raise PlaceError(
                f"port {port} is taken by {ports.holder(port)}; "
                "stop it or take another with PORT=…",
                PORT_TAKEN,
            ) from None


def write_private(path: Path, value: Any) -> None:
    """JSON in a file that only its owner reads; it appears complete or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file, indent=1)
        file.write("\n")
    temporary.replace(path)

"""Where things are: the project, the caches outside of it, and the folder of one local instance."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tools.errors import ToolError
from twin.places import instance_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "payments"  # the name in Pulumi.yaml
STACK = "local"
_MARKER = ".payments-platform-instance"


def cache_folder() -> Path:
    """What is kept between clones: the engine, toolchains. `$XDG_CACHE_HOME/payments-platform`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    folder = root / "payments-platform"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True)
class Home:
    """The folder of one instance: state, keys, logs. `make down` removes it."""

    path: Path

    @classmethod
    def from_environment(cls) -> Home:
        """`PAYMENTS_HOME`, else `.local` in the project."""
        named = os.environ.get("PAYMENTS_HOME", "")
        return cls((Path(named).expanduser() if named else ROOT / ".local").resolve())

    @property
    def instance(self) -> str:
        """The instance's name: the same for the same folder, and the label on all it starts."""
        return instance_name(self.path)

    @property
    def run_dir(self) -> Path:
        """Unix sockets: short, because a socket's path may have 108 characters only."""
        return Path("/tmp") / self.instance  # noqa: S108  (made 0700 and checked by `prepare`)

    @property
    def state(self) -> Path:
        """The engine's file backend."""
        return self.path / "state"

    @property
    def logs(self) -> Path:
        """What every command and the twin wrote."""
        return self.path / "logs"

    @property
    def twin_json(self) -> Path:
        """How to reach the running twin; written by the twin when it is ready."""
        return self.path / "twin.json"

    @property
    def exists(self) -> bool:
        """Whether an instance lives here, whole or half."""
        return (self.path / _MARKER).exists()

    def prepare(self) -> None:
        """Make the folder and the run folder, both for this user alone.

        Raises ToolError when the folder holds something that is not ours: `make down` would remove
        it.
        """
        if self.path.is_dir() and not self.exists and not _only(self.path, {"lock"}):
            raise ToolError(
                f"{self.path} holds files that `make up` did not make.",
                "Name an empty or a new folder: make up PAYMENTS_HOME=/path/to/folder",
            )
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.path / _MARKER).touch(mode=0o600)
        self.state.mkdir(exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        private_folder(self.run_dir)
        (self.run_dir / "ssh").mkdir(mode=0o700, exist_ok=True)

    def remove(self) -> None:
        """Remove everything but the lock, which is its holder's to remove."""
        shutil.rmtree(self.run_dir, ignore_errors=True)
        if not self.exists:
            return
        for entry in self.path.iterdir():
            if entry.name in {_MARKER, "lock"}:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        (self.path / _MARKER).unlink()  # last: a removal that was cut short is continued


def private_folder(path: Path) -> None:
    """Make a folder in a shared place, ours alone. Raises ToolError when somebody else made it."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ToolError(f"{path} belongs to someone else.", f"Look at it, then: rm -r {path}")
    path.chmod(0o700)


def temporary_home() -> Home:
    """An instance for one preview; its maker removes it."""
    return Home(Path(tempfile.mkdtemp(prefix="payments-preview-")).resolve())


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by this user alone."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    temporary.replace(path)


def _only(folder: Path, names: set[str]) -> bool:
    return {entry.name for entry in folder.iterdir()} <= names

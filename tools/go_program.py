"""Programs that are built from Go modules of ours, and kept in the cache.

What was built lies in `<cache>/<place>/<recipe>/`; the recipe is a digest of the sources, their
pins and the way they are built, so that an unchanged program costs a few hashes. go.sum pins every
source file and `-mod=readonly` makes Go refuse anything else.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import process
from tools.engine import golang
from tools.engine.build import remove_go_caches
from tools.errors import ToolError
from tools.paths import cache_folder

_FLAGS = ("-trimpath", "-buildvcs=false", "-ldflags", "-s -w")
_SECONDS = 600.0
Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Built:
    """A program, and how it came there."""

    program: Path
    origin: str


@dataclass(frozen=True, kw_only=True)
class GoProgram:
    """A program: its file's name, what people call it, its folder in the cache, its module.

    `needed_bytes` is what modules and the build cache of a first build take on the disk.
    """

    name: str
    what: str
    place: str
    sources: Path
    package: str = "."
    needed_bytes: int = 700_000_000

    def recipe(self) -> str:
        """A digest of everything that decides what is built."""
        digest = hashlib.sha256(f"{_FLAGS} {platform.system()} {platform.machine()}".encode())
        for path in sorted(self._files()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()[:12]

    def find(self) -> Path | None:
        """The built program of this revision, or None; builds nothing."""
        program = cache_folder() / self.place / self.recipe() / self.name
        return program if program.exists() else None

    def ensure(self, note: Note) -> Built:
        """The program of this revision, built where it is not yet there.

        Raises ToolError with the cause and the remedy where it cannot be built.
        """
        found = self.find()
        if found is not None:
            return Built(program=found, origin="cached")
        cache = cache_folder()
        folder = cache / self.place
        folder.mkdir(exist_ok=True)
        with self._locked(folder, note):
            found = self.find()
            if found is not None:  # another command built it while we waited
                return Built(program=found, origin="cached")
            program = self._build(folder / self.recipe(), cache, note)
            return Built(program=program, origin="built from Go modules")

    def _build(self, place: Path, cache: Path, note: Note) -> Path:
        free = shutil.disk_usage(cache).free
        if free < self.needed_bytes:
            raise ToolError(
                f"Building {self.what} needs {self.needed_bytes / 1e9:.1f} GB on the disk of "
                f"{cache}, {free / 1e9:.1f} GB are free.",
                "Free some space, or point XDG_CACHE_HOME at another disk.",
            )
        toolchain = golang.find(cache, note)
        work = cache / "go-work"
        temporary = place.with_name(f".tmp-{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            program, environment = temporary / self.name, golang.environment(toolchain, work)
            compile_module(
                toolchain, self.sources, program, environment, note, package=self.package
            )
            shutil.rmtree(place, ignore_errors=True)
            temporary.rename(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        if toolchain.own:
            remove_go_caches(work)
        return place / self.name

    def _files(self) -> Iterator[Path]:
        for path in self.sources.iterdir():
            if path.name in ("go.mod", "go.sum") or path.suffix == ".go":
                yield path

    @contextmanager
    def _locked(self, folder: Path, note: Note) -> Iterator[None]:
        with (folder / "lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                note(f"waiting for another command that is building {self.what}")
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def compile_module(
    toolchain: golang.Toolchain,
    module: Path,
    program: Path,
    environment: dict[str, str],
    note: Note,
    *,
    package: str = ".",
) -> None:
    """Build a main package of a module of ours. Raises ToolError with what Go said."""
    built = 0

    def on_line(line: str) -> None:
        nonlocal built
        if line.startswith("go: downloading"):
            note(line.removeprefix("go: "))
        elif line and " " not in line:
            built += 1
            note(f"compiled {built} packages, now {line}")

    process.run(
        [toolchain.go, "build", "-v", *_FLAGS, "-o", program, package],
        cwd=module,
        env=environment,
        on_line=on_line,
        timeout=_SECONDS,
        what=f"Building {program.name}",
    )

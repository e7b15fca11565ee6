"""The managed rules' engine (`twin/waf/engine`), built from its Go modules and kept in the cache.

What was built lies in `<cache>/waf/<recipe>/`; the recipe is a digest of the sources, their pins
and the way they are built, so that an unchanged engine costs a few hashes. go.sum pins every source
file and `-mod=readonly` makes Go refuse anything else.
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
from tools.paths import ROOT, cache_folder

SOURCES = ROOT / "twin" / "waf" / "engine"
PROGRAM = "payments-waf"
_FLAGS = ("-trimpath", "-buildvcs=false", "-ldflags", "-s -w")
_SECONDS = 600.0
_NEEDED_BYTES = 700_000_000  # modules and build cache of a first build
Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Built:
    """The engine's program, and how it came there."""

    program: Path
    origin: str


def recipe(sources: Path = SOURCES) -> str:
    """A digest of everything that decides what is built."""
    digest = hashlib.sha256(f"{_FLAGS} {platform.system()} {platform.machine()}".encode())
    for path in sorted(_sources(sources)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def find() -> Path | None:
    """The built engine of this revision, or None; builds nothing."""
    program = cache_folder() / "waf" / recipe() / PROGRAM
    return program if program.exists() else None


def ensure(note: Note) -> Built:
    """The engine of this revision, built where it is not yet there.

    Raises ToolError with the cause and the remedy where it cannot be built.
    """
    found = find()
    if found is not None:
        return Built(program=found, origin="cached")
    cache = cache_folder()
    folder = cache / "waf"
    folder.mkdir(exist_ok=True)
    with _locked(folder, note):
        found = find()
        if found is not None:  # another command built it while we waited
            return Built(program=found, origin="cached")
        return Built(program=_build(folder / recipe(), cache, note), origin="built from Go modules")


def _build(place: Path, cache: Path, note: Note) -> Path:
    free = shutil.disk_usage(cache).free
    if free < _NEEDED_BYTES:
        raise ToolError(
            f"Building the managed rules' engine needs {_NEEDED_BYTES / 1e9:.1f} GB on the disk of "
            f"{cache}, {free / 1e9:.1f} GB are free.",
            "Free some space, or point XDG_CACHE_HOME at another disk.",
        )
    toolchain = golang.find(cache, note)
    work = cache / "go-work"
    temporary = place.with_name(f".tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        compile_module(
            toolchain, SOURCES, temporary / PROGRAM, golang.environment(toolchain, work), note
        )
        shutil.rmtree(place, ignore_errors=True)
        temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if toolchain.own:
        remove_go_caches(work)
    return place / PROGRAM


def compile_module(
    toolchain: golang.Toolchain,
    module: Path,
    program: Path,
    environment: dict[str, str],
    note: Note,
) -> None:
    """Build the main package of a module of ours. Raises ToolError with what Go said."""
    built = 0

    def on_line(line: str) -> None:
        nonlocal built
        if line.startswith("go: downloading"):
            note(line.removeprefix("go: "))
        elif line and " " not in line:
            built += 1
            note(f"compiled {built} packages, now {line}")

    process.run(
        [toolchain.go, "build", "-v", *_FLAGS, "-o", program, "."],
        cwd=module,
        env=environment,
        on_line=on_line,
        timeout=_SECONDS,
        what=f"Building {program.name}",
    )


def _sources(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in ("go.mod", "go.sum") or path.suffix == ".go":
            yield path


@contextmanager
def _locked(folder: Path, note: Note) -> Iterator[None]:
    with (folder / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("waiting for another command that is building the managed rules' engine")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield

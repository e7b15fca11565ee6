"""The Pulumi engine: an installed one, else the official download, else built from Go modules.

What was fetched or built is kept in `<cache>/engine/<version>-<recipe>/`, beside `origin.json` that
says how it came there. A folder appears whole or not at all: it is made under another name and
renamed. `PAYMENTS_ENGINE` narrows the choice: `installed`, `own` (never an installed one),
`download` or `build`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.engine import build, download, installed
from tools.engine.installed import Engine
from tools.engine.versions import ENGINE
from tools.errors import ToolError
from tools.paths import cache_folder

__all__ = ["Engine", "ensure"]

_CHOICES = {
    "": ("installed", "download", "build"),
    "own": ("download", "build"),
    "installed": ("installed",),
    "download": ("download",),
    "build": ("build",),
}
Note = Callable[[str], None]


def ensure(note: Note) -> Engine:
    """An engine that works, the quickest way this machine allows.

    `note` is told what a long step is doing. Raises ToolError with the remedy where no way is left.
    """
    choice = os.environ.get("PAYMENTS_ENGINE", "")
    if choice not in _CHOICES:
        raise ToolError(
            f"PAYMENTS_ENGINE={choice} is none of: {', '.join(filter(None, _CHOICES))}."
        )
    ways = _CHOICES[choice]
    if "installed" in ways:
        found = installed.find()
        if found:
            return found
    if ways == ("installed",):
        raise ToolError(
            "No Pulumi engine is installed.", "https://www.pulumi.com/docs/install/, or make up"
        )
    folder = cache_folder() / "engine"
    folder.mkdir(exist_ok=True)
    own = [way for way in ways if way != "installed"]
    found = _cached(folder, own)
    if found is None:
        with _locked(folder, note):
            found = _cached(folder, own) or _make(folder, own, note)
    return found


def _place(folder: Path, way: str) -> Path:
    suffix = "release" if way == "download" else build.recipe()
    return folder / f"{ENGINE}-{suffix}"


def _cached(folder: Path, ways: list[str]) -> Engine | None:
    for way in ways:
        place = _place(folder, way)
        if (place / "origin.json").exists():
            origin = json.loads((place / "origin.json").read_text())["origin"]
            return Engine(folders=(place,), version=ENGINE, origin=f"{origin} (cached)")
    return None


def _make(folder: Path, ways: list[str], note: Note) -> Engine:
    for leftover in folder.glob(".tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    why = ""
    if "download" in ways:
        try:
            note(f"asking for the official release {ENGINE}")
            return _place_whole(folder, "download", lambda target: _fetch(target, folder, note))
        except download.Unreachable as error:
            why = str(error)
            if "build" not in ways:
                raise ToolError(f"The official release cannot be fetched: {why}.") from error
    how = _place_whole(folder, "build", lambda target: build.build(target, cache_folder(), note))
    return Engine(
        folders=how.folders,
        version=how.version,
        origin=f"{how.origin}{f' (no official download: {why})' if why else ''}",
    )


def _fetch(target: Path, folder: Path, note: Note) -> str:
    download.fetch(target, folder / "download-failed.json", note)
    return "the official release, checksum verified"


def _place_whole(folder: Path, way: str, make: Callable[[Path], str]) -> Engine:
    temporary = folder / f".tmp-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        origin = make(temporary)
        (temporary / "origin.json").write_text(json.dumps({"origin": origin, "way": way}))
        place = _place(folder, way)
        shutil.rmtree(place, ignore_errors=True)
        temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Engine(folders=(place,), version=ENGINE, origin=origin)


@contextmanager
def _locked(folder: Path, note: Note) -> Iterator[None]:
    with (folder / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("waiting for another command that is getting the engine")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield

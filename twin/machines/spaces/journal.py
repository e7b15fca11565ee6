"""What was done to the object storage, on disk: replayed at start, so that a restart loses nothing.

One file of facts and one with the body per request, numbered. What a later request made void is
removed: an object that was overwritten or deleted, everything in a bucket that is gone.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A request that changed something: `at` is when, `bucket` and `key` are what."""

    number: int
    at: str
    method: str
    path: str
    query: str
    headers: dict[str, str]

    @property
    def moment(self) -> datetime:
        """When it was served."""
        return datetime.fromisoformat(self.at)

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return unquote(self.path.lstrip("/").partition("/")[0])

    @property
    def key(self) -> str:
        """The object's key; empty for a request on the bucket."""
        return unquote(self.path.lstrip("/").partition("/")[2])

    @property
    def source(self) -> str:
        """`bucket/key` that a copy reads; empty otherwise."""
        return unquote(self.headers.get("x-amz-copy-source", "")).lstrip("/").partition("?")[0]


class Journal:
    """The entries of a folder, oldest first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._entries: dict[int, Entry] = {}
        for file in sorted(folder.glob("*.json")):
            entry = Entry(**json.loads(file.read_text()))
            self._entries[entry.number] = entry
        highest = folder / "highest"
        self._highest = int(highest.read_text()) if highest.exists() else 0
        self._highest = max([self._highest, *self._entries])

    def __iter__(self) -> Iterator[tuple[Entry, bytes]]:
        for entry in list(self._entries.values()):
            yield entry, self._body(entry.number).read_bytes()

    def next_number(self) -> int:
        """The number of the next request; never given twice, since identifiers derive from it."""
        self._highest += 1
        _write(self._folder / "highest", str(self._highest).encode())
        return self._highest

    def add(self, entry: Entry, body: bytes) -> None:
        """Keep a request; it counts once its facts are there."""
        _write(self._body(entry.number), body)
        _write(self._facts(entry.number), json.dumps(asdict(entry)).encode())
        self._entries[entry.number] = entry

    def forget(self, bucket: str, key: str | None = None) -> None:
        """Remove everything about an object, or about a whole bucket.

        An object that something else was copied from stays: the copy is made again from it.
        """
        if key is not None and f"{bucket}/{key}" in {e.source for e in self._entries.values()}:
            return
        for entry in list(self._entries.values()):
            if entry.bucket == bucket and key in (None, entry.key):
                self._facts(entry.number).unlink(missing_ok=True)
                self._body(entry.number).unlink(missing_ok=True)
                del self._entries[entry.number]

    def erase(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._entries.clear()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _facts(self, number: int) -> Path:
        return self._folder / f"{number:010}.json"

    def _body(self, number: int) -> Path:
        return self._folder / f"{number:010}.body"


def _write(path: Path, data: bytes) -> None:
    part = path.with_suffix(path.suffix + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)

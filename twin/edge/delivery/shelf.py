"""What the cache holds: replies by key, the least recently used thrown out first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from multidict import CIMultiDict

MOST_BYTES: Final = 64 * 1024 * 1024
MOST_ENTRIES: Final = 4096
LARGEST: Final = 8 * 1024 * 1024
"""Bytes of the largest reply kept. The real edge takes 512 MB (5 GB on Enterprise): a laptop's
memory does not."""

Key = tuple[str, ...]


@dataclass(kw_only=True)
class Kept:
    """A reply as it was kept. Times in the twin's seconds; `zone`, `host`, `url` for purging."""

    status: int
    reason: str | None
    headers: CIMultiDict[str]
    body: bytes
    stored: float
    fresh_until: float
    may_be_stale: float
    """Seconds after its end that it may stand in for an origin that fails (stale-if-error)."""
    zone: str
    host: str
    url: str
    varies: bool
    """True where the origin answers by Accept-Encoding."""

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return len(self.body) + 1024


class Shelf:
    """A bounded store of replies."""

    def __init__(self, most_bytes: int = MOST_BYTES, most_entries: int = MOST_ENTRIES) -> None:
        self.bytes = 0
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._kept: OrderedDict[Key, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Kept | None:
        """Return a reply and count it as used."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    def put(self, key: Key, kept: Kept) -> None:
        """Keep a reply in the place of an older one, and throw out what no longer fits."""
        self.drop(key)
        self._kept[key] = kept
        self.bytes += kept.size
        while self.bytes > self._most_bytes or len(self._kept) > self._most_entries:
            self.drop(next(iter(self._kept)))

    def drop(self, key: Key) -> None:
        """Throw one out; unknown is fine."""
        gone = self._kept.pop(key, None)
        if gone is not None:
            self.bytes -= gone.size

    def purge(self, wanted: Callable[[Kept], bool]) -> int:
        """Throw out what is wanted gone; returns how many."""
        gone = [key for key, kept in self._kept.items() if wanted(kept)]
        for key in gone:
            self.drop(key)
        return len(gone)

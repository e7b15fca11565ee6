"""The twin's memory: what exists in its clouds, on disk, so that a restart loses nothing.

One SQLite file, written through on every change. A row is a resource as its cloud knows it: its
token, its id, the inputs it was made from and its outputs, both as JSON in the engine's names.
The file holds secrets (database passwords, tokens of the simulated accounts): mode 0600.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resource (
    token TEXT NOT NULL,
    id TEXT NOT NULL,
    inputs TEXT NOT NULL,
    outputs TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    PRIMARY KEY (token, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS document (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (collection, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One resource that exists."""

    token: str
    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


class Store:
    """Resources by (token, id), documents by (collection, key), and counters. Thread-safe."""

    def __init__(self, path: Path | str) -> None:
        if str(path) != ":memory:":
            Path(path).touch(mode=0o600)
            os.chmod(path, 0o600)  # noqa: PTH101  (an older file may be wider)
        self._lock = threading.RLock()
        self.generation = 0
        """Rises with every change of a resource; what is derived from them holds until then."""
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all writes inside, or none, with one flush to disk. Never hold it over an await."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # --- resources ------------------------------------------------------------------------------
    def put(self, token: str, id: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """Record a resource, or replace its record."""
        with self._lock:
            self._db.execute(
                "INSERT INTO resource (token, id, inputs, outputs) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (token, id) DO UPDATE "
                "SET inputs = excluded.inputs, outputs = excluded.outputs",
                (token, id, json.dumps(inputs), json.dumps(outputs)),
            )
            self.generation += 1

    def get(self, token: str, id: str) -> Record | None:
        """The record, or None."""
        with self._lock:
            row = self._db.execute(
                "SELECT token, id, inputs, outputs FROM resource WHERE token = ? AND id = ?",
                (token, id),
            ).fetchone()
        return _record(row) if row else None

    def all(self, token: str | None = None) -> list[Record]:
        """Every record of a type (of all types without one), oldest first."""
        where, args = ("WHERE token = ?", (token,)) if token else ("", ())
        with self._lock:
            rows = self._db.execute(
                f"SELECT token, id, inputs, outputs FROM resource {where} ORDER BY created_at, id",  # noqa: S608
                args,
            ).fetchall()
        return [_record(row) for row in rows]

    def find(self, token: str, **outputs: Any) -> Iterator[Record]:
        """The records of a type whose outputs have these values."""
        for record in self.all(token):
            if all(record.outputs.get(key) == value for key, value in outputs.items()):
                yield record

    def remove(self, token: str, id: str) -> None:
        """Forget a resource; unknown is fine."""
        with self._lock:
            self._db.execute("DELETE FROM resource WHERE token = ? AND id = ?", (token, id))
            self.generation += 1

    # --- documents: what the worlds, the edge and the gateways keep beside resources -----------
    def save(self, collection: str, key: str, value: Any) -> None:
        """Keep a JSON value."""
        with self._lock:
            self._db.execute(
                "INSERT INTO document (collection, key, value) VALUES (?, ?, ?) "
                "ON CONFLICT (collection, key) DO UPDATE SET value = excluded.value",
                (collection, key, json.dumps(value)),
            )

    def load(self, collection: str, key: str) -> Any | None:
        """A kept value, or None."""
        with self._lock:
            row = self._db.execute(
                "SELECT value FROM document WHERE collection = ? AND key = ?", (collection, key)
            ).fetchone()
        return json.loads(row[0]) if row else None

    def items(self, collection: str) -> dict[str, Any]:
        """All of a collection, by key."""
        with self._lock:
            rows = self._db.execute(
                "SELECT key, value FROM document WHERE collection = ? ORDER BY key", (collection,)
            ).fetchall()
        return {key: json.loads(value) for key, value in rows}

    def drop(self, collection: str, key: str) -> None:
        """Forget a document; unknown is fine."""
        with self._lock:
            self._db.execute(
                "DELETE FROM document WHERE collection = ? AND key = ?", (collection, key)
            )

    def next(self, counter: str, start: int = 1) -> int:
        """The next number of a counter: never given twice, not even after a restart."""
        with self._lock:
            row = self._db.execute(
                "INSERT INTO counter (name, value) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
                (counter, start),
            ).fetchone()
        return int(row[0])


def _record(row: tuple[str, str, str, str]) -> Record:
    return Record(token=row[0], id=row[1], inputs=json.loads(row[2]), outputs=json.loads(row[3]))

"""What a gateway knows, on disk: objects by kind."""

from __future__ import annotations

import copy
import secrets
import string
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from twin.store import Store

Object = dict[str, Any]
ALPHABET = string.ascii_letters + string.digits


class Table:
    """Objects of one kind, all in memory, written through to the store. Oldest first."""

    def __init__(self, store: Store, gateway: str, name: str) -> None:
        self._store = store
        self._collection = f"{gateway}/{name}"
        self._counter = f"{gateway}/sequence"
        self.reload()

    def reload(self) -> None:
        """Read everything again from the store."""
        rows = self._store.items(self._collection)
        ordered = sorted(rows.items(), key=lambda row: row[1]["sequence"])
        self._rows: dict[str, Object] = dict(ordered)

    def put(self, id: str, value: Object) -> None:
        """Keep an object, new or changed."""
        known = self._rows.get(id)
        sequence = known["sequence"] if known else self._store.next(self._counter)
        row = {"sequence": sequence, "value": copy.deepcopy(value)}
        self._rows[id] = row
        self._store.save(self._collection, id, row)

    def get(self, id: str) -> Object | None:
        """Return a copy of an object, or None."""
        row = self._rows.get(id)
        return copy.deepcopy(row["value"]) if row else None

    def drop(self, id: str) -> None:
        """Forget an object."""
        self._rows.pop(id, None)
        self._store.drop(self._collection, id)

    def newest_first(self) -> Iterator[Object]:
        """Every object, the newest first; to be read only."""
        for row in reversed(list(self._rows.values())):
            yield row["value"]

    def items(self) -> list[tuple[str, Object]]:
        """Every id with its object; to be read only."""
        return [(id, row["value"]) for id, row in self._rows.items()]

    def __len__(self) -> int:
        return len(self._rows)


class Book:
    """Every table of one gateway, and the events that changes cause.

    `on_event` is called with each new event inside the transaction of the change that caused it:
    what it keeps in a table of this book is kept together with the change.
    """

    def __init__(self, store: Store, gateway: str, names: Iterable[str]) -> None:
        self.store = store
        self.gateway = gateway
        self.tables: dict[str, Table] = {}
        self.on_event: Callable[[Object], None] = lambda event: None
        for name in ("event", "idempotency", *names):
            self.add(name)

    def add(self, name: str) -> Table:
        """Open a table; its changes are part of the transactions."""
        return self.tables.setdefault(name, Table(self.store, self.gateway, name))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside and their events are kept, or none."""
        try:
            with self.store.transaction():
                yield
        except BaseException:
            for table in self.tables.values():
                table.reload()
            raise

    def record(self, event: Object) -> None:
        """Keep an event (its `id`, its `type`) and send it out; only inside a transaction."""
        self.tables["event"].put(event["id"], event)
        self.on_event(event)


def new_id(prefix: str = "", length: int = 24, alphabet: str = ALPHABET) -> str:
    """Return a fresh id of a gateway's form."""
    return prefix + "".join(secrets.choice(alphabet) for _ in range(length))

"""What the gateway knows, on disk: objects by kind, and how they are told apart and told about."""

from __future__ import annotations

import copy
import secrets
import string
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twin.gateways.stripe.errors import missing
from twin.store import Store

API_VERSION = "2026-10-28.endive"
"""The version that events are rendered in: the one that the official client 16.1.0 pins."""
Object = dict[str, Any]
_ALPHABET = string.ascii_letters + string.digits
_KINDS = {
    "session": ("checkout.session", "cs_"),
    "payment_intent": ("payment_intent", "pi_"),
    "charge": ("charge", "ch_"),
    "refund": ("refund", "re_"),
    "customer": ("customer", "cus_"),
    "event": ("event", "evt_"),
    "balance_transaction": ("balance transaction", "txn_"),
}


class Table:
    """Objects of one kind, all in memory, written through to the store. Oldest first."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._collection = f"stripe/{name}"
        self.reload()

    def reload(self) -> None:
        """Read everything again from the store."""
        rows = self._store.items(self._collection)
        ordered = sorted(rows.items(), key=lambda row: row[1]["sequence"])
        self._rows: dict[str, Object] = dict(ordered)

    def put(self, id: str, value: Object) -> None:
        """Keep an object, new or changed."""
        known = self._rows.get(id)
        sequence = known["sequence"] if known else self._store.next("stripe/sequence")
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


class State:
    """Every table, and the events that changes cause.

    `on_event` is called with each new event inside the transaction of the change that caused it:
    what it keeps in a table of `extra_tables` is kept together with the change.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tables = {kind: Table(store, kind) for kind in _KINDS}
        self.line_items = Table(store, "line_items")
        self.idempotency = Table(store, "idempotency")
        self.extra_tables: list[Table] = []
        self.on_event: Callable[[Object], None] = lambda event: None
        self.request: Object = {"id": None, "idempotency_key": None}

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside and their events are kept, or none."""
        try:
            with self.store.transaction():
                yield
        except BaseException:
            own = (*self.tables.values(), self.line_items, self.idempotency)
            for table in (*own, *self.extra_tables):
                table.reload()
            raise

    def get(self, kind: str, id: str, param: str = "id") -> Object:
        """Return an object; raises StripeError 404 when there is none."""
        found = self.tables[kind].get(id)
        if found is None:
            raise missing(_KINDS[kind][0], id, param)
        return found

    def put(self, kind: str, value: Object) -> None:
        """Keep an object."""
        self.tables[kind].put(value["id"], value)

    def by_id(self, id: str) -> Object | None:
        """Return the object with an id, whatever its kind."""
        for kind, (_, prefix) in _KINDS.items():
            if id.startswith(prefix):
                return self.tables[kind].get(id)
        return None

    def emit(self, type: str, value: Object, previous: Object | None = None) -> None:
        """Record an event about an object as it is now; only inside a transaction."""
        data: Object = {"object": copy.deepcopy(value)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = {
            "id": new_id("evt_"),
            "object": "event",
            "api_version": API_VERSION,
            "created": int(time.time()),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": dict(self.request),
            "type": type,
        }
        self.put("event", event)
        self.on_event(event)


def new_id(prefix: str, length: int = 24) -> str:
    """Return a fresh id of the gateway's form."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length))

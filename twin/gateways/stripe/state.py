"""What the gateway knows, on disk: objects by kind, and how they are told apart and told about."""

from __future__ import annotations

import copy
import time

from twin.gateways.common.tables import Book, Object, Table, new_id
from twin.gateways.stripe.errors import missing
from twin.store import Store

__all__ = ["API_VERSION", "Object", "State", "Table", "new_id"]

API_VERSION = "2026-10-28.endive"
"""The version that events are rendered in: the one that the official client 16.1.0 pins."""
_KINDS = {
    "session": ("checkout.session", "cs_"),
    "payment_intent": ("payment_intent", "pi_"),
    "charge": ("charge", "ch_"),
    "refund": ("refund", "re_"),
    "customer": ("customer", "cus_"),
    "event": ("event", "evt_"),
    "balance_transaction": ("balance transaction", "txn_"),
    "payment_method": ("PaymentMethod", "pm_"),
    "dispute": ("dispute", "du_"),
    "payout": ("payout", "po_"),
}
_OWN = ("line_items", "plan", "blocked", "payout_items")
"""What the gateway keeps for itself."""


class State(Book):
    """Every table of the account."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, "stripe", (*_KINDS, *_OWN))
        self.request: Object = {"id": None, "idempotency_key": None}

    @property
    def line_items(self) -> Table:
        """What belongs to a session and is not part of it."""
        return self.tables["line_items"]

    @property
    def idempotency(self) -> Table:
        """Answers by idempotency key."""
        return self.tables["idempotency"]

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
        self.record(event)

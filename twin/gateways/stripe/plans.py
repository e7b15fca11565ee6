"""What will happen to an object a moment later: a refund that fails, a dispute that opens."""

from __future__ import annotations

import time
from collections.abc import Iterator

from twin.gateways.stripe.state import Object, State

SOON = 2.0
"""Seconds until then; at the real gateway it is minutes, or days."""


def plan(state: State, what: str, id: str, **more: str) -> None:
    """Let `what` happen to an object soon; only inside a transaction."""
    due = time.time() + SOON
    state.tables["plan"].put(f"{what}/{id}", {"what": what, "id": id, "due": due, **more})


def due(state: State) -> Iterator[tuple[str, Object]]:
    """Return what is to happen now, with the key to drop it by."""
    now = time.time()
    for key, each in state.tables["plan"].items():
        if each["due"] <= now:
            yield key, each

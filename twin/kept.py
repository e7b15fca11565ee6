"""What a cloud keeps although its resource was deleted: the provider's Delete is empty.

A zone's setting, its bots, its look at leaked passwords stay as they were set last, until somebody
sets them again. The doubles say `keep` when such a resource is deleted; whoever carries out what is
deployed asks `in_force`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from twin.store import Store

_COLLECTION: Final = "kept"


def keep(store: Store, token: str, id: str, outputs: Mapping[str, Any]) -> None:
    """A resource is about to lose its record, and changes nothing by that."""
    store.save(f"{_COLLECTION} {token}", id, dict(outputs))


def left(store: Store, token: str, id: str) -> dict[str, Any] | None:
    """What a deleted resource left behind; None where there was none."""
    found: dict[str, Any] | None = store.load(f"{_COLLECTION} {token}", id)
    return found


def in_force(store: Store, token: str) -> Iterator[dict[str, Any]]:
    """The outputs of all resources of a type, and of those that were deleted and not made again."""
    records = store.all(token)
    alive = {record.id for record in records}
    for id, outputs in store.items(f"{_COLLECTION} {token}").items():
        if id not in alive:
            yield outputs
    for record in records:
        yield record.outputs

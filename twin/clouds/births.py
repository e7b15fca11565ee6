"""Ids that survive a crash: a resource's id is on disk before the world is asked for it.

A create that dies half-way (the twin is killed, the world fails) has left its id under the key that
identifies the resource in its cloud: its name, mostly. The next create with that key goes on with
the same id, and since the world's operations are idempotent it finds what it had made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from twin.protocol.resource import Context
from twin.store import Store

_lock = threading.Lock()
_taken: WeakKeyDictionary[Store, set[tuple[str, str]]] = WeakKeyDictionary()
"""Ids that this process handed out: another create of the same key must not get them again."""


@contextmanager
def birth(ctx: Context, token: str, key: str, make: Callable[[], str]) -> Iterator[str]:
    """The id to create a resource under: the one an unfinished create left, else a new one."""
    collection = _collection(token)
    with _lock:
        taken = _taken.setdefault(ctx.store, set())
        left = ctx.store.load(collection, key)
        adopt = left is not None and (token, left) not in taken and not ctx.store.get(token, left)
        id = str(left) if adopt else make()
        taken.add((token, id))
        ctx.store.save(collection, key, id)
    try:
        yield id
    except BaseException:
        taken.discard((token, id))
        raise


def forget(ctx: Context, token: str, id: str) -> None:
    """The resource is deleted: its key is free again."""
    collection = _collection(token)
    with _lock:
        for key, known in ctx.store.items(collection).items():
            if known == id:
                ctx.store.drop(collection, key)
        _taken.setdefault(ctx.store, set()).discard((token, id))


def unfinished(ctx: Context, token: str) -> list[str]:
    """Ids of creates that died and were not gone on with; those that run are not among them."""
    with _lock:
        taken = _taken.setdefault(ctx.store, set())
        known = [str(id) for id in ctx.store.items(_collection(token)).values()]
        return [id for id in known if (token, id) not in taken and not ctx.store.get(token, id)]


def _collection(token: str) -> str:
    return f"births {token}"

"""Small words for the doubles' rules: what is known yet, ids and times as the clouds write them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from twin.protocol.resource import UNKNOWN

_locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)


def known(inputs: Mapping[str, Any], name: str) -> Any:
    """An input's value; None when it was not given or a preview does not know it yet."""
    value = inputs.get(name)
    return None if value is UNKNOWN else value


def unset(inputs: Mapping[str, Any], name: str) -> bool:
    """True when the program did not give the input (one that is not known yet was given)."""
    return inputs.get(name) is None


def items(inputs: Mapping[str, Any], name: str) -> Iterator[tuple[int, Any]]:
    """The known elements of a list input, with their positions."""
    for index, value in enumerate(known(inputs, name) or ()):
        if value is not UNKNOWN:
            yield index, value


def listed(values: Iterable[object]) -> str:
    """`a, b or c`."""
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def new_uuid() -> str:
    """A random UUID as text."""
    return str(uuid4())


def now() -> str:
    """The time as the APIs write it: `2026-11-21T08:00:00Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def exclusive(name: str) -> threading.RLock:
    """The lock of one thing in a cloud (a cluster, an address range), by name."""
    return _locks[name]

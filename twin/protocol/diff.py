"""What differs between two sets of inputs, and whether a difference needs a new resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

from twin.protocol.check import join
from twin.protocol.resource import UNKNOWN, Props
from twin.protocol.schema import Property, Shape, Type
from twin.protocol.values import canonical

Types = Mapping[str, Shape]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One property that differs: `path` in the engine's form, `top` the input that holds it."""

    path: str
    top: str
    kind: Literal["add", "delete", "update"]
    replace: bool


def differences(olds: Props, news: Props, shape: Shape, types: Types) -> list[Difference]:
    """Every difference, deepest paths first told apart; the order of sets means nothing."""
    found = []
    for name, prop in shape.properties.items():
        for path, kind, replace in _compare(olds.get(name), news.get(name), prop, types, name):
            found.append(Difference(path=path, top=name, kind=kind, replace=replace))
    return found


_Found = tuple[str, Literal["add", "delete", "update"], bool]


def _compare(old: Any, new: Any, prop: Property, types: Types, path: str) -> Iterator[_Found]:
    yield from _typed(old, new, prop.type, types, path, replace=prop.replace)


def _typed(
    old: Any, new: Any, kind: Type, types: Types, path: str, *, replace: bool
) -> Iterator[_Found]:
    if old is None and new is None:
        return
    if old is None or new is None:
        yield path, "add" if old is None else "delete", replace or _forces(kind, types)
    elif new is UNKNOWN or old is UNKNOWN:
        yield path, "update", replace or _forces(kind, types)
    elif kind.kind == "object" and isinstance(old, dict) and isinstance(new, dict):
        for name, prop in types[kind.name].properties.items():
            below = _compare(old.get(name), new.get(name), prop, types, join(path, name))
            for at, what, force in below:
                yield at, what, force or replace
    elif kind.kind == "set":
        if sorted(map(canonical, old)) != sorted(map(canonical, new)):
            yield path, "update", replace or _forces(kind, types)
    elif kind.kind == "list" and kind.of:
        for i, (before, after) in enumerate(zip_longest(old, new)):
            yield from _typed(before, after, kind.of, types, f"{path}[{i}]", replace=replace)
    elif kind.kind == "map" and kind.of:
        for key in sorted({*old, *new}):
            at = f'{path}["{key}"]'
            yield from _typed(old.get(key), new.get(key), kind.of, types, at, replace=replace)
    elif old != new:
        yield path, "update", replace


def _forces(kind: Type, types: Types) -> bool:
    """Whether a whole value of this type that comes or goes holds a property that replaces."""
    while kind.of:
        kind = kind.of
    return kind.kind == "object" and any(p.replace for p in types[kind.name].properties.values())

"""Inputs against their schema: unknown, missing, of the wrong type, not in the list, in conflict.

As strict as the real providers, whose bridges refuse at preview what their APIs would refuse at
apply. Unknown values (of a preview) pass every rule.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from twin.protocol.resource import UNKNOWN, Failure, Props
from twin.protocol.schema import Property, Shape, Type

Types = Mapping[str, Shape]

_NOUNS = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "set": "a list",
    "map": "a map",
    "object": "an object",
}


def check(inputs: Props, shape: Shape, types: Types, path: str = "") -> list[Failure]:
    """Every failure of a property bag, the nested ones included."""
    failures = list(_unknown_properties(inputs, shape.properties, path))
    for name, prop in shape.properties.items():
        value = inputs.get(name)
        if value is None:
            if prop.required:
                failures.append(Failure(join(path, name), "is required and was not given"))
        else:
            failures += _value(value, prop, types, join(path, name))
    failures += _groups(inputs, shape, path)
    return failures


def fill(inputs: Props, shape: Shape, types: Types) -> Props:
    """The inputs with the provider's defaults, nested ones included."""
    filled = {**shape.defaults, **inputs}
    for name, prop in shape.properties.items():
        if name in filled:
            filled[name] = _fill(filled[name], prop.type, types)
    return filled


def join(path: str, name: str) -> str:
    """`rules[0]` and `ports` make `rules[0].ports`."""
    return f"{path}.{name}" if path else name


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean "size"?`, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _unknown_properties(
    inputs: Props, known: Mapping[str, Property], path: str
) -> Iterator[Failure]:
    for name in inputs:
        if name not in known and not name.startswith("__"):
            yield Failure(
                join(path, name), f"is not a property of this type{suggestion(name, known)}"
            )


def _groups(inputs: Props, shape: Shape, path: str) -> Iterator[Failure]:
    def given(group: tuple[str, ...]) -> list[str]:
        return [name for name in group if inputs.get(name) is not None]

    for group in (*shape.conflicts, *shape.exactly_one):
        if len(both := given(group)) > 1:
            yield Failure(join(path, both[1]), f'conflicts with "{both[0]}"; give only one')
    for group in (*shape.at_least_one, *shape.exactly_one):
        if not given(group):
            names = ", ".join(f'"{name}"' for name in group)
            yield Failure(path, f"needs one of {names}")


def _value(value: Any, prop: Property, types: Types, path: str) -> list[Failure]:
    failures = _typed(value, prop.type, types, path)
    if failures or value is UNKNOWN:
        return failures
    elements = value if isinstance(value, list) else [value]
    for element in elements:
        if element is UNKNOWN:
            continue
        if prop.values and element not in prop.values:
            allowed = ", ".join(str(v) or '""' for v in prop.values)
            near = suggestion(str(element), [str(v) for v in prop.values])
            failures.append(Failure(path, f'"{element}" is not one of {allowed}{near}'))
        elif prop.format and not prop.format.fullmatch(str(element)):
            failures.append(Failure(path, f'"{element}" does not match {prop.format.pattern}'))
    return failures


def _typed(value: Any, kind: Type, types: Types, path: str) -> list[Failure]:
    if value is UNKNOWN or kind.kind == "any":
        return []
    if not _is(value, kind.kind):
        got = "null" if value is None else type(value).__name__
        return [Failure(path, f"must be {_NOUNS[kind.kind]}, not {got} {_short(value)}".rstrip())]
    if kind.kind == "object":
        return check(value, types[kind.name], types, path)
    if kind.of is None:
        return []
    items: Iterable[tuple[str, Any]] = (
        ((f"{path}[{i}]", item) for i, item in enumerate(value))
        if isinstance(value, list)
        else ((f'{path}["{key}"]', item) for key, item in value.items())
    )
    return [failure for at, item in items for failure in _typed(item, kind.of, types, at)]


def _is(value: Any, kind: str) -> bool:
    if kind in ("list", "set"):
        return isinstance(value, list)
    if kind in ("map", "object"):
        return isinstance(value, dict)
    if kind == "string":
        # Numbers and bools pass as the engine's bridges pass them: they are written as text.
        return isinstance(value, (str, bool, int, float))
    if kind == "boolean":
        return isinstance(value, bool) or value in ("true", "false")
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return False
    if isinstance(number, bool) or not isinstance(number, (int, float)) or math.isnan(number):
        return False
    return kind == "number" or float(number).is_integer()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 and isinstance(value, (str, int, float)) else ""


def _fill(value: Any, kind: Type, types: Types) -> Any:
    if value is UNKNOWN:
        return value
    if kind.kind == "object":
        return fill(value, types[kind.name], types)
    if kind.of is None:
        return _coerce(value, kind.kind)
    if isinstance(value, list):
        return [_fill(item, kind.of, types) for item in value]
    return {key: _fill(item, kind.of, types) for key, item in value.items()}


def _coerce(value: Any, kind: str) -> Any:
    """Scalars in the schema's type, as the bridges convert them (`"80"` for an integer is 80)."""
    if kind == "string" and not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "boolean" and isinstance(value, str):
        return value == "true"
    if kind == "integer":
        return int(float(value))
    if kind == "number" and isinstance(value, str):
        return float(value)
    return value

"""From syntax tree to closures: one call evaluates a rule, nothing is looked up by type then.

A missing value (None) makes every comparison false (cloudflare-docs, partials/ruleset-engine/
rules-language-missing-value-behavior.mdx) and every function's result missing, except where the
function takes it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from twin.rules.functions import FUNCTIONS
from twin.rules.lists import AddressSet, NumberSet
from twin.rules.nodes import (
    EACH,
    Call,
    Comparison,
    FieldNode,
    Index,
    Indexed,
    Key,
    ListName,
    Literal,
    Logical,
    Node,
    Not,
    Span,
)
from twin.rules.regex import compile_pattern, compile_wildcard
from twin.rules.types import BOOLEANS, EMPTY, STRING, Type, encode

Fields: TypeAlias = Mapping[str, Any]
Evaluate: TypeAlias = Callable[[Fields], Any]
Test: TypeAlias = Callable[[Any], bool]

_ORDERS = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}


def compile_node(node: Node) -> Evaluate:
    """A function from the fields of a request to the node's value."""
    if isinstance(node, Literal):
        value = node.value
        return lambda _: value
    if isinstance(node, FieldNode):
        return _field(node)
    if isinstance(node, Indexed):
        return _indexed(node)
    if isinstance(node, Call):
        return _call(node)
    if isinstance(node, Comparison):
        return _comparison(node)
    if isinstance(node, Not):
        return _not(node)
    assert isinstance(node, Logical)  # noqa: S101  (the only kind left)
    return _logical(node)


def _field(node: FieldNode) -> Evaluate:
    name, empty = node.name, _empty(node.type)

    def field(fields: Fields) -> Any:
        try:
            return fields[name]
        except KeyError:
            return empty

    return field


def _empty(kind: Type) -> Any:
    if kind.of is None:
        return EMPTY.get(kind.kind)
    return [] if kind.kind == "Array" else {}


def _indexed(node: Indexed) -> Evaluate:
    base = compile_node(node.base)
    if not node.each:
        return lambda fields: _at(base(fields), node.indexes)
    split = node.indexes.index(EACH)
    before, after = node.indexes[:split], node.indexes[split + 1 :]

    def elements(fields: Fields) -> list[Any]:
        values = _at(base(fields), before)
        if values is None:
            return []
        inner = values.values() if isinstance(values, Mapping) else values
        if not after:
            return list(inner)
        found = (_at(value, after) for value in inner)
        return [value for value in found if value is not None]

    return elements


def _at(value: Any, indexes: Sequence[Index]) -> Any:
    for index in indexes:
        if value is None:
            return None
        if isinstance(index, Key):
            value = value.get(index.name)
        else:
            value = value[index] if int(index) < len(value) else None
    return value


def _call(node: Call) -> Evaluate:
    function = FUNCTIONS[node.name]
    body, takes_missing = function.body, function.takes_missing
    arguments = [compile_node(argument) for argument in node.arguments]
    first, rest = arguments[0], arguments[1:]
    if node.each:

        def every(fields: Fields) -> list[Any]:
            others = [argument(fields) for argument in rest]
            if not takes_missing and None in others:
                return []
            made = (body(value, *others) for value in first(fields))
            return [value for value in made if value is not None]

        return every
    if len(arguments) == 1 and not takes_missing:

        def one(fields: Fields) -> Any:
            value = first(fields)
            return None if value is None else body(value)

        return one
    if len(rest) == 1 and isinstance(node.arguments[1], Literal) and not takes_missing:
        constant = node.arguments[1].value

        def with_constant(fields: Fields) -> Any:
            value = first(fields)
            return None if value is None else body(value, constant)

        return with_constant

    def call(fields: Fields) -> Any:
        values = [argument(fields) for argument in arguments]
        if not takes_missing and any(value is None for value in values):
            return None
        return body(*values)

    return call


def _comparison(node: Comparison) -> Evaluate:
    right = node.right
    if isinstance(right, ListName):
        return _in_list(node, f"${right.name}")
    test = _test(node.left.type, node.operator, right)
    left = compile_node(node.left)
    if node.type == BOOLEANS:
        return lambda fields: [test(value) for value in left(fields)]
    if isinstance(node.left, FieldNode):
        return _field_test(node.left, test)

    def compare(fields: Fields) -> bool:
        value = left(fields)
        return value is not None and test(value)

    return compare


def _field_test(node: FieldNode, test: Test) -> Evaluate:
    """The commonest comparison, with one call less."""
    name, empty = node.name, _empty(node.type)

    def compare(fields: Fields) -> bool:
        try:
            value = fields[name]
        except KeyError:
            value = empty
        return value is not None and test(value)

    return compare


def _in_list(node: Comparison, name: str) -> Evaluate:
    left = compile_node(node.left)
    if node.type == BOOLEANS:
        return lambda fields: [value in fields[name] for value in left(fields)]

    def among(fields: Fields) -> bool:
        value = left(fields)
        return value is not None and value in fields[name]

    return among


def _test(kind: Type, name: str, right: Any) -> Test:
    if name == "eq":
        return lambda value: bool(value == right)
    if name == "ne":
        return lambda value: bool(value != right)
    if name == "contains":
        return lambda value: right in value
    if name == "matches":
        search = compile_pattern(right).search
        return lambda value: search(value) is not None
    if name in ("wildcard", "strict wildcard"):
        match = compile_wildcard(right, strict=name == "strict wildcard").fullmatch
        return lambda value: match(value) is not None
    if name == "in":
        return _set(right)
    order = _ORDERS[name]
    if kind == STRING:
        data = encode(right)
        return lambda value: bool(order(encode(value), data))
    return lambda value: bool(order(value, right))


def _set(values: Sequence[str | Span]) -> Test:
    if isinstance(values[0], str):
        return frozenset(values).__contains__
    spans = [span for span in values if isinstance(span, Span)]
    if isinstance(spans[0].first, int):
        return NumberSet((int(s.first), int(s.last)) for s in spans).__contains__
    return AddressSet(spans).__contains__


def _not(node: Not) -> Evaluate:
    inner = compile_node(node.inner)
    if node.type == BOOLEANS:
        return lambda fields: [not value for value in inner(fields) or ()]
    return lambda fields: not inner(fields)


def _logical(node: Logical) -> Evaluate:
    items = [compile_node(item) for item in node.items]
    if node.type == BOOLEANS:
        return _elementwise(node.operator, items)
    if node.operator == "xor":

        def odd(fields: Fields) -> bool:
            return sum(bool(item(fields)) for item in items) % 2 == 1

        return odd
    if len(items) == 2:
        left, right = items
        if node.operator == "and":
            return lambda fields: bool(left(fields) and right(fields))
        return lambda fields: bool(left(fields) or right(fields))
    decisive = node.operator == "or"

    def combined(fields: Fields) -> bool:
        for item in items:
            if bool(item(fields)) is decisive:
                return decisive
        return not decisive

    return combined


def _elementwise(name: str, items: Sequence[Evaluate]) -> Evaluate:
    """As the engine does it: element by element, as many as the shortest has."""
    joins: dict[str, Callable[[Sequence[bool]], bool]] = {
        "and": all,
        "or": any,
        "xor": lambda values: sum(values) % 2 == 1,
    }
    join = joins[name]
    return lambda fields: [
        bool(join(values)) for values in zip(*(item(fields) or () for item in items), strict=False)
    ]

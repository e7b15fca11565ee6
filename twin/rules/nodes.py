"""The syntax tree of an expression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from twin.rules.types import BOOLEAN, Address, Type

EACH = "*"
"""The index that stands for all elements."""

Index: TypeAlias = "int | Key | str"


@dataclass(frozen=True)
class Key:
    """A map's key."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Node:
    """A part of an expression: its type and its place in the text."""

    type: Type
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)

    def parts(self) -> tuple[Node, ...]:
        """The nodes right below this one."""
        return ()

    def walk(self) -> Iterator[Node]:
        """The node and all below it."""
        yield self
        for part in self.parts():
            yield from part.walk()


@dataclass(frozen=True, kw_only=True)
class Literal(Node):
    """A constant: a string or number as an argument, `true`, `false`."""

    value: str | int | bool


@dataclass(frozen=True, kw_only=True)
class FieldNode(Node):
    """The value of a field."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Call(Node):
    """A function's result; with `each`, one result for every element of the first argument."""

    name: str
    arguments: tuple[Node, ...]
    each: bool = False

    def parts(self) -> tuple[Node, ...]:
        """The arguments."""
        return self.arguments


@dataclass(frozen=True, kw_only=True)
class Indexed(Node):
    """Elements of an array or map. With `each`, `type` is that of one element."""

    base: Node
    indexes: tuple[Index, ...]

    @property
    def each(self) -> bool:
        """Whether it stands for all elements."""
        return EACH in self.indexes

    def parts(self) -> tuple[Node, ...]:
        """What is indexed."""
        return (self.base,)


@dataclass(frozen=True)
class Span:
    """The values from `first` to `last`, both among them."""

    first: int | Address
    last: int | Address


@dataclass(frozen=True)
class ListName:
    """`$name`."""

    name: str


Right: TypeAlias = "str | int | Address | ListName | tuple[str | Span, ...]"


@dataclass(frozen=True, kw_only=True)
class Comparison(Node):
    """`left operator right`; the operator in its English form."""

    left: Node
    operator: str
    right: Right

    def parts(self) -> tuple[Node, ...]:
        """The left side."""
        return (self.left,)


@dataclass(frozen=True, kw_only=True)
class Not(Node):
    """The contrary."""

    inner: Node

    def parts(self) -> tuple[Node, ...]:
        """What is negated."""
        return (self.inner,)


@dataclass(frozen=True, kw_only=True)
class Logical(Node):
    """`and`, `or` or `xor` of two or more; `closed` when it stands in parentheses."""

    operator: str
    items: tuple[Node, ...]
    type: Type = BOOLEAN
    closed: bool = field(compare=False, default=False)

    def parts(self) -> tuple[Node, ...]:
        """What is combined."""
        return self.items

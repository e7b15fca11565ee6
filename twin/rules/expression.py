"""A parsed expression: what it looks at, and the functions it compiles to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from twin.rules.compiler import compile_node
from twin.rules.errors import RuleError
from twin.rules.nodes import Call, Comparison, FieldNode, ListName, Node
from twin.rules.parser import parse_node
from twin.rules.types import BOOLEAN, STRING, Type
from twin.rules.writer import write


@dataclass(frozen=True)
class Expression:
    """An expression in Cloudflare's rule language; `str()` writes it in one canonical form."""

    text: str
    node: Node

    @property
    def type(self) -> Type:
        """Boolean for a rule's condition; String for what `compile_value` is for."""
        return self.node.type

    @cached_property
    def fields(self) -> frozenset[str]:
        """The names of the fields that it looks at."""
        return frozenset(n.name for n in self.node.walk() if isinstance(n, FieldNode))

    @cached_property
    def functions(self) -> frozenset[str]:
        """The names of the functions that it calls."""
        return frozenset(n.name for n in self.node.walk() if isinstance(n, Call))

    @cached_property
    def lists(self) -> frozenset[str]:
        """The names of the lists that it asks, without the dollar."""
        rights = [n.right for n in self.node.walk() if isinstance(n, Comparison)]
        return frozenset(right.name for right in rights if isinstance(right, ListName))

    @cached_property
    def operators(self) -> frozenset[str]:
        """The comparison operators that it uses, in their English form."""
        return frozenset(n.operator for n in self.node.walk() if isinstance(n, Comparison))

    def compile(self) -> Callable[[Mapping[str, Any]], bool]:
        """A function from a request's fields to whether it matches; RuleError: no condition."""
        if self.type != BOOLEAN:
            raise RuleError(
                f"a condition is expected, this is of type {self.type}",
                self.node.start,
                length=self.node.end - self.node.start,
                source=self.text,
            )
        evaluate = compile_node(self.node)
        return lambda fields: bool(evaluate(fields))

    def compile_value(self) -> Callable[[Mapping[str, Any]], str]:
        """A function from a request's fields to the text it makes; RuleError if it makes none.

        A missing value makes an empty text.
        """
        if self.type != STRING:
            raise RuleError(
                f"a value of type String is expected, this is of type {self.type}",
                self.node.start,
                length=self.node.end - self.node.start,
                source=self.text,
            )
        evaluate = compile_node(self.node)
        return lambda fields: evaluate(fields) or ""

    def __str__(self) -> str:
        return write(self.node)


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """Read an expression; RuleError for unknown names, wrong types and everything else."""
    return Expression(text, parse_node(text))

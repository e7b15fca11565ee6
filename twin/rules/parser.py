"""From text to syntax tree: recursive descent, with types checked on the way.

The grammar is that of Cloudflare's engine (wirefilter, engine/src/ast); `not` binds strongest, then
`and`, `xor`, `or` (cloudflare-docs, rules-language/operators.mdx).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from twin.rules.arguments import check_pattern, check_wildcard, is_each, make_call, shown
from twin.rules.errors import RuleError, near
from twin.rules.fields import FIELDS
from twin.rules.functions import FUNCTIONS
from twin.rules.nodes import (
    EACH,
    Call,
    Comparison,
    FieldNode,
    Index,
    Indexed,
    Key,
    Literal,
    Logical,
    Node,
    Not,
    Right,
    Span,
)
from twin.rules.reader import Reader
from twin.rules.types import (
    ADDRESS,
    BOOLEAN,
    BOOLEANS,
    INTEGER,
    STRING,
    Type,
)

MAX_LENGTH: Final = 4096
"""Characters (cloudflare-docs, partials/ruleset-engine/max-expression-length.mdx)."""
MAX_NESTING: Final = 128
"""Of parentheses, `not` and functions (wirefilter, ParserSettings)."""

_LOGICAL: Final = (("or", "||", 1), ("xor", "^^", 2), ("and", "&&", 3))
_SYMBOLS: Final = {
    "==": "eq",
    "!=": "ne",
    "<=": "le",
    ">=": "ge",
    "<": "lt",
    ">": "gt",
    "~": "matches",
}
_WORDS: Final = ("eq", "ne", "le", "ge", "lt", "gt", "contains", "matches", "wildcard", "in")
_ORDER: Final = frozenset({"lt", "le", "gt", "ge"})
_TEXT_ONLY: Final = frozenset({"contains", "matches", "wildcard", "strict wildcard"})


def parse_node(text: str) -> Node:
    """The tree of an expression, RuleError for what the engine refuses."""
    if len(text) > MAX_LENGTH:
        message = f"{len(text)} characters, the maximum length of an expression is {MAX_LENGTH}"
        raise RuleError(message, MAX_LENGTH, source=text)
    try:
        return _Parser(text).whole()
    except RecursionError:
        raise RuleError("nested too deeply", source=text) from None


class _Parser(Reader):
    """One pass over an expression."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def whole(self) -> Node:
        self.space()
        if self.at == len(self.text):
            raise self.error("an expression is expected")
        node = self._logical(0)
        self.space()
        if self.at < len(self.text):
            raise self.error(f"unrecognised input{self._hint()}", end=len(self.text))
        if isinstance(node, Indexed) and node.each:
            raise self.error("[*] is for the arguments of functions", node.start, node.end)
        return node

    def _hint(self) -> str:
        # Nothing is left of what this language takes for no space: a tab, say.
        word = next(iter(self.text[self.at :].split(maxsplit=1)), "")
        if word in FUNCTIONS:
            return f"; {word} is a function: write {word}(…, …)"
        if word.lower() in {"and", "or", "xor", "not", "in", *_WORDS} and word != word.lower():
            return f'; operators are lower-case: "{word.lower()}"'
        return ""

    def _nest(self) -> None:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self.error(f"nested deeper than {MAX_NESTING}")

    def _logical(self, least: int) -> Node:
        left = self._simple()
        while (operator := self._operator(least)) is not None:
            name, strength = operator
            place = self.at
            right = self._logical(strength + 1)
            self._require_conditions(name, left, right, place)
            same = isinstance(left, Logical) and left.operator == name and not left.closed
            items = (*left.items, right) if isinstance(left, Logical) and same else (left, right)
            left = Logical(
                operator=name, items=items, type=left.type, start=left.start, end=right.end
            )
        return left

    def _operator(self, least: int) -> tuple[str, int] | None:
        self.space()
        for name, symbol, strength in _LOGICAL:
            if strength < least:
                continue
            if self.take(symbol) or self.word(name):
                self.space()
                return name, strength
        return None

    def _require_conditions(self, name: str, left: Node, right: Node, place: int) -> None:
        for node in (left, right):
            if node.type not in (BOOLEAN, BOOLEANS) or (is_each(node) and node.type == BOOLEAN):
                raise self.error(
                    f'"{name}" combines conditions, this is of type {shown(node)}',
                    node.start,
                    node.end,
                )
        if left.type != right.type:
            message = f'"{name}" of {left.type} and {right.type}'
            raise self.error(message, place, max(right.end, place + 1))

    def _simple(self) -> Node:
        start = self.at
        if self.take("("):
            self._nest()
            self.space()
            node = self._logical(0)
            self.space()
            self.expect(")")
            self.depth -= 1
            node = replace(node, start=start, end=self.at)
            return replace(node, closed=True) if isinstance(node, Logical) else node
        if (self.take("!") if not self.looking_at("!=") else False) or self.word("not"):
            self._nest()
            self.space()
            inner = self._simple()
            self.depth -= 1
            if inner.type not in (BOOLEAN, BOOLEANS):
                raise self.error(
                    f'"not" needs a condition, this is of type {shown(inner)}',
                    inner.start,
                    inner.end,
                )
            return Not(inner=inner, type=inner.type, start=start, end=self.at)
        return self._comparison()

    def _comparison(self) -> Node:
        left = self._value()
        if left.type == BOOLEAN:
            kind = BOOLEANS if is_each(left) else BOOLEAN
            return replace(left, type=kind) if kind != left.type and is_each(left) else left
        if left.type == BOOLEANS and not is_each(left):
            return left
        place = self.at
        self.space()
        operator = self._comparison_operator()
        if operator is None:
            self.at = place
            return left
        self._require_operator(operator, left, place)
        self.space()
        right = self._right(operator, left.type)
        kind = BOOLEANS if is_each(left) else BOOLEAN
        return Comparison(
            left=left, operator=operator, right=right, type=kind, start=left.start, end=self.at
        )

    def _comparison_operator(self) -> str | None:
        for symbol, name in _SYMBOLS.items():
            if self.take(symbol):
                return name
        if self.word("strict"):
            self.space()
            if self.word("wildcard"):
                return "strict wildcard"
            raise self.error('expected "wildcard" after "strict"')
        return self.word(*_WORDS)

    def _require_operator(self, operator: str, left: Node, place: int) -> None:
        kind = left.type
        fits = kind in (STRING, INTEGER, ADDRESS)
        if operator in _ORDER:
            fits = kind in (STRING, INTEGER)
        elif operator in _TEXT_ONLY:
            fits = kind == STRING
        if not fits:
            hint = "" if kind in (STRING, INTEGER, ADDRESS) else ": take an element, [0] or [*]"
            raise self.error(
                f'cannot use the operator "{operator}" on type {kind}{hint}', place + 1, self.at
            )

    def _right(self, operator: str, kind: Type) -> Right:
        if operator == "in":
            return self.list_name() if self.looking_at("$") else self._set(kind)
        start = self.at
        if operator == "matches":
            pattern = self.pattern()
            check_pattern(self, pattern, start, self.at)
            return pattern
        if operator in ("wildcard", "strict wildcard"):
            pattern = self.string()
            check_wildcard(self, pattern, start, self.at)
            return pattern
        return self._constant(kind)

    def _constant(self, kind: Type) -> str | int:
        if kind == STRING:
            return self.string()
        if kind == INTEGER:
            if self.is_string():
                raise self.error("expected a number, without quotes")
            return self.integer()
        return self.address()  # type: ignore[return-value]  # the only type left

    def _set(self, kind: Type) -> tuple[str | Span, ...]:
        start = self.at
        self.expect("{")
        found: list[str | Span] = []
        self.space()
        while not self.take("}"):
            if self.at == len(self.text):
                raise self.error('the set has no ending "}"', start, self.at)
            if self.looking_at(","):
                raise self.error("the values of a set are separated by spaces, not commas")
            if kind == STRING:
                found.append(self.string())
            else:
                found.append(self.integers() if kind == INTEGER else self.addresses())
            self.space()
        if not found:
            raise self.error("the set is empty, which nothing is in", start, self.at)
        return tuple(found)

    def _value(self) -> Node:
        start = self.at
        word = self.word("true", "false")
        if word is not None:
            return Literal(type=BOOLEAN, value=word == "true", start=start, end=self.at)
        name = self.name()
        if name is None:
            raise self.error("a field, a function or ( is expected")
        node = self._call(name, start) if self.looking_at("(") else self._field(name, start)
        return self._indexes(node)

    def _field(self, name: str, start: int) -> Node:
        field = FIELDS.get(name)
        if field is not None:
            return FieldNode(name=name, type=field.type, start=start, end=self.at)
        if name in FUNCTIONS:
            raise self.error(f"{name} is a function: its arguments are expected", self.at)
        raise self.error(f"unknown identifier{near(name, FIELDS)}", start, self.at)

    def _indexes(self, node: Node) -> Node:
        kind, indexes = node.type, list[Index]()
        if isinstance(node, Call) and node.each:
            kind = node.type
        while self.looking_at("["):
            start = self.at
            self.at += 1
            self.space()
            index = self._index()
            self.space()
            self.expect("]")
            container = "Array" if isinstance(index, int) else "Map"
            if kind.of is None or (index != EACH and kind.kind != container):
                shown = index.name if isinstance(index, Key) else index
                raise self.error(f"cannot take [{shown}] of type {kind}", start, self.at)
            if index == EACH and EACH in indexes:
                raise self.error("[*] can be used once", start, self.at)
            kind = kind.of
            indexes.append(index)
        if not indexes:
            return node
        return Indexed(base=node, indexes=tuple(indexes), type=kind, start=node.start, end=self.at)

    def _index(self) -> Index:
        if self.take("*"):
            return EACH
        if self.is_string():
            return Key(self.string())
        if self.text[self.at : self.at + 1].isdecimal():
            return self.integer()
        raise self.error("expected quoted utf8 string or positive integer")

    def _call(self, name: str, start: int) -> Node:
        function = FUNCTIONS.get(name)
        if function is None:
            raise self.error(f"unknown function{near(name, FUNCTIONS)}", start, self.at)
        self._nest()
        self.expect("(")
        arguments: list[Node] = []
        self.space()
        while not self.take(")"):
            if arguments:
                self.expect(",")
                self.space()
            arguments.append(self._argument())
            self.space()
        self.depth -= 1
        return make_call(function, arguments, start, self)

    def _argument(self) -> Node:
        start = self.at
        if self.is_string():
            return Literal(type=STRING, value=self.string(), start=start, end=self.at)
        if self.text[self.at : self.at + 1].isdecimal() or self.looking_at("-"):
            return Literal(type=INTEGER, value=self.integer(), start=start, end=self.at)
        return self._logical(0)

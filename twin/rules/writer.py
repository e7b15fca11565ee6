"""From syntax tree back to text, in one canonical form that parses to the same tree."""

from __future__ import annotations

from ipaddress import summarize_address_range

from twin.rules.nodes import (
    Call,
    Comparison,
    FieldNode,
    Indexed,
    Key,
    ListName,
    Literal,
    Logical,
    Node,
    Not,
    Right,
    Span,
)
from twin.rules.types import encode


def write(node: Node) -> str:
    """The text of a tree."""
    if isinstance(node, Literal):
        return _constant(node.value)
    if isinstance(node, FieldNode):
        return node.name
    if isinstance(node, Indexed):
        return write(node.base) + "".join(
            f"[{quoted(index.name) if isinstance(index, Key) else index}]" for index in node.indexes
        )
    if isinstance(node, Call):
        return f"{node.name}({', '.join(write(argument) for argument in node.arguments)})"
    if isinstance(node, Comparison):
        return f"{write(node.left)} {node.operator} {_right(node.operator, node.right)}"
    if isinstance(node, Not):
        inner = write(node.inner)
        return f"not ({inner})" if isinstance(node.inner, Comparison) else f"not {inner}"
    assert isinstance(node, Logical)  # noqa: S101  (the only kind left)
    return f"({f' {node.operator} '.join(write(item) for item in node.items)})"


def quoted(text: str) -> str:
    r"""A string constant; bytes that are no text are written as `\xHH`."""
    made = "".join(
        f"\\x{byte:02X}"
        if byte < 0x20 or byte > 0x7E
        else f"\\{chr(byte)}"
        if chr(byte) in '"\\'
        else chr(byte)
        for byte in encode(text)
    )
    return f'"{made}"'


def _constant(value: str | int | bool) -> str:
    if isinstance(value, str):
        return quoted(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _right(operator: str, right: Right) -> str:
    if isinstance(right, ListName):
        return f"${right.name}"
    if isinstance(right, tuple):
        return "{" + " ".join(_member(member) for member in right) + "}"
    if isinstance(right, str):
        return _raw(right) if operator == "matches" else quoted(right)
    return str(right)


def _raw(pattern: str) -> str:
    hashes = ""
    while f'"{hashes}' in pattern:
        hashes += "#"
    return f'r{hashes}"{pattern}"{hashes}'


def _member(member: str | Span) -> str:
    if isinstance(member, str):
        return quoted(member)
    if member.first == member.last:
        return str(member.first)
    if not isinstance(member.first, int) and (network := _network(member)):
        return network
    return f"{member.first}..{member.last}"


def _network(span: Span) -> str | None:
    networks = list(summarize_address_range(span.first, span.last))  # type: ignore[arg-type]
    return str(networks[0]) if len(networks) == 1 else None

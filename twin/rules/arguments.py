"""A call's arguments against its function's parameters, and the constants that must make sense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twin.rules.functions import Function, Parameter
from twin.rules.nodes import Call, FieldNode, Indexed, Literal, Node
from twin.rules.reader import Reader
from twin.rules.regex import PatternError, WildcardError, compile_pattern, compile_wildcard
from twin.rules.texts import references
from twin.rules.types import BOOLEANS, array

_MAX_SPLIT: Final = 128
_QUERIES: Final = ("http.request.uri.query", "raw.http.request.uri.query")
_FLAGS: Final = {"url_decode": (1, "ru"), "wildcard_replace": (3, "s"), "encode_base64": (1, "up")}
"""The argument that holds flags, and the flags there are."""


def is_each(node: Node) -> bool:
    """Whether the node stands for all elements of something."""
    return isinstance(node, Indexed) and node.each


def shown(node: Node) -> str:
    """A node's type for a message."""
    kind = node.type
    return f"{array(kind)} (by [*])" if is_each(node) and kind != BOOLEANS else str(kind)


def make_call(function: Function, arguments: Sequence[Node], start: int, reader: Reader) -> Call:
    """The call, RuleError for arguments that the function does not take."""
    _check_count(function, len(arguments), start, reader)
    each = False
    for position, argument in enumerate(arguments):
        mapped = is_each(argument) and argument.type != BOOLEANS
        if mapped and position:
            message = "[*] is for the first argument only"
            raise reader.error(message, argument.start, argument.end)
        each = each or mapped
        parameter = function.parameters[min(position, len(function.parameters) - 1)]
        _check_argument(function, parameter, argument, position, reader)
    if function.result is None and len({argument.type for argument in arguments}) > 1:
        message = f"the arguments of {function.name} must be of one type"
        raise reader.error(message, start, reader.at)
    _check_values(function.name, arguments, reader)
    result = function.result or arguments[0].type
    return Call(
        name=function.name,
        arguments=tuple(arguments),
        each=each,
        type=array(result) if each else result,
        start=start,
        end=reader.at,
    )


def check_pattern(reader: Reader, pattern: str, start: int, end: int) -> int:
    """The number of a regular expression's groups; RuleError when it is none."""
    try:
        return compile_pattern(pattern).groups
    except PatternError as error:
        opening = reader.text.find('"', start) + 1
        at = min(opening + error.position, max(end - 1, start))
        raise reader.error(error.message, at) from None


def check_wildcard(reader: Reader, pattern: str, start: int, end: int) -> int:
    """The number of a wildcard pattern's stars; RuleError when it is none."""
    try:
        return compile_wildcard(pattern, strict=True).groups
    except WildcardError as error:
        raise reader.error(str(error), start, end) from None


def _check_count(function: Function, count: int, start: int, reader: Reader) -> None:
    least = sum(not parameter.optional for parameter in function.parameters)
    most = len(function.parameters)
    if count >= least and (function.variadic or count <= most):
        return
    wanted = f"{least} or more" if function.variadic else f"{least} to {most}"
    if least == most and not function.variadic:
        wanted = str(least)
    noun = "argument" if wanted == "1" else "arguments"
    raise reader.error(f"{function.name} takes {wanted} {noun}, not {count}", start, reader.at)


def _check_argument(
    function: Function, parameter: Parameter, argument: Node, position: int, reader: Reader
) -> None:
    place = (argument.start, argument.end)
    name = f"argument {position + 1} of {function.name}"
    if argument.type not in parameter.types:
        wanted = " or ".join(str(kind) for kind in parameter.types)
        raise reader.error(f"{name} must be {wanted}, this is {shown(argument)}", *place)
    literal = isinstance(argument, Literal)
    if parameter.form == "field" and literal:
        raise reader.error(f"{name} must be a field, not a constant", *place)
    if parameter.form == "literal" and not literal:
        raise reader.error(f"{name} must be a constant", *place)


def _check_values(name: str, arguments: Sequence[Node], reader: Reader) -> None:
    values = [node.value if isinstance(node, Literal) else None for node in arguments]

    def require(position: int, right: bool, reason: str) -> None:
        if not right:
            node = arguments[position]
            message = f"argument {position + 1} of {name} {reason}"
            raise reader.error(message, node.start, node.end)

    if name in ("cidr", "cidr6"):
        limits = (32, 128) if name == "cidr" else (128,)
        for position, limit in enumerate(limits, start=1):
            bits = int(values[position] or 0)
            require(position, 1 <= bits <= limit, f"must be from 1 to {limit}")
    elif name == "split":
        require(1, bool(values[1]), "must not be empty")
        right = 1 <= int(values[2] or 0) <= _MAX_SPLIT
        require(2, right, f"must be from 1 to {_MAX_SPLIT}")
    elif name == "remove_query_args":
        field = arguments[0]
        right = isinstance(field, FieldNode) and field.name in _QUERIES
        require(0, right, f"must be {' or '.join(_QUERIES)}")
    elif name == "lookup_json_string" or name == "lookup_json_integer":
        for position, key in enumerate(values[1:], start=1):
            require(position, not isinstance(key, int) or key >= 0, "must not be negative")
    elif name in ("regex_replace", "wildcard_replace"):
        _check_replacement(name, str(values[1]), str(values[2]), arguments, reader)
    if name in _FLAGS and len(values) > _FLAGS[name][0]:
        position, known = _FLAGS[name]
        right = set(str(values[position])) <= set(known)
        require(position, right, f"may hold the flags {known} only")


def _check_replacement(
    name: str, pattern: str, replacement: str, arguments: Sequence[Node], reader: Reader
) -> None:
    check = check_pattern if name == "regex_replace" else check_wildcard
    groups = check(reader, pattern, arguments[1].start, arguments[1].end)
    node = arguments[2]
    try:
        highest = max(references(replacement), default=0)
    except ValueError as error:
        raise reader.error(str(error), node.start, node.end) from None
    if highest > groups:
        message = f"there is no group {highest} in the pattern"
        raise reader.error(message, node.start, node.end)

"""Parameters: form-encoded and nested, checked against a shape as the API checks them.

`line_items[0][price_data][currency]=usd` becomes `{"line_items": {"0": {"price_data": …}}}`, and a
list only where the shape has one: a metadata key may well be a number. A shape
knows every parameter that the simulator implements; any other is refused as unknown, so nothing is
accepted and then ignored. (Some that Stripe knows are therefore refused here; never the reverse.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twin.gateways.stripe.errors import invalid

Parser = Callable[[Any, str], Any]
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_MOST_FIELDS = 2000
METADATA_KEYS, METADATA_KEY, METADATA_VALUE = 50, 40, 500
"""Keys, a key's length and a value's (docs.stripe.com/api/metadata)."""


def decode(text: str) -> dict[str, Any]:
    """Decode a form body or a query string; raises StripeError when it makes no sense."""
    tree: dict[str, Any] = {}
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise invalid("Invalid request: the parameters could not be decoded.") from None
    for key, value in pairs:
        match = _KEY.fullmatch(key)
        if match is None:
            raise invalid(f"Received unknown parameter: {key}", key, "parameter_unknown")
        path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        _set(tree, path, value, key)
    return tree


def _set(tree: dict[str, Any], path: list[str], value: str, key: str) -> None:
    node = tree
    for part, following in zip(path, [*path[1:], None], strict=True):
        name = part if part else str(len(node))
        if following is None:
            node[name] = value
            return
        child = node.setdefault(name, {})
        if not isinstance(child, dict):
            raise invalid(f"Invalid hash or array: {key}", key)
        node = child


# --- values -------------------------------------------------------------------------------------
def string(longest: int = 5000) -> Parser:
    """Text of at most so many characters."""

    def parse(value: Any, param: str) -> str:
        if not isinstance(value, str):
            raise invalid(f"Invalid string: {param}", param)
        if len(value) > longest:
            raise invalid(
                f"Invalid string: {value[:20]}...; must be at most {longest} characters", param
            )
        return value

    return parse


def integer(least: int = 0, most: int | None = None) -> Parser:
    """A whole number in bounds."""

    def parse(value: Any, param: str) -> int:
        if not isinstance(value, str) or not re.fullmatch(r"-?\d{1,18}", value):
            raise invalid(f"Invalid integer: {value}", param, "parameter_invalid_integer")
        number = int(value)
        if number < least:
            message = f"This value must be greater than or equal to {least}."
            raise invalid(message, param, "parameter_invalid_integer")
        if most is not None and number > most:
            message = f"This value must be less than or equal to {most}."
            raise invalid(message, param, "parameter_invalid_integer")
        return number

    return parse


def boolean(value: Any, param: str) -> bool:
    """`true` or `false`."""
    if value not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", param)
    return bool(value == "true")


def choice(*values: str) -> Parser:
    """One of these words."""
    *first, last = values
    words = f"{', '.join(first)} or {last}" if first else last

    def parse(value: Any, param: str) -> str:
        if value not in values:
            raise invalid(f"Invalid {param}: must be one of {words}", param)
        return str(value)

    return parse


def url(value: Any, param: str) -> str:
    """An absolute web address."""
    text = str(value)
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc or len(text) > 5000:
        message = "Not a valid URL"
        if parts.scheme not in ("http", "https"):
            message = "Invalid URL: An explicit scheme (such as https) must be provided."
        raise invalid(message, param, "url_invalid")
    return text


def email(value: Any, param: str) -> str:
    """An e-mail address."""
    if not isinstance(value, str) or not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value):
        raise invalid(f"Invalid email address: {value}", param, "email_invalid")
    return value


def metadata(value: Any, param: str) -> dict[str, str]:
    """Keys and values within Stripe's limits; an empty value unsets its key."""
    if value == "":
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise invalid("Invalid metadata: metadata must be a set of key-value pairs", param)
    if len(value) > METADATA_KEYS:
        raise invalid(
            f"Metadata can have up to {METADATA_KEYS} keys, but you passed in {len(value)}.", param
        )
    for key, text in value.items():
        if len(key) > METADATA_KEY:
            message = f"Metadata keys can have up to {METADATA_KEY} characters, but {key} has more."
            raise invalid(message, f"{param}[{key}]")
        if len(text) > METADATA_VALUE:
            raise invalid(
                f"Metadata values can have up to {METADATA_VALUE} characters, but you passed in a "
                f"value that is {len(text)} characters. Invalid value: {text}",
                f"{param}[{key}]",
            )
    return {key: text for key, text in value.items() if text}


def array(item: Parser, most: int = 100) -> Parser:
    """A list."""

    def parse(value: Any, param: str) -> list[Any]:
        if value == "":
            return []
        if not isinstance(value, dict) or not all(key.isdigit() for key in value):
            raise invalid("Invalid array", param)
        if len(value) > most:
            raise invalid(f"Array {param} exceeded maximum {most} allowed elements.", param)
        return [item(value[key], f"{param}[{key}]") for key in sorted(value, key=int)]

    return parse


@dataclass(frozen=True)
class Shape:
    """A set of parameters; usable as a value's parser too, for a nested one."""

    fields: Mapping[str, Parser]
    required: frozenset[str] = field(default_factory=frozenset)

    def __call__(self, value: Any, param: str) -> dict[str, Any]:
        """Parse a nested set."""
        if not isinstance(value, dict):
            raise invalid("Invalid object", param)
        return self.parse(value, param)

    def parse(self, values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        """Return what was given, parsed; raises StripeError at the first fault."""

        def path(name: str) -> str:
            return f"{prefix}[{name}]" if prefix else name

        unknown = [path(name) for name in values if name not in self.fields]
        if unknown:
            plural = "s" if len(unknown) > 1 else ""
            message = f"Received unknown parameter{plural}: {', '.join(unknown)}"
            raise invalid(message, unknown[0], "parameter_unknown")
        for name in self.required:
            if values.get(name, "") == "":
                message = f"Missing required param: {path(name)}."
                raise invalid(message, path(name), "parameter_missing")
        return {
            name: self.fields[name](value, path(name))
            for name, value in values.items()
            # An empty value unsets a field; nothing here has one to unset.
            if value != "" or name == "metadata"
        }


def shape(*required: str, **fields: Parser) -> Shape:
    """Make a shape; names in `required` must be given."""
    return Shape(fields, frozenset(required))

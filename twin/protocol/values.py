"""Property values as the engine sends them, and back: secrets and unknowns are kept exactly.

Decoded, a property bag is made of dicts, lists, strings, ints, floats, bools and None, with
`Secret` around what the engine marked and `UNKNOWN` for what a preview cannot know. The markers are
the protocol's: github.com/pulumi/pulumi, sdk/go/common/resource/{properties.go,plugin/rpc.go}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format, struct_pb2

from twin.protocol.resource import UNKNOWN, Props

_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  (a type's signature, public)
_OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_UNKNOWN_TEXT: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
# One marker per type of the value that will be known later; all mean the same here.
_UNKNOWNS: Final = frozenset(
    {
        _UNKNOWN_TEXT,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # list
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # map
    }
)
_EXACT: Final = 2**53  # beyond it a float no longer tells whole numbers apart

_MASKED_LENGTH: Final = 4
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_PASSWORD: Final = re.compile(r"://[^:/@\s]*:([^@/\s]+)@")
_WORDS: Final = frozenset({"true", "false", "none", "null"})


@dataclass(frozen=True)
class Secret:
    """A value that the engine encrypts in its state."""

    value: Any


def decode(struct: struct_pb2.Struct) -> Props:
    """A property bag from the wire; properties that are null are left out, as not given."""
    found = _decode(json_format.MessageToDict(struct))
    return found if isinstance(found, dict) else {}


def encode(props: Mapping[str, Any]) -> struct_pb2.Struct:
    """A property bag for the wire."""
    struct = struct_pb2.Struct()
    struct.update({key: _encode(value) for key, value in props.items() if value is not None})
    return struct


def plain(value: Any) -> Any:
    """The value with every `Secret` taken off."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def has_secret(value: Any) -> bool:
    """Whether a secret is anywhere in the value."""
    if isinstance(value, Secret):
        return True
    if isinstance(value, dict):
        return any(has_secret(item) for item in value.values())
    return isinstance(value, list) and any(has_secret(item) for item in value)


def has_unknown(value: Any) -> bool:
    """Whether an unknown is anywhere in the value."""
    if value is UNKNOWN:
        return True
    if isinstance(value, Secret):
        return has_unknown(value.value)
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    return isinstance(value, list) and any(has_unknown(item) for item in value)


def mark(value: Any, like: Any) -> Any:
    """The plain `value` with secrets marked where `like` has them.

    A list with one secret element becomes secret as a whole: what the cloud answers may be in
    another order.
    """
    if isinstance(like, Secret) or (isinstance(like, list) and has_secret(like)):
        return value if isinstance(value, Secret) else Secret(value)
    if isinstance(like, dict) and isinstance(value, dict):
        return {key: mark(item, like.get(key)) for key, item in value.items()}
    return value


def secret_texts(value: Any) -> Iterator[str]:
    """Every string inside a secret of the value (to keep them out of messages)."""
    if isinstance(value, Secret):
        yield from _texts(value.value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from secret_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from secret_texts(item)


def to_mask(*values: Any) -> frozenset[str]:
    """The secrets of these values as texts to keep out of messages.

    Also the lines of long ones, what stands behind `NAME=`, and passwords inside URLs. Short ones
    are left out: replacing every `1` would make a message unreadable.
    """
    found: set[str] = set()
    for text in (text for value in values for text in secret_texts(value)):
        _, assigned, value = text.partition("=") if _ASSIGNMENT.match(text) else ("", "", "")
        whole = value if assigned else text
        found.add(text)
        found.update(part for part in (whole, *_PASSWORD.findall(whole)) if part not in _WORDS)
        if "\n" in text:
            found.update(line for line in text.splitlines())
    return frozenset(text for text in found if len(text) >= _MASKED_LENGTH)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Secret):
        yield from _texts(value.value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        signature = value.get(_SIGNATURE)
        if signature == _SECRET:
            return Secret(_decode(value.get("value")))
        if signature == _OUTPUT:
            inner = _decode(value["value"]) if "value" in value else UNKNOWN
            return Secret(inner) if value.get("secret") else inner
        return {key: _decode(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if isinstance(value, str) and value in _UNKNOWNS:
        return UNKNOWN
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value


def _encode(value: Any) -> Any:
    if isinstance(value, Secret):
        return {_SIGNATURE: _SECRET, "value": _encode(value.value)}
    if value is UNKNOWN:
        return _UNKNOWN_TEXT
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    return value


def canonical(value: Any) -> str:
    """A text that is equal for equal values (to compare the elements of sets)."""
    return json.dumps(value, sort_keys=True, default=repr)

"""The types of the rule language and the Python values that stand for them.

Strings are bytes in Cloudflare's engine and `str` here: text decoded as UTF-8 with
`surrogateescape`, so that no byte is lost. A value that is missing (a header that was not sent, an
index beyond the end) is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Value: TypeAlias = (
    "str | int | bool | Address | Sequence[Value] | Mapping[str, Value] | Container | None"
)


class Container:
    """The values of a list (`$name`): anything that knows what is in it."""

    def __contains__(self, value: object) -> bool:
        raise NotImplementedError


@dataclass(frozen=True)
class Type:
    """A scalar, or an array or map of `of`."""

    kind: str
    of: Type | None = None

    def __str__(self) -> str:
        return self.kind if self.of is None else f"{self.kind}<{self.of}>"


STRING: Final = Type("String")
INTEGER: Final = Type("Integer")
BOOLEAN: Final = Type("Boolean")
ADDRESS: Final = Type("IP address")
STRINGS: Final = Type("Array", STRING)
INTEGERS: Final = Type("Array", INTEGER)
BOOLEANS: Final = Type("Array", BOOLEAN)
STRING_LISTS: Final = Type("Map", STRINGS)
INTEGER_LISTS: Final = Type("Map", INTEGERS)

EMPTY: Final[Mapping[str, Value]] = {"String": "", "Integer": 0, "Boolean": False}
"""What a scalar field holds when there is nothing to say; addresses have no such value."""


def array(of: Type) -> Type:
    """An array of a type."""
    return Type("Array", of)


def encode(text: str) -> bytes:
    """The bytes that a string stands for."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """The string that stands for bytes."""
    return data.decode("utf-8", "surrogateescape")

r"""Reading the constants of the rule language: strings, numbers, addresses, names.

As Cloudflare's engine lexes them (wirefilter, engine/src/rhs_types): `\"`, `\\`, `\xHH` and `\OOO`
in quoted strings, raw strings with up to 255 `#`, numbers in decimal, `0x`, and octal with a
leading 0.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

from twin.rules.errors import RuleError
from twin.rules.nodes import ListName, Span
from twin.rules.types import Address, decode

_SPACE = " \r\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
_LIST = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)*")
_DIGITS = re.compile(r"-?[0-9A-Fa-f]+")
_ADDRESS = re.compile(r"[0-9A-Fa-f:./]+")
_MAX_HASHES = 255
_INTEGERS = range(-(2**63), 2**63)


class Reader:
    """A text and the place where reading it goes on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def error(self, message: str, at: int | None = None, end: int | None = None) -> RuleError:
        """What is wrong with the text from `at` (the place where reading is) to `end`."""
        start = self.at if at is None else at
        return RuleError(
            message, start, length=max(1, (end or start + 1) - start), source=self.text
        )

    def space(self) -> None:
        """Skip white space; a tab is none."""
        while self.at < len(self.text) and self.text[self.at] in _SPACE:
            self.at += 1

    def looking_at(self, literal: str) -> bool:
        """Whether the text goes on with this."""
        return self.text.startswith(literal, self.at)

    def take(self, literal: str) -> bool:
        """Read this if it is there."""
        if self.looking_at(literal):
            self.at += len(literal)
            return True
        return False

    def expect(self, literal: str) -> None:
        """Read this."""
        if not self.take(literal):
            raise self.error(f'expected "{literal}"')

    def word(self, *words: str) -> str | None:
        """Read one of these if it is there and ends there."""
        for word in words:
            end = self.at + len(word)
            following = self.text[end : end + 1]
            if self.looking_at(word) and not (following.isalnum() or following in ("_", ".")):
                self.at = end
                return word
        return None

    def name(self) -> str | None:
        """Read a field's or function's name if there is one."""
        found = _NAME.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[0]

    def is_string(self) -> bool:
        """Whether a string begins here."""
        return self.looking_at('"') or self.looking_at('r"') or self.looking_at("r#")

    def string(self) -> str:
        """Read a quoted or raw string."""
        if self.looking_at('"'):
            return self._quoted()
        if self.is_string():
            return self._raw()
        raise self.error('expected a string: " or r"')

    def pattern(self) -> str:
        r"""Read a regular expression: in quotes only `\"` outside of a class is unescaped."""
        if not self.looking_at('"'):
            return self.string()
        start = self.at
        self.at += 1
        made: list[str] = []
        in_class = False
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "\\" and self.at + 1 < len(self.text):
                following = self.text[self.at + 1]
                made.append(following if following == '"' and not in_class else char + following)
                self.at += 2
                continue
            if char == '"' and not in_class:
                self.at += 1
                return "".join(made)
            if char in "[]":
                in_class = char == "["
            made.append(char)
            self.at += 1
        raise self.error("could not find an ending quote", start, len(self.text))

    def _quoted(self) -> str:
        start = self.at
        self.at += 1
        made = bytearray()
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char == '"':
                return decode(bytes(made))
            made += self._escaped() if char == "\\" else char.encode("utf-8", "surrogatepass")
        raise self.error("could not find an ending quote", start, len(self.text))

    def _escaped(self) -> bytes:
        following = self.text[self.at : self.at + 1]
        if following and following in '"\\':
            self.at += 1
            return following.encode()
        for prefix, count, base in (("x", 2, 16), ("", 3, 8)):
            digits = self.text[self.at + len(prefix) : self.at + len(prefix) + count]
            if following.startswith(prefix) and re.fullmatch(
                "[0-9A-Fa-f]{2}" if base == 16 else "[0-3][0-7]{2}", digits
            ):
                self.at += len(prefix) + count
                return bytes([int(digits, base)])
        raise self.error('expected ", \\, xHH or OOO after \\')

    def _raw(self) -> str:
        start = self.at
        self.at += 1
        hashes = 0
        while self.take("#"):
            hashes += 1
        if hashes > _MAX_HASHES:
            raise self.error(f"a raw string may have {_MAX_HASHES} # at most", start, self.at)
        self.expect('"')
        close = '"' + "#" * hashes
        end = self.text.find(close, self.at)
        if end < 0:
            raise self.error(f"could not find the ending {close}", start, len(self.text))
        made = self.text[self.at : end]
        self.at = end + len(close)
        return made

    def integer(self) -> int:
        """Read a number."""
        start = self.at
        base = 16 if self.take("0x") else 10
        found = _DIGITS.match(self.text, self.at)
        if found is None or (base == 16 and found[0].startswith("-")):
            raise self.error("expected a number")
        text = found[0]
        if base == 10 and text.startswith("0") and len(text) > 1:
            base = 8
        self.at = found.end()
        try:
            value = int(text, base)
        except ValueError:
            raise self.error(f"{text} is no number of base {base}", start, self.at) from None
        if value not in _INTEGERS:
            raise self.error(f"{text} does not fit into 64 bits", start, self.at)
        return value

    def integers(self) -> Span:
        """Read `5` or `1..9`."""
        start = self.at
        first = self.integer()
        last = self.integer() if self.take("..") else first
        if last < first:
            raise self.error("the range ends before it begins", start, self.at)
        return Span(first, last)

    def address(self) -> Address:
        """Read one address."""
        start = self.at
        text = self._address_text()
        try:
            return ip_address(text)
        except ValueError:
            self.at = start
            raise self.error(f'"{text}" is no IP address', start, start + len(text)) from None

    def addresses(self) -> Span:
        """Read an address, a network (`192.0.2.0/24`) or `192.0.2.1..192.0.2.9`."""
        start = self.at
        text = self._address_text()
        low, dots, high = text.partition("..")
        try:
            if dots:
                first, last = ip_address(low), ip_address(high)
            else:
                network = ip_network(text)
                first, last = network.network_address, network.broadcast_address
        except ValueError as error:
            self.at = start
            raise self.error(_network_problem(text, error), start, start + len(text)) from None
        if first.version != last.version or int(last) < int(first):
            raise self.error("incompatible range bounds", start, self.at)
        return Span(first, last)

    def _address_text(self) -> str:
        found = _ADDRESS.match(self.text, self.at)
        if found is None:
            raise self.error(
                "expected an IP address" + (", without quotes" if self.is_string() else "")
            )
        self.at = found.end()
        return found[0]

    def list_name(self) -> ListName:
        """Read `$name`."""
        self.expect("$")
        found = _LIST.match(self.text, self.at)
        if found is None:
            raise self.error("expected a list's name: lower-case letters, digits and _")
        self.at = found.end()
        return ListName(found[0])


def _network_problem(text: str, error: ValueError) -> str:
    if "host bits set" in str(error):
        return f'"{text}" has bits set behind its prefix: write the network\'s own address'
    return f'"{text}" is no IP address, network or range'

"""What the rule language's functions do."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from twin.rules.regex import compile_pattern, compile_wildcard
from twin.rules.types import Address, decode, encode

MAX_REFERENCES: Final = 8
_REFERENCE = re.compile(r"\$(?:\$|\{([0-9]+)\})")
_MESSAGE = re.compile(r"(.+?)([0-9]{10})-(.{43,})", re.DOTALL)
_RECURSIONS: Final = 16
"""Each decoding makes a text shorter; this bounds the work on hostile ones."""

_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def lower(text: str) -> str:
    """ASCII letters only, as documented."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def upper(text: str) -> str:
    """ASCII letters only, as documented."""
    return text.upper() if text.isascii() else text.translate(_UPPER)


def length(value: str | Sequence[Any]) -> int:
    """Bytes of a string, elements of an array."""
    return len(encode(value)) if isinstance(value, str) else len(value)


def concat(*values: Any) -> Any:
    """Strings to a string, arrays to an array; a missing value adds nothing."""
    if any(isinstance(value, (list, tuple)) for value in values):
        return [item for value in values if value is not None for item in value]
    return "".join(value for value in values if value is not None)


def cidr(address: Address, bits4: int, bits6: int) -> Address:
    """The network's address; `bits4` or `bits6` leading bits stay."""
    bits = bits4 if address.version == 4 else bits6
    return ip_address(str(ip_network((address, bits), strict=False).network_address))


def decode_base64(text: str) -> str | None:
    """Missing when it is no Base64."""
    try:
        return decode(base64.b64decode(encode(text), validate=True))
    except (binascii.Error, ValueError):
        return None


def encode_base64(text: str, flags: str = "") -> str:
    """`u` for the URL-safe alphabet, `p` for padding."""
    encoder = base64.urlsafe_b64encode if "u" in flags else base64.b64encode
    made = encoder(encode(text)).decode()
    return made if "p" in flags else made.rstrip("=")


def _lookup(text: str, keys: Sequence[str | int]) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for key in keys:
        if isinstance(key, int):
            if not isinstance(value, list) or not 0 <= key < len(value):
                return None
            value = value[key]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return None
    return value


def lookup_json_string(text: str, *keys: str | int) -> str | None:
    """The string there, missing when there is none."""
    found = _lookup(text, keys)
    return found if isinstance(found, str) else None


def lookup_json_integer(text: str, *keys: str | int) -> int | None:
    """The whole number there; `42.0` is none."""
    found = _lookup(text, keys)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def remove_bytes(text: str, unwanted: str) -> str:
    """Without any of the bytes of `unwanted`."""
    return decode(encode(text).translate(None, delete=encode(unwanted)))


def remove_query_args(query: str, *names: str) -> str:
    """The other parameters, in their order."""
    parts = query.split("&")
    return "&".join(part for part in parts if part.partition("=")[0] not in names)


def substring(text: str, start: int, end: int | None = None) -> str:
    """By bytes; negative positions count from the end."""
    return decode(encode(text)[start:end])


def to_string(value: Any) -> str:
    """As Cloudflare writes it: `true`, `5`, `192.0.2.1`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def url_decode(text: str, options: str = "") -> str:
    """`+` and `%xx`; `r`: again and again, `u`: `%uxxxx` as well."""
    for _ in range(_RECURSIONS):
        made = text.replace("+", " ")
        if "u" in options:
            made = re.sub("%u([0-9A-Fa-f]{4})", _unicode, made)
        made = decode(unquote_to_bytes(encode(made)))
        if "r" not in options or made == text:
            return made
        text = made
    return text


def _unicode(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return found[0] if 0xD800 <= code <= 0xDFFF else chr(code)


def uuidv4(seed: str) -> str:
    """A version 4 UUID made of the given random bytes: the same for the same bytes."""
    digest = bytearray(hashlib.sha256(encode(seed)).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x40
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def references(replacement: str) -> list[int]:
    """The groups that a replacement refers to; ValueError for a `$` that refers to nothing."""
    left = _REFERENCE.sub("", replacement)
    if "$" in left:
        raise ValueError("a $ must be written $$, or refer to a group: ${1}")
    found = [int(match[1]) for match in _REFERENCE.finditer(replacement) if match[1]]
    if len(found) > MAX_REFERENCES:
        raise ValueError(f"{len(found)} references, {MAX_REFERENCES} is the limit")
    return found


def _expand(replacement: str, match: re.Match[str]) -> str:
    def one(found: re.Match[str]) -> str:
        return (match[int(found[1])] or "") if found[1] else "$"

    return _REFERENCE.sub(one, replacement)


def regex_replace(text: str, pattern: str, replacement: str) -> str:
    """The first match replaced."""
    found = compile_pattern(pattern).search(text)
    if found is None:
        return text
    return text[: found.start()] + _expand(replacement, found) + text[found.end() :]


def wildcard_replace(text: str, pattern: str, replacement: str, flags: str = "") -> str:
    """The whole text replaced when all of it matches."""
    found = compile_wildcard(pattern, strict="s" in flags).fullmatch(text)
    return text if found is None else _expand(replacement, found)


def is_timed_hmac_valid(
    key: str, message: str, lifetime: int, now: int, separator: int = 0, flags: str = ""
) -> bool:
    """Whether a token was issued with the key (HMAC-SHA-256) in the last `lifetime` seconds."""
    found = _MESSAGE.fullmatch(message)
    if found is None:
        return False
    head, stamp, mac = found[1], found[2], found[3]
    body = encode(head)
    body = body[: len(body) - separator] if separator else body
    try:
        if "s" in flags:
            given = base64.urlsafe_b64decode(encode(mac) + b"=" * (-len(mac) % 4))
        else:
            given = base64.b64decode(unquote_to_bytes(mac), validate=True)
    except (binascii.Error, ValueError):
        return False
    wanted = hmac.digest(encode(key), body + stamp.encode(), "sha256")
    return hmac.compare_digest(given, wanted) and int(stamp) + lifetime >= now

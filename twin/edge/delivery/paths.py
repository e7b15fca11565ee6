"""URL normalisation: one way to write each path, so that no rule is walked around.

cloudflare-docs, rules/normalization/how-it-works. Paths alone are normalised, not queries. A
percent sign that begins no escape is encoded, as any byte that is neither reserved nor unreserved.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_UNRESERVED: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)
_KEPT: Final = _UNRESERVED | frozenset(b":/?#[]@!$&'()*+,;=")
_SLASHES: Final = re.compile("/{2,}")
_PIECE: Final = re.compile(rb"%[0-9A-Fa-f]{2}|.", re.DOTALL)
_PLAIN: Final = re.compile(r"(?:/(?!\.)[A-Za-z0-9._~-]+)*/?")
"""What is normal already, by far the most paths: nothing else is done to these."""


@lru_cache(maxsize=4096)
def normalise(path: str, kind: str) -> str:
    """Return a path's normal form; `kind` is `cloudflare` or `rfc3986`."""
    if _PLAIN.fullmatch(path):
        return path
    if kind == "cloudflare":
        path = _SLASHES.sub("/", path.replace("\\", "/"))
    raw = path.encode("utf-8", "surrogateescape")
    encoded = "".join(_piece(found[0]) for found in _PIECE.finditer(raw))
    return _without_dots(encoded)


def _piece(piece: bytes) -> str:
    if len(piece) == 3:
        byte = int(piece[1:], 16)
        return chr(byte) if byte in _UNRESERVED else piece.decode().upper()
    byte = piece[0]
    return chr(byte) if byte in _KEPT else f"%{byte:02X}"


def _without_dots(path: str) -> str:
    """Remove dot segments (RFC 3986, section 5.2.4) from a path that begins with a slash."""
    segments = path.split("/")[1:]
    found: list[str] = []
    for segment in segments:
        if segment == "..":
            if found:
                found.pop()
        elif segment != ".":
            found.append(segment)
    if segments[-1] in (".", ".."):
        found.append("")
    return "/" + "/".join(found)

"""The server name that a TLS client asks for, read from its first message before TLS begins.

A zone decides which protocol versions and ciphers it takes. OpenSSL picks both from the context
that a connection began with, not from the one that a callback puts in its place, so the right
context must be known before the handshake starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LONGEST: Final = 16 * 1024 + 5
"""One TLS record (RFC 8446, section 5.1); hellos of today's browsers have some 2 KB."""
_RECORD_HEADER, _HANDSHAKE_HEADER = 5, 4
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0


class Incomplete(Exception):
    """More bytes are needed."""


@dataclass
class _Reader:
    data: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size]
        if len(piece) < size:
            raise Incomplete
        self.at += size
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def block(self, length_size: int) -> bytes:
        return self.take(self.number(length_size))


def server_name(data: bytes) -> str:
    """Return the name that a ClientHello asks for, empty without one or where it cannot be read.

    Raises Incomplete while the record is not there as a whole. What is malformed is left to the TLS
    library to refuse.
    """
    record = _Reader(data)
    record.take(3)
    hello = _Reader(record.block(2))
    try:
        if hello.number(1) != _CLIENT_HELLO:
            return ""
        body = _Reader(hello.block(3))
        body.take(2 + 32)  # version and random (RFC 8446, section 4.1.2)
        body.block(1)  # session
        body.block(2)  # ciphers
        body.block(1)  # compression
        extensions = _Reader(body.block(2))
        while extensions.at < len(extensions.data):
            kind, content = extensions.number(2), extensions.block(2)
            if kind == _SERVER_NAME:
                return _host_name(content)
    except Incomplete:  # lengths that lie, or a hello in several records
        pass
    return ""


def _host_name(extension: bytes) -> str:
    names = _Reader(_Reader(extension).block(2))
    while names.at < len(names.data):
        kind, name = names.number(1), names.block(2)
        if kind == 0:  # host_name (RFC 6066, section 3)
            return name.decode("ascii", "replace").lower().rstrip(".")
    return ""

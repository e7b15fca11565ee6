"""Who a relayed connection comes from: the PROXY protocol, version 2, as the relay sends it.

The relay of the twin's internet stands between its machines and this process, so a connection's own
peer is the relay. What it says about the visitor (github.com/haproxy/haproxy, doc/proxy-protocol)
is believed on its unix socket alone, and demanded there: without it a visitor would have no address
that a limit or a list could be applied to.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_HEADER: Final = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_TCP_OVER_IPV4, _TCP_OVER_IPV6 = 0x11, 0x21
_LONGEST: Final = 2048
"""Bytes of addresses and additions; the relay sends a few dozen."""
LOOPBACK: Final = ("127.0.0.1", 0)
"""What the relay's own connections (its health checks) come from."""

Peer = tuple[str, int]


class NotRelayed(OSError):
    """A connection that does not begin as the relay's do."""


class Relayed(socket.socket):
    """A relayed connection: its peer is the visitor, for whoever asks."""

    peer: Peer = LOOPBACK

    def getpeername(self) -> Peer:
        """Return the visitor's address and port."""
        return self.peer


async def accept(connection: socket.socket) -> Relayed:
    """Take a relayed connection over, its first bytes read; raises NotRelayed."""
    relayed = Relayed(
        connection.family, connection.type, connection.proto, fileno=connection.detach()
    )
    try:
        relayed.setblocking(False)
        relayed.peer = await _read_peer(relayed)
    except BaseException:
        relayed.close()
        raise
    return relayed


async def _read_peer(connection: socket.socket) -> Peer:
    head = await _exactly(connection, _HEADER.size)
    signature, command, family, length = _HEADER.unpack(head)
    if signature != _SIGNATURE or command not in (_LOCAL, _PROXY) or length > _LONGEST:
        raise NotRelayed("the connection does not begin with a PROXY header")
    addresses = await _exactly(connection, length)
    if command == _LOCAL:
        return LOOPBACK
    if family == _TCP_OVER_IPV4 and length >= 12:
        return str(IPv4Address(addresses[:4])), int.from_bytes(addresses[8:10])
    if family == _TCP_OVER_IPV6 and length >= 36:
        address = IPv6Address(addresses[:16])
        return str(address.ipv4_mapped or address), int.from_bytes(addresses[32:34])
    raise NotRelayed(f"a PROXY header of family {family:#x} names no TCP address")


async def _exactly(connection: socket.socket, size: int) -> bytes:
    """Read that many bytes and none of what follows, which TLS or HTTP wants to see."""
    loop = asyncio.get_running_loop()
    found = b""
    while len(found) < size:
        piece = await loop.sock_recv(connection, size - len(found))
        if not piece:
            raise NotRelayed("the connection ended within its PROXY header")
        found += piece
    return found

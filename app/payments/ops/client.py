"""Who is at the other end, as far as it can be trusted.

The chain, outermost first:

1. The edge strips whatever `CF-Connecting-IP` a client sends and sets its own.
2. The way in admits nobody but the edge: a tunnel that dials out, or a firewall that lets in the
   edge's ranges only and asks for its client certificate.
3. The gateway believes that header from the way in alone, removes it, and says what it found in
   `X-Real-IP`, replacing whatever a client sent under that name. It is the only neighbour that can
   reach this port: none is published.

So the gateway's header is believed when the direct peer is on a private network, exactly once, and
when it is an address. `CF-Connecting-IP`, `X-Forwarded-For` and `Forwarded` are never read: the
gateway has judged the first, and every hop adds to the others. The server must run without its own
proxy-header handling.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

HEADER = b"x-real-ip"

TRUSTED_PEERS = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
    )
)
"""Loopback and private networks (RFC 6890): where Docker puts the gateway."""

UNKNOWN = "0.0.0.0"  # noqa: S104 - a placeholder for logs, not a listening address


def client_address(scope: Mapping[str, Any]) -> str:
    """Return the client's address as text, from an ASGI scope; `UNKNOWN` without any."""
    peer = scope["client"][0] if scope.get("client") else ""
    told = [value for name, value in scope.get("headers", ()) if name == HEADER]
    if len(told) == 1 and _trusted(peer):
        return _canonical(told[0].decode("latin-1")) or _canonical(peer) or UNKNOWN
    return _canonical(peer) or UNKNOWN


def network_of(address: str) -> str:
    """Return the network an address is in, /24 or /48: enough to compare, too little to name."""
    parsed = ip_address(address)
    return str(ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))


def bucket_of(address: str) -> str:
    """Return what one client counts as: an IPv4 address, or the /64 that one IPv6 client owns."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed)


def _trusted(peer: str) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in TRUSTED_PEERS)


def _canonical(text: str) -> str | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)

"""The client's address: believed from the gateway only, and from one header only."""

from __future__ import annotations

from typing import Any

import pytest

from payments.ops.client import UNKNOWN, client_address, network_of

GATEWAY, STRANGER = "172.18.0.2", "203.0.113.66"


def _scope(peer: str | None, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"client": (peer, 40000) if peer else None, "headers": list(headers)}


REAL = b"x-real-ip"


@pytest.mark.parametrize(
    ("scope", "address"),
    [
        (_scope(GATEWAY, (REAL, b"198.51.100.7")), "198.51.100.7"),
        (_scope(GATEWAY, (REAL, b"2001:DB8::0:1")), "2001:db8::1"),
        (_scope(GATEWAY, (REAL, b"::ffff:198.51.100.7")), "198.51.100.7"),
        (_scope("::1", (REAL, b"198.51.100.7")), "198.51.100.7"),
        (_scope(GATEWAY), GATEWAY),
        (_scope(STRANGER, (REAL, b"198.51.100.7")), STRANGER),
        (_scope(GATEWAY, (REAL, b"198.51.100.7"), (REAL, b"198.51.100.8")), GATEWAY),
        (_scope(GATEWAY, (REAL, b"198.51.100.7, 198.51.100.8")), GATEWAY),
        (_scope(GATEWAY, (REAL, b"nonsense\xff")), GATEWAY),
        (_scope(GATEWAY, (b"x-forwarded-for", b"198.51.100.7")), GATEWAY),
        (_scope(GATEWAY, (b"forwarded", b"for=198.51.100.7")), GATEWAY),
        (_scope(GATEWAY, (b"cf-connecting-ip", b"198.51.100.7")), GATEWAY),
        (_scope(None, (REAL, b"198.51.100.7")), UNKNOWN),
        (_scope("unix:", (REAL, b"198.51.100.7")), UNKNOWN),
    ],
)
def test_an_address_is_believed_only_where_our_gateway_set_it(
    scope: dict[str, Any], address: str
) -> None:
    assert client_address(scope) == address


@pytest.mark.parametrize(
    ("address", "network"),
    [("198.51.100.7", "198.51.100.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48")],
)
def test_a_network_says_less_than_an_address(address: str, network: str) -> None:
    assert network_of(address) == network

"""Where an instance stands among others on the same Docker engine: its networks and addresses."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from itertools import chain
from typing import Any

from tools.errors import ToolError
from tools.paths import Home

LABEL = "payments.twin"


def free_vpc(client: Any, home: Home, wanted: str) -> str:
    """`wanted`, or the next range of its size that no network of another instance overlaps."""
    first = IPv4Network(wanted)
    taken = list(_taken(client, home))
    block = first.supernet(new_prefix=8) if first.prefixlen > 8 else first
    others = (it for it in block.subnets(new_prefix=first.prefixlen) if it > first)
    for candidate in chain([first], others):
        if not any(candidate.overlaps(network) for network in taken):
            return str(candidate)
    raise ToolError(
        f"No range like {wanted} is free: other Docker networks hold them all.",
        "docker network ls shows them; another instance is taken down with make down.",
    )


def _taken(client: Any, home: Home) -> Iterator[IPv4Network]:
    for network in client.networks.list():
        if (network.attrs.get("Labels") or {}).get(LABEL) == home.instance:
            continue
        for pool in (network.attrs.get("IPAM") or {}).get("Config") or []:
            subnet = ip_network(pool.get("Subnet", "0.0.0.0/32"), strict=False)
            if isinstance(subnet, IPv4Network):
                yield subnet


def internet_gateway(client: Any, home: Home) -> str:
    """The machine's address on the twin's internet: where its SSH connections come from."""
    network = client.networks.get(f"{home.instance}-internet")
    return str(network.attrs["IPAM"]["Config"][0]["Gateway"])

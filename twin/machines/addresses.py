"""Which addresses the twin takes: a slot of the internet, and hosts inside networks."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import chain, islice
from pathlib import Path

from twin.world import WorldError

_DOCUMENTATION = ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24")
"""RFC 5737: nobody's in the world at large, so that the twin's internet hides nothing real."""
EDGE_ADDRESS = "162.158.0.10"
"""Where the edge connects to origins from: in one of Cloudflare's published ranges, and nowhere but
inside the network namespaces of the point of presence and of the machines that know the way to it.
"""
_PACKAGE_SERVERS = ("deb.debian.org", "pypi.org", "files.pythonhosted.org")
_RESOLVE_SECONDS = 2.0
_SLOT_PREFIX = 26
_SERVICES = 8
_MACHINES = 32
_SPARE = 48


@dataclass(frozen=True)
class Internet:
    """One /26 of the documentation ranges, divided.

    Hosts 1 to 7 are the laptop and the clouds' own services, 8 to 31 machines, 32 to 47 left to the
    engine (containers of the fallback), 48 to 62 reserved addresses.
    """

    network: IPv4Network

    @property
    def gateway(self) -> str:
        """The laptop."""
        return str(self.network[1])

    @property
    def dns(self) -> str:
        """The name server."""
        return str(self.network[2])

    @property
    def pop(self) -> str:
        """The point of presence: edge, tunnel, payment gateways."""
        return str(self.network[3])

    @property
    def registry(self) -> str:
        """The image registry."""
        return str(self.network[4])

    @property
    def automatic(self) -> str:
        """The range the engine may choose from, as a CIDR."""
        return str(IPv4Network((self.network[_MACHINES], 28)))

    def machines(self) -> Iterator[str]:
        """Addresses for machines."""
        return (str(self.network[host]) for host in range(_SERVICES, _MACHINES))

    def reserved(self) -> Iterator[str]:
        """Addresses that outlive machines."""
        return (str(self.network[host]) for host in range(_SPARE, 63))


@dataclass(frozen=True)
class PrivateNetwork:
    """A VPC's range: the first host is the gateway, the upper half is left to the engine."""

    network: IPv4Network

    @property
    def gateway(self) -> str:
        """Held by the cloud."""
        return str(self.network[1])

    @property
    def automatic(self) -> str:
        """The range the engine may choose from, as a CIDR."""
        return str(list(self.network.subnets(prefixlen_diff=1))[1])

    def machines(self) -> Iterator[str]:
        """Addresses for machines."""
        return (str(host) for host in islice(self.network.hosts(), 1, self._half - 1))

    @property
    def _half(self) -> int:
        return self.network.num_addresses // 2


def slots() -> Iterator[IPv4Network]:
    """Every /26 the internet may lie in, in the order they are tried."""
    return chain.from_iterable(
        IPv4Network(block).subnets(new_prefix=_SLOT_PREFIX) for block in _DOCUMENTATION
    )


def choose_slot(taken: Mapping[str, Collection[IPv4Network]]) -> IPv4Network:
    """The first slot that overlaps nothing; `taken` maps who holds networks to them.

    Raises WorldError naming the holders when none is free.
    """
    for slot in slots():
        if overlapping(slot, taken) is None:
            return slot
    raise WorldError(
        "No /26 of 203.0.113.0/24, 198.51.100.0/24 or 192.0.2.0/24 is free for the twin's "
        f"internet; they are held by: {', '.join(sorted(taken))}. "
        "Take another instance down (`make down`)."
    )


def overlapping(
    network: IPv4Network, taken: Mapping[str, Collection[IPv4Network]]
) -> tuple[str, IPv4Network] | None:
    """Who holds a network that overlaps this one, and which; None when it is free."""
    for holder, networks in taken.items():
        for other in networks:
            if network.overlaps(other):
                return holder, other
    return None


def first_free(candidates: Iterator[str], used: Collection[str], what: str) -> str:
    """The first address not in use; WorldError when all are."""
    for candidate in candidates:
        if candidate not in used:
            return candidate
    raise WorldError(f"No {what} address is left in the twin: remove something first.")


def host_networks(route_table: Path = Path("/proc/net/route")) -> list[IPv4Network]:
    """The networks this host has routes to (Linux), without default routes."""
    if not route_table.exists():
        return []
    networks = []
    for line in route_table.read_text().splitlines()[1:]:
        _, destination, _, _, _, _, _, mask, *_ = line.split()
        network = IPv4Network((_little_endian(destination), str(_little_endian(mask))))
        if network.prefixlen:
            networks.append(network)
    return networks


def package_servers(names: Collection[str] = _PACKAGE_SERVERS) -> list[IPv4Network]:
    """Where this machine's name service finds the package servers that image builds ask.

    A closed network may keep its proxy in a documentation range: a slot over it would cut off every
    build. Names that do not resolve within two seconds are left out.
    """
    found: list[IPv4Network] = []

    def resolve(name: str) -> None:
        with contextlib.suppress(OSError):
            for _, _, _, _, address in socket.getaddrinfo(name, 443, socket.AF_INET):
                found.append(IPv4Network(str(address[0])))

    threads = [threading.Thread(target=resolve, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _RESOLVE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return list(dict.fromkeys(found))


def _little_endian(text: str) -> IPv4Address:
    return IPv4Address(int.from_bytes(bytes.fromhex(text), "little"))

"""What the clouds offer, as data: regions, sizes, versions, ports, and what each of them allows.

Read on 2026-11-20 from DigitalOcean's OpenAPI description (`databases/responses/options.yml`), its
droplet, VPC and database limit pages, and Cloudflare's list of proxied ports. A value that is
missing here is refused by the settings: add it with its source when the cloud offers it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

AS_OF: Final = "2026-11-20"


@dataclass(frozen=True, kw_only=True)
class DropletSize:
    """A droplet plan: virtual CPUs and memory in MiB."""

    vcpus: int
    memory_mib: int


def _droplets(*slugs: str) -> dict[str, DropletSize]:
    """Plans whose slug says what they have (`s-2vcpu-4gb-amd`)."""
    sizes: dict[str, DropletSize] = {}
    for slug in slugs:
        match = re.match(r"[a-z0-9_]+-(\d+)vcpu-(\d+)(mb|gb)", slug)
        if match is None:
            raise ValueError(f"{slug} does not say its size")
        memory = int(match[2]) * (1024 if match[3] == "gb" else 1)
        sizes[slug] = DropletSize(vcpus=int(match[1]), memory_mib=memory)
    return sizes


DROPLET_SIZES: Final[dict[str, DropletSize]] = {
    **_droplets(
        "s-1vcpu-1gb",
        "s-1vcpu-2gb",
        "s-2vcpu-2gb",
        "s-2vcpu-4gb",
        "s-4vcpu-8gb",
        "s-8vcpu-16gb",
        "s-1vcpu-2gb-amd",
        "s-1vcpu-2gb-intel",
        "s-2vcpu-4gb-amd",
        "s-2vcpu-4gb-intel",
        "s-2vcpu-8gb-amd",
        "s-4vcpu-8gb-amd",
        "s-4vcpu-8gb-intel",
        "g-2vcpu-8gb",
        "g-4vcpu-16gb",
        "g-8vcpu-32gb",
    ),
    # CPU-optimised plans have 2 GiB for each virtual CPU and do not say it.
    "c-2": DropletSize(vcpus=2, memory_mib=4096),
    "c-4": DropletSize(vcpus=4, memory_mib=8192),
    "c-8": DropletSize(vcpus=8, memory_mib=16384),
}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


DROPLET_REGIONS: Final = frozenset(
    _words("ams3 atl1 blr1 fra1 lon1 nyc1 nyc2 nyc3 ric1 sfo2 sfo3 sgp1 syd1 tor1")
)
VALKEY_REGIONS: Final = DROPLET_REGIONS - {"nyc2"}
SPACES_REGIONS: Final = frozenset(_words("ams3 atl1 blr1 fra1 lon1 nyc3 sfo2 sfo3 sgp1 syd1 tor1"))

POSTGRES_VERSIONS: Final = ("15", "16", "17")
"""Offered for new clusters; 13 and 14 passed their end of availability (14: 2026-05-12)."""
VALKEY_VERSIONS: Final = ("8",)

_STANDARD: Final = _words(
    "db-s-1vcpu-1gb db-s-1vcpu-2gb db-s-2vcpu-4gb db-s-4vcpu-8gb db-s-6vcpu-16gb"
)
_PREMIUM_SHAPES: Final = _words(
    "1vcpu-1gb 1vcpu-2gb 2vcpu-4gb 2vcpu-8gb 4vcpu-8gb 4vcpu-16gb 8vcpu-32gb 16vcpu-64gb"
)
POSTGRES_SIZES: Final = (
    *_STANDARD,
    *(f"db-{vendor}-{shape}" for vendor in ("amd", "intel") for shape in _PREMIUM_SHAPES),
    *_words("gd-2vcpu-8gb gd-4vcpu-16gb gd-8vcpu-32gb gd-16vcpu-64gb gd-32vcpu-128gb"),
    *_words("so1_5-2vcpu-16gb so1_5-4vcpu-32gb so1_5-8vcpu-64gb so1_5-16vcpu-128gb"),
)
VALKEY_SIZES: Final = (
    *_STANDARD,
    *_words("db-s-8vcpu-32gb db-s-16vcpu-64gb m-2vcpu-16gb m-4vcpu-32gb m-8vcpu-64gb"),
)
MAX_DATABASE_NODES: Final = 3
STANDBY_MEMORY_GB: Final = 2
"""Sizes with less memory than this are offered with one node only."""


def database_memory_gb(size: str) -> int:
    """The memory of a database size, which its slug states."""
    match = re.search(r"vcpu-(\d+)gb", size)
    if match is None:
        raise ValueError(f"{size} does not say its memory")
    return int(match[1])


def backend_connections(size: str) -> int:
    """Connections a Postgres of this size serves: 25 for each GB, less 3 that the service keeps."""
    return 25 * database_memory_gb(size) - 3


VPC_PREFIXES: Final = range(16, 29)
PRIVATE_RANGES: Final = tuple(
    IPv4Network(cidr) for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
DIGITALOCEAN_RANGES: Final = tuple(
    IPv4Network(cidr)
    for cidr in ("10.229.0.0/16", "10.244.0.0/16", "10.245.0.0/16", "10.246.0.0/24")
)
"""Ranges DigitalOcean keeps for itself in every region."""

CLOUDFLARE_HTTPS_PORTS: Final = frozenset({443, 2053, 2083, 2087, 2096, 8443})
"""Ports on which Cloudflare's proxy accepts HTTPS."""

ORIGIN_HTTPS_PORT: Final = 443
"""The only port on which a droplet or a load balancer of ours speaks HTTPS."""

WIDEST_SSH_SOURCE: Final = {4: 16, 6: 32}
"""The shortest prefix that may reach SSH, by IP version: a company's range, not the internet."""

NARROWEST_LIST_IPV6: Final = 64
"""Cloudflare's lists hold IPv6 ranges from /4 to /64, and no single address (waf, custom lists)."""

HOST_RESERVE_MIB: Final = 384
"""What the system, Docker and its logs need beside the containers."""

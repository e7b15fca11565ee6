"""The addresses that Cloudflare's edge connects to origins from.

Asked of Cloudflare at every update, because they may change; checked, because an answer that is
empty or too wide would lock every visitor out, or let everybody in. All of Cloudflare's customers
share them: they say "through Cloudflare", never "through our zone".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

import pulumi
import pulumi_cloudflare as cloudflare

FEWEST: Final = {4: 15, 6: 7}
"""How many there have been for years, by IP version (www.cloudflare.com/ips)."""
WIDEST: Final = {4: 12, 6: 29}
"""The shortest prefix that is believed, by IP version; the widest are a /13 and a /29."""


@dataclass(frozen=True, kw_only=True)
class EdgeRanges:
    """CIDRs by IP version, sorted, so that their order never looks like a change."""

    ipv4: pulumi.Output[list[str]]
    ipv6: pulumi.Output[list[str]]

    @property
    def all(self) -> pulumi.Output[list[str]]:
        """Both."""
        return pulumi.Output.all(self.ipv4, self.ipv6).apply(lambda both: [*both[0], *both[1]])


def edge_ranges(opts: pulumi.InvokeOutputOptions) -> EdgeRanges:
    """Ask Cloudflare; an answer that cannot be right ends the update."""
    answer = cloudflare.get_ip_ranges_output(opts=opts)
    return EdgeRanges(
        ipv4=answer.ipv4_cidrs.apply(lambda found: checked(found, 4)),
        ipv6=answer.ipv6_cidrs.apply(lambda found: checked(found, 6)),
    )


def checked(found: Sequence[str] | None, version: int) -> list[str]:
    """The ranges of one IP version, sorted. Raises ValueError for what cannot be right."""
    networks = [ip_network(cidr) for cidr in found or ()]
    strange = [str(n) for n in networks if n.version != version or n.prefixlen < WIDEST[version]]
    if len(set(networks)) < FEWEST[version] or strange:
        raise ValueError(
            f"Cloudflare's IPv{version} ranges = {list(map(str, networks))}: at least "
            f"{FEWEST[version]} are expected, none wider than /{WIDEST[version]}; with these the "
            "origin would be closed to all or open to strangers. Nothing was changed: try again, "
            "and compare with www.cloudflare.com/ips"
        )
    return [str(network) for network in sorted(set(networks), key=str)]

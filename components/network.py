"""The private network, the tag that gathers the droplets, and the cloud firewall in front of them.

Owns the VPC, the tag and the firewall. Not: the droplets, which carry the tag; the databases'
trusted sources, which name it.

- The firewall is attached by tag and not by droplet id: a droplet is covered from its first boot,
  and a firewall takes ten ids but any number of tagged droplets.
- A cloud firewall without outbound rules lets nothing out: what a droplet needs is listed.
- Nothing comes in but SSH from named addresses. Visitors come through the tunnel, which dials out;
  or from the edge's addresses to the web port, where the ingress is direct.
- A VPC refuses to be deleted while members are still leaving; the provider tries for two minutes
  only, and `pulumi destroy` failed right after the databases: hence the longer timeout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

import pulumi
import pulumi_digitalocean as digitalocean

from components.entrance import HTTPS_PORT

EVERYWHERE: Final = ("0.0.0.0/0", "::/0")

EGRESS: Final[tuple[tuple[str, str, str], ...]] = (
    ("tcp", "53", "names"),
    ("udp", "53", "names"),
    ("tcp", "80", "packages of the distribution, the metadata service"),
    ("udp", "123", "time"),
    ("tcp", "443", "payment gateways, registries, Spaces"),
)
"""What a droplet may reach anywhere: protocol, port, and what for."""
TUNNEL_EGRESS: Final[tuple[tuple[str, str, str], ...]] = (
    ("tcp", "7844", "the tunnel over HTTP/2"),
    ("udp", "7844", "the tunnel over QUIC"),
)
"""The same, where a connector dials out."""

DATABASE_PORTS: Final = "25060-25061"
"""Managed databases and their pools; only inside the VPC."""


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """Where the network lies and what may cross its border.

    `ssh_sources` are CIDRs; `egress_ports` are further TCP ports, such as a registry's. `tunnel`
    says whether connectors dial out; `web_sources` are the CIDRs that reach the web port, None to
    leave it shut.
    """

    region: str
    cidr: str
    ssh_sources: Sequence[str]
    egress_ports: Sequence[int] = ()
    tunnel: bool = True
    web_sources: pulumi.Input[Sequence[str]] | None = None

    def __post_init__(self) -> None:
        open_sources = [s for s in self.ssh_sources if ip_network(s).prefixlen == 0]
        if open_sources:
            raise ValueError(
                f"ssh_sources={open_sources}: SSH must never be open to the world; name the "
                "addresses that may connect"
            )


class Network(pulumi.ComponentResource):
    """A VPC, the droplets' tag, and the firewall on that tag."""

    vpc_id: pulumi.Output[str]
    """The VPC's UUID, for members."""
    tag: pulumi.Output[str]
    """The tag a droplet carries to be covered, and databases trust."""
    firewall_id: pulumi.Output[str]
    """The firewall; droplets wait for it."""

    def __init__(
        self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Network", name, {}, opts)
        vpc = digitalocean.Vpc(
            f"{name}-vpc",
            region=args.region,
            ip_range=args.cidr,
            description="Droplets and managed databases of the payments platform",
            opts=pulumi.ResourceOptions(
                parent=self, custom_timeouts=pulumi.CustomTimeouts(delete="15m")
            ),
        )
        tag = digitalocean.Tag(f"{name}-tag", opts=pulumi.ResourceOptions(parent=self))
        firewall = digitalocean.Firewall(
            f"{name}-firewall",
            tags=[tag.name],
            inbound_rules=_inbound(args),
            outbound_rules=_outbound(args),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.vpc_id = vpc.id
        self.tag = tag.name
        self.firewall_id = firewall.id
        self.register_outputs(
            {"vpc_id": self.vpc_id, "tag": self.tag, "firewall_id": self.firewall_id}
        )


def _inbound(args: NetworkArgs) -> list[digitalocean.FirewallInboundRuleArgs]:
    rule = digitalocean.FirewallInboundRuleArgs
    rules = [rule(protocol="tcp", port_range="22", source_addresses=sorted(args.ssh_sources))]
    if args.web_sources is not None:
        rules.append(
            rule(protocol="tcp", port_range=str(HTTPS_PORT), source_addresses=args.web_sources)
        )
    return rules


def _outbound(args: NetworkArgs) -> list[digitalocean.FirewallOutboundRuleArgs]:
    known = EGRESS + (TUNNEL_EGRESS if args.tunnel else ())
    anywhere = [(protocol, port) for protocol, port, _ in known]
    anywhere += [("tcp", str(port)) for port in sorted(set(args.egress_ports))]
    rules = [
        digitalocean.FirewallOutboundRuleArgs(
            protocol=protocol, port_range=port, destination_addresses=list(EVERYWHERE)
        )
        for protocol, port in anywhere
    ]
    rules.append(
        digitalocean.FirewallOutboundRuleArgs(
            protocol="tcp", port_range=DATABASE_PORTS, destination_addresses=[args.cidr]
        )
    )
    # ICMP has no ports: path MTU discovery and diagnosis.
    rules.append(
        digitalocean.FirewallOutboundRuleArgs(
            protocol="icmp", destination_addresses=list(EVERYWHERE)
        )
    )
    return rules

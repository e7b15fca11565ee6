"""The way in of one environment: tunnel, load balancer, or the droplet itself.

Each is three things: what stands before the droplets (`way_in`), what a droplet needs of it
(`exposure`), and the name that leads there (`public_name`). SSH behind Access has a way of its own
to each droplet, whatever visitors take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pulumi

from components import origin
from components.containers import GATEWAY_URL, Exposure
from components.edge_ranges import EdgeRanges, edge_ranges
from components.entrance import HEALTH_PORT, HTTPS_PORT
from components.host import Host
from components.ingress import Ingress, IngressArgs
from components.load_balancer import LoadBalancer, LoadBalancerArgs
from components.network import Network
from components.origin import Origin, OriginArgs
from components.tunnel import SSH_SERVICE, Tunnel, TunnelArgs
from stacks.providers import Providers
from stacks.settings import Stack


@dataclass(frozen=True, kw_only=True)
class SshWay:
    """How SSH reaches one droplet; `own` where the tunnel carries nothing else."""

    hostname: str
    tunnel: Tunnel
    own: bool


@dataclass(frozen=True, kw_only=True)
class WayIn:
    """What stands of it; one of the first two, or neither where the droplet is the way in.

    `ssh` are the ways of SSH behind Access, in the droplets' order.
    Without a tunnel `proof` is what edge and origin know each other by.
    """

    tunnel: Tunnel | None = None
    balancer: LoadBalancer | None = None
    exposure: Exposure | None = None
    ssh: tuple[SshWay, ...] = ()
    proof: Origin | None = None

    @property
    def dials_out(self) -> bool:
        """Whether there is a connector on the droplets."""
        return self.tunnel is not None or bool(self.ssh)

    @property
    def shared_ssh(self) -> bool:
        """Whether the visitors' tunnel leads to the droplet's SSH, too."""
        return any(not way.own for way in self.ssh)

    def ssh_token(self, droplet: int) -> pulumi.Output[str] | None:
        """What a droplet's connector for SSH alone authenticates with; None without one."""
        own = [way.tunnel.token for way in self.ssh if way.own]
        return own[droplet] if own else None

    def exports(self) -> dict[str, pulumi.Input[object]]:
        """The stack's outputs about the way in."""
        if self.tunnel:
            return {"tunnel_id": self.tunnel.tunnel_id}
        return {"origin_certificates_expire": self.proof.expires} if self.proof else {}

    def before_droplets(self) -> list[pulumi.Resource]:
        """What outlives the droplets: a tunnel with live connectors refuses to be deleted."""
        own = [way.tunnel for way in self.ssh if way.own]
        return [*([self.tunnel] if self.tunnel else []), *own]


def edge(stack: Stack, providers: Providers) -> EdgeRanges | None:
    """Where the edge connects from; None where a tunnel makes that nobody's business."""
    if stack.settings.ingress == "tunnel":
        return None
    return edge_ranges(pulumi.InvokeOutputOptions(provider=providers.cloudflare))


def web_sources(stack: Stack, ranges: EdgeRanges | None) -> pulumi.Output[list[str]] | None:
    """Who may reach the droplets' web port; a load balancer's own firewall lets itself in."""
    return ranges.all if ranges and stack.settings.ingress == "direct" else None


def published(stack: Stack) -> tuple[int, ...]:
    """The ports that a droplet's containers offer to the outside."""
    return {
        "tunnel": (),
        "direct": (HTTPS_PORT,),
        "load-balancer": (HTTPS_PORT, HEALTH_PORT),
    }[stack.settings.ingress]


def way_in(
    stack: Stack, network: Network, ranges: EdgeRanges | None, clouds: pulumi.ResourceOptions
) -> WayIn:
    """What leads visitors to the droplets, and what proves edge and origin to each other."""
    name, settings = stack.name, stack.settings
    if ranges is None:
        shared = settings.ssh_shares_tunnel and bool(settings.ssh_hostnames)
        tunnel = Tunnel(
            f"{name}-tunnel",
            TunnelArgs(
                account_id=settings.zone.account_id,
                hostname=settings.hostname,
                service=GATEWAY_URL,
                ssh_hostname=settings.ssh_hostnames[0] if shared else None,
            ),
            clouds,
        )
        return WayIn(tunnel=tunnel, ssh=_ssh_ways(stack, tunnel if shared else None, clouds))
    proof = Origin(
        f"{name}-origin",
        OriginArgs(
            zone_id=settings.zone.id,
            hostname=settings.hostname,
            generation=origin.generation(datetime.now(UTC).date(), extra=settings.origin_rotations),
        ),
        clouds,
    )
    exposure = Exposure(
        certificate=proof.certificate,
        private_key=proof.private_key,
        client_authority=proof.client_authority,
        presented=proof.pulls,
        edge=ranges.all,
        behind_load_balancer=settings.ingress == "load-balancer",
    )
    ssh = _ssh_ways(stack, None, clouds)
    if settings.ingress == "direct":
        return WayIn(exposure=exposure, proof=proof, ssh=ssh)
    balancer = LoadBalancer(
        f"{name}-balancer",
        LoadBalancerArgs(
            region=settings.region,
            vpc_id=network.vpc_id,
            tag=network.tag,
            nodes=settings.load_balancer.nodes,
            sources=ranges.ipv4,
        ),
        clouds,
    )
    return WayIn(balancer=balancer, exposure=exposure, proof=proof, ssh=ssh)


def _ssh_ways(
    stack: Stack, shared: Tunnel | None, clouds: pulumi.ResourceOptions
) -> tuple[SshWay, ...]:
    """A tunnel for each droplet's SSH, or the one that leads to a single droplet anyway."""
    names = stack.settings.ssh_hostnames
    if shared:
        return tuple(SshWay(hostname=name, tunnel=shared, own=False) for name in names)
    return tuple(
        SshWay(
            hostname=name,
            tunnel=Tunnel(
                f"{stack.name}-ssh-{number}",
                TunnelArgs(
                    account_id=stack.settings.zone.account_id, hostname=name, service=SSH_SERVICE
                ),
                clouds,
            ),
            own=True,
        )
        for number, name in enumerate(names)
    )


def public_name(
    stack: Stack,
    way: WayIn,
    host: Host,
    after: Sequence[pulumi.Resource],
    clouds: pulumi.ResourceOptions,
) -> Ingress:
    """The record that leads visitors in, made once the edge has its rules (`after`).

    With direct ingress it leads to a reserved address, which outlives the droplet.
    """
    if way.tunnel:
        target = way.tunnel.target
    elif way.balancer:
        target = way.balancer.address
    else:
        target = host.reserved_addresses.apply(lambda reserved: str(reserved[0]))
    return Ingress(
        f"{stack.name}-ingress",
        IngressArgs(
            zone_id=stack.settings.zone.id,
            hostname=stack.settings.hostname,
            kind="CNAME" if way.tunnel else "A",
            target=target,
            after=after,
            formerly=(way.tunnel, f"{stack.name}-tunnel-record") if way.tunnel else None,
        ),
        clouds,
    )

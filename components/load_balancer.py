"""The way in over DigitalOcean's load balancer: what it admits, where it sends it.

Owns the load balancer and the cloud firewall that lets it, and nobody else, reach the droplets' web
port. Not: the droplets, which it finds by their tag; the certificate, which it never sees.

- TLS passes through: the client certificate that proves our own zone is checked in the handshake,
  and a balancer that terminates TLS would end that handshake itself and show the droplets nothing.
- Passed through, nothing can be added to a request: the visitor's side of the connection comes in
  the PROXY protocol instead.
- No sticky sessions: they need a cookie, and a cookie needs termination. Nothing here needs them: a
  session is in Valkey, and live updates are one long connection (a websocket), not many polls.
- The health check is HTTP on a port of its own, because a check of the web port would need a client
  certificate. It comes with the PROXY protocol too, as nothing here says otherwise (godo#700: "it
  will default to the LBs PROXY protocol config").
- A load balancer has no cloud firewall; its own list of addresses is the only way to close it.
- By tag and not by id: a droplet joins and leaves by itself, and ids are ten at most.
- The droplets' firewall is a second one on the same tag: rules of several add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_digitalocean as digitalocean

from components.entrance import HEALTH_PATH, HEALTH_PORT, HTTPS_PORT

CHECK_INTERVAL_SECONDS: Final = 10
CHECK_TIMEOUT_SECONDS: Final = 5


@dataclass(frozen=True, kw_only=True)
class LoadBalancerArgs:
    """Where it stands, which droplets it serves, how many nodes it has, and whom it admits.

    `sources` are the IPv4 CIDRs of the edge. One node serves 10,000 connections at once and 250 new
    TLS connections a second; with one there is no standby.
    """

    region: str
    vpc_id: pulumi.Input[str]
    tag: pulumi.Input[str]
    nodes: int
    sources: pulumi.Input[Sequence[str]]


class LoadBalancer(pulumi.ComponentResource):
    """A load balancer that admits the edge only, and droplets that admit it only."""

    address: pulumi.Output[str]
    """Its public IPv4 address."""
    cloud_urn: pulumi.Output[str]
    """Its DigitalOcean URN, for the project."""

    def __init__(
        self, name: str, args: LoadBalancerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:LoadBalancer", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        allowed: pulumi.Output[list[str]] = pulumi.Output.from_input(args.sources).apply(
            lambda cidrs: [f"cidr:{cidr}" for cidr in cidrs]
        )
        balancer = digitalocean.LoadBalancer(
            f"{name}-balancer",
            region=args.region,
            vpc_uuid=args.vpc_id,
            size_unit=args.nodes,
            droplet_tag=args.tag,
            enable_proxy_protocol=True,
            forwarding_rules=[
                digitalocean.LoadBalancerForwardingRuleArgs(
                    entry_protocol="https",
                    entry_port=HTTPS_PORT,
                    target_protocol="https",
                    target_port=HTTPS_PORT,
                    tls_passthrough=True,
                )
            ],
            healthcheck=digitalocean.LoadBalancerHealthcheckArgs(
                protocol="http",
                port=HEALTH_PORT,
                path=HEALTH_PATH,
                check_interval_seconds=CHECK_INTERVAL_SECONDS,
                response_timeout_seconds=CHECK_TIMEOUT_SECONDS,
                healthy_threshold=2,
                unhealthy_threshold=2,
            ),
            firewall=digitalocean.LoadBalancerFirewallArgs(allows=allowed),
            opts=child,
        )
        digitalocean.Firewall(
            f"{name}-firewall",
            tags=[args.tag],
            inbound_rules=[
                digitalocean.FirewallInboundRuleArgs(
                    protocol="tcp", port_range=str(port), source_load_balancer_uids=[balancer.id]
                )
                for port in (HTTPS_PORT, HEALTH_PORT)
            ],
            opts=child,
        )
        self.address = balancer.ip
        self.cloud_urn = balancer.load_balancer_urn
        self.register_outputs({"address": self.address, "cloud_urn": self.cloud_urn})

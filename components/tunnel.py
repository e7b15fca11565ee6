"""The way in: a Cloudflare tunnel, its routes, and the name that visitors use.

Owns the tunnel, its ingress configuration and the proxied DNS record. Not: the connectors, which
run beside the gateway and dial out with the token; the zone and its rules.

- `config_src="cloudflare"`: without it the routes configured here would be ignored.
- The last ingress must be a catch-all without a hostname, or Cloudflare refuses the configuration.
- The record is proxied, and a proxied record has `ttl=1` (automatic).
- The token is an invoke and not an output of the tunnel; its result is marked secret here.
- A tunnel with live connectors refuses to be deleted, and connectors go with their droplet: the
  droplets are made after the tunnel, so that they are deleted before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_cloudflare as cloudflare


@dataclass(frozen=True, kw_only=True)
class TunnelArgs:
    """The zone, the name in it, and the address the connectors forward to.

    `after` must stand before the name leads anywhere: the edge's rules.
    """

    account_id: str
    zone_id: str
    hostname: str
    service: str
    after: Sequence[pulumi.Resource] = ()


class Tunnel(pulumi.ComponentResource):
    """A tunnel that serves one host name."""

    tunnel_id: pulumi.Output[str]
    """The tunnel's UUID."""
    token: pulumi.Output[str]
    """What a connector authenticates with (secret)."""
    record: pulumi.Output[str]
    """The DNS record's id."""

    def __init__(
        self, name: str, args: TunnelArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Tunnel", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        tunnel = cloudflare.ZeroTrustTunnelCloudflared(
            f"{name}-tunnel",
            account_id=args.account_id,
            name=name,
            config_src="cloudflare",
            opts=child,
        )
        ingress = cloudflare.ZeroTrustTunnelCloudflaredConfigConfigIngressArgs
        cloudflare.ZeroTrustTunnelCloudflaredConfig(
            f"{name}-routes",
            account_id=args.account_id,
            tunnel_id=tunnel.id,
            config=cloudflare.ZeroTrustTunnelCloudflaredConfigConfigArgs(
                ingresses=[
                    ingress(hostname=args.hostname, service=args.service),
                    ingress(service="http_status:404"),
                ]
            ),
            opts=child,
        )
        record = cloudflare.DnsRecord(
            f"{name}-record",
            zone_id=args.zone_id,
            name=args.hostname,
            type="CNAME",
            content=pulumi.Output.concat(tunnel.id, ".cfargotunnel.com"),
            proxied=True,
            ttl=1,
            comment="The payments platform, through its tunnel",
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        answer = cloudflare.get_zero_trust_tunnel_cloudflared_token_output(
            account_id=args.account_id,
            tunnel_id=tunnel.id,
            opts=pulumi.InvokeOutputOptions(parent=self),
        )
        self.tunnel_id = tunnel.id
        self.token = pulumi.Output.secret(answer.token)
        self.record = record.id
        self.register_outputs(
            {"tunnel_id": self.tunnel_id, "token": self.token, "record": self.record}
        )

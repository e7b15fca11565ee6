"""The way in that opens no port: a Cloudflare tunnel and its routes.

Owns the tunnel and its ingress configuration. Not: the connectors, which run beside the gateway and
dial out with the token; the record that leads to it (`ingress`); the zone and its rules.

- `config_src="cloudflare"`: without it the routes configured here would be ignored.
- The last ingress must be a catch-all without a hostname, or Cloudflare refuses the configuration.
- The token is an invoke and not an output of the tunnel; its result is marked secret here.
- A tunnel with live connectors refuses to be deleted, and connectors go with their droplet: the
  droplets are made after the tunnel, so that they are deleted before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_cloudflare as cloudflare

TARGET_SUFFIX: Final = ".cfargotunnel.com"
DROPLET: Final = "host.docker.internal"
"""The droplet as its connector's container knows it (`containers` adds the name)."""
SSH_SERVICE: Final = f"ssh://{DROPLET}:22"


@dataclass(frozen=True, kw_only=True)
class TunnelArgs:
    """The account, the name to serve, and the address the connectors forward to.

    `ssh_hostname` leads to the SSH server of the connector's droplet; Access stands before it. Only
    where there is one droplet: of several connectors any may be chosen, so that each droplet's SSH
    needs a tunnel of its own, whose `service` is `SSH_SERVICE`.
    """

    account_id: str
    hostname: str
    service: str
    ssh_hostname: str | None = None


class Tunnel(pulumi.ComponentResource):
    """A tunnel that serves one host name."""

    tunnel_id: pulumi.Output[str]
    """The tunnel's UUID."""
    token: pulumi.Output[str]
    """What a connector authenticates with (secret)."""
    target: pulumi.Output[str]
    """The name that the host's record leads to."""

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
        ssh = [ingress(hostname=args.ssh_hostname, service=SSH_SERVICE)]
        cloudflare.ZeroTrustTunnelCloudflaredConfig(
            f"{name}-routes",
            account_id=args.account_id,
            tunnel_id=tunnel.id,
            config=cloudflare.ZeroTrustTunnelCloudflaredConfigConfigArgs(
                ingresses=[
                    ingress(hostname=args.hostname, service=args.service),
                    *(ssh if args.ssh_hostname else []),
                    ingress(service="http_status:404"),
                ]
            ),
            opts=child,
        )
        answer = cloudflare.get_zero_trust_tunnel_cloudflared_token_output(
            account_id=args.account_id,
            tunnel_id=tunnel.id,
            opts=pulumi.InvokeOutputOptions(parent=self),
        )
        self.tunnel_id = tunnel.id
        self.token = pulumi.Output.secret(answer.token)
        self.target = pulumi.Output.concat(tunnel.id, TARGET_SUFFIX)
        self.register_outputs(
            {"tunnel_id": self.tunnel_id, "token": self.token, "target": self.target}
        )

"""The name that visitors use, and where it leads: to a tunnel, a load balancer or a droplet.

Owns the proxied record of the host. Not: what it leads to; the zone and its rules.

- The record is proxied, always: an unproxied one would publish the origin's address and lead
  visitors around every rule of the edge. A proxied record has `ttl=1` (automatic).
- A change of ingress is a change of the record's type, which replaces it; and Cloudflare refuses an
  A record beside a CNAME of the same name, so this one is deleted first. One component for all
  ingresses makes it the same resource to the engine.
- IPv4 alone: the droplets have no IPv6 and the load balancer none; visitors with IPv6 reach the
  edge, which connects over IPv4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_cloudflare as cloudflare


@dataclass(frozen=True, kw_only=True)
class IngressArgs:
    """The zone, the name in it, and where it leads: an IPv4 address (A) or a name (CNAME).

    `after` is what the edge must know of the zone before visitors come by this name. `formerly` is
    the component and the name under which an older release made the record.
    """

    zone_id: str
    hostname: str
    kind: Literal["A", "CNAME"]
    target: pulumi.Input[str]
    after: Sequence[pulumi.Resource] = ()
    formerly: tuple[pulumi.Resource, str] | None = None


class Ingress(pulumi.ComponentResource):
    """The public name of the platform."""

    record: pulumi.Output[str]
    """The DNS record's id."""

    def __init__(
        self, name: str, args: IngressArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Ingress", name, {}, opts)
        parent, old = args.formerly or (self, f"{name}-record")
        record = cloudflare.DnsRecord(
            f"{name}-record",
            zone_id=args.zone_id,
            name=args.hostname,
            type=args.kind,
            content=args.target,
            proxied=True,
            ttl=1,
            comment="The payments platform",
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                delete_before_replace=True,
                aliases=[pulumi.Alias(name=old, parent=parent)] if args.formerly else None,
            ),
        )
        self.record = record.id
        self.register_outputs({"record": self.record})

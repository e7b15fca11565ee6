"""Managed Valkey: sessions, limits, idempotency keys in flight.

Owns the cluster, its configuration and who may connect. Not: what the service keeps in it.

- `noeviction`: a full cache must refuse writes; dropping keys would drop sessions and locks.
- The policy is set in one place, here in the configuration (dashes); the cluster has the same
  setting under another spelling (underscores), and with both the two undo each other.
- The engine is `valkey`: DigitalOcean ended managed Redis on 2025-06-30.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_digitalocean as digitalocean

from components.database import certificate, trust, url


@dataclass(frozen=True, kw_only=True)
class CacheArgs:
    """The cluster's shape, where it stands, whom it trusts, and whether it is protected."""

    version: str
    size: str
    nodes: int
    maintenance_day: str
    maintenance_hour: str

    region: str
    vpc_id: pulumi.Input[str]
    trusted_tag: pulumi.Input[str]
    protect: bool

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= 3:
            raise ValueError(f"nodes={self.nodes}: a cluster has a primary and at most 2 standbys")


class Cache(pulumi.ComponentResource):
    """A Valkey cluster that only the platform's droplets reach."""

    url: pulumi.Output[str]
    """`rediss://` with login, inside the VPC (secret)."""
    ca: pulumi.Output[str]
    """The PEM certificate to verify the server with."""
    host: pulumi.Output[str]
    """The server's name inside the VPC."""
    cloud_urn: pulumi.Output[str]
    """DigitalOcean's URN, for the project."""

    def __init__(
        self, name: str, args: CacheArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Cache", name, {}, opts)
        cluster = digitalocean.DatabaseCluster(
            f"{name}-kv",
            engine="valkey",
            version=args.version,
            size=args.size,
            node_count=args.nodes,
            region=args.region,
            private_network_uuid=args.vpc_id,
            maintenance_windows=[
                digitalocean.DatabaseClusterMaintenanceWindowArgs(
                    day=args.maintenance_day, hour=args.maintenance_hour
                )
            ],
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        trust(self, f"{name}-trust", cluster.id, args.trusted_tag, protect=args.protect)
        digitalocean.DatabaseValkeyConfig(
            f"{name}-config",
            cluster_id=cluster.id,
            valkey_maxmemory_policy="noeviction",
            persistence="rdb",
            ssl=True,
            opts=pulumi.ResourceOptions(parent=self, deleted_with=cluster),
        )
        self.url = url(
            "rediss", cluster.user, cluster.password, cluster.private_host, cluster.port, "0"
        )
        self.ca = certificate(self, cluster)
        self.host = cluster.private_host
        self.cloud_urn = cluster.cluster_urn
        self.register_outputs(
            {
                "url": self.url,
                "ca": self.ca,
                "host": self.host,
                "cloud_urn": self.cloud_urn,
            }
        )

"""Managed Postgres: the cluster, its database and logins, the pool, and who may connect.

Owns all that and an optional read replica. Not: schema and grants, which the release's
`prepare-database` and `migrate` steps make; the droplets, which are trusted by their tag.

- A new cluster is open to everyone who knows its address until trusted sources are set, and
  deleting them opens it again: they are kept even when they leave the program.
- Users, database and pool go with their cluster (`deleted_with`): dropping the migrator by itself
  fails, because it owns the schema.
- The pool has no `name`: every change of a pool replaces it, and with a name the old one would go
  first and the service with it.
- The direct port stays in use beside the pool: a pool in transaction mode has no LISTEN.
- The cluster's region can be changed in place (the cloud then moves the data); its network and
  name cannot, so `protect` is the only thing between a slip and the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import pulumi
import pulumi_digitalocean as digitalocean

DATABASE: Final = "payments"
MIGRATOR: Final = "migrator"
APP: Final = "app"

IDLE_IN_TRANSACTION_MS: Final = 60_000
"""A transaction that nobody continues holds its locks no longer than this."""


@dataclass(frozen=True, kw_only=True)
class DatabaseArgs:
    """The cluster's shape, where it stands, whom it trusts, and whether it is protected."""

    version: str
    size: str
    nodes: int
    pool_size: int
    replica_size: str | None
    maintenance_day: str
    maintenance_hour: str

    region: str
    vpc_id: pulumi.Input[str]
    trusted_tag: pulumi.Input[str]
    protect: bool

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= 3:
            raise ValueError(f"nodes={self.nodes}: a cluster has a primary and at most 2 standbys")
        if self.pool_size < 1:
            raise ValueError(f"pool_size={self.pool_size}: the service needs a connection")


class Database(pulumi.ComponentResource):
    """A Postgres cluster that only the platform's droplets reach."""

    admin_url: pulumi.Output[str]
    """The cluster's administrator on the payments database, direct port (secret)."""
    migrator_url: pulumi.Output[str]
    """The schema's owner, direct port (secret)."""
    app_url: pulumi.Output[str]
    """The service's login, direct port (secret)."""
    pool_url: pulumi.Output[str]
    """The service's login through the transaction pool (secret)."""
    ca: pulumi.Output[str]
    """The PEM certificate to verify the servers with."""
    host: pulumi.Output[str]
    """The primary's name inside the VPC."""
    cloud_urn: pulumi.Output[str]
    """DigitalOcean's URN, for the project."""

    def __init__(
        self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Database", name, {}, opts)
        cluster = self._cluster(name, args)
        trust(self, f"{name}-trust", cluster.id, args.trusted_tag, protect=args.protect)
        inside = pulumi.ResourceOptions(parent=self, deleted_with=cluster)
        database = digitalocean.DatabaseDb(
            f"{name}-db",
            cluster_id=cluster.id,
            name=DATABASE,
            opts=pulumi.ResourceOptions(parent=self, deleted_with=cluster, protect=args.protect),
        )
        migrator, app = (
            digitalocean.DatabaseUser(
                f"{name}-{login}", cluster_id=cluster.id, name=login, opts=inside
            )
            for login in (MIGRATOR, APP)
        )
        pool = digitalocean.DatabaseConnectionPool(
            f"{name}-pool",
            cluster_id=cluster.id,
            db_name=database.name,
            user=app.name,
            mode="transaction",
            size=args.pool_size,
            opts=inside,
        )
        digitalocean.DatabasePostgresqlConfig(
            f"{name}-config",
            cluster_id=cluster.id,
            idle_in_transaction_session_timeout=IDLE_IN_TRANSACTION_MS,
            pg_stat_statements_track="top",
            track_io_timing="on",
            opts=inside,
        )
        if args.replica_size:
            self._replica(name, args, cluster, args.replica_size)

        direct = (cluster.private_host, cluster.port, database.name)
        self.admin_url = url("postgresql", cluster.user, cluster.password, *direct)
        self.migrator_url = url("postgresql", migrator.name, migrator.password, *direct)
        self.app_url = url("postgresql", app.name, app.password, *direct)
        self.pool_url = url(
            "postgresql", app.name, app.password, pool.private_host, pool.port, pool.name
        )
        self.ca = certificate(self, cluster)
        self.host = cluster.private_host
        self.cloud_urn = cluster.cluster_urn
        self.register_outputs(
            {
                "admin_url": self.admin_url,
                "migrator_url": self.migrator_url,
                "app_url": self.app_url,
                "pool_url": self.pool_url,
                "ca": self.ca,
                "host": self.host,
                "cloud_urn": self.cloud_urn,
            }
        )

    def _cluster(self, name: str, args: DatabaseArgs) -> digitalocean.DatabaseCluster:
        return digitalocean.DatabaseCluster(
            f"{name}-pg",
            engine="pg",
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

    def _replica(
        self, name: str, args: DatabaseArgs, cluster: digitalocean.DatabaseCluster, size: str
    ) -> None:
        replica = digitalocean.DatabaseReplica(
            f"{name}-replica",
            cluster_id=cluster.id,
            region=args.region,
            size=size,
            private_network_uuid=args.vpc_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        # A replica answers to trusted sources of its own, by its UUID: its id is a path.
        trust(self, f"{name}-replica-trust", replica.uuid, args.trusted_tag, protect=args.protect)


def trust(
    parent: pulumi.Resource,
    name: str,
    cluster_id: pulumi.Input[str],
    tag: pulumi.Input[str],
    *,
    protect: bool,
) -> None:
    """Admit the tag's droplets and nobody else, for good: taking the rules away admits everyone."""
    digitalocean.DatabaseFirewall(
        name,
        cluster_id=cluster_id,
        rules=[digitalocean.DatabaseFirewallRuleArgs(type="tag", value=tag)],
        opts=pulumi.ResourceOptions(parent=parent, protect=protect, retain_on_delete=True),
    )


def certificate(
    parent: pulumi.Resource, cluster: digitalocean.DatabaseCluster
) -> pulumi.Output[str]:
    """The PEM certificate that signs a cluster's server certificate."""
    answer = digitalocean.get_database_ca_output(
        cluster_id=cluster.id, opts=pulumi.InvokeOutputOptions(parent=parent)
    )
    pem: pulumi.Output[str] = answer.certificate
    return pem


def url(
    scheme: str,
    user: pulumi.Input[str],
    password: pulumi.Input[str],
    host: pulumi.Input[str],
    port: pulumi.Input[int],
    path: pulumi.Input[str],
) -> pulumi.Output[str]:
    """A connection URL, secret as a whole; user and password are escaped.

    An empty password means that the API token may not read credentials
    (`database:view_credentials`): better no URL than one that fails at midnight.
    """

    def join(parts: list[Any]) -> str:
        login, secret, address, number, name = parts
        if not secret:
            raise ValueError(
                f"the cluster at {address} gave no password for {login}: the DigitalOcean token "
                "needs the scope database:view_credentials"
            )
        escaped = f"{quote(str(login), safe='')}:{quote(str(secret), safe='')}"
        return f"{scheme}://{escaped}@{address}:{int(number)}/{name}"

    return pulumi.Output.secret(pulumi.Output.all(user, password, host, port, path).apply(join))

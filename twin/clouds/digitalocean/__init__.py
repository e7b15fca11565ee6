"""The double of the DigitalOcean provider: a control plane as strict as the real one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from twin.clouds.births import unfinished
from twin.clouds.digitalocean.cluster import DatabaseCluster, DatabaseReplica
from twin.clouds.digitalocean.cluster_parts import (
    DatabaseConnectionPool,
    DatabaseDb,
    DatabaseUser,
)
from twin.clouds.digitalocean.droplet import Droplet
from twin.clouds.digitalocean.engine_settings import DatabasePostgresqlConfig, DatabaseValkeyConfig
from twin.clouds.digitalocean.firewall import Firewall
from twin.clouds.digitalocean.identity import SshKey, Tag
from twin.clouds.digitalocean.load_balancer import LoadBalancer
from twin.clouds.digitalocean.network import ReservedIp, ReservedIpAssignment, Vpc
from twin.clouds.digitalocean.project import Project, ProjectResources
from twin.clouds.digitalocean.spaces import SpacesBucket, SpacesKey
from twin.clouds.digitalocean.trusted_sources import DatabaseFirewall, GetDatabaseCa
from twin.protocol.resource import ApiError, Context, Failure, Package, Props

VERSION: Final = "4.84.1"  # of the SDK in requirements.txt


class DigitalOcean(Package):
    """One account, known by its token."""

    def check_config(self, account: Mapping[str, Any], config: Props) -> Iterable[Failure]:
        """Spaces credentials come in pairs."""
        if bool(config.get("spacesAccessId")) != bool(config.get("spacesSecretKey")):
            yield Failure("spacesAccessId", "and spacesSecretKey must be given together")

    def configure(self, ctx: Context) -> None:
        """Refuse a token that is not the account's; the real API does so at the first call."""
        token = ctx.config.get("token")
        if not token or token != ctx.account.get("digitalocean", {}).get("token"):
            raise ApiError(401, "digitalocean:token: Unable to authenticate you")

    def collect(self, ctx: Context) -> list[str]:
        """Delete what creates that died have left, members before what they are in."""
        order = (
            SpacesKey,
            Firewall,
            LoadBalancer,
            Droplet,
            ReservedIp,
            DatabaseCluster,
            Project,
            Vpc,
        )
        removed = []
        for kind in order:
            resource = kind()
            for id in unfinished(ctx, resource.token):
                resource.delete(ctx, id, {})
                removed.append(f"{kind.__name__} {id}")
        return removed


def package() -> Package:
    """The provider with every type that the twin doubles."""
    return DigitalOcean(
        name="digitalocean",
        version=VERSION,
        resources=[
            Vpc(),
            Tag(),
            SshKey(),
            Droplet(),
            ReservedIp(),
            ReservedIpAssignment(),
            Firewall(),
            LoadBalancer(),
            DatabaseCluster(),
            DatabaseDb(),
            DatabaseUser(),
            DatabaseConnectionPool(),
            DatabaseReplica(),
            DatabaseFirewall(),
            DatabasePostgresqlConfig(),
            DatabaseValkeyConfig(),
            SpacesBucket(),
            SpacesKey(),
            Project(),
            ProjectResources(),
        ],
        functions=[GetDatabaseCa()],
    )

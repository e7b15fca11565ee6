"""The composition: the platform in the order in which it is built.

network → data → the way in → hosts → the service's image → release → containers →
the edge → the public name → what watches it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import pulumi

from components.access import Access
from components.cache import Cache, CacheArgs
from components.containers import Containers, ContainersArgs
from components.database import DATABASE, Database, DatabaseArgs
from components.edge import limits
from components.host import BackupPolicy, Host, HostArgs, Machine
from components.network import Network, NetworkArgs
from components.project import Project, ProjectArgs
from components.release import Release, ReleaseArgs
from components.runtime import Runtime, RuntimeArgs
from components.service import (
    Backends,
    Registry,
    Service,
    ServiceArgs,
    ServiceEnvironment,
)
from components.ssh import Ssh
from components.storage import Storage, StorageArgs
from stacks import access, edge, ingress
from stacks.ingress import WayIn
from stacks.payment_gateways import payment_gateways
from stacks.providers import Providers, engine
from stacks.settings import Stack

APP_FOLDER: Final = "app"

_PROJECT_LABELS: Final[dict[str, Literal["Development", "Staging", "Production"]]] = {
    "development": "Development",
    "staging": "Staging",
    "production": "Production",
}


@dataclass(frozen=True, kw_only=True)
class Platform:
    """What stands once the program has run: what is worth exporting hangs on these."""

    url: str
    ssh: Ssh
    database: Database
    storage: Storage
    host: Host
    service: Service
    way: WayIn
    access: Access | None
    front: edge.Front

    def exports(self) -> dict[str, pulumi.Input[object]]:
        """The stack's outputs: few, useful, no secret."""
        login = self.host.addresses.apply(lambda found: self.ssh.command(found[0]))
        return {
            "url": self.url,
            "hosts": self.host.addresses,
            "reserved_addresses": self.host.reserved_addresses,
            "ssh": login,
            "database_host": self.database.host,
            "database_name": DATABASE,
            "bucket": self.storage.bucket,
            "image": self.service.image,
            **self.front.exports(),
            **self.way.exports(),
            **self._access(),
        }

    def _access(self) -> dict[str, pulumi.Input[object]]:
        """Programs need their token once: `pulumi stack output service_tokens --show-secrets`."""
        if self.access is None:
            return {}
        return {
            "access_team_domain": self.access.team_domain,
            "service_tokens": self.access.service_tokens,
        }


def build(stack: Stack, providers: Providers) -> Platform:
    """Build one environment."""
    name, settings = stack.name, stack.settings
    clouds = pulumi.ResourceOptions(providers=providers.clouds())
    ssh = Ssh(config_file=str(settings.ssh.config_file) if settings.ssh.config_file else None)

    ranges = ingress.edge(stack, providers)
    network = _network(stack, ingress.web_sources(stack, ranges), clouds)
    database = _database(stack, network, clouds)
    cache = _cache(stack, network, clouds)
    storage = Storage(
        f"{name}-storage",
        StorageArgs(
            region=settings.spaces_region,
            retention_days=settings.storage.retention_days,
            protect=settings.protect,
        ),
        clouds,
    )
    way = ingress.way_in(stack, network, ranges, clouds)
    host = _host(stack, network, way, ssh, clouds)
    guarded = access.build(stack, way, clouds)
    Project(
        f"{name}-project",
        ProjectArgs(
            environment=_PROJECT_LABELS[settings.environment],
            members=pulumi.Output.all(
                host.urns,
                database.cloud_urn,
                cache.cloud_urn,
                storage.cloud_urn,
                *([way.balancer.cloud_urn] if way.balancer else []),
            ).apply(lambda urns: [*urns[0], *urns[1:]]),
        ),
        clouds,
    )
    service = _service(stack, providers)
    environment = _environment(stack, service, database, cache, guarded)
    served = _deploy(stack, providers, ssh, host.machines, service, environment, database, way)
    # A tunnel has TLS of its own; any other origin must show its certificate first.
    front = edge.build(
        stack,
        clouds,
        access_hosts=settings.ssh_hostnames,
        origin_ready=() if way.tunnel else tuple(served),
    )
    doors = [*front.ready, *([guarded] if guarded else [])]
    ingress.public_name(stack, way, host, doors, clouds)
    edge.watch(stack, front, clouds, tunnel_id=way.tunnel.tunnel_id if way.tunnel else None)
    return Platform(
        url=settings.url,
        ssh=ssh,
        database=database,
        storage=storage,
        host=host,
        service=service,
        way=way,
        access=guarded,
        front=front,
    )


def _network(
    stack: Stack,
    web_sources: pulumi.Output[list[str]] | None,
    clouds: pulumi.ResourceOptions,
) -> Network:
    settings = stack.settings
    return Network(
        f"{stack.name}-network",
        NetworkArgs(
            region=settings.region,
            cidr=str(settings.network.cidr),
            ssh_sources=[str(source) for source in settings.ssh.allow_from],
            egress_ports=settings.registry_ports,
            tunnel=settings.ingress == "tunnel" or bool(settings.ssh_hostnames),
            web_sources=web_sources,
        ),
        clouds,
    )


def _database(stack: Stack, network: Network, clouds: pulumi.ResourceOptions) -> Database:
    wanted = stack.settings.database
    return Database(
        f"{stack.name}-database",
        DatabaseArgs(
            version=wanted.version,
            size=wanted.size,
            nodes=wanted.nodes,
            pool_size=wanted.pool_size,
            replica_size=wanted.replica.size if wanted.replica else None,
            maintenance_day=wanted.maintenance.day,
            maintenance_hour=wanted.maintenance.hour,
            region=stack.settings.region,
            vpc_id=network.vpc_id,
            trusted_tag=network.tag,
            protect=stack.settings.protect,
        ),
        clouds,
    )


def _cache(stack: Stack, network: Network, clouds: pulumi.ResourceOptions) -> Cache:
    wanted = stack.settings.cache
    return Cache(
        f"{stack.name}-cache",
        CacheArgs(
            version=wanted.version,
            size=wanted.size,
            nodes=wanted.nodes,
            maintenance_day=wanted.maintenance.day,
            maintenance_hour=wanted.maintenance.hour,
            region=stack.settings.region,
            vpc_id=network.vpc_id,
            trusted_tag=network.tag,
            protect=stack.settings.protect,
        ),
        clouds,
    )


def _host(
    stack: Stack, network: Network, way: WayIn, ssh: Ssh, clouds: pulumi.ResourceOptions
) -> Host:
    wanted = stack.settings.host
    backups = wanted.backups
    return Host(
        f"{stack.name}-host",
        HostArgs(
            count=wanted.count,
            size=wanted.size,
            image=wanted.image,
            backups=BackupPolicy(plan=backups.plan, weekday=backups.weekday, hour=backups.hour)
            if backups
            else None,
            reserved_ip=wanted.reserved_ip,
            region=stack.settings.region,
            vpc_id=network.vpc_id,
            tag=network.tag,
            firewall_id=network.firewall_id,
            public_keys=stack.settings.ssh.keys(),
            ssh=ssh,
            published=ingress.published(stack),
            after=way.before_droplets(),
        ),
        clouds,
    )


def _service(stack: Stack, providers: Providers) -> Service:
    app = stack.settings.app
    registry = (
        Registry(
            server=app.registry.server,
            username=app.registry.username,
            password=stack.secrets.registry_password,
        )
        if app.registry
        else None
    )
    return Service(
        f"{stack.name}-service",
        ServiceArgs(
            image=app.image,
            registry=registry,
            context=APP_FOLDER,
            tag=stack.settings.environment,
        ),
        pulumi.ResourceOptions(providers=[providers.random, providers.builder]),
    )


def _environment(
    stack: Stack, service: Service, database: Database, cache: Cache, guarded: Access | None
) -> ServiceEnvironment:
    return ServiceEnvironment(
        label=stack.settings.environment,
        release=service.image,
        url=stack.settings.url,
        backends=Backends(
            pool_url=database.pool_url,
            direct_url=database.app_url,
            database_ca=database.ca,
            cache_url=cache.url,
            cache_ca=cache.ca,
        ),
        session_key=service.session_key,
        gateways=payment_gateways(stack),
        rate_limits=limits.for_service(),
        access=access.environment(stack, guarded),
        outgoing_ca=stack.settings.outgoing_ca,
    )


def _deploy(
    stack: Stack,
    providers: Providers,
    ssh: Ssh,
    machines: list[Machine],
    service: Service,
    environment: ServiceEnvironment,
    database: Database,
    way: WayIn,
) -> list[pulumi.Resource]:
    """One droplet after the other, the first one migrating the database for all.

    Returns what must have happened before visitors are served: the last one is the last droplet's.
    """
    settings = stack.settings
    after: list[pulumi.Resource] = []
    for number, machine in enumerate(machines):
        on_machine = pulumi.ResourceOptions(
            providers=[*providers.clouds(), engine(stack, machine, ssh)]
        )
        runtime = Runtime(
            f"{machine.name}-runtime",
            RuntimeArgs(
                machine=machine,
                service=service.image,
                gateway=settings.images.gateway,
                connector=settings.images.connector if way.dials_out else None,
            ),
            on_machine,
        )
        if not after:
            after.append(
                Release(
                    f"{stack.name}-release",
                    ReleaseArgs(
                        machine=machine,
                        ssh=ssh,
                        release=service.image,
                        image=runtime.service,
                        network=runtime.network,
                        prepare=environment.release_step(database.admin_url),
                        migrate=environment.release_step(database.migrator_url),
                    ),
                    on_machine,
                )
            )
        after.append(
            Containers(
                f"{machine.name}-containers",
                ContainersArgs(
                    machine=machine,
                    network=runtime.network,
                    service_image=runtime.service,
                    gateway_image=runtime.gateway,
                    connector_image=runtime.connector,
                    replicas=settings.app.replicas,
                    memory=settings.app.memory,
                    worker_memory=settings.app.worker_memory,
                    hostname=settings.hostname,
                    api=environment.api(),
                    worker=environment.worker(),
                    tunnel_token=way.tunnel.token if way.tunnel else None,
                    tunnel_ssh=way.shared_ssh,
                    ssh_token=way.ssh_token(number),
                    exposure=way.exposure,
                    after=tuple(after),
                ),
                on_machine,
            )
        )
    return after

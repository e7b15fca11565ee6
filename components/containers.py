"""The containers of one droplet: api replicas, worker, gateway, connectors or entrance.

Owns them. Not: images and network (`runtime`), the schema (`release`), the way in (`tunnel`,
`load_balancer`), keys and certificates (`origin`).

How a change reaches visitors without a gap, and which provider fact stands behind each option:
- `delete_before_replace=False`: the Docker provider asks to delete first, always; so no container
  has a fixed name or a port on the host, or the new one could not start beside the old.
- The entrance is the exception: it has the droplet's web port, which only one container can have,
  so the old one goes first. Nothing of the service is in it: only another image replaces it.
- `wait` with a health check: the new one is healthy before what depends on it goes on. Order:
  replicas and worker, then the gateway, then connector or entrance; the old ones go last of all.
- `replace_on_changes=["#initerror"]`: a container that never became healthy is recorded, and the
  next update would take it for good and delete the one that works; so it is replaced instead.
- `destroy_grace_seconds` above the drain time: without it the old one is killed at once.
- `replace_with` / `deleted_with` the droplet: see `runtime`.
- A connector for SSH alone waits for nothing: it is how somebody looks at a release that failed.
- The service's containers find each other by an alias; Docker's resolver knows all that carry it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_docker as docker

from components import entrance, gateway
from components.host import DOCKER_POOLS, Machine
from components.tunnel import DROPLET

API_ALIAS: Final = "api"
GATEWAY_ALIAS: Final = "gateway"
GATEWAY_URL: Final = f"http://{GATEWAY_ALIAS}:{gateway.PORT}"

SERVICE_USER: Final = "10001:10001"
CONNECTOR_USER: Final = "65532:65532"
"""The user of Cloudflare's image."""

GATEWAY_MEMORY: Final = 96
CONNECTOR_MEMORY: Final = 160
ENTRANCE_MEMORY: Final = 64

DRAIN_SECONDS: Final = 30
"""How long a stopped replica, worker, gateway or connector finishes what it has."""
GRACE_SECONDS: Final = DRAIN_SECONDS + 15
START_TIMEOUT_SECONDS: Final = 120
CONNECTOR_METRICS: Final = "127.0.0.1:2000"


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What a droplet needs that is reached from outside: all PEM, and the edge's CIDRs.

    `presented` is known once the edge presents its certificate; the gateway asks for it then.
    """

    certificate: pulumi.Input[str]
    private_key: pulumi.Input[str]
    client_authority: pulumi.Input[str]
    presented: pulumi.Input[str]
    edge: pulumi.Input[Sequence[str]]
    behind_load_balancer: bool


@dataclass(frozen=True, kw_only=True)
class ContainersArgs:
    """One droplet's containers: images by id, sizes in MiB, the service's environment.

    Either `tunnel_token` or `exposure`: how visitors come in. SSH behind Access comes by their
    tunnel, too (`tunnel_ssh`), or by one of its own (`ssh_token`). `after` is what must have
    happened first: the migration, and the droplet before this one.
    """

    machine: Machine
    network: pulumi.Input[str]
    service_image: pulumi.Input[str]
    gateway_image: pulumi.Input[str]
    connector_image: pulumi.Input[str] | None = None

    replicas: int
    memory: int
    worker_memory: int

    hostname: str
    api: Mapping[str, pulumi.Input[str]]
    worker: Mapping[str, pulumi.Input[str]]
    tunnel_token: pulumi.Input[str] | None = None
    tunnel_ssh: bool = False
    ssh_token: pulumi.Input[str] | None = None
    exposure: Exposure | None = None
    after: Sequence[pulumi.Resource]

    def __post_init__(self) -> None:
        tunnelled = self.tunnel_token is not None
        if tunnelled == (self.exposure is not None):
            raise ValueError(
                "tunnel_token, exposure: visitors come in one way; give the first for a tunnel, "
                "the other for a droplet that is reached from outside"
            )
        if (tunnelled or self.ssh_token is not None) and self.connector_image is None:
            raise ValueError("connector_image=None: a tunnel's token is of no use without it")
        if self.replicas < 1:
            raise ValueError(f"replicas={self.replicas}: nobody would answer; set at least 1")


class Containers(pulumi.ComponentResource):
    """The running service on one droplet."""

    replicas: pulumi.Output[list[str]]
    """The api containers' ids."""
    gateway: pulumi.Output[str]
    """The gateway container's id."""
    door: pulumi.Output[str]
    """The connector's or the entrance's id; once known, visitors are served."""

    def __init__(
        self, name: str, args: ContainersArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Containers", name, {}, opts)
        self._args = args
        replicas = [
            self._service(f"{name}-api-{index}", "api", args.api, args.memory, [API_ALIAS])
            for index in range(args.replicas)
        ]
        worker = self._service(f"{name}-worker", "worker", args.worker, args.worker_memory, [])
        front = self._gateway(f"{name}-gateway", [*replicas, worker])
        exposure = args.exposure
        door = (
            self._connector(
                f"{name}-connector", [front], args.tunnel_token or "", ssh=args.tunnel_ssh
            )
            if exposure is None
            else self._entrance(f"{name}-entrance", front, exposure)
        )
        if args.ssh_token is not None:
            self._connector(f"{name}-ssh-connector", [], args.ssh_token, ssh=True)
        self.replicas = pulumi.Output.all(*[replica.id for replica in replicas])
        self.gateway = front.id
        self.door = door.id
        self.register_outputs(
            {"replicas": self.replicas, "gateway": self.gateway, "door": self.door}
        )

    def _service(
        self,
        name: str,
        role: str,
        environment: Mapping[str, pulumi.Input[str]],
        memory: int,
        aliases: Sequence[str],
    ) -> docker.Container:
        return self._container(
            name,
            aliases=aliases,
            after=self._args.after,
            image=self._args.service_image,
            entrypoints=["payments"],
            command=[role],
            envs=_envs(environment),
            user=SERVICE_USER,
            memory=memory,
            healthcheck=_health(["CMD", "payments", "probe"], start_period="30s"),
            stop_signal="SIGTERM",
        )

    def _gateway(self, name: str, after: Sequence[pulumi.Resource]) -> docker.Container:
        exposure = self._args.exposure
        return self._container(
            name,
            aliases=[GATEWAY_ALIAS],
            after=after,
            image=self._args.gateway_image,
            # Past the image's own start script, which rewrites files in its read-only root.
            entrypoints=["/bin/sh", "-c"],
            command=[gateway.START if exposure is None else gateway.START_WITH_TLS],
            envs=self._gateway_envs(exposure),
            user=SERVICE_USER,
            memory=GATEWAY_MEMORY,
            healthcheck=_health(["CMD", "bash", "-c", gateway.HEALTH_CHECK]),
            stop_signal="SIGQUIT",  # nginx's word for: finish, then go
        )

    def _gateway_envs(self, exposure: Exposure | None) -> list[str] | pulumi.Output[list[str]]:
        hostname = self._args.hostname
        if exposure is None:
            text = gateway.render(hostname=hostname, trusted=DOCKER_POOLS)
            return [f"{gateway.CONFIG_VARIABLE}={text}"]
        # Once the edge presents a certificate, and not before, it is asked for.
        config: pulumi.Output[str] = pulumi.Output.all(exposure.edge, exposure.presented).apply(
            lambda known: gateway.render(
                hostname=hostname, trusted=DOCKER_POOLS, tls=gateway.Tls(edge=known[0])
            )
        )
        return _envs(
            {
                gateway.CONFIG_VARIABLE: config,
                "GATEWAY_TLS_CERTIFICATE": exposure.certificate,
                "GATEWAY_TLS_KEY": pulumi.Output.secret(exposure.private_key),
                "GATEWAY_TLS_CLIENT_AUTHORITY": exposure.client_authority,
            }
        )

    def _entrance(self, name: str, front: pulumi.Resource, exposure: Exposure) -> docker.Container:
        config = entrance.render(
            gateway=GATEWAY_ALIAS, behind_load_balancer=exposure.behind_load_balancer
        )
        published = [(entrance.HTTPS_PORT, gateway.TLS_PORT)]
        if exposure.behind_load_balancer:
            published.append((entrance.HEALTH_PORT, gateway.PROXIED_HEALTH_PORT))
        return self._container(
            name,
            aliases=[],
            after=[front],
            alone=True,
            image=self._args.gateway_image,
            entrypoints=["/bin/sh", "-c"],
            command=[entrance.START],
            envs=[f"{entrance.CONFIG_VARIABLE}={config}"],
            ports=[
                docker.ContainerPortArgs(internal=inside, external=outside, protocol="tcp")
                for outside, inside in published
            ],
            user=SERVICE_USER,
            memory=ENTRANCE_MEMORY,
            healthcheck=_health(["CMD", "bash", "-c", entrance.HEALTH_CHECK]),
            stop_signal="SIGQUIT",
        )

    def _connector(
        self,
        name: str,
        after: Sequence[pulumi.Resource],
        token: pulumi.Input[str],
        *,
        ssh: bool,
    ) -> docker.Container:
        metrics = ["--metrics", CONNECTOR_METRICS]
        return self._container(
            name,
            aliases=[],
            after=after,
            image=self._args.connector_image,
            command=["tunnel", "--no-autoupdate", *metrics, "run"],
            envs=_envs({"TUNNEL_TOKEN": token}),
            user=CONNECTOR_USER,
            memory=CONNECTOR_MEMORY,
            # The image has no shell; the binary asks itself whether it is connected.
            healthcheck=_health(["CMD", "cloudflared", "tunnel", *metrics, "ready"]),
            stop_signal="SIGTERM",
            hosts=[docker.ContainerHostArgs(host=DROPLET, ip="host-gateway")] if ssh else None,
        )

    def _container(
        self,
        name: str,
        *,
        aliases: Sequence[str],
        after: Sequence[pulumi.Resource],
        memory: int,
        alone: bool = False,
        **particular: Any,
    ) -> docker.Container:
        """A hardened container; `alone` where its successor cannot stand beside it."""
        machine = self._args.machine
        return docker.Container(
            name,
            **particular,
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=self._args.network, aliases=list(aliases))
            ],
            network_mode="bridge",  # unset, it comes back as a difference
            memory=memory,
            memory_swap=memory,  # the same: no swap
            init=True,
            read_only=True,
            tmpfs={"/tmp": "size=64m"},  # noqa: S108
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            restart="unless-stopped",
            must_run=True,
            wait=True,
            wait_timeout=START_TIMEOUT_SECONDS,
            destroy_grace_seconds=GRACE_SECONDS,
            stop_timeout=GRACE_SECONDS,
            log_driver="json-file",
            log_opts={"max-size": "10m", "max-file": "3"},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(after),
                delete_before_replace=alone,
                replace_on_changes=["#initerror"],
                replace_with=[machine.droplet],
                deleted_with=machine.droplet,
                # The next one is awaited only so long; the provider's own limit must be longer.
                custom_timeouts=pulumi.CustomTimeouts(create="10m", delete="5m"),
            ),
        )


def _envs(environment: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[list[str]]:
    """`NAME=value` in order; secret as a whole where any value is."""
    return pulumi.Output.all(**environment).apply(
        lambda values: [f"{name}={values[name]}" for name in sorted(values)]
    )


def _health(tests: Sequence[str], *, start_period: str = "10s") -> docker.ContainerHealthcheckArgs:
    return docker.ContainerHealthcheckArgs(
        tests=list(tests),
        interval="5s",
        timeout="4s",
        retries=3,
        start_period=start_period,
        start_interval="1s",
    )

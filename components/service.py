"""The payment service as all hosts share it: its image and its session key; and its environment.

Owns the build of the image (only where no digest is given) and the key that signs sessions. Not:
the containers; the migrations.

- A container's image is an image *id* later on: after a refresh the Docker provider reads the id
  back, and a container made from a tag or a `name@digest` was replaced at every update. What is
  pulled is named by digest, so the id says the same.
- The build runs on the engine of the machine that runs Pulumi, never on a droplet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_docker as docker
import pulumi_random as random

from components.payment_gateways import PaymentGateways

API_PORT: Final = 8000
SESSION_KEY_BYTES: Final = 48
PLATFORM: Final = "linux/amd64"


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Where a built image is pushed: `registry.example.com/acme`; the login where it needs one."""

    server: str
    username: str | None = None
    password: pulumi.Input[str] | None = None

    @property
    def host(self) -> str:
        """The server without a path."""
        return self.server.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class ServiceArgs:
    """Either a finished image, or a folder to build and a registry to push to under `tag`."""

    image: str | None
    registry: Registry | None
    context: str
    tag: str

    def __post_init__(self) -> None:
        if self.image is None and self.registry is None:
            raise ValueError(
                "image=None and registry=None: name a finished image, or a registry to build for"
            )


class Service(pulumi.ComponentResource):
    """The service's image and session key."""

    image: pulumi.Output[str]
    """What droplets pull: `registry/name@sha256:...`."""
    session_key: pulumi.Output[str]
    """Base64, for signing sessions (secret)."""

    def __init__(
        self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Service", name, {}, opts)
        self.image = (
            pulumi.Output.from_input(args.image)
            if args.image
            else self._build(name, args, args.registry)
        )
        key = random.RandomBytes(
            f"{name}-session-key",
            length=SESSION_KEY_BYTES,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.session_key = pulumi.Output.secret(key.base64)
        self.register_outputs({"image": self.image, "session_key": self.session_key})

    def _build(self, name: str, args: ServiceArgs, registry: Registry | None) -> pulumi.Output[str]:
        assert registry is not None  # noqa: S101  (the args' own check)
        login = registry.username is not None
        image = docker.Image(
            f"{name}-image",
            image_name=f"{registry.server}/payments:{args.tag}",
            build=docker.DockerBuildArgs(
                context=args.context, dockerfile=f"{args.context}/Dockerfile", platform=PLATFORM
            ),
            registry=docker.RegistryArgs(
                server=registry.host,
                username=registry.username if login else None,
                password=registry.password if login else None,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        digest: pulumi.Output[str] = image.repo_digest
        return digest


@dataclass(frozen=True, kw_only=True)
class Backends:
    """Where the service finds its database and cache, and the certificates to verify them with."""

    pool_url: pulumi.Input[str]
    direct_url: pulumi.Input[str]
    database_ca: pulumi.Input[str]
    cache_url: pulumi.Input[str]
    cache_ca: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class AccessEnvironment:
    """Cloudflare Access as the service knows it, which verifies every assertion by it.

    `audiences` are the AUD tags of `/admin` and `/api/admin`; `service_tokens` client ids that may
    call the admin API and read, each with what else it may do there.
    """

    team_domain: pulumi.Input[str]
    audiences: pulumi.Input[Sequence[str]]
    admins: Sequence[str]
    admin_cidrs: Sequence[str]
    service_tokens: pulumi.Input[Mapping[str, Sequence[str]]]

    def variables(self) -> dict[str, pulumi.Input[str]]:
        """As environment variables: lists with commas, rights as `ID=write+money`."""
        return {
            "PAYMENTS_ACCESS_TEAM_DOMAIN": self.team_domain,
            "PAYMENTS_ACCESS_AUDIENCES": pulumi.Output.from_input(self.audiences).apply(",".join),
            "PAYMENTS_ACCESS_ADMINS": ",".join(self.admins),
            "PAYMENTS_ACCESS_ADMIN_CIDRS": ",".join(self.admin_cidrs),
            "PAYMENTS_ACCESS_SERVICE_TOKENS": pulumi.Output.from_input(self.service_tokens).apply(
                _granted
            ),
        }


def _granted(tokens: Mapping[str, Sequence[str]]) -> str:
    return ",".join(
        f"{client_id}={'+'.join(rights)}" if rights else client_id
        for client_id, rights in tokens.items()
    )


@dataclass(frozen=True, kw_only=True)
class ServiceEnvironment:
    """What the service's processes are told, as `PAYMENTS_*` variables.

    `rate_limits` is the table that the edge enforces as well (`components.edge.limits`), as JSON.
    `outgoing_ca` (PEM) is trusted beside the system's authorities where the service calls out:
    only where something stands in for the gateways and for Access. Without `access` the service
    has no admin pages.
    """

    label: str
    release: pulumi.Input[str]
    url: str
    backends: Backends
    session_key: pulumi.Input[str]
    gateways: PaymentGateways
    rate_limits: str
    access: AccessEnvironment | None = None
    outgoing_ca: str | None = None

    def api(self) -> dict[str, pulumi.Input[str]]:
        """For a replica: through the pool, which speaks transactions only."""
        return {
            **self._common(),
            "PAYMENTS_DATABASE_URL": self.backends.pool_url,
            "PAYMENTS_DATABASE_POOLED": "true",
        }

    def worker(self) -> dict[str, pulumi.Input[str]]:
        """For the worker: directly, because it listens for jobs."""
        return {
            **self._common(),
            "PAYMENTS_DATABASE_URL": self.backends.direct_url,
            "PAYMENTS_DATABASE_POOLED": "false",
        }

    def release_step(self, url: pulumi.Input[str]) -> dict[str, pulumi.Input[str]]:
        """For a one-shot step: the database under another login, and nothing it does not need."""
        return {
            "PAYMENTS_ENVIRONMENT": self.label,
            "PAYMENTS_RELEASE": self.release,
            "PAYMENTS_DATABASE_URL": url,
            "PAYMENTS_DATABASE_POOLED": "false",
            "PAYMENTS_DATABASE_CA": self.backends.database_ca,
        }

    def _common(self) -> dict[str, pulumi.Input[str]]:
        ca = {} if self.outgoing_ca is None else {"PAYMENTS_OUTGOING_CA": self.outgoing_ca}
        return {
            "PAYMENTS_ENVIRONMENT": self.label,
            "PAYMENTS_RELEASE": self.release,
            "PAYMENTS_PUBLIC_URL": self.url,
            "PAYMENTS_DATABASE_CA": self.backends.database_ca,
            "PAYMENTS_CACHE_URL": self.backends.cache_url,
            "PAYMENTS_CACHE_CA": self.backends.cache_ca,
            "PAYMENTS_SESSION_KEY": self.session_key,
            "PAYMENTS_RATE_LIMITS": self.rate_limits,
            **self.gateways.variables(),
            **(self.access.variables() if self.access else {}),
            **ca,
        }

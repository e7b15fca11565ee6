"""What stands behind the clouds' control planes: networks, machines and managed services.

The provider doubles (`twin/clouds`) keep the control plane's records and its strictness; everything
that would exist in a data centre is asked of a `World`. There are two: `twin.paper.PaperWorld`
invents addresses and starts nothing (previews, whole-program tests), `twin.machines.DockerWorld`
runs the real thing in containers (`make up`).

Every operation is idempotent: called again with what already stands it changes nothing, so that a
killed twin or engine can simply try again. Calls block until the thing is usable, may take minutes,
and are made from worker threads; failures are `WorldError` with a sentence for the user.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


class WorldError(Exception):
    """Something behind the control plane could not be done; the text is shown to the user."""


@dataclass(frozen=True, kw_only=True)
class DropletSpec:
    """A droplet to boot. `id` is the cloud's numeric id as text."""

    id: str
    name: str
    image: str
    vcpus: int
    memory_mib: int
    vpc_id: str
    user_data: str
    ssh_public_keys: Sequence[str]
    tags: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class DropletAddresses:
    """Where a droplet answers: its public IPv4 and its address inside the VPC."""

    public_ipv4: str
    private_ipv4: str


@dataclass(frozen=True, kw_only=True)
class FirewallRule:
    """One inbound or outbound rule; `ports` is `22`, `8000-9000` or `` for all (and for icmp)."""

    direction: Literal["inbound", "outbound"]
    protocol: Literal["tcp", "udp", "icmp"]
    ports: str
    addresses: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """How a load balancer asks a droplet: seconds, and how many answers in a row count."""

    protocol: Literal["http", "tcp"]
    port: int
    path: str
    interval: int
    timeout: int
    healthy: int
    unhealthy: int


@dataclass(frozen=True, kw_only=True)
class BalancerSpec:
    """A load balancer that passes connections on; `ports` are pairs of its own and the droplets'.

    `allow` and `deny` are addresses or CIDRs; an empty `allow` admits everyone.
    """

    id: str
    name: str
    vpc_id: str
    ports: Sequence[tuple[int, int]]
    health: HealthCheck
    proxy_protocol: bool
    allow: Sequence[str]
    deny: Sequence[str]
    tags: Sequence[str]
    droplet_ids: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class BalancerAddresses:
    """Where a load balancer answers, and the address inside the VPC that droplets see."""

    public_ipv4: str
    private_ipv4: str


@dataclass(frozen=True, kw_only=True)
class DatabaseSpec:
    """A managed database cluster; `id` is a UUID, `name` the cluster's name."""

    id: str
    name: str
    engine: Literal["pg", "valkey"]
    version: str
    nodes: int
    memory_mib: int
    vpc_id: str


@dataclass(frozen=True, kw_only=True)
class DatabaseEndpoint:
    """How a cluster is reached. Hosts resolve from droplets and stand in its certificate."""

    host: str
    private_host: str
    port: int
    admin_user: str
    admin_password: str
    default_database: str


@dataclass(frozen=True, kw_only=True)
class PoolSpec:
    """A connection pool (PgBouncer) in front of one database of a cluster."""

    name: str
    database: str
    user: str
    mode: Literal["session", "transaction", "statement"]
    size: int


@dataclass(frozen=True, kw_only=True)
class TrustedSource:
    """Who may connect to a cluster. Tags and droplets are resolved to addresses by the world."""

    kind: Literal["ip_addr", "droplet", "tag"]
    value: str


class World(Protocol):
    """Networks, machines and managed services; see the module's docstring for the rules."""

    @property
    def paper(self) -> bool:
        """Whether nothing is real: the docker and command doubles then invent results too."""

    def registry_push_address(self) -> str:
        """`host:port` (plain HTTP) where the outer engine pushes what droplets pull.

        They pull it as `registry.twin.test:5000`, which is also their mirror of docker.io.
        """

    @property
    def nested_engines(self) -> bool:
        """Whether droplets run an engine of their own (else SSH to one reaches the outer one)."""

    @property
    def instance(self) -> str:
        """The instance's name, the label `payments.twin` of its objects on the outer engine."""

    def add_name(self, name: str, address: str | None = None) -> None:
        """Let a name resolve on every machine: to the edge unless told otherwise."""

    def remove_name(self, name: str) -> None:
        """Let it resolve no longer; unknown is fine."""

    def adopt_network(self, name: str) -> None:
        """Let a network made on the outer engine reach what its droplet reaches."""

    def leave_network(self, name: str) -> None:
        """Undo `adopt_network`, so that the network can be removed; unknown is fine."""

    def collect(self, *, droplets: Collection[str], databases: Collection[str]) -> list[str]:
        """Remove machines whose ids are not named, and say which: a crash came before a record."""

    # --- networks -------------------------------------------------------------------------------
    def create_vpc(self, vpc_id: str, name: str, cidr: str) -> None:
        """A private network. Raises WorldError when `cidr` overlaps one that stands."""

    def delete_vpc(self, vpc_id: str) -> None:
        """Remove it; WorldError while members remain."""

    # --- droplets -------------------------------------------------------------------------------
    def create_droplet(self, spec: DropletSpec) -> DropletAddresses:
        """Boot it; returns once it is `active` (powered on, addresses known), not ready."""

    def droplet(self, droplet_id: str) -> DropletAddresses | None:
        """Its addresses, or None when it is gone."""

    def resize_droplet(self, droplet_id: str, vcpus: int, memory_mib: int) -> None:
        """Power off, resize, power on."""

    def delete_droplet(self, droplet_id: str) -> None:
        """Remove the machine and everything on it."""

    def tag_droplet(self, droplet_id: str, tags: Sequence[str]) -> None:
        """Replace its tags (firewalls and trusted sources follow them)."""

    def allocate_reserved_ip(self) -> str:
        """A public IPv4 that outlives droplets."""

    def assign_reserved_ip(self, address: str, droplet_id: str | None) -> None:
        """Route it to a droplet, or to none."""

    def release_reserved_ip(self, address: str) -> None:
        """Give it back."""

    def set_firewall(
        self,
        firewall_id: str,
        rules: Sequence[FirewallRule],
        *,
        tags: Sequence[str],
        droplet_ids: Sequence[str],
    ) -> None:
        """Enforce a cloud firewall on every droplet it names, those that come later included."""

    def delete_firewall(self, firewall_id: str) -> None:
        """Stop enforcing it."""

    # --- load balancers -------------------------------------------------------------------------
    def set_load_balancer(self, spec: BalancerSpec) -> BalancerAddresses:
        """Start or change one; it follows its droplets by their tags."""

    def load_balancer(self, balancer_id: str) -> BalancerAddresses | None:
        """Its addresses, or None when it is gone."""

    def delete_load_balancer(self, balancer_id: str) -> None:
        """Remove it."""

    # --- managed databases ----------------------------------------------------------------------
    def create_database(self, spec: DatabaseSpec) -> DatabaseEndpoint:
        """Start a cluster with TLS and return once it accepts connections."""

    def database(self, cluster_id: str) -> DatabaseEndpoint | None:
        """Its endpoint, or None when it is gone."""

    def delete_database(self, cluster_id: str) -> None:
        """Remove the cluster and its data."""

    def database_ca(self, cluster_id: str) -> str:
        """The PEM certificate that signs the cluster's server certificate."""

    def create_database_db(self, cluster_id: str, name: str) -> None:
        """A logical database."""

    def delete_database_db(self, cluster_id: str, name: str) -> None:
        """Drop it."""

    def create_database_user(self, cluster_id: str, name: str, password: str) -> None:
        """A login without any grant beyond CONNECT, as the managed service makes them."""

    def delete_database_user(self, cluster_id: str, name: str) -> None:
        """Drop it."""

    def set_pools(self, cluster_id: str, pools: Sequence[PoolSpec]) -> int:
        """Serve exactly these pools; returns their port (the hosts are the cluster's)."""

    def set_trusted_sources(self, cluster_id: str, sources: Sequence[TrustedSource]) -> None:
        """Admit only these; an empty list admits everyone, as the real service does."""

    def configure_database(self, cluster_id: str, settings: Mapping[str, object]) -> None:
        """Apply engine settings (`maxmemory_policy`, `work_mem`, …) in the API's names."""

    # --- object storage -------------------------------------------------------------------------
    def spaces_endpoint(self, region: str) -> str:
        """The S3 endpoint URL of a region as the twin's own clients reach it."""

    def set_spaces_key(self, access_key: str, secret_key: str, grants: Mapping[str, str]) -> None:
        """A key and its grants: bucket name (`` for all) to `read`, `readwrite` or `fullaccess`."""

    def delete_spaces_key(self, access_key: str) -> None:
        """Revoke it."""

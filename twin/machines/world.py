"""The World of containers: real networks, machines and managed services on one Docker engine."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from docker.errors import NotFound

from twin.ca import CertificateAuthority
from twin.machines import hostkeys
from twin.machines.balancers import Balancers
from twin.machines.databases import Databases
from twin.machines.droplets import DropletEngine, Droplets
from twin.machines.engine import Engine, translated
from twin.machines.images import Progress, ensure_images
from twin.machines.nesting import NestedEngine
from twin.machines.networks import REGISTRY_NAME, Networks
from twin.machines.spaces import Spaces
from twin.machines.status import describe
from twin.store import Store
from twin.world import (
    BalancerAddresses,
    BalancerSpec,
    DatabaseEndpoint,
    DatabaseSpec,
    DropletAddresses,
    DropletSpec,
    FirewallRule,
    PoolSpec,
    TrustedSource,
)

_log = logging.getLogger(__name__)


def _log_progress(name: str, doing: str) -> None:
    _log.log(logging.INFO if doing == "building" else logging.DEBUG, "%s: %s", name, doing)


class DockerWorld:
    """Runs what stands behind the control planes; see `twin.world.World` for the operations.

    `home` holds the authority and the object storage, `store` the records; everything else is
    containers, networks and volumes of the engine, with the instance's label. Raises WorldError
    when no Docker engine answers.
    """

    paper: Final = False

    def __init__(
        self, home: Path, instance: str, store: Store, run_dir: Path, https_port: int
    ) -> None:
        self.home = home
        self.instance = instance
        self.https_port = https_port
        self.ca = CertificateAuthority(home)
        self._store = store
        self._engine = Engine(instance)
        self._networks = Networks(self._engine, store, self.ca, run_dir)
        self._nesting = NestedEngine(self._engine, store)
        self._droplets = Droplets(self._engine, store, self.ca, self._networks, self._nesting)
        self._balancers = Balancers(
            self._engine, store, self._networks, self._droplets.private_addresses
        )
        self._databases = Databases(self._engine, store, self.ca, self._networks, self._droplets)
        self._spaces = Spaces(home / "spaces", store)

    # --- life -----------------------------------------------------------------------------------
    def start(self, progress: Progress = _log_progress) -> None:
        """Bring up the clouds' own services and whatever is recorded; again changes nothing."""
        ensure_images(self._engine.client, progress)
        self._networks.start()
        self._networks.ensure_vpcs()
        self._databases.start_all()
        self._droplets.start_all()
        self._balancers.start_all()
        self._spaces.start()

    def stop(self) -> None:
        """Let go of this process's part; machines keep running."""
        self._spaces.stop()

    def destroy_all(self) -> None:
        """Remove every container, network and volume of the instance, and all records of them."""
        self._spaces.erase()
        self._engine.destroy_all()
        for collection in _COLLECTIONS:
            for key in self._store.items(collection):
                self._store.drop(collection, key)

    def status(self) -> dict[str, Any]:
        """Machines with health and memory, the engine droplets use, names, notes; JSON values."""
        return describe(self._engine, self._store, self._nesting)

    def collect(self, *, droplets: Collection[str], databases: Collection[str]) -> list[str]:
        """Remove machines whose ids are not named: left by a crash before they were recorded."""
        removed = []
        for droplet_id in set(self._store.items("machines.droplet")) - set(droplets):
            self.delete_droplet(droplet_id)
            removed.append(f"droplet {droplet_id}")
        for cluster_id in set(self._store.items("machines.database")) - set(databases):
            self.delete_database(cluster_id)
            removed.append(f"database {cluster_id}")
        return removed

    # --- what the doubles and the edge ask beyond `World` ---------------------------------------
    def registry_push_address(self) -> str:
        """`127.0.0.1:<port>`: where the outer engine pushes, plain HTTP."""
        return self._networks.registry_push_address()

    @property
    def nested_engines(self) -> bool:
        """Whether droplets run an engine of their own."""
        return self._nesting.works()

    def registry_pull_name(self) -> str:
        """`registry.twin.test:5000`: the same storage as droplets name it."""
        return REGISTRY_NAME

    def add_name(self, name: str, address: str | None = None) -> None:
        """Let a name resolve on every machine: to the point of presence unless told otherwise."""
        self._networks.add_names(address or self._networks.internet.pop, [name])

    def remove_name(self, name: str) -> None:
        """Let it resolve no longer."""
        self._networks.remove_names([name])

    def engine_for_droplet(self, droplet_id: str) -> DropletEngine:
        """Whether the droplet has an engine of its own, and what to add to objects when not."""
        return self._droplets.engine_of(droplet_id)

    def adopt_network(self, name: str) -> None:
        """In the fallback: let a network of the outer engine reach what its droplet reaches.

        The name server cannot serve containers there (the engine's own does), so the point of
        presence, the registry and every database join it under all their names.
        """
        with translated(f"adopt the network {name}"):
            network = self._engine.client.networks.get(name)
            standing = set(network.attrs.get("Containers") or {})
            for container, aliases in self._neighbours():
                if container.id not in standing:
                    network.connect(container, aliases=aliases)
            pools = (network.attrs.get("IPAM") or {}).get("Config") or []
        self._databases.admit_network([pool["Subnet"] for pool in pools])

    def leave_network(self, name: str) -> None:
        """Undo `adopt_network`, so that the network can be removed; unknown is fine."""
        with translated(f"leave the network {name}"):
            try:
                network = self._engine.client.networks.get(name)
            except NotFound:
                return
            standing = set(network.attrs.get("Containers") or {})
            for container, _ in self._neighbours():
                if container.id in standing:
                    network.disconnect(container, force=True)

    def _neighbours(self) -> list[tuple[Any, list[str]]]:
        by_address: dict[str, list[str]] = {}
        for name, address in self._networks.names().items():
            by_address.setdefault(address, []).append(name)
        found = []
        for container in self._engine.containers("service") + self._engine.containers("database"):
            networks = container.attrs["NetworkSettings"]["Networks"].values()
            addresses = [network.get("IPAddress") for network in networks]
            names = [name for address in addresses for name in by_address.get(address, [])]
            if names:
                found.append((container, names))
        return found

    # --- World: networks ------------------------------------------------------------------------
    def create_vpc(self, vpc_id: str, name: str, cidr: str) -> None:
        """See `World`."""
        self._networks.create_vpc(vpc_id, name, cidr)

    def delete_vpc(self, vpc_id: str) -> None:
        """See `World`."""
        self._networks.delete_vpc(vpc_id)

    # --- World: droplets ------------------------------------------------------------------------
    def create_droplet(self, spec: DropletSpec) -> DropletAddresses:
        """See `World`."""
        addresses = self._droplets.create(spec)
        self._follow_droplets()
        return addresses

    def droplet(self, droplet_id: str) -> DropletAddresses | None:
        """See `World`."""
        return self._droplets.get(droplet_id)

    def resize_droplet(self, droplet_id: str, vcpus: int, memory_mib: int) -> None:
        """See `World`."""
        self._droplets.resize(droplet_id, vcpus, memory_mib)

    def delete_droplet(self, droplet_id: str) -> None:
        """See `World`."""
        addresses = self._droplets.get(droplet_id)
        self._droplets.delete(droplet_id)
        self._follow_droplets()
        if addresses:
            hostkeys.forget(self.home, addresses.public_ipv4, addresses.private_ipv4)

    def tag_droplet(self, droplet_id: str, tags: Sequence[str]) -> None:
        """See `World`."""
        self._droplets.tag(droplet_id, tags)
        self._follow_droplets()

    def allocate_reserved_ip(self) -> str:
        """See `World`."""
        return self._networks.reserve()

    def assign_reserved_ip(self, address: str, droplet_id: str | None) -> None:
        """See `World`."""
        self._droplets.assign(address, droplet_id)
        self._databases.follow_droplets()
        hostkeys.forget(self.home, address)

    def release_reserved_ip(self, address: str) -> None:
        """See `World`."""
        self._droplets.release(address)

    def set_firewall(
        self,
        firewall_id: str,
        rules: Sequence[FirewallRule],
        *,
        tags: Sequence[str],
        droplet_ids: Sequence[str],
    ) -> None:
        """See `World`."""
        self._droplets.set_firewall(firewall_id, rules, tags, droplet_ids)

    def delete_firewall(self, firewall_id: str) -> None:
        """See `World`."""
        self._droplets.delete_firewall(firewall_id)

    def _follow_droplets(self) -> None:
        self._databases.follow_droplets()
        self._balancers.follow_droplets()

    # --- World: load balancers ------------------------------------------------------------------
    def set_load_balancer(self, spec: BalancerSpec) -> BalancerAddresses:
        """See `World`."""
        return self._balancers.set(spec)

    def load_balancer(self, balancer_id: str) -> BalancerAddresses | None:
        """See `World`."""
        return self._balancers.get(balancer_id)

    def delete_load_balancer(self, balancer_id: str) -> None:
        """See `World`."""
        self._balancers.delete(balancer_id)

    # --- World: managed databases ---------------------------------------------------------------
    def create_database(self, spec: DatabaseSpec) -> DatabaseEndpoint:
        """See `World`."""
        return self._databases.create(spec)

    def database(self, cluster_id: str) -> DatabaseEndpoint | None:
        """See `World`."""
        return self._databases.get(cluster_id)

    def delete_database(self, cluster_id: str) -> None:
        """See `World`."""
        self._databases.delete(cluster_id)

    def database_ca(self, cluster_id: str) -> str:
        """See `World`."""
        return self.ca.certificate

    def create_database_db(self, cluster_id: str, name: str) -> None:
        """See `World`."""
        self._databases.create_db(cluster_id, name)

    def delete_database_db(self, cluster_id: str, name: str) -> None:
        """See `World`."""
        self._databases.delete_db(cluster_id, name)

    def create_database_user(self, cluster_id: str, name: str, password: str) -> None:
        """See `World`."""
        self._databases.create_user(cluster_id, name, password)

    def delete_database_user(self, cluster_id: str, name: str) -> None:
        """See `World`."""
        self._databases.delete_user(cluster_id, name)

    def set_pools(self, cluster_id: str, pools: Sequence[PoolSpec]) -> int:
        """See `World`."""
        return self._databases.set_pools(cluster_id, pools)

    def set_trusted_sources(self, cluster_id: str, sources: Sequence[TrustedSource]) -> None:
        """See `World`."""
        self._databases.set_trusted_sources(cluster_id, sources)

    def configure_database(self, cluster_id: str, settings: Mapping[str, object]) -> None:
        """See `World`."""
        self._databases.configure(cluster_id, settings)

    # --- World: object storage ------------------------------------------------------------------
    def spaces_endpoint(self, region: str) -> str:
        """See `World`."""
        return self._spaces.endpoint(region)

    def set_spaces_key(self, access_key: str, secret_key: str, grants: Mapping[str, str]) -> None:
        """See `World`."""
        self._spaces.set_key(access_key, secret_key, grants)

    def delete_spaces_key(self, access_key: str) -> None:
        """See `World`."""
        self._spaces.delete_key(access_key)


_COLLECTIONS = (
    "machines.internet",
    "machines.vpc",
    "machines.address",
    "machines.name",
    "machines.registry",
    "machines.droplet",
    "machines.balancer",
    "machines.firewall",
    "machines.reserved",
    "machines.database",
    "machines.guest_subnet",
    "machines.spaces_key",
)

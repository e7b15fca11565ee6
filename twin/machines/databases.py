"""Managed database clusters: one real server each, its trusted sources, its place in the networks.

What differs from the real service: a cluster of several nodes is one server (its standbys are
recorded and shown by `status`), and the version is that of the image on this machine.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from docker.types import Mount

from twin.ca import CertificateAuthority
from twin.machines.droplets import Droplets
from twin.machines.engine import Engine, File, Machine, translated
from twin.machines.images import image
from twin.machines.networks import Networks, volume
from twin.machines.packets import trusted_sources
from twin.machines.postgres import POOL_PORT, Postgres
from twin.machines.valkey import Valkey
from twin.store import Store
from twin.world import DatabaseEndpoint, DatabaseSpec, PoolSpec, TrustedSource, WorldError

_log = logging.getLogger(__name__)

_RESERVE_MIB = 256
"""Memory beyond the plan's for what shares the container: PgBouncer, filter, health probe."""
_START_SECONDS = 90
_STOP_SECONDS = 30
_RESTARTS = 5
"""A node that ends this often does not start for want of time."""
_NAME_LIMIT = 63


class Software(Protocol):
    """One engine: how its node is rendered, probed and changed. `kept` is the cluster's record."""

    @property
    def role(self) -> str:
        """The image's role."""

    @property
    def data(self) -> str:
        """Where the data lies in the container."""

    @property
    def ports(self) -> tuple[int, ...]:
        """What it listens on; the first is the server's own."""

    def files(self, kept: Mapping[str, Any]) -> Sequence[File]:
        """Configuration of the node, complete."""

    def apply(self, container: Any, kept: Mapping[str, Any]) -> bool:
        """Bring a running node to its record; True when that takes a restart."""

    def ready(self, container: Any, kept: Mapping[str, Any]) -> bool:
        """Whether it accepts connections."""

    def configure(self, container: Any, settings: Mapping[str, object]) -> None:
        """Judge and set engine settings; WorldError, and nothing is set, for a bad one."""

    def create_db(self, container: Any, name: str) -> None:
        """A logical database."""

    def delete_db(self, container: Any, name: str) -> None:
        """Drop it."""

    def create_user(self, container: Any, name: str, password: str) -> None:
        """A login."""

    def delete_user(self, container: Any, name: str) -> None:
        """Drop it."""


class Databases:
    """The clusters of one instance."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        ca: CertificateAuthority,
        networks: Networks,
        droplets: Droplets,
    ) -> None:
        self._engine = engine
        self._store = store
        self._ca = ca
        self._networks = networks
        self._droplets = droplets
        self._software: dict[str, Software] = {"pg": Postgres(engine), "valkey": Valkey(engine)}
        self._locks: dict[str, threading.RLock] = defaultdict(threading.RLock)

    # --- clusters -------------------------------------------------------------------------------
    def create(self, spec: DatabaseSpec) -> DatabaseEndpoint:
        """See `World.create_database`."""
        with self._locks[spec.id]:
            kept = self._store.load("machines.database", spec.id)
            if kept is None:
                kept = self._new(spec)
            kept["spec"] = asdict(spec)
            self._store.save("machines.database", spec.id, kept)
            self._start(spec.id, kept)
            self._networks.add_names(kept["public"], [kept["host"]])
            self._networks.add_names(kept["private"], [kept["private_host"]])
            return self._endpoint(kept)

    def _new(self, spec: DatabaseSpec) -> dict[str, Any]:
        public, private = self._networks.addresses_for("database", spec.id, spec.vpc_id)
        number = int(hashlib.sha256(self._engine.instance.encode()).hexdigest()[:4], 16)
        host = f"{spec.name}-do-user-{number}-0.g.db.ondigitalocean.com"
        if len(f"private-{host}".partition(".")[0]) > _NAME_LIMIT:
            raise WorldError(f"The cluster's name {spec.name} is too long for its host name.")
        return {
            "public": public,
            "private": private,
            "host": host,
            "private_host": f"private-{host}",
            "password": "AVNS_" + secrets.token_urlsafe(15),
            "sources": [],
            "users": {},
            "pools": [],
            "settings": {},
        }

    def get(self, cluster_id: str) -> DatabaseEndpoint | None:
        """See `World.database`."""
        kept = self._store.load("machines.database", cluster_id)
        if kept is None or self._engine.find(self.container_name(cluster_id)) is None:
            return None
        return self._endpoint(kept)

    def delete(self, cluster_id: str) -> None:
        """See `World.delete_database`."""
        with self._locks[cluster_id]:
            kept = self._store.load("machines.database", cluster_id)
            self._engine.remove(self.container_name(cluster_id))
            self._engine.remove_volume(self._volume_name(cluster_id))
            if kept is not None:
                self._networks.remove_names([kept["host"], kept["private_host"]])
            self._networks.give_back("database", cluster_id)
            self._store.drop("machines.database", cluster_id)

    def start_all(self) -> None:
        """Start what is recorded and stands, and bring it to its record."""
        for cluster_id, kept in self._store.items("machines.database").items():
            if self._engine.find(self.container_name(cluster_id)) is None:
                continue
            try:
                with self._locks[cluster_id]:
                    self._start(cluster_id, kept)
            except WorldError:
                # One that cannot start must not keep the twin from serving the others.
                _log.exception("The cluster %s did not come back", kept["spec"]["name"])

    def container_name(self, cluster_id: str) -> str:
        """The outer engine's name of a cluster."""
        return self._engine.name("database", cluster_id)

    # --- what is in a cluster -------------------------------------------------------------------
    def create_db(self, cluster_id: str, name: str) -> None:
        """See `World.create_database_db`."""
        container, software, _ = self._standing(cluster_id)
        with self._locks[cluster_id]:
            software.create_db(container, name)

    def delete_db(self, cluster_id: str, name: str) -> None:
        """See `World.delete_database_db`."""
        container, software, _ = self._standing(cluster_id)
        with self._locks[cluster_id]:
            software.delete_db(container, name)

    def create_user(self, cluster_id: str, name: str, password: str) -> None:
        """See `World.create_database_user`."""
        container, software, _ = self._standing(cluster_id)
        with self._locks[cluster_id]:
            software.create_user(container, name, password)
            self._change(cluster_id, lambda kept: kept["users"].update({name: password}))

    def delete_user(self, cluster_id: str, name: str) -> None:
        """See `World.delete_database_user`."""
        container, software, _ = self._standing(cluster_id)
        with self._locks[cluster_id]:
            software.delete_user(container, name)
            self._change(cluster_id, lambda kept: kept["users"].pop(name, None))

    def set_pools(self, cluster_id: str, pools: Sequence[PoolSpec]) -> int:
        """See `World.set_pools`."""
        _, _, found = self._standing(cluster_id)
        if found["spec"]["engine"] != "pg":
            raise WorldError("Only Postgres clusters have connection pools.")
        self._change(cluster_id, lambda kept: kept.update(pools=[asdict(pool) for pool in pools]))
        return POOL_PORT

    def configure(self, cluster_id: str, settings: Mapping[str, object]) -> None:
        """See `World.configure_database`."""
        with self._locks[cluster_id]:
            container, software, _ = self._standing(cluster_id)
            software.configure(container, settings)
            self._change(cluster_id, lambda kept: kept["settings"].update(settings))

    # --- trusted sources ------------------------------------------------------------------------
    def set_trusted_sources(self, cluster_id: str, sources: Sequence[TrustedSource]) -> None:
        """See `World.set_trusted_sources`."""
        with self._locks[cluster_id]:
            container, _, kept = self._standing(cluster_id)
            kept["sources"] = [asdict(source) for source in sources]
            self._store.save("machines.database", cluster_id, kept)
            self._admit(container, kept)

    def follow_droplets(self) -> None:
        """Admit the droplets as they are now; called when droplets, tags or addresses changed."""
        for cluster_id in self._store.items("machines.database"):
            with self._locks[cluster_id]:
                kept = self._store.load("machines.database", cluster_id) or {"sources": []}
                if all(source["kind"] == "ip_addr" for source in kept["sources"]):
                    continue
                container = self._engine.find(self.container_name(cluster_id))
                if container is not None and container.status == "running":
                    self._admit(container, kept)

    def admit_network(self, subnets: Sequence[str]) -> None:
        """Treat these networks as the droplets' own: the outer engine's, in the fallback."""
        for subnet in subnets:
            self._store.save("machines.guest_subnet", subnet, True)
        self.follow_droplets()

    def _admit(self, container: Any, kept: Mapping[str, Any]) -> None:
        with translated(f"change the trusted sources of {container.name}"):
            self._engine.put(container, [self._sources_file(kept)])
        self._engine.run(container, ["nft", "-f", "/twin/sources.nft"])

    def _sources_file(self, kept: Mapping[str, Any]) -> File:
        addresses: list[str] = []
        for source in kept["sources"]:
            if source["kind"] == "ip_addr":
                addresses.append(source["value"])
            else:
                addresses += self._droplets.addresses_of(source["kind"], source["value"])
                addresses += self._store.items("machines.guest_subnet")
        text = trusted_sources(
            addresses,
            self._software[kept["spec"]["engine"]].ports,
            open_to_all=not kept["sources"],
        )
        return File(path="/twin/sources.nft", content=text)

    # --- the node -------------------------------------------------------------------------------
    def _start(self, cluster_id: str, kept: Mapping[str, Any]) -> None:
        spec, software = kept["spec"], self._software[kept["spec"]["engine"]]
        data = volume(self._engine, "database", cluster_id, "data")
        limit = (spec["memory_mib"] + _RESERVE_MIB) * 1024 * 1024
        names = [kept["host"], kept["private_host"], kept["public"], kept["private"]]
        certificate, key = self._ca.server_certificate(names)
        container = self._engine.ensure(
            Machine(
                name=self.container_name(cluster_id),
                kind="database",
                image=image(software.role),
                networks={
                    self._networks.internet_name: kept["public"],
                    self._networks.vpc_name(spec["vpc_id"]): kept["private"],
                },
                files=[
                    File(path="/twin/tls/server.pem", content=certificate),
                    File(path="/twin/tls/server.key", content=key),
                    File(path="/twin/tls/ca.pem", content=self._ca.certificate),
                    self._sources_file(kept),
                    *software.files(kept),
                ],
                shape=f"{image(software.role)} {limit}",
                options={
                    "hostname": spec["name"],
                    "mounts": [Mount(software.data, data, type="volume")],
                    "cap_add": ["NET_ADMIN"],
                    "mem_limit": limit,
                    "memswap_limit": limit,
                    "shm_size": "128m",
                    "extra_hosts": {kept["private_host"]: "127.0.0.1"},
                },
            )
        )
        self._await(container, software, kept)
        self._bring(container, software, kept)
        self._admit(container, kept)

    def _bring(self, container: Any, software: Software, kept: Mapping[str, Any]) -> None:
        if software.apply(container, kept):
            with translated(f"restart {container.name}"):
                container.restart(timeout=_STOP_SECONDS)
            self._await(container, software, kept)

    def _await(self, container: Any, software: Software, kept: Mapping[str, Any]) -> None:
        until = time.monotonic() + _START_SECONDS
        while not software.ready(container, kept):
            container.reload()
            if time.monotonic() > until or container.attrs["RestartCount"] > _RESTARTS:
                words = container.logs(tail=5).decode(errors="replace").strip()
                raise WorldError(f"The cluster {kept['spec']['name']} does not start: {words}")
            time.sleep(0.2)

    def _change(self, cluster_id: str, change: Callable[[dict[str, Any]], Any]) -> None:
        with self._locks[cluster_id]:
            container, software, kept = self._standing(cluster_id)
            change(kept)
            self._store.save("machines.database", cluster_id, kept)
            with translated(f"change {container.name}"):
                self._engine.put(container, software.files(kept))
            self._bring(container, software, kept)

    def _standing(self, cluster_id: str) -> tuple[Any, Software, dict[str, Any]]:
        kept = self._store.load("machines.database", cluster_id)
        container = self._engine.find(self.container_name(cluster_id))
        if kept is None or container is None:
            raise WorldError(f"There is no database cluster {cluster_id}.")
        return container, self._software[kept["spec"]["engine"]], kept

    def _endpoint(self, kept: Mapping[str, Any]) -> DatabaseEndpoint:
        postgres = kept["spec"]["engine"] == "pg"
        return DatabaseEndpoint(
            host=kept["host"],
            private_host=kept["private_host"],
            port=self._software[kept["spec"]["engine"]].ports[0],
            admin_user="doadmin" if postgres else "default",
            admin_password=kept["password"],
            default_database="defaultdb" if postgres else "",
        )

    def _volume_name(self, cluster_id: str) -> str:
        return self._engine.name("database", cluster_id, "data")

"""A world on paper: realistic addresses, nothing behind them.

For previews and whole-program tests. Everything it knows is in the store, so that a restart loses
nothing and the same question gets the same answer.
"""

from __future__ import annotations

import ipaddress
import itertools
import secrets
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

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
    WorldError,
)

# Ranges for documentation (RFC 5737): nobody's, so that a leaked address harms nobody.
_PUBLIC: Final = ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24")
_ACCOUNT_NUMBER: Final = 4711
_DATABASE_PORT: Final = 25060
_POOL_PORT: Final = 25061
_NO_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----\nUGFwZXI=\n-----END CERTIFICATE-----\n"
_FIRST_HOST: Final = 2  # .1 is the gateway


class PaperWorld:
    """Implements `twin.world.World` with records only; `certificate` is every cluster's CA."""

    paper: Final = True
    nested_engines: Final = True
    instance: Final = "pp-paper"

    def __init__(self, store: Store, certificate: str = _NO_CERTIFICATE) -> None:
        self._store = store
        self._certificate = certificate
        self._lock = threading.RLock()

    def add_name(self, name: str, address: str | None = None) -> None:
        """Nothing looks it up."""

    def remove_name(self, name: str) -> None:
        """Nothing looks it up."""

    def adopt_network(self, name: str) -> None:
        """No engine, no network."""

    def leave_network(self, name: str) -> None:
        """No engine, no network."""

    def collect(self, *, droplets: Collection[str], databases: Collection[str]) -> list[str]:
        """Forget machines that are not named."""
        removed = []
        for kind, kept in (("droplet", droplets), ("database", databases)):
            for id in self._all(kind).keys() - set(kept):
                self._store.drop(f"paper.{kind}", id)
                removed.append(f"{kind} {id}")
        return removed

    def registry_push_address(self) -> str:
        """Nothing listens there."""
        return "127.0.0.1:5000"

    # --- the server's side: nothing runs --------------------------------------------------------
    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def destroy_all(self) -> None:
        """Forget everything."""
        for kind in ("vpc", "droplet", "reserved-ip", "firewall", "database", "spaces-key"):
            for key in self._all(kind):
                self._store.drop(f"paper.{kind}", key)

    def status(self) -> dict[str, Any]:
        """The machines that are made up."""
        return {
            "droplets": sorted(self._all("droplet")),
            "databases": sorted(self._all("database")),
        }

    # --- networks -------------------------------------------------------------------------------
    def create_vpc(self, vpc_id: str, name: str, cidr: str) -> None:
        """Record it; two networks may not overlap."""
        with self._lock:
            wanted = ipaddress.ip_network(cidr)
            for other_id, other in self._all("vpc").items():
                if other_id != vpc_id and wanted.overlaps(ipaddress.ip_network(other["cidr"])):
                    raise WorldError(f"{cidr} overlaps {other['cidr']} of the VPC {other['name']}")
            self._store.save("paper.vpc", vpc_id, {"name": name, "cidr": cidr})

    def delete_vpc(self, vpc_id: str) -> None:
        """Forget it; not while members remain."""
        for kind in ("droplet", "balancer", "database"):
            members = [m["name"] for m in self._all(kind).values() if m["vpc_id"] == vpc_id]
            if members:
                raise WorldError(f"the VPC still has members: {', '.join(sorted(members))}")
        self._store.drop("paper.vpc", vpc_id)

    # --- droplets -------------------------------------------------------------------------------
    def create_droplet(self, spec: DropletSpec) -> DropletAddresses:
        """Give it a public address and one of its VPC."""
        with self._lock:
            known = self.droplet(spec.id)
            if known:
                return known
            made = DropletAddresses(
                public_ipv4=self._public_address(), private_ipv4=self._private_address(spec.vpc_id)
            )
            kept = {"name": spec.name, "vpc_id": spec.vpc_id, "addresses": asdict(made)}
            self._store.save("paper.droplet", spec.id, kept)
            return made

    def droplet(self, droplet_id: str) -> DropletAddresses | None:
        """Its addresses."""
        known = self._store.load("paper.droplet", droplet_id)
        return DropletAddresses(**known["addresses"]) if known else None

    def resize_droplet(self, droplet_id: str, vcpus: int, memory_mib: int) -> None:
        """It must exist."""
        if self.droplet(droplet_id) is None:
            raise WorldError(f"there is no droplet {droplet_id}")

    def delete_droplet(self, droplet_id: str) -> None:
        """Forget it; its reserved addresses are free again."""
        self._store.drop("paper.droplet", droplet_id)
        for address, held in self._all("reserved-ip").items():
            if held["droplet_id"] == droplet_id:
                self._store.save("paper.reserved-ip", address, {"droplet_id": None})

    def tag_droplet(self, droplet_id: str, tags: Sequence[str]) -> None:
        """Nothing follows tags on paper."""

    def allocate_reserved_ip(self) -> str:
        """The next free public address."""
        with self._lock:
            address = self._public_address()
            self._store.save("paper.reserved-ip", address, {"droplet_id": None})
            return address

    def assign_reserved_ip(self, address: str, droplet_id: str | None) -> None:
        """Both must exist."""
        if self._store.load("paper.reserved-ip", address) is None:
            raise WorldError(f"{address} is no reserved address")
        if droplet_id is not None and self.droplet(droplet_id) is None:
            raise WorldError(f"there is no droplet {droplet_id}")
        self._store.save("paper.reserved-ip", address, {"droplet_id": droplet_id})

    def release_reserved_ip(self, address: str) -> None:
        """Forget it."""
        self._store.drop("paper.reserved-ip", address)

    def set_firewall(
        self,
        firewall_id: str,
        rules: Sequence[FirewallRule],
        *,
        tags: Sequence[str],
        droplet_ids: Sequence[str],
    ) -> None:
        """Record it."""
        kept = {
            "rules": [{**asdict(rule), "addresses": list(rule.addresses)} for rule in rules],
            "tags": list(tags),
            "droplet_ids": list(droplet_ids),
        }
        self._store.save("paper.firewall", firewall_id, kept)

    def delete_firewall(self, firewall_id: str) -> None:
        """Forget it."""
        self._store.drop("paper.firewall", firewall_id)

    # --- load balancers -------------------------------------------------------------------------
    def set_load_balancer(self, spec: BalancerSpec) -> BalancerAddresses:
        """Addresses that nobody else has."""
        with self._lock:
            known = self.load_balancer(spec.id)
            if known is None:
                known = BalancerAddresses(
                    public_ipv4=self._public_address(),
                    private_ipv4=self._private_address(spec.vpc_id),
                )
            kept = {"name": spec.name, "vpc_id": spec.vpc_id, "addresses": asdict(known)}
            self._store.save("paper.balancer", spec.id, kept)
            return known

    def load_balancer(self, balancer_id: str) -> BalancerAddresses | None:
        """Its addresses."""
        known = self._store.load("paper.balancer", balancer_id)
        return BalancerAddresses(**known["addresses"]) if known else None

    def delete_load_balancer(self, balancer_id: str) -> None:
        """Forget it."""
        self._store.drop("paper.balancer", balancer_id)

    # --- managed databases ----------------------------------------------------------------------
    def create_database(self, spec: DatabaseSpec) -> DatabaseEndpoint:
        """Names and a password as the managed service gives them."""
        with self._lock:
            known = self.database(spec.id)
            if known:
                return known
            host = f"{spec.name}-do-user-{_ACCOUNT_NUMBER}-0.g.db.ondigitalocean.com"
            postgres = spec.engine == "pg"
            made = DatabaseEndpoint(
                host=host,
                private_host=f"private-{host}",
                port=_DATABASE_PORT,
                admin_user="doadmin" if postgres else "default",
                admin_password=f"AVNS_{secrets.token_urlsafe(14)}",
                default_database="defaultdb" if postgres else "",
            )
            kept = {"name": spec.name, "vpc_id": spec.vpc_id, "endpoint": asdict(made), "pools": []}
            self._store.save(
                "paper.database", spec.id, kept | {"dbs": [], "users": [], "sources": []}
            )
            return made

    def database(self, cluster_id: str) -> DatabaseEndpoint | None:
        """Its endpoint."""
        known = self._store.load("paper.database", cluster_id)
        return DatabaseEndpoint(**known["endpoint"]) if known else None

    def delete_database(self, cluster_id: str) -> None:
        """Forget it."""
        self._store.drop("paper.database", cluster_id)

    def database_ca(self, cluster_id: str) -> str:
        """The same for all."""
        self._cluster(cluster_id)
        return self._certificate

    def create_database_db(self, cluster_id: str, name: str) -> None:
        """Record it."""
        self._change(cluster_id, "dbs", lambda names: sorted({*names, name}))

    def delete_database_db(self, cluster_id: str, name: str) -> None:
        """Forget it."""
        self._change(cluster_id, "dbs", lambda names: [n for n in names if n != name])

    def create_database_user(self, cluster_id: str, name: str, password: str) -> None:
        """Record the login's name."""
        self._change(cluster_id, "users", lambda names: sorted({*names, name}))

    def delete_database_user(self, cluster_id: str, name: str) -> None:
        """Forget it."""
        self._change(cluster_id, "users", lambda names: [n for n in names if n != name])

    def set_pools(self, cluster_id: str, pools: Sequence[PoolSpec]) -> int:
        """Each pool needs its database."""
        cluster = self._cluster(cluster_id)
        have = {*cluster["dbs"], cluster["endpoint"]["default_database"]}
        for pool in pools:
            if pool.database not in have:
                raise WorldError(f"the pool {pool.name} needs the database {pool.database}")
        self._change(cluster_id, "pools", lambda _: [asdict(pool) for pool in pools])
        return _POOL_PORT

    def set_trusted_sources(self, cluster_id: str, sources: Sequence[TrustedSource]) -> None:
        """Record them."""
        self._change(cluster_id, "sources", lambda _: [asdict(source) for source in sources])

    def configure_database(self, cluster_id: str, settings: Mapping[str, object]) -> None:
        """The cluster must exist."""
        self._cluster(cluster_id)

    # --- object storage -------------------------------------------------------------------------
    def spaces_endpoint(self, region: str) -> str:
        """The real service's name."""
        return f"https://{region}.digitaloceanspaces.com"

    def set_spaces_key(self, access_key: str, secret_key: str, grants: Mapping[str, str]) -> None:
        """Record it."""
        self._store.save("paper.spaces-key", access_key, dict(grants))

    def delete_spaces_key(self, access_key: str) -> None:
        """Forget it."""
        self._store.drop("paper.spaces-key", access_key)

    # --- beneath --------------------------------------------------------------------------------
    def _all(self, kind: str) -> dict[str, Any]:
        return self._store.items(f"paper.{kind}")

    def _cluster(self, cluster_id: str) -> dict[str, Any]:
        known: dict[str, Any] | None = self._store.load("paper.database", cluster_id)
        if known is None:
            raise WorldError(f"there is no database cluster {cluster_id}")
        return known

    def _change(self, cluster_id: str, part: str, change: Any) -> None:
        with self._lock:
            cluster = self._cluster(cluster_id)
            cluster[part] = change(cluster[part])
            self._store.save("paper.database", cluster_id, cluster)

    def _machines(self) -> list[dict[str, Any]]:
        return [*self._all("droplet").values(), *self._all("balancer").values()]

    def _public_address(self) -> str:
        used = {d["addresses"]["public_ipv4"] for d in self._machines()}
        used |= set(self._all("reserved-ip"))
        return _free((ipaddress.ip_network(cidr) for cidr in _PUBLIC), used)

    def _private_address(self, vpc_id: str) -> str:
        vpc = self._store.load("paper.vpc", vpc_id)
        # Without a VPC of its own a droplet joins the region's default one.
        network = ipaddress.ip_network(vpc["cidr"] if vpc else "10.110.0.0/20")
        used = {d["addresses"]["private_ipv4"] for d in self._machines()}
        return _free([network], used)


def _free(networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network], used: set[str]) -> str:
    for network in networks:
        for host in itertools.islice(network.hosts(), _FIRST_HOST - 1, None):
            if str(host) not in used:
                return str(host)
    raise WorldError("there is no free address left")

"""The twin's internet and its VPCs, and the clouds' own services on them: names, pop, registry.

Each is a network or a container of the outer engine. The internet is a bridge whose gateway is the
laptop; a VPC is a bridge without a way out, as a private network has none.
"""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool, Mount

from twin.ca import CertificateAuthority
from twin.machines.addresses import (
    EDGE_ADDRESS,
    Internet,
    PrivateNetwork,
    choose_slot,
    first_free,
    host_networks,
    overlapping,
    package_servers,
)
from twin.machines.engine import Engine, File, Machine, translated
from twin.machines.images import image
from twin.store import Store
from twin.world import WorldError

REGISTRY_NAME: Final = "registry.twin.test:5000"
"""The registry as droplets know it."""

_POP_NAMES = (
    "edge.twin.test",
    "api.stripe.test",
    "api.razorpay.test",
    "api-m.paypal.test",
    "api.cryptomus.test",
    "region1.v2.argotunnel.com",
    "region2.v2.argotunnel.com",
)
_SERVICE_MEMORY = "256m"
_KINDS = ("droplet", "balancer", "database")
"""Whose records hold addresses."""


class Networks:
    """Networks of one instance, the addresses on them, and the names that point there."""

    def __init__(self, engine: Engine, store: Store, ca: CertificateAuthority, run_dir: Path):
        self._engine = engine
        self._store = store
        self._ca = ca
        self._run_dir = run_dir
        self._lock = threading.RLock()

    # --- the internet ---------------------------------------------------------------------------
    @property
    def internet_name(self) -> str:
        """The outer network's name."""
        return self._engine.name("internet")

    @property
    def internet(self) -> Internet:
        """The slot in use; `start` chooses it."""
        kept = self._store.load("machines.internet", "slot")
        if kept is None:
            raise WorldError("The twin's internet does not stand yet: the twin is still starting.")
        return Internet(IPv4Network(kept))

    def start(self) -> None:
        """Bring up the internet and the services on it."""
        with self._lock:
            self._ensure_internet()
            self._start_registry()
            self._start_pop()
            self._start_dns()

    def _ensure_internet(self) -> None:
        if self._network(self.internet_name) is not None:
            return
        kept = self._store.load("machines.internet", "slot")
        taken = self._taken()
        if kept and self._inhabited():
            slot = IPv4Network(kept)
        else:
            slot = choose_slot(taken | {"a package server": package_servers()})
        self._refuse_overlap("the twin's internet", slot, taken)
        self._store.save("machines.internet", "slot", str(slot))
        internet = Internet(slot)
        self._create(self.internet_name, slot, internet.gateway, internet.automatic, closed=False)

    def _inhabited(self) -> bool:
        """Whether records hold addresses of the slot: it must not move under them then."""
        return any(self._store.items(f"machines.{kind}") for kind in _KINDS)

    # --- VPCs -----------------------------------------------------------------------------------
    def create_vpc(self, vpc_id: str, name: str, cidr: str) -> None:
        """See `World.create_vpc`."""
        network = IPv4Network(cidr)
        with self._lock:
            if self._network(self.vpc_name(vpc_id)) is None:
                self._refuse_overlap(f"the VPC {name}", network, self._taken())
                private = PrivateNetwork(network)
                self._create(
                    self.vpc_name(vpc_id), network, private.gateway, private.automatic, closed=True
                )
            self._store.save("machines.vpc", vpc_id, {"name": name, "cidr": str(network)})

    def delete_vpc(self, vpc_id: str) -> None:
        """See `World.delete_vpc`."""
        with self._lock:
            network = self._network(self.vpc_name(vpc_id))
            if network is not None:
                members = network.attrs.get("Containers") or {}
                if members:
                    names = ", ".join(sorted(member["Name"] for member in members.values()))
                    raise WorldError(f"The VPC still has members: {names}.")
                self._engine.drop_network(network.name)
            self._store.drop("machines.vpc", vpc_id)

    def ensure_vpcs(self) -> None:
        """Make recorded VPCs stand again where someone removed their networks."""
        for vpc_id, vpc in self._store.items("machines.vpc").items():
            self.create_vpc(vpc_id, vpc["name"], vpc["cidr"])

    def vpc_name(self, vpc_id: str) -> str:
        """The outer network's name of a VPC."""
        return self._engine.name("vpc", vpc_id)

    def vpc_range(self, vpc_id: str) -> IPv4Network:
        """Its CIDR; WorldError when there is no such VPC."""
        vpc = self._store.load("machines.vpc", vpc_id)
        if vpc is None:
            raise WorldError(f"There is no VPC {vpc_id}.")
        return IPv4Network(vpc["cidr"])

    # --- addresses ------------------------------------------------------------------------------
    def addresses_for(self, kind: str, key: str, vpc_id: str) -> tuple[str, str]:
        """The public and private address of a machine: those it has, else free ones, kept."""
        with self._lock:
            holder = f"{kind}/{key}"
            public = self._take(
                "internet",
                holder,
                lambda used: first_free(self.internet.machines(), used, "public"),
            )
            hosts = PrivateNetwork(self.vpc_range(vpc_id))
            private = self._take(
                vpc_id, holder, lambda used: first_free(hosts.machines(), used, "private")
            )
            return public, private

    def reserve(self) -> str:
        """A reserved address nobody holds."""
        with self._lock:
            used = self._store.items("machines.reserved")
            address = first_free(self.internet.reserved(), used, "reserved")
            self._store.save("machines.reserved", address, None)
            return address

    def give_back(self, kind: str, key: str) -> None:
        """Free a machine's addresses."""
        with self._lock:
            for place, holder in self._store.items("machines.address").items():
                if holder == f"{kind}/{key}":
                    self._store.drop("machines.address", place)

    def _take(self, network: str, holder: str, choose: Callable[[Collection[str]], str]) -> str:
        kept = self._store.items("machines.address")
        here = {
            place.split(" ", 1)[1]: who
            for place, who in kept.items()
            if place.startswith(network + " ")
        }
        for address, who in here.items():
            if who == holder:
                return address
        address = choose(here)
        self._store.save("machines.address", f"{network} {address}", holder)
        return address

    # --- names ----------------------------------------------------------------------------------
    def add_names(self, address: str, names: Collection[str]) -> None:
        """Let these names resolve to this address on every machine, from now on."""
        with self._lock:
            for name in names:
                self._store.save("machines.name", name.lower(), address)
            self._write_hosts()

    def remove_names(self, names: Collection[str]) -> None:
        """Let them resolve no longer; unknown is fine."""
        with self._lock:
            for name in names:
                self._store.drop("machines.name", name.lower())
            self._write_hosts()

    def names(self) -> dict[str, str]:
        """Every name the twin serves, with its address."""
        internet = self.internet
        builtin = dict.fromkeys(_POP_NAMES, internet.pop)
        builtin[REGISTRY_NAME.partition(":")[0]] = internet.registry
        return builtin | self._store.items("machines.name")

    def _write_hosts(self) -> None:
        container = self._engine.find(self._engine.name("dns"))
        if container is None or container.status != "running":
            return
        with translated("tell the name server"):
            self._engine.put(container, [self._hosts_file()])
            container.kill(signal="HUP")

    def _hosts_file(self) -> File:
        return File(path="/twin/hosts/twin", content=render_hosts(self.names()))

    # --- the services ---------------------------------------------------------------------------
    def _start_dns(self) -> None:
        self._service("dns", "dns", self.internet.dns, [self._hosts_file()])
        self._write_hosts()

    def _start_pop(self) -> None:
        self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        mount = Mount("/twin/run", str(self._run_dir), type="bind")
        container = self._service(
            "pop",
            "pop",
            self.internet.pop,
            [],
            mounts=[mount],
            cap_add=["NET_ADMIN"],
            environment={"EDGE_ADDRESS": EDGE_ADDRESS},
        )
        inside = self._engine.run(container, ["stat", "-c", "%d:%i", "/twin/run"]).strip()
        stat = self._run_dir.stat()
        if inside != f"{stat.st_dev}:{stat.st_ino}":
            # The folder was made anew since (a reboot empties /tmp): the mount shows the old one.
            with translated("restart the point of presence"):
                container.restart(timeout=1)

    def _start_registry(self) -> None:
        name = self._engine.name("registry")
        certificate, key = self._ca.server_certificate([REGISTRY_NAME.partition(":")[0]])
        port = self._store.load("machines.registry", "port")
        if port is None or self._engine.find(name) is None:
            # Chosen here, not by the engine: a port of its choosing changes with every restart.
            port = _free_port()
            self._store.save("machines.registry", "port", port)
        volume = Mount("/var/lib/registry", self._volume("registry"), type="volume")
        files = [
            File(path="/twin/tls/server.pem", content=certificate),
            File(path="/twin/tls/server.key", content=key, mode=0o600),
        ]
        self._service(
            "registry",
            "registry",
            self.internet.registry,
            files,
            mounts=[volume],
            ports={"5001/tcp": ("127.0.0.1", port)},
        )

    def registry_push_address(self) -> str:
        """`127.0.0.1:<port>`, plain HTTP, for the outer engine."""
        port = self._store.load("machines.registry", "port")
        if port is None:
            raise WorldError("The twin's registry does not stand yet: the twin is still starting.")
        return f"127.0.0.1:{port}"

    def _service(
        self, role: str, command: str, address: str, files: list[File], **options: Any
    ) -> Any:
        shape = hashlib.sha256(f"{image('support')} {address} {options}".encode()).hexdigest()[:12]
        return self._engine.ensure(
            Machine(
                name=self._engine.name(role),
                kind="service",
                image=image("support"),
                networks={self.internet_name: address},
                files=files,
                shape=shape,
                options={
                    "command": [command],
                    "hostname": role,
                    "mem_limit": _SERVICE_MEMORY,
                    "init": True,
                    **options,
                },
            )
        )

    # --- the outer engine's networks ------------------------------------------------------------
    def _volume(self, *parts: str) -> str:
        return volume(self._engine, *parts)

    def _network(self, name: str) -> Any | None:
        with translated(f"look for the network {name}"):
            try:
                return self._engine.client.networks.get(name)
            except NotFound:
                return None

    def _taken(self) -> dict[str, list[IPv4Network]]:
        """Who holds which networks: the engine's by name, and the host's own routes."""
        taken: dict[str, list[IPv4Network]] = {}
        with translated("list the engine's networks"):
            for network in self._engine.client.networks.list():
                pools = (network.attrs.get("IPAM") or {}).get("Config") or []
                subnets = [pool["Subnet"] for pool in pools if ":" not in pool.get("Subnet", ":")]
                if subnets:
                    taken[f"the Docker network {network.name}"] = list(map(IPv4Network, subnets))
        known = {subnet for subnets in taken.values() for subnet in subnets}
        rest = [network for network in host_networks() if network not in known]
        return taken | ({"a route of this host": rest} if rest else {})

    def _refuse_overlap(
        self, what: str, network: IPv4Network, taken: Mapping[str, Collection[IPv4Network]]
    ) -> None:
        found = overlapping(network, taken)
        if found:
            holder, other = found
            raise WorldError(
                f"The range {network} of {what} overlaps {other}, held by {holder}: "
                "choose another range, or remove that network."
            )

    def _create(
        self, name: str, network: IPv4Network, gateway: str, automatic: str, *, closed: bool
    ) -> None:
        pool = IPAMPool(subnet=str(network), gateway=gateway, iprange=automatic)
        with translated(f"create the network {name}"):
            try:
                self._engine.client.networks.create(
                    name,
                    driver="bridge",
                    internal=closed,
                    check_duplicate=True,
                    ipam=IPAMConfig(pool_configs=[pool]),
                    labels=self._engine.labels("network"),
                )
            except APIError as error:
                if error.status_code != 409:
                    raise


def render_hosts(names: Mapping[str, str]) -> str:
    """A hosts file: one line per address, names in order."""
    by_address: dict[str, list[str]] = {}
    for name in sorted(names):
        by_address.setdefault(names[name], []).append(name)
    return "".join(f"{address} {' '.join(by_address[address])}\n" for address in by_address)


def volume(engine: Engine, *parts: str) -> str:
    """A named volume of the instance, made when it does not stand; returns its name."""
    name = engine.name(*parts)
    with translated(f"create the volume {name}"):
        engine.client.volumes.create(name, labels=engine.labels("volume"))
    return name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

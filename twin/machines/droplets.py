"""Droplets: machine-like containers, their cloud firewalls and their reserved addresses.

A droplet is up when its container runs with both addresses (`active`); its user-data goes on
booting behind that, as on the cloud. Its disk is the container's own layer, plus a volume for its
engine.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from docker.types import Mount

from twin.ca import CertificateAuthority
from twin.machines.addresses import EDGE_ADDRESS
from twin.machines.engine import Engine, File, Machine, translated
from twin.machines.images import image
from twin.machines.nesting import OUTER_SOCKET, NestedEngine, machine_options
from twin.machines.networks import REGISTRY_NAME, Networks, volume
from twin.machines.packets import cloud_firewall
from twin.machines.userdata import installs_docker, without_swap
from twin.store import Store
from twin.world import DropletAddresses, DropletSpec, FirewallRule, WorldError

_log = logging.getLogger(__name__)

INTERFACES = ("eth0", "eth1")
"""Public and private: the engine names them in the order the networks are joined."""

_STOP_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class DropletEngine:
    """What the docker double needs to know about a droplet's engine.

    `nested` is the usual case: an engine of the droplet's own, nothing to add. Otherwise the engine
    is the outer one, which knows nothing of the droplet: `labels` and `name_prefix` go on every
    object made there (so that they are removed with the instance), and each network made there is
    handed to `DockerWorld.adopt_network`.
    """

    nested: bool
    labels: dict[str, str]
    name_prefix: str


class Droplets:
    """The droplets of one instance."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        ca: CertificateAuthority,
        networks: Networks,
        nesting: NestedEngine,
    ) -> None:
        self._engine = engine
        self._store = store
        self._ca = ca
        self._networks = networks
        self._nesting = nesting
        self._locks: dict[str, threading.RLock] = defaultdict(threading.RLock)

    # --- machines -------------------------------------------------------------------------------
    def create(self, spec: DropletSpec) -> DropletAddresses:
        """See `World.create_droplet`."""
        with self._locks[spec.id]:
            public, private = self._networks.addresses_for("droplet", spec.id, spec.vpc_id)
            user_data, left_out = without_swap(spec.user_data)
            kept = {
                "spec": _plain(spec),
                "public": public,
                "private": private,
                "notes": _notes(spec, left_out),
            }
            if self.get(spec.id) is None:
                self._store.save("machines.droplet", spec.id, kept)
                for note in kept["notes"]:
                    _log.warning("Droplet %s: %s.", spec.name, note)
            try:
                self._boot(replace(spec, user_data=user_data), public, private)
            except BaseException:
                if self._engine.find(self.container_name(spec.id)) is None:
                    self._forget(spec.id)
                raise
            return DropletAddresses(public_ipv4=public, private_ipv4=private)

    def _boot(self, spec: DropletSpec, public: str, private: str) -> None:
        disk = volume(self._engine, "droplet", spec.id, "docker")
        mounts = [Mount("/var/lib/docker", disk, type="volume")]
        if not self._nesting.works():
            mounts.append(Mount("/opt/twin/outer/docker.sock", OUTER_SOCKET, type="bind"))
        name = self.container_name(spec.id)
        fresh = self._engine.find(name) is None
        seed = self._seed(spec) if fresh else []
        self._engine.ensure(
            Machine(
                name=name,
                kind="droplet",
                image=image("droplet"),
                networks={
                    self._networks.internet_name: public,
                    self._networks.vpc_name(spec.vpc_id): private,
                },
                files=[*seed, *self._outside_files(spec.id)],
                options={
                    **machine_options(),
                    **self._size(spec.vcpus, spec.memory_mib),
                    "hostname": spec.name,
                    "mounts": mounts,
                },
            )
        )
        if not fresh:
            self._apply(spec.id)

    def get(self, droplet_id: str) -> DropletAddresses | None:
        """See `World.droplet`."""
        kept = self._store.load("machines.droplet", droplet_id)
        if kept is None or self._engine.find(self.container_name(droplet_id)) is None:
            return None
        return DropletAddresses(public_ipv4=kept["public"], private_ipv4=kept["private"])

    def resize(self, droplet_id: str, vcpus: int, memory_mib: int) -> None:
        """See `World.resize_droplet`."""
        with self._locks[droplet_id]:
            container, kept = self._standing(droplet_id)
            size = self._size(vcpus, memory_mib)
            with translated(f"resize the droplet {kept['spec']['name']}"):
                container.stop(timeout=_STOP_SECONDS)
                container.update(**size)
                self._engine.put(container, self._outside_files(droplet_id))
                container.start()
            kept["spec"] |= {"vcpus": vcpus, "memory_mib": memory_mib}
            self._store.save("machines.droplet", droplet_id, kept)

    def delete(self, droplet_id: str) -> None:
        """See `World.delete_droplet`."""
        with self._locks[droplet_id]:
            self._engine.remove(self.container_name(droplet_id))
            self._engine.remove_volume(self._engine.name("droplet", droplet_id, "docker"))
            self._forget(droplet_id)

    def tag(self, droplet_id: str, tags: Sequence[str]) -> None:
        """See `World.tag_droplet`."""
        with self._locks[droplet_id]:
            _, kept = self._standing(droplet_id)
            kept["spec"]["tags"] = list(tags)
            self._store.save("machines.droplet", droplet_id, kept)
            self._apply(droplet_id)

    def start_all(self) -> None:
        """Power on what is recorded and stands, and put rules and addresses in force again."""
        for droplet_id in self._store.items("machines.droplet"):
            container = self._engine.find(self.container_name(droplet_id))
            if container is None:
                continue
            try:
                with self._locks[droplet_id], translated(f"start {container.name}"):
                    self._apply(droplet_id)
                    if container.status != "running":
                        container.start()
            except WorldError:
                # One that cannot start must not keep the twin from serving the others.
                _log.exception("The droplet %s did not come back", container.name)

    def container_name(self, droplet_id: str) -> str:
        """The outer engine's name of a droplet."""
        return self._engine.name("droplet", droplet_id)

    def engine_of(self, droplet_id: str) -> DropletEngine:
        """Facts for the docker double."""
        self._standing(droplet_id)
        return DropletEngine(
            nested=self._nesting.works(),
            labels=self._engine.labels("guest"),
            name_prefix=self._engine.name("guest", ""),
        )

    def addresses_of(self, kind: str, value: str) -> list[str]:
        """Every address that traffic of a droplet, or of all with a tag, may come from."""
        found: list[str] = []
        for droplet_id, kept in self._store.items("machines.droplet").items():
            named = droplet_id == value if kind == "droplet" else _tagged(kept, [value])
            if named:
                found += [kept["public"], kept["private"], *self._reserved(droplet_id)]
        return found

    def private_addresses(self, tags: Sequence[str], droplet_ids: Sequence[str]) -> dict[str, str]:
        """Private addresses by id, of the droplets that are named or carry one of the tags."""
        return {
            droplet_id: str(kept["private"])
            for droplet_id, kept in self._store.items("machines.droplet").items()
            if droplet_id in droplet_ids or _tagged(kept, tags)
        }

    # --- reserved addresses ---------------------------------------------------------------------
    def assign(self, address: str, droplet_id: str | None) -> None:
        """See `World.assign_reserved_ip`."""
        reserved = self._store.items("machines.reserved")
        if address not in reserved:
            raise WorldError(f"There is no reserved address {address}.")
        if droplet_id is not None:
            self._standing(droplet_id)
        self._store.save("machines.reserved", address, droplet_id)
        # The one that loses it first: two machines must not answer for one address.
        for affected in dict.fromkeys((reserved[address], droplet_id)):
            if affected is not None:
                self._apply(affected)

    def release(self, address: str) -> None:
        """See `World.release_reserved_ip`."""
        if address in self._store.items("machines.reserved"):
            self.assign(address, None)
            self._store.drop("machines.reserved", address)

    def _reserved(self, droplet_id: str) -> list[str]:
        held = self._store.items("machines.reserved")
        return [address for address, holder in held.items() if holder == droplet_id]

    # --- firewalls ------------------------------------------------------------------------------
    def set_firewall(
        self,
        firewall_id: str,
        rules: Sequence[FirewallRule],
        tags: Sequence[str],
        droplet_ids: Sequence[str],
    ) -> None:
        """See `World.set_firewall`."""
        cloud_firewall([rules], INTERFACES)  # refuses a bad rule before anything is changed
        before = self._store.load("machines.firewall", firewall_id)
        kept = {
            "rules": [asdict(rule) | {"addresses": list(rule.addresses)} for rule in rules],
            "tags": list(tags),
            "droplets": list(droplet_ids),
        }
        self._store.save("machines.firewall", firewall_id, kept)
        self._apply_covered(before, kept)

    def delete_firewall(self, firewall_id: str) -> None:
        """See `World.delete_firewall`."""
        before = self._store.load("machines.firewall", firewall_id)
        self._store.drop("machines.firewall", firewall_id)
        self._apply_covered(before)

    def _apply_covered(self, *firewalls: dict[str, Any] | None) -> None:
        for droplet_id, kept in self._store.items("machines.droplet").items():
            if any(firewall and _covers(firewall, droplet_id, kept) for firewall in firewalls):
                self._apply(droplet_id)

    # --- what the cloud does to a machine from outside ------------------------------------------
    def _outside_files(self, droplet_id: str) -> list[File]:
        kept = self._store.load("machines.droplet", droplet_id)
        firewalls = [
            [FirewallRule(**rule) for rule in firewall["rules"]]
            for firewall in self._store.items("machines.firewall").values()
            if _covers(firewall, droplet_id, kept)
        ]
        reserved = "".join(f"{address}\n" for address in self._reserved(droplet_id))
        return [
            File(path="/opt/twin/firewall.nft", content=cloud_firewall(firewalls, INTERFACES)),
            File(path="/opt/twin/reserved", content=reserved),
            File(
                path="/opt/twin/routes",
                content=f"{EDGE_ADDRESS} {self._networks.internet.pop}\n",
            ),
        ]

    def _apply(self, droplet_id: str) -> None:
        with self._locks[droplet_id]:
            container = self._engine.find(self.container_name(droplet_id))
            if container is None:
                return
            with translated(f"change the network of {container.name}"):
                self._engine.put(container, self._outside_files(droplet_id))
            if container.status == "running":
                self._engine.run(container, ["/usr/local/sbin/droplet-network"])

    def _seed(self, spec: DropletSpec) -> list[File]:
        seed = "/var/lib/cloud/seed/nocloud"
        meta = {
            "instance-id": spec.id,
            "local-hostname": spec.name,
            "public-keys": list(spec.ssh_public_keys),
        }
        return [
            File(path=f"{seed}/user-data", content=spec.user_data, mode=0o600),
            File(path=f"{seed}/meta-data", content=json.dumps(meta), mode=0o600),
            File(
                path="/opt/twin/resolv.conf",
                content=f"nameserver {self._networks.internet.dns}\noptions timeout:2\n",
            ),
            File(path=f"/etc/docker/certs.d/{REGISTRY_NAME}/ca.crt", content=self._ca.certificate),
            File(
                path="/opt/twin/docker",
                content="installed\n" if installs_docker(spec.user_data) else "absent\n",
            ),
        ]

    def _size(self, vcpus: int, memory_mib: int) -> dict[str, Any]:
        with translated("ask the Docker engine for its size"):
            cpus = int(self._engine.client.info()["NCPU"])
        limit = memory_mib * 1024 * 1024
        return {
            "mem_limit": limit,
            "memswap_limit": limit,
            "cpu_period": 100_000,
            "cpu_quota": min(vcpus, cpus) * 100_000,
        }

    def _standing(self, droplet_id: str) -> tuple[Any, dict[str, Any]]:
        kept = self._store.load("machines.droplet", droplet_id)
        container = self._engine.find(self.container_name(droplet_id))
        if kept is None or container is None:
            raise WorldError(f"There is no droplet {droplet_id}.")
        return container, kept

    def _forget(self, droplet_id: str) -> None:
        self._store.drop("machines.droplet", droplet_id)
        self._networks.give_back("droplet", droplet_id)
        for address in self._reserved(droplet_id):
            self._store.save("machines.reserved", address, None)


def _plain(spec: DropletSpec) -> dict[str, Any]:
    """What is kept of a spec; the user-data is in the machine and may be large."""
    kept = asdict(replace(spec, user_data=""))
    del kept["user_data"]
    return kept | {"ssh_public_keys": list(spec.ssh_public_keys), "tags": list(spec.tags)}


def _notes(spec: DropletSpec, left_out: str) -> list[str]:
    notes = []
    if not spec.image.startswith("debian-13"):
        notes.append(f"asked for {spec.image}, booted Debian 13: the twin has no other system")
    if left_out:
        notes.append("user-data's `swap:` was left out: swap would be the laptop's")
    return notes


def _tagged(kept: dict[str, Any], tags: Sequence[str]) -> bool:
    """Tags compare without case, as the cloud does."""
    return bool({tag.lower() for tag in kept["spec"]["tags"]} & {tag.lower() for tag in tags})


def _covers(firewall: dict[str, Any], droplet_id: str, kept: dict[str, Any] | None) -> bool:
    return droplet_id in firewall["droplets"] or bool(kept and _tagged(kept, firewall["tags"]))

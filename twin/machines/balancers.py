"""Load balancers: HAProxy with one foot in the internet and one in a VPC, as the cloud's are.

What a balancer admits is its own list of addresses; droplets behind it see its private address, and
in the PROXY protocol whoever connected. A droplet that fails its health check gets nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from twin.machines.addresses import EDGE_ADDRESS
from twin.machines.engine import Engine, File, Machine, translated
from twin.machines.images import image
from twin.machines.networks import Networks
from twin.store import Store
from twin.world import BalancerAddresses, BalancerSpec, HealthCheck

_MEMORY = "128m"
_CONFIG = "/twin/balancer.cfg"

Members = Callable[[Sequence[str], Sequence[str]], dict[str, str]]
"""Private addresses by droplet id, of the droplets that are named or carry a tag."""


class Balancers:
    """The load balancers of one instance."""

    def __init__(self, engine: Engine, store: Store, networks: Networks, members: Members) -> None:
        self._engine = engine
        self._store = store
        self._networks = networks
        self._members = members
        self._lock = threading.RLock()

    def set(self, spec: BalancerSpec) -> BalancerAddresses:
        """See `World.set_load_balancer`."""
        with self._lock:
            public, private = self._networks.addresses_for("balancer", spec.id, spec.vpc_id)
            kept = {"spec": asdict(spec), "public": public, "private": private}
            self._store.save("machines.balancer", spec.id, kept)
            self._ensure(spec.id)
            return BalancerAddresses(public_ipv4=public, private_ipv4=private)

    def get(self, balancer_id: str) -> BalancerAddresses | None:
        """See `World.load_balancer`."""
        kept = self._store.load("machines.balancer", balancer_id)
        if kept is None or self._engine.find(self._name(balancer_id)) is None:
            return None
        return BalancerAddresses(public_ipv4=kept["public"], private_ipv4=kept["private"])

    def delete(self, balancer_id: str) -> None:
        """See `World.delete_load_balancer`."""
        with self._lock:
            self._engine.remove(self._name(balancer_id))
            self._store.drop("machines.balancer", balancer_id)
            self._networks.give_back("balancer", balancer_id)

    def follow_droplets(self) -> None:
        """A droplet came, changed its tags or went."""
        with self._lock:
            for balancer_id in self._store.items("machines.balancer"):
                self._ensure(balancer_id)

    start_all = follow_droplets

    def _ensure(self, balancer_id: str) -> None:
        kept: dict[str, Any] = self._store.items("machines.balancer")[balancer_id]
        spec = kept["spec"]
        members = self._members(spec["tags"], spec["droplet_ids"])
        config = File(path=_CONFIG, content=render(_spec(spec), members))
        name = self._name(balancer_id)
        standing = self._engine.find(name)
        running = standing is not None and standing.status == "running"
        container = self._engine.ensure(
            Machine(
                name=name,
                kind="balancer",
                image=image("support"),
                networks={
                    self._networks.internet_name: kept["public"],
                    self._networks.vpc_name(spec["vpc_id"]): kept["private"],
                },
                files=[config],
                shape=image("support"),
                options={
                    "command": ["balancer"],
                    "hostname": spec["name"],
                    "mem_limit": _MEMORY,
                    "init": True,
                    "cap_add": ["NET_ADMIN"],
                    "environment": {
                        "EDGE_ADDRESS": EDGE_ADDRESS,
                        "POP_ADDRESS": self._networks.internet.pop,
                    },
                },
            )
        )
        if running:
            with translated(f"tell {name}"):
                container.kill(signal="USR2")

    def _name(self, balancer_id: str) -> str:
        return self._engine.name("balancer", balancer_id)


def render(spec: BalancerSpec, members: dict[str, str]) -> str:
    """HAProxy's configuration for a balancer in front of these droplets (id to address)."""
    # A container's limit of open files is the host's; two are needed for each connection.
    lines = ["global", "  maxconn 4000", "defaults", "  mode tcp"]
    lines += ["  timeout connect 5s", "  timeout client 1h", "  timeout server 1h"]
    lines.append(f"  timeout check {spec.health.timeout}s")
    for entry, target in spec.ports:
        lines += [f"frontend port-{entry}", f"  bind :{entry}"]
        if spec.allow:
            known = " ".join(spec.allow)
            lines.append(f"  tcp-request connection reject unless {{ src {known} }}")
        if spec.deny:
            lines.append(f"  tcp-request connection reject if {{ src {' '.join(spec.deny)} }}")
        lines += [f"  default_backend droplets-{entry}", f"backend droplets-{entry}"]
        lines += ["  balance roundrobin", "  option redispatch", *_check(spec)]
        proxy = " send-proxy" if spec.proxy_protocol else ""
        for droplet_id, address in sorted(members.items()):
            lines.append(f"  server droplet-{droplet_id} {address}:{target}{proxy}")
    return "\n".join(lines) + "\n"


def _check(spec: BalancerSpec) -> list[str]:
    """The health check comes with the PROXY protocol where the traffic does (godo#700)."""
    health = spec.health
    lines = [f"  option httpchk GET {health.path}"] if health.protocol == "http" else []
    proxy = " check-send-proxy" if spec.proxy_protocol else ""
    lines.append(
        f"  default-server check port {health.port} inter {health.interval}s "
        f"fall {health.unhealthy} rise {health.healthy}{proxy}"
    )
    return lines


def _spec(kept: dict[str, Any]) -> BalancerSpec:
    ports = tuple((int(entry), int(target)) for entry, target in kept["ports"])
    return BalancerSpec(**{**kept, "ports": ports, "health": HealthCheck(**kept["health"])})

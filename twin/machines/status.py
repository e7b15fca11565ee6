"""What stands, how it fares, and what is not as on the real cloud."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from docker.errors import APIError

from twin.machines.engine import Engine, translated
from twin.machines.nesting import NestedEngine
from twin.store import Store
from twin.world import WorldError

_HEALTH = {
    "droplet": ["sh", "-c", "systemctl is-system-running; cloud-init status | sed 's/status: //'"],
    "database": [
        "bash",
        "-c",
        "{ pg_isready -q -p 25060 || : </dev/tcp/127.0.0.1/25061; } 2>/dev/null "
        "&& echo healthy || echo unhealthy",
    ],
}


def describe(engine: Engine, store: Store, nesting: NestedEngine) -> dict[str, Any]:
    """Machines (name, kind, state, health, memory in bytes, addresses), engine, names, notes."""
    with translated("look at the machines"):
        containers = engine.containers()
    with ThreadPoolExecutor(max_workers=8) as pool:
        machines = list(pool.map(lambda container: _machine(engine, container), containers))
    notes = _notes(store)
    engine_used = nesting.status()
    if engine_used["engine"] == "outer":
        notes.append(
            "Droplets have no engine of their own here; their containers run on the outer one: "
            + engine_used["why"]
        )
    return {
        "machines": sorted(machines, key=lambda machine: (machine["kind"], machine["name"])),
        "droplet_engine": engine_used,
        "notes": notes,
    }


def _machine(engine: Engine, container: Any) -> dict[str, Any]:
    networks = container.attrs["NetworkSettings"]["Networks"]
    return {
        "name": container.name,
        "kind": container.labels.get("payments.twin.kind", "guest"),
        "hostname": container.attrs["Config"]["Hostname"],
        "state": container.status,
        "health": _health(engine, container),
        "memory_bytes": _memory(engine, container),
        "addresses": {name: network["IPAddress"] for name, network in networks.items()},
    }


def _health(engine: Engine, container: Any) -> str:
    if container.status != "running":
        return str(container.status)
    probe = _HEALTH.get(container.labels.get("payments.twin.kind", ""))
    if probe:
        try:
            return " ".join(engine.run(container, probe).split())
        except WorldError as error:
            return str(error)
    return str(container.attrs["State"].get("Health", {}).get("Status", "running"))


def _memory(engine: Engine, container: Any) -> int:
    """Bytes in use without the page cache, which the kernel takes back when it wants."""
    if container.status != "running":
        return 0
    try:
        stats = engine.client.api.stats(container.id, stream=False, one_shot=True)
    except APIError:
        return 0
    memory = stats.get("memory_stats", {})
    cache = memory.get("stats", {})
    inactive = cache.get("total_inactive_file", cache.get("inactive_file", 0))
    return max(int(memory.get("usage", 0)) - int(inactive), 0)


def _notes(store: Store) -> list[str]:
    notes = []
    for kept in store.items("machines.droplet").values():
        notes += [f"droplet {kept['spec']['name']}: {note}" for note in kept["notes"]]
    for kept in store.items("machines.database").values():
        spec = kept["spec"]
        if spec["nodes"] > 1:
            notes.append(
                f"database {spec['name']}: {spec['nodes']} nodes asked, one runs; "
                "there is no standby to fail over to"
            )
        image_version = {"pg": "17", "valkey": "8"}[spec["engine"]]
        if spec["version"] != image_version:
            notes.append(
                f"database {spec['name']}: version {spec['version']} asked, {image_version} runs"
            )
    return notes

"""Rules between settings: what each value allows on its own, but not together.

Every rule is a function of the whole and yields what it finds. A rule that meets a field which is
wrong by itself stops there (`Unavailable`); the others still run, so that one `preview` shows all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from pydantic_core import PydanticCustomError

from components.containers import CONNECTOR_MEMORY, ENTRANCE_MEMORY, GATEWAY_MEMORY
from components.host import DOCKER_POOLS
from stacks import limits, settings_access, settings_edge, settings_gateways
from stacks.settings_model import DIGEST, Settings, Unavailable
from stacks.settings_problems import NOT_SET, Problem, show

Rule = Callable[[Settings], Iterable[Problem]]

WORKER_CONNECTIONS: Final = 4
"""Direct connections of one worker: its queries, and the one that listens for jobs."""
RELEASE_CONNECTIONS: Final = 2
"""Kept free for the release steps, which must never wait for the service they replace."""


def check(settings: Settings) -> list[Problem]:
    """Every problem that the rules find."""
    found: list[Problem] = []
    for rule in RULES:
        try:
            found.extend(rule(settings))
        except Unavailable:
            continue
    return found


def _problem(field: str, value: object, reason: str, remedy: str) -> Problem:
    return Problem(field=f"payments:{field}", value=show(value), reason=reason, remedy=remedy)


def _regions(s: Settings) -> Iterator[Problem]:
    if s.region not in limits.VALKEY_REGIONS:
        near = ", ".join(sorted(r for r in limits.VALKEY_REGIONS if r[:3] == s.region[:3]))
        yield _problem(
            "region",
            s.region,
            "managed Valkey is not offered in this region",
            f"choose a region that has it, nearest: {near}",
        )
    if s.storage.region is None and s.region not in limits.SPACES_REGIONS:
        near = sorted(limits.SPACES_REGIONS, key=lambda r: (r[:3] != s.region[:3], r))[0]
        yield _problem(
            "storage.region",
            None,
            f"{s.region} has no Spaces, so the bucket needs a region of its own",
            f"set storage: {{region: {near}}}",
        )


def _standbys(s: Settings) -> Iterator[Problem]:
    for section, size, nodes in (
        ("database", s.database.size, s.database.nodes),
        ("cache", s.cache.size, s.cache.nodes),
    ):
        if nodes > 1 and limits.database_memory_gb(size) < limits.STANDBY_MEMORY_GB:
            larger = size.replace("1gb", f"{limits.STANDBY_MEMORY_GB}gb")
            yield _problem(
                f"{section}.nodes",
                nodes,
                f"{size} is offered without a standby, which needs {limits.STANDBY_MEMORY_GB} GB",
                f"set {section}.size to {larger} or larger, or {section}.nodes to 1",
            )


def _replica(s: Settings) -> Iterator[Problem]:
    replica = s.database.replica
    if replica is None:
        return
    if limits.database_memory_gb(replica.size) < limits.database_memory_gb(s.database.size):
        yield _problem(
            "database.replica.size",
            replica.size,
            f"a replica holds all the data of its primary, which is a {s.database.size}",
            f"set database.replica.size to {s.database.size} or larger",
        )


def _connections(s: Settings) -> Iterator[Problem]:
    limit = limits.backend_connections(s.database.size)
    direct = s.host.count * WORKER_CONNECTIONS + RELEASE_CONNECTIONS
    if s.database.pool_size > limit - direct:
        yield _problem(
            "database.pool-size",
            s.database.pool_size,
            f"{s.database.size} serves {limit} connections, and {direct} of them are for "
            f"{s.host.count} worker(s) and a release",
            f"set database.pool-size to at most {limit - direct}, or choose a larger database",
        )


def _memory(s: Settings) -> Iterator[Problem]:
    have = limits.DROPLET_SIZES[s.host.size].memory_mib - limits.HOST_RESERVE_MIB
    door = CONNECTOR_MEMORY if s.ingress == "tunnel" else ENTRANCE_MEMORY
    if s.ssh_hostnames and not s.ssh_shares_tunnel:
        door += CONNECTOR_MEMORY
    need = s.app.replicas * s.app.memory + s.app.worker_memory + GATEWAY_MEMORY + door
    if need > have:
        yield _problem(
            "host.size",
            s.host.size,
            f"its containers may take {need} MiB, and {have} MiB are left beside the system",
            "choose a larger host.size, fewer app.replicas or less app.memory",
        )


def _ingress(s: Settings) -> Iterator[Problem]:
    if s.ingress == "direct" and s.host.count != 1:
        yield _problem(
            "ingress",
            s.ingress,
            f"the name leads to one droplet, and {s.host.count - 1} more would serve nobody",
            "set ingress: load-balancer (or tunnel), or host.count: 1",
        )
    if s.ingress == "direct" and not s.host.reserved_ip:
        yield _problem(
            "host.reserved-ip",
            s.host.reserved_ip,
            "with ingress: direct the name leads to the droplet's address, which goes with it",
            "set host.reserved-ip: true",
        )
    public = not s.zone.name.endswith(".localhost")
    if s.ingress != "tunnel" and public and s.https_port != limits.ORIGIN_HTTPS_PORT:
        yield _problem(
            "https-port",
            s.https_port,
            "Cloudflare connects to the origin on the port that the visitor used, and with "
            f"ingress: {s.ingress} the origin listens on {limits.ORIGIN_HTTPS_PORT} alone",
            "remove https-port, or set ingress: tunnel",
        )


def _network(s: Settings) -> Iterator[Problem]:
    for pool in DOCKER_POOLS:
        if s.network.cidr.overlaps(IPv4Network(pool)):
            yield _problem(
                "network.cidr",
                str(s.network.cidr),
                f"it overlaps {pool}, from which Docker numbers the droplet's containers: "
                "they could not reach the databases",
                "choose another range, for example 10.20.0.0/20",
            )


def _hostname(s: Settings) -> Iterator[Problem]:
    suffix = "." + s.zone.name
    if s.hostname != s.zone.name and not s.hostname.endswith(suffix):
        yield _problem(
            "hostname",
            s.hostname,
            f"it is not in the zone {s.zone.name}",
            f"use a name such as pay{suffix}",
        )
    elif s.hostname.removesuffix(suffix).count(".") and s.hostname != s.zone.name:
        yield _problem(
            "hostname",
            s.hostname,
            "Cloudflare's universal certificate covers the zone and one label below it",
            f"use one label, for example {s.hostname.split('.')[0]}{suffix}",
        )


def _https_port(s: Settings) -> Iterator[Problem]:
    # Names under .localhost never leave the machine: its ports are free to choose.
    public = not s.zone.name.endswith(".localhost")
    if public and s.https_port not in limits.CLOUDFLARE_HTTPS_PORTS:
        ports = ", ".join(str(port) for port in sorted(limits.CLOUDFLARE_HTTPS_PORTS))
        yield _problem(
            "https-port", s.https_port, "Cloudflare does not proxy this port", f"use one of {ports}"
        )


def _ssh_keys(s: Settings) -> Iterator[Problem]:
    given, file = s.ssh.public_keys, s.ssh.public_key_file
    if bool(given) == bool(file):
        yield _problem(
            "ssh",
            [*given, str(file)] if file else None,
            "a droplet needs its keys from exactly one place",
            "set either ssh.public-keys (a list) or ssh.public-key-file (a path)",
        )
    if not s.ssh.allow_from:
        yield _problem(
            "ssh.allow-from",
            [],
            "nobody could deploy: Docker is reached over SSH",
            "name the addresses that may connect, for example [198.51.100.7/32]",
        )


def _files(s: Settings) -> Iterator[Problem]:
    for field, path in (
        ("ssh.public-key-file", s.ssh.public_key_file),
        ("ssh.config-file", s.ssh.config_file),
        ("outgoing-ca-file", s.outgoing_ca_file),
    ):
        if path is not None and not path.is_file():
            yield _problem(field, str(path), "there is no such file", _file_remedy(path))
    yield from _contents(s)


def _contents(s: Settings) -> Iterator[Problem]:
    try:
        s.ssh.keys()
    except PydanticCustomError as error:
        context = error.context or {}
        file = str(s.ssh.public_key_file)
        yield _problem("ssh.public-key-file", file, context["reason"], context["remedy"])
    except (OSError, UnicodeError):
        pass  # a missing file is reported above
    ca_file = s.outgoing_ca_file
    if ca_file and ca_file.is_file() and "BEGIN CERTIFICATE" not in ca_file.read_text("utf-8"):
        yield _problem(
            "outgoing-ca-file",
            str(ca_file),
            "the file holds no certificate in PEM form",
            "name the file of the certificate authority, -----BEGIN CERTIFICATE-----",
        )


def _file_remedy(path: Path) -> str:
    if ".local" in path.parts:
        return "run `make up`, which writes it, or name a file that exists"
    return "name a file that exists, absolute or relative to the project's folder"


def _image(s: Settings) -> Iterator[Problem]:
    image = s.app.image
    if image is None and s.app.registry is None:
        yield _problem(
            "app",
            None,
            "there is neither an image to deploy nor a registry to build one for",
            "set app.image to the digest CI printed, or app.registry.server",
        )
    if not s.protect:
        return
    if image is None:
        yield Problem(
            field="payments:app.image",
            value=NOT_SET,
            reason="a protected stack deploys what CI has built and tested, not a laptop's build",
            remedy="set app.image to registry/name@sha256:... as CI printed it",
        )
    elif not DIGEST.match(image):
        yield _problem(
            "app.image",
            image,
            "a tag can be moved to another image after it was reviewed",
            "name the image by its digest: registry/name@sha256:...",
        )


def _production(s: Settings) -> Iterator[Problem]:
    if s.environment != "production":
        return
    if not s.protect:
        yield _problem(
            "protect",
            False,
            "in production the database and the bucket must not be deleted by a slip",
            "set protect: true",
        )


RULES: Final[tuple[Rule, ...]] = (
    _regions,
    _standbys,
    _replica,
    _connections,
    _memory,
    _ingress,
    _network,
    _hostname,
    _https_port,
    _ssh_keys,
    _files,
    _image,
    _production,
    settings_edge.edge,
    settings_access.access,
    settings_gateways.gateways,
)

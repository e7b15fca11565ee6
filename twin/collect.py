"""Remove resources in an order that their dependencies allow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from twin.protocol.servicer import made_with
from twin.store import Record, Store

_log = logging.getLogger(__name__)

# Users before what they use. What is not listed goes in between, before networks and machines.
_FIRST: Final = (
    "docker:index/container:Container",
    "docker:index/image:Image",
    "docker:index/remoteImage:RemoteImage",
    "docker:index/network:Network",
    "cloudflare:index/dnsRecord:DnsRecord",
    "cloudflare:index/zeroTrustTunnelCloudflaredConfig:ZeroTrustTunnelCloudflaredConfig",
    "cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared",
    "digitalocean:index/projectResources:ProjectResources",
    "digitalocean:index/reservedIpAssignment:ReservedIpAssignment",
    "digitalocean:index/databaseConnectionPool:DatabaseConnectionPool",
    "digitalocean:index/databaseFirewall:DatabaseFirewall",
    "digitalocean:index/databaseReplica:DatabaseReplica",
    "digitalocean:index/databaseUser:DatabaseUser",
    "digitalocean:index/databaseDb:DatabaseDb",
)
_LAST: Final = (
    "digitalocean:index/databaseCluster:DatabaseCluster",
    "digitalocean:index/spacesBucket:SpacesBucket",
    "digitalocean:index/spacesKey:SpacesKey",
    "digitalocean:index/firewall:Firewall",
    "digitalocean:index/loadBalancer:LoadBalancer",
    "digitalocean:index/reservedIp:ReservedIp",
    "digitalocean:index/droplet:Droplet",
    "digitalocean:index/sshKey:SshKey",
    "digitalocean:index/tag:Tag",
    "digitalocean:index/vpc:Vpc",
    "digitalocean:index/project:Project",
)
_PASSES: Final = 3  # what failed may go once what held it is gone


@dataclass
class Collected:
    """What was removed, and what could not be, with the reason."""

    removed: list[tuple[str, str]] = field(default_factory=list)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)


def in_order(records: Iterable[Record]) -> list[Record]:
    """The records, users before what they use, within a type the newest first."""
    newest_first = list(records)[::-1]
    return sorted(newest_first, key=lambda record: _rank(record.token))


def remove_all(records: Sequence[Record], remove: Callable[[Record], None]) -> Collected:
    """Remove every record, trying again what failed for as long as something else went."""
    done = Collected()
    left = in_order(records)
    for _ in range(_PASSES):
        failed = []
        for record in left:
            try:
                remove(record)
            except Exception as error:
                _log.warning("could not remove %s %s: %s", record.token, record.id, error)
                done.failed[record.token, record.id] = str(error)
                failed.append(record)
            else:
                done.failed.pop((record.token, record.id), None)
                done.removed.append((record.token, record.id))
        if not failed or len(failed) == len(left):
            break
        left = failed
    return done


def went_with_droplet(store: Store, records: Sequence[Record]) -> list[Record]:
    """Those of the engines of droplets that are not among the records.

    The program deletes containers with their droplet (`deleted_with`), so nobody tells the double.
    """
    addresses = {
        record.outputs.get(name)
        for record in records
        for name in ("ipv4Address", "ipv4AddressPrivate", "ipAddress")
    }
    gone = []
    for record in records:
        if record.token.startswith("docker:"):
            host = urlsplit(str(made_with(store, record.token, record.id).get("host") or ""))
            if host.scheme == "ssh" and host.hostname not in addresses:
                gone.append(record)
    return gone


def _rank(token: str) -> int:
    if token in _FIRST:
        return _FIRST.index(token)
    if token in _LAST:
        return len(_FIRST) + 1 + _LAST.index(token)
    return len(_FIRST)

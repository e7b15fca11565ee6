"""How the twin's records look in DigitalOcean's API v2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from twin.clouds.digitalocean import common
from twin.clouds.digitalocean.catalog import catalog
from twin.clouds.digitalocean.cluster import CLUSTERS
from twin.store import Record, Store

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A collection of the API: which records it has and how one of them looks."""

    plural: str
    singular: str
    token: str
    look: Callable[[Store, Record], Json]
    one: bool = True

    def all(self, store: Store, query: Mapping[str, str]) -> list[Json]:
        """Every element, oldest first; `tag_name` and `name` narrow it where the API lets them."""
        found = [self.look(store, record) for record in store.all(self.token)]
        if tag := query.get("tag_name"):
            found = [entry for entry in found if tag in entry.get("tags", ())]
        if name := query.get("name"):
            found = [entry for entry in found if entry.get("name") == name]
        return found


def _droplet(store: Store, record: Record) -> Json:
    has = record.outputs
    size = catalog().sizes[has["size"]]
    networks = [_address(has["ipv4AddressPrivate"], "private")]
    if has["ipv4Address"]:
        networks.append(_address(has["ipv4Address"], "public"))
    on = {
        "backups": has.get("backups"),
        "ipv6": has.get("ipv6"),
        "monitoring": has.get("monitoring"),
        "private_networking": True,
    }
    return {
        "id": int(record.id),
        "name": has["name"],
        "memory": has["memory"],
        "vcpus": has["vcpus"],
        "disk": has["disk"],
        "locked": has["locked"],
        "status": has["status"],
        "created_at": has["createdAt"],
        "features": [name for name, given in on.items() if given],
        "backup_ids": [],
        "snapshot_ids": [],
        "next_backup_window": None,
        "image": {"slug": has["image"], "type": "base", "public": True, "status": "available"},
        "volume_ids": [],
        "size_slug": size.slug,
        "size": {
            "slug": size.slug,
            "memory": size.memory_mib,
            "vcpus": size.vcpus,
            "disk": size.disk_gib,
            "transfer": size.transfer_tib,
            "price_monthly": size.price_monthly,
            "price_hourly": size.price_hourly,
            "regions": list(size.regions),
            "available": True,
        },
        "networks": {"v4": networks, "v6": []},
        "region": _region(has["region"]),
        "tags": has.get("tags") or [],
        "vpc_uuid": has["vpcUuid"],
    }


def _vpc(store: Store, record: Record) -> Json:
    has = record.outputs
    return {
        "id": record.id,
        "urn": has["vpcUrn"],
        "name": has["name"],
        "description": has.get("description", ""),
        "region": has["region"],
        "ip_range": has["ipRange"],
        "default": has["default"],
        "created_at": has["createdAt"],
    }


def _database(store: Store, record: Record) -> Json:
    has = record.outputs
    windows = has.get("maintenanceWindows") or []
    return {
        "id": record.id,
        "name": has["name"],
        "engine": has["engine"],
        "version": has["version"],
        "num_nodes": has["nodeCount"],
        "size": has["size"],
        "region": has["region"],
        "status": "online",
        "tags": has.get("tags") or [],
        "private_network_uuid": has["privateNetworkUuid"],
        "project_id": has["projectId"],
        "storage_size_mib": int(has["storageSizeMib"]),
        "created_at": (store.load(CLUSTERS, record.id) or {}).get("created_at"),
        "connection": _connection(has, "host", "uri"),
        "private_connection": _connection(has, "privateHost", "privateUri"),
        "maintenance_window": windows[0] if windows else None,
        "db_names": _children(store, record, "databases", "defaultdb"),
        "users": [{"name": n} for n in _children(store, record, "users", has["user"])],
    }


def _firewall(store: Store, record: Record) -> Json:
    has = record.outputs
    return {
        "id": record.id,
        "name": has["name"],
        "status": has["status"],
        "created_at": has["createdAt"],
        "pending_changes": [],
        "droplet_ids": has.get("dropletIds") or [],
        "tags": has.get("tags") or [],
        "inbound_rules": [_rule(r, "source") for r in has.get("inboundRules") or ()],
        "outbound_rules": [_rule(r, "destination") for r in has.get("outboundRules") or ()],
    }


def _key(store: Store, record: Record) -> Json:
    has = record.outputs
    return {
        "id": int(record.id),
        "name": has["name"],
        "fingerprint": has["fingerprint"],
        "public_key": has["publicKey"],
    }


def _project(store: Store, record: Record) -> Json:
    has = record.outputs
    return {
        "id": record.id,
        "name": has["name"],
        "description": has.get("description", ""),
        "purpose": has["purpose"],
        "environment": has.get("environment", ""),
        "is_default": has["isDefault"],
        "owner_id": has["ownerId"],
        "owner_uuid": has["ownerUuid"],
        "created_at": has["createdAt"],
        "updated_at": has["updatedAt"],
    }


SHAPES: Final[Mapping[str, Shape]] = {
    "droplets": Shape(plural="droplets", singular="droplet", token=common.DROPLET, look=_droplet),
    "vpcs": Shape(plural="vpcs", singular="vpc", token=common.VPC, look=_vpc),
    "databases": Shape(
        plural="databases", singular="database", token=common.CLUSTER, look=_database
    ),
    "firewalls": Shape(
        plural="firewalls", singular="firewall", token=common.FIREWALL, look=_firewall
    ),
    "account/keys": Shape(plural="ssh_keys", singular="ssh_key", token=common.SSH_KEY, look=_key),
    "projects": Shape(plural="projects", singular="project", token=common.PROJECT, look=_project),
}
"""By path below `/v2`."""


def _address(address: str, kind: str) -> Json:
    return {"ip_address": address, "netmask": "255.255.240.0", "type": kind}


def _region(slug: str) -> Json:
    return {"slug": slug, "name": catalog().regions[slug], "available": True}


def _connection(has: Mapping[str, Any], host: str, uri: str) -> Json:
    return {
        "host": has[host],
        "uri": has[uri],
        "port": has["port"],
        "user": has["user"],
        "password": has["password"],
        "database": has["database"],
        "ssl": True,
        "protocol": "postgresql" if has["engine"] == "pg" else "rediss",
    }


def _children(store: Store, record: Record, kind: str, own: str) -> list[str]:
    return [own, *store.items(f"cluster {kind} {record.id}")]


def _rule(rule: Mapping[str, Any], end: str) -> Json:
    names = {
        "Addresses": "addresses",
        "DropletIds": "droplet_ids",
        "Tags": "tags",
        "LoadBalancerUids": "load_balancer_uids",
        "KubernetesIds": "kubernetes_ids",
    }
    ends = {api: rule[f"{end}{name}"] for name, api in names.items() if rule.get(f"{end}{name}")}
    ports = rule.get("portRange") or "0"  # the API answers "0" for all ports and for icmp
    ports = "0" if ports in ("all", "1-65535") else ports
    return {"protocol": rule["protocol"], "ports": ports, f"{end}s": ends}

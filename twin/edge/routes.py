"""Which origin serves a host: the deployed DNS records and tunnel configurations, read as deployed.

The table is built anew when a resource of the store changed, and held until then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from twin.edge.direct import Address
from twin.edge.tunnel import TUNNEL, Service
from twin.store import Store

RECORD = "cloudflare:index/dnsRecord:DnsRecord"
CONFIG = "cloudflare:index/zeroTrustTunnelCloudflaredConfig:ZeroTrustTunnelCloudflaredConfig"
TUNNEL_SUFFIX = ".cfargotunnel.com"
_PORTS = {"http": 80, "https": 443, "ssh": 22}
_STREAMS = ("ssh", "tcp")
"""Services that a request reaches by a websocket, which carries their bytes."""


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A zone of the account."""

    id: str
    name: str
    plan: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One ingress rule; `hostname` and `path` are empty where it takes any."""

    hostname: str
    path: re.Pattern[str] | None
    service: str
    options: Mapping[str, Any]

    def matches(self, host: str, path: str) -> bool:
        """True when the rule takes this request, as the connector's own matching does."""
        if self.hostname.startswith("*."):
            if not host.endswith(self.hostname[1:]):
                return False
        elif self.hostname and self.hostname != host:
            return False
        return self.path is None or self.path.search(path) is not None


@dataclass(frozen=True, kw_only=True)
class ToService:
    """A request goes to a service behind a tunnel; `host_header` replaces Host where it is set.

    `stream`: the service does not speak HTTP; a websocket carries what it speaks.
    """

    tunnel: str
    service: Service
    host_header: str
    stream: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A request is answered with a bare status (`http_status:404`)."""

    status: int


@dataclass(frozen=True, kw_only=True)
class Unroutable:
    """A request can go nowhere: one of the edge's error codes, and why, for the log."""

    code: int
    reason: str


Target = ToService | Address | Answer | Unroutable


@dataclass
class _Tables:
    generation: int
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, list[Rule]] = field(default_factory=dict)
    tunnels: set[str] = field(default_factory=set)


class Routes:
    """The zones of the account and where their hosts lead."""

    def __init__(self, store: Store, account: Mapping[str, Any]) -> None:
        self._store = store
        zones = account.get("cloudflare", {}).get("zones", [])
        self._zones = {
            zone["name"].lower(): Zone(
                id=zone["id"], name=zone["name"].lower(), plan=zone.get("plan", "free")
            )
            for zone in zones
        }
        self._tables = _Tables(generation=-1)

    def zone(self, host: str) -> Zone | None:
        """Return the zone that a host belongs to, the most specific one."""
        name = host
        while name:
            if name in self._zones:
                return self._zones[name]
            _, _, name = name.partition(".")
        return None

    def zones(self) -> list[Zone]:
        """Return the zones of the account."""
        return list(self._zones.values())

    def hosts(self) -> list[str]:
        """Return the proxied host names that are deployed."""
        return sorted(name for name, record in self._load().records.items() if record["proxied"])

    def target(self, host: str, path: str) -> Target:
        """Say where a request for a host of a zone goes."""
        tables = self._load()
        record = tables.records.get(host) or _wildcard(tables.records, host)
        if record is None:
            return Unroutable(code=1016, reason=f"no DNS record for {host}")
        if not record["proxied"]:
            return Unroutable(code=1016, reason=f"the DNS record of {host} is not proxied")
        content = record["content"]
        if record["type"] in ("A", "AAAA"):
            return Address(zone=record["zone"], host=host, address=content)
        if not content.endswith(TUNNEL_SUFFIX):
            return Unroutable(code=1016, reason=f"{host} leads to {content}, not to a tunnel")
        tunnel = content.removesuffix(TUNNEL_SUFFIX)
        if tunnel not in tables.tunnels:
            return Unroutable(code=1033, reason=f"there is no tunnel {tunnel}")
        for rule in tables.rules.get(tunnel, []):
            if rule.matches(host, path):
                return _target(tunnel, rule)
        # A connector without a configuration answers everything with 503.
        return Answer(status=503)

    def _load(self) -> _Tables:
        generation = self._store.generation
        if self._tables.generation != generation:
            self._tables = self._read(generation)
        return self._tables

    def _read(self, generation: int) -> _Tables:
        tables = _Tables(generation=generation)
        names = {zone.id: zone.name for zone in self._zones.values()}
        for record in self._store.all(RECORD):
            outputs = record.outputs
            if outputs.get("type") not in ("A", "AAAA", "CNAME"):
                continue
            name = _absolute(str(outputs["name"]), names.get(outputs.get("zoneId", ""), ""))
            tables.records[name] = {
                "type": outputs["type"],
                "content": str(outputs.get("content", "")).lower().rstrip("."),
                "proxied": bool(outputs.get("proxied")),
                "zone": str(outputs.get("zoneId", "")),
            }
        tunnels = {record.id: record.outputs for record in self._store.all(TUNNEL)}
        tables.tunnels = set(tunnels)
        for record in self._store.all(CONFIG):
            # With `configSrc` local the rules are in a file that no connector here has.
            if tunnels.get(record.outputs["tunnelId"], {}).get("configSrc") != "cloudflare":
                continue
            config = record.outputs.get("config") or {}
            tables.rules[str(record.outputs["tunnelId"])] = [
                _rule(entry, config.get("originRequest") or {})
                for entry in config.get("ingresses") or []
            ]
        return tables


def _absolute(name: str, zone: str) -> str:
    name = name.lower().rstrip(".")
    if name in ("@", ""):
        return zone
    return name if not zone or name == zone or name.endswith("." + zone) else f"{name}.{zone}"


def _wildcard(records: Mapping[str, dict[str, Any]], host: str) -> dict[str, Any] | None:
    _, _, parent = host.partition(".")
    while parent:
        if f"*.{parent}" in records:
            return records[f"*.{parent}"]
        _, _, parent = parent.partition(".")
    return None


def _rule(entry: Mapping[str, Any], defaults: Mapping[str, Any]) -> Rule:
    return Rule(
        hostname="" if entry.get("hostname") == "*" else str(entry.get("hostname") or "").lower(),
        path=re.compile(entry["path"]) if entry.get("path") else None,
        service=str(entry["service"]),
        options={**defaults, **(entry.get("originRequest") or {})},
    )


def _target(tunnel: str, rule: Rule) -> Target:
    kind, _, rest = rule.service.partition(":")
    if kind == "http_status":
        return Answer(status=int(rest))
    parts = urlsplit(rule.service)
    if parts.hostname and parts.scheme in _STREAMS and (parts.port or parts.scheme in _PORTS):
        port = parts.port or _PORTS[parts.scheme]
        service = Service(host=parts.hostname, port=port)
        return ToService(tunnel=tunnel, service=service, host_header="", stream=True)
    if parts.scheme not in _PORTS or not parts.hostname:
        return Unroutable(code=1033, reason=f"the edge cannot reach a {rule.service!r} service")
    return ToService(
        tunnel=tunnel,
        service=Service(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            tls=parts.scheme == "https",
            server_name=str(rule.options.get("originServerName") or ""),
            verify=not rule.options.get("noTlsVerify"),
            connect_timeout=float(rule.options.get("connectTimeout") or 30),
        ),
        host_header=str(rule.options.get("httpHostHeader") or ""),
    )

"""Load balancers.

Rules: terraform-provider-digitalocean loadbalancer/*.go (checked at preview), the API description's
load_balancer_base.yml, forwarding_rule.yml, sticky_sessions.yml and lb_firewall.yml.

The twin has the kind that passes connections on: regional, in front of droplets, over TCP or with
TLS passed through. What terminates TLS, reads HTTP, or spans regions is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from ipaddress import ip_address, ip_network
from typing import Any, Final

from twin.clouds.births import birth, forget
from twin.clouds.digitalocean import common
from twin.clouds.digitalocean.project import leave
from twin.clouds.rules import items, known, new_uuid, unset
from twin.protocol.resource import UNKNOWN, ApiError, Context, Created, Failure, Props, Resource
from twin.world import BalancerSpec, HealthCheck

MAX_NODES, MAX_DROPLETS = 200, 10
_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9.\-]{0,253}[a-zA-Z0-9])?")
_SOURCES: Final = "digitalocean/load-balancer-sources"
_HEALTH: Final[dict[str, tuple[int, int, int]]] = {
    "checkIntervalSeconds": (3, 300, 10),
    "responseTimeoutSeconds": (3, 300, 5),
    "unhealthyThreshold": (2, 10, 3),
    "healthyThreshold": (2, 10, 5),
}
_ABSENT: Final = (
    "domains",
    "glbSettings",
    "targetLoadBalancerIds",
    "redirectHttpToHttps",
    "subnetUuid",
    "size",
    "algorithm",
)


def sources(ctx: Context, balancer_id: str) -> list[str]:
    """The addresses that droplets see a load balancer's connections come from."""
    kept: list[str] = ctx.store.load(_SOURCES, balancer_id) or []
    return kept


class LoadBalancer(Resource):
    """A balancer; deleting it frees its address."""

    token = common.LOAD_BALANCER

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        name, nodes = known(inputs, "name"), known(inputs, "sizeUnit")
        if name is not None and not _NAME.fullmatch(name):
            yield Failure("name", f'"{name}" may hold letters, digits, "." and "-"')
        if nodes is not None and not 1 <= nodes <= MAX_NODES:
            yield Failure("sizeUnit", f"{nodes} is not between 1 and {MAX_NODES}")
        if unset(inputs, "region"):
            yield Failure("region", "must be set and not be empty when 'type' is 'REGIONAL'")
        yield from common.region_failures(inputs)
        yield from _absent_failures(inputs)
        count = len(known(inputs, "dropletIds") or ())
        if count > MAX_DROPLETS:
            yield Failure("dropletIds", f"{count} given, {MAX_DROPLETS} is the limit: use a tag")
        if not inputs.get("forwardingRules"):
            yield Failure("forwardingRules", "needs at least one rule")
        for index, rule in items(inputs, "forwardingRules"):
            yield from _rule_failures(f"forwardingRules[{index}]", rule)
        yield from _health_failures(known(inputs, "healthcheck"))
        yield from _sticky_failures(inputs)
        yield from _firewall_failures(known(inputs, "firewall"))

    def normalize(self, ctx: Context, inputs: Props, olds: Props) -> Props:
        health = inputs.get("healthcheck")
        if isinstance(health, dict):
            defaults = {name: default for name, (_, _, default) in _HEALTH.items()}
            inputs = {**inputs, "healthcheck": {**defaults, **health}}
        return inputs

    def create(self, ctx: Context, inputs: Props) -> Created:
        vpc_id = inputs.get("vpcUuid")
        if not vpc_id:
            raise ApiError(422, "vpcUuid is needed: the twin's accounts have no default VPC")
        with birth(ctx, self.token, inputs["name"], new_uuid) as id:
            public = self._apply(ctx, id, inputs)
            outputs = {**self._outputs(inputs), "ip": public, "loadBalancerUrn": _urn(id)}
        return Created(id=id, outputs=outputs)

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        return outputs if ctx.world.load_balancer(id) else None

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        public = self._apply(ctx, id, news)
        return {**self._outputs(news), "ip": public, "loadBalancerUrn": _urn(id)}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        ctx.world.delete_load_balancer(id)
        ctx.store.drop(_SOURCES, id)
        leave(ctx, [_urn(id)])
        forget(ctx, self.token, id)

    def _apply(self, ctx: Context, id: str, inputs: Props) -> str:
        common.refuse_taken_name(ctx, self.token, inputs["name"], "load balancer", own=id)
        common.vpc(ctx, inputs["vpcUuid"], inputs["region"], "vpcUuid")
        if tag := inputs.get("dropletTag"):
            common.require_tags(ctx, [tag], "dropletTag")
        for droplet_id in inputs.get("dropletIds") or ():
            common.droplet(ctx, droplet_id, "dropletIds")
        made = ctx.world.set_load_balancer(_spec(id, inputs))
        ctx.store.save(_SOURCES, id, list(asdict(made).values()))
        return made.public_ipv4

    def _outputs(self, inputs: Props) -> Props:
        return {
            "sizeUnit": 1,
            "type": "REGIONAL",
            "network": "EXTERNAL",
            "networkStack": "IPV4",
            "httpIdleTimeoutSeconds": 60,
            "stickySessions": {"type": "none"},
            **inputs,
            "status": "active",
        }


def _urn(id: str) -> str:
    return f"do:loadbalancer:{id}"


def _spec(id: str, inputs: Props) -> BalancerSpec:
    health, firewall = inputs.get("healthcheck") or {}, inputs.get("firewall") or {}
    rules = inputs["forwardingRules"]
    protocol = health.get("protocol", "tcp")
    return BalancerSpec(
        id=id,
        name=inputs["name"],
        vpc_id=inputs["vpcUuid"],
        ports=tuple((rule["entryPort"], rule["targetPort"]) for rule in rules),
        health=HealthCheck(
            protocol=protocol,
            # Without a check of its own the first rule's port is asked.
            port=health.get("port", rules[0]["targetPort"]),
            path=health.get("path", "/"),
            interval=health.get("checkIntervalSeconds", _HEALTH["checkIntervalSeconds"][2]),
            timeout=health.get("responseTimeoutSeconds", _HEALTH["responseTimeoutSeconds"][2]),
            healthy=health.get("healthyThreshold", _HEALTH["healthyThreshold"][2]),
            unhealthy=health.get("unhealthyThreshold", _HEALTH["unhealthyThreshold"][2]),
        ),
        proxy_protocol=bool(inputs.get("enableProxyProtocol")),
        allow=[_address(entry) for entry in firewall.get("allows") or ()],
        deny=[_address(entry) for entry in firewall.get("denies") or ()],
        tags=[inputs["dropletTag"]] if inputs.get("dropletTag") else [],
        droplet_ids=[str(droplet) for droplet in inputs.get("dropletIds") or ()],
    )


def _address(entry: str) -> str:
    return entry.partition(":")[2]


def _absent_failures(inputs: Props) -> Iterator[Failure]:
    for name in _ABSENT:
        if inputs.get(name) not in (None, [], False):
            yield Failure(name, "the twin's load balancers do not have it")
    for name, only in (("type", "REGIONAL"), ("network", "EXTERNAL"), ("networkStack", "IPV4")):
        value = known(inputs, name)
        if value is not None and value.upper() != only:
            yield Failure(name, f'"{value}": the twin has {only} load balancers only')


def _rule_failures(path: str, rule: Props) -> Iterator[Failure]:
    entry, target = known(rule, "entryProtocol"), known(rule, "targetProtocol")
    for name in ("entryPort", "targetPort"):
        port = known(rule, name)
        if port is not None and not 1 <= port <= 65535:
            yield Failure(f"{path}.{name}", f"{port} is not between 1 and 65535")
    certificate = rule.get("certificateName") or rule.get("certificateId")
    if known(rule, "tlsPassthrough"):
        if certificate:
            yield Failure(f"{path}.certificateName", "must be left out with tlsPassthrough")
        if (entry, target) != ("https", "https") and UNKNOWN not in rule.values():
            yield Failure(f"{path}.tlsPassthrough", 'needs "https" as both protocols')
    elif entry == "https" and not certificate:
        yield Failure(f"{path}.certificateName", "is needed for https without tlsPassthrough")
    elif entry not in (None, "tcp") or target not in (None, "tcp"):
        yield Failure(
            f"{path}.entryProtocol",
            f'"{entry}" to "{target}": the twin passes connections on ("tcp" both ways, or "https" '
            "with tlsPassthrough)",
        )


def _health_failures(health: Any) -> Iterator[Failure]:
    if not isinstance(health, dict):
        return
    protocol, path = known(health, "protocol"), health.get("path")
    if protocol in ("http", "https") and not path:
        yield Failure("healthcheck.path", f"is required for when protocol is `{protocol}`")
    if protocol == "tcp" and path:
        yield Failure("healthcheck.path", "is not allowed for when protocol is `tcp`")
    if protocol == "https":
        yield Failure("healthcheck.protocol", "the twin's load balancers check http and tcp")
    for name, (low, high, _) in _HEALTH.items():
        value = known(health, name)
        if value is not None and not low <= value <= high:
            yield Failure(f"healthcheck.{name}", f"{value} is not between {low} and {high}")


def _sticky_failures(inputs: Props) -> Iterator[Failure]:
    sticky = known(inputs, "stickySessions")
    if not isinstance(sticky, dict):
        return
    cookies = sticky.get("type") == "cookies"
    for name in ("cookieName", "cookieTtlSeconds"):
        if cookies and sticky.get(name) is None:
            yield Failure(f"stickySessions.{name}", "is required for when type is `cookie`")
        if not cookies and sticky.get(name) is not None:
            yield Failure(f"stickySessions.{name}", "is not allowed for when type is `none`")
    if cookies:
        # Passed through, there is no HTTP to put a cookie into.
        yield Failure("stickySessions.type", '"cookies" needs a rule that terminates HTTP(S)')


def _firewall_failures(firewall: Any) -> Iterator[Failure]:
    if not isinstance(firewall, dict):
        return
    for name in ("allows", "denies"):
        for index, entry in items(firewall, name):
            kind, _, address = entry.partition(":")
            if not _is(kind, address):
                yield Failure(
                    f"firewall.{name}[{index}]",
                    f'"{entry}" is neither "ip:1.2.3.4" nor "cidr:1.2.0.0/16"',
                )


def _is(kind: str, address: str) -> bool:
    try:
        if kind == "ip":
            return bool(ip_address(address))
        return kind == "cidr" and bool(ip_network(address))
    except ValueError:
        return False

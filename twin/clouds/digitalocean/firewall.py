"""Cloud firewalls of droplets.

Rules: terraform-provider-digitalocean firewall/*.go (checked at preview), the firewall limits page
of docs.digitalocean.com (checked by the API).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from typing import Any, Final, Literal

from twin.clouds.births import birth, forget
from twin.clouds.digitalocean import common, load_balancer
from twin.clouds.rules import items, known, new_uuid, now, unset
from twin.protocol.resource import UNKNOWN, ApiError, Context, Created, Failure, Props, Resource
from twin.store import Record
from twin.world import FirewallRule

MAX_DROPLETS, MAX_TAGS, MAX_RULES, MAX_ADDRESSES = 10, 5, 50, 1000
_ENDS: Final = {"inboundRules": "source", "outboundRules": "destination"}
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.\-]*")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


class Firewall(Resource):
    """Deny first: what no rule names is refused, in both directions."""

    token = common.FIREWALL

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        name = known(inputs, "name")
        if name is not None and not _NAME.fullmatch(name):
            yield Failure(
                "name",
                f'"{name}" must begin with a letter or digit and hold only those, "." and "-"',
            )
        if unset(inputs, "inboundRules") and unset(inputs, "outboundRules"):
            yield Failure("", "needs at least one rule in inboundRules or outboundRules")
        yield from _limit(inputs, "dropletIds", MAX_DROPLETS, "use a tag for more")
        yield from _limit(inputs, "tags", MAX_TAGS, "")
        yield from common.tag_failures(inputs)
        count = sum(len(known(inputs, side) or ()) for side in _ENDS)
        if count > MAX_RULES:
            yield Failure("inboundRules", f"{count} rules in all, {MAX_RULES} is the limit")
        for side, end in _ENDS.items():
            for index, rule in items(inputs, side):
                yield from _rule_failures(f"{side}[{index}]", rule, end)

    def create(self, ctx: Context, inputs: Props) -> Created:
        with birth(ctx, self.token, inputs["name"], new_uuid) as id:
            self._apply(ctx, id, inputs)
        outputs = {**inputs, "status": "succeeded", "createdAt": now(), "pendingChanges": []}
        return Created(id=id, outputs=outputs)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        self._apply(ctx, id, news)  # a full PUT: what is not named any more is gone
        fixed = ("status", "createdAt", "pendingChanges")
        return {**news, **{name: outputs[name] for name in fixed}}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        ctx.world.delete_firewall(id)
        forget(ctx, self.token, id)

    def _apply(self, ctx: Context, id: str, inputs: Props) -> None:
        common.refuse_taken_name(ctx, self.token, inputs["name"], "firewall", own=id)
        common.require_tags(ctx, inputs.get("tags") or [], "tags")
        for droplet_id in inputs.get("dropletIds") or ():
            common.droplet(ctx, droplet_id, "dropletIds")
        for balancer in _balancers(inputs):
            if ctx.store.get(common.LOAD_BALANCER, balancer) is None:
                raise ApiError(422, f'load balancer "{balancer}" does not exist')
        enforce(ctx, id, inputs, _droplets(ctx))


def enforce(ctx: Context, id: str, inputs: Mapping[str, Any], droplets: list[Props]) -> None:
    """Hand a firewall to the world, tags and droplets as ends of a rule resolved to addresses."""
    ctx.world.set_firewall(
        id,
        [rule for side in _ENDS for rule in _rules(ctx, inputs, side, droplets)],
        tags=list(inputs.get("tags") or ()),
        droplet_ids=[str(droplet) for droplet in inputs.get("dropletIds") or ()],
    )


def follow_droplets(ctx: Context, id: str, outputs: Props | None) -> None:
    """A droplet came, changed its tags or went (None): rules that name droplets or tags follow."""
    droplets = [droplet for droplet in _droplets(ctx) if droplet["id"] != id]
    if outputs is not None:
        droplets.append({**outputs, "id": id})
    for record in ctx.store.all(common.FIREWALL):
        if _names_droplets(record):
            enforce(ctx, record.id, record.outputs, droplets)


def _droplets(ctx: Context) -> list[Props]:
    return [{**record.outputs, "id": record.id} for record in ctx.store.all(common.DROPLET)]


def _balancers(inputs: Mapping[str, Any]) -> Iterator[str]:
    for side, end in _ENDS.items():
        for rule in inputs.get(side) or ():
            yield from rule.get(f"{end}LoadBalancerUids") or ()


def _names_droplets(record: Record) -> bool:
    return any(
        rule.get(f"{end}Tags") or rule.get(f"{end}DropletIds")
        for side, end in _ENDS.items()
        for rule in record.outputs.get(side) or ()
    )


def _rules(
    ctx: Context, inputs: Mapping[str, Any], side: str, droplets: list[Props]
) -> Iterator[FirewallRule]:
    end = _ENDS[side]
    direction: Literal["inbound", "outbound"] = "inbound" if end == "source" else "outbound"
    for rule in inputs.get(side) or ():
        addresses = list(rule.get(f"{end}Addresses") or ())
        wanted = {str(droplet) for droplet in rule.get(f"{end}DropletIds") or ()}
        tags = {tag.lower() for tag in rule.get(f"{end}Tags") or ()}
        for droplet in droplets:
            if droplet["id"] in wanted or tags & {t.lower() for t in droplet.get("tags") or ()}:
                found = (droplet["ipv4Address"], droplet["ipv4AddressPrivate"])
                addresses += [address for address in found if address]
        for balancer in rule.get(f"{end}LoadBalancerUids") or ():
            addresses += load_balancer.sources(ctx, balancer)
        ports = rule.get("portRange") or ""
        yield FirewallRule(
            direction=direction,
            protocol=rule["protocol"],
            ports="" if ports in ("all", "1-65535") else ports,
            addresses=addresses,
        )


def _limit(inputs: Props, name: str, most: int, remedy: str) -> Iterator[Failure]:
    count = len(known(inputs, name) or ())
    if count > most:
        yield Failure(name, f"{count} given, {most} is the limit" + (f"; {remedy}" * bool(remedy)))


def _rule_failures(path: str, rule: Props, end: str) -> Iterator[Failure]:
    protocol, ports = known(rule, "protocol"), known(rule, "portRange")
    if protocol in ("tcp", "udp") and unset(rule, "portRange"):
        yield Failure(f"{path}.portRange", f'is required if protocol is "{protocol}"')
    if protocol == "icmp" and ports is not None:
        yield Failure(f"{path}.portRange", f'"{ports}" must be left out if protocol is "icmp"')
    elif ports is not None and not _is_port_range(ports):
        yield Failure(
            f"{path}.portRange",
            f'"{ports}" is no port from 1 to 65535, no range of them ("8000-9000") and not "all"',
        )
    if (action := known(rule, "action")) is not None:
        yield Failure(f"{path}.action", f'"{action}" is in the SDK, but the provider ignores it')
    yield from _end_failures(path, rule, end)


def _end_failures(path: str, rule: Props, end: str) -> Iterator[Failure]:
    fields = [name for name in rule if name.startswith(end)]
    if all(rule[name] is not UNKNOWN and not rule[name] for name in fields):
        yield Failure(path, f"names no {end}: give {end}Addresses, {end}Tags or {end}DropletIds")
    for name in fields:
        yield from _limit({f"{path}.{name}": rule[name]}, f"{path}.{name}", MAX_ADDRESSES, "")
    yield from (
        Failure(f"{path}.{f.property}", f.reason) for f in common.tag_failures(rule, f"{end}Tags")
    )
    for index, address in items(rule, f"{end}Addresses"):
        if not _is_address(address):
            yield Failure(f"{path}.{end}Addresses[{index}]", f'"{address}" is no address or CIDR')
    name = f"{end}KubernetesIds"
    for index, uid in items(rule, name):
        yield Failure(f"{path}.{name}[{index}]", f'"{uid}": the twin has no such resources')


def _is_port_range(text: str) -> bool:
    if text == "all":
        return True
    found = _PORT.fullmatch(text)
    if found is None:
        return False
    first, last = int(found[1]), int(found[2] or found[1])
    return 1 <= first <= last <= 65535


def _is_address(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True

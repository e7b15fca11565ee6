"""DNS records.

Rules: terraform-provider-cloudflare internal/services/dns_record/{schema,resource}.go; limits by
plan from the plans data of cloudflare-docs; the API's error codes as public issues quote them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any, Final

from twin.clouds.births import birth, forget
from twin.clouds.cloudflare.account import RECORD, Zone, zone
from twin.clouds.rules import exclusive, items, known, listed, now, unset
from twin.protocol.resource import ApiError, Change, Context, Created, Failure, Props, Resource
from twin.store import Record

AUTOMATIC_TTL: Final = 1
MAX_TTL: Final = 86400
PROXIABLE: Final = ("A", "AAAA", "CNAME")
DATA_TYPES: Final = (
    "CAA",
    "CERT",
    "DNSKEY",
    "DS",
    "HTTPS",
    "LOC",
    "NAPTR",
    "SMIMEA",
    "SRV",
    "SSHFP",
    "SVCB",
    "TLSA",
    "URI",
)
"""Types that are written as `data`; the API makes their content."""

NULL_MX: Final = "."
"""The MX of a name that takes no mail (RFC 7505)."""

_PRIORITY_TYPES: Final = ("MX", "URI")
_COMMENT_LIMIT: Final = {"free": 100}
_PAID_COMMENT_LIMIT: Final = 500
_RECORD_LIMIT: Final = {"free": 200, "pro": 3500, "business": 3500}
_MIN_TTL: Final = {"enterprise": 30}
_PAID_MIN_TTL: Final = 60
_TXT_LIMIT: Final = 2048
_CAA_TAGS: Final = ("issue", "issuewild", "iodef", "issuemail", "issuevmc")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?|\*")


class DnsRecord(Resource):
    """One record; its name is the same whether written relative, as `@` or in full."""

    token = RECORD

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "zoneId"):
            yield Failure("zoneId", "is required")
        found = zone(ctx, known(inputs, "zoneId") or "")
        yield from _ttl_failures(inputs, found)
        yield from _content_failures(inputs)
        yield from _name_failures(inputs, found)
        yield from _plan_failures(inputs, found)
        yield from _shadow_failures(inputs)
        kind, priority = known(inputs, "type"), known(inputs, "priority")
        if kind in _PRIORITY_TYPES and unset(inputs, "priority"):
            yield Failure("priority", f'is required for a record of type "{kind}"')
        if priority is not None and not 0 <= priority <= 65535:
            yield Failure("priority", f"{priority} is not between 0 and 65535")

    def diff(self, ctx: Context, olds: Props, news: Props, changed: set[str]) -> Change:
        found = zone(ctx, known(news, "zoneId") or "")
        name = known(news, "name")
        same = found and name and full_name(name, found) == full_name(str(olds["name"]), found)
        return Change(ignore=frozenset({"name"} if same else ()))

    def create(self, ctx: Context, inputs: Props) -> Created:
        found = _zone(ctx, inputs["zoneId"])
        name = full_name(inputs["name"], found)
        with exclusive(f"dns {found.id}"):
            key = f"{found.id} {name} {inputs['type']} {_value(inputs)}"
            with birth(ctx, self.token, key, lambda: secrets.token_hex(16)) as id:
                self._refuse(ctx, found, id, {**inputs, "name": name})
                stamp = now()
                times = {"createdOn": stamp, "modifiedOn": stamp}
        return Created(id=id, outputs=self._outputs(inputs, name, times))

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        found = _zone(ctx, news["zoneId"])
        name = full_name(news["name"], found)
        with exclusive(f"dns {found.id}"):
            self._refuse(ctx, found, id, {**news, "name": name})
        times = {"createdOn": outputs["createdOn"], "modifiedOn": now()}
        return self._outputs(news, name, times)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        forget(ctx, self.token, id)

    def _outputs(self, inputs: Props, name: str, times: Mapping[str, str]) -> Props:
        made = {
            **inputs,
            **times,
            "name": name,
            "proxied": inputs.get("proxied") or False,
            "proxiable": inputs["type"] in PROXIABLE,
            "tags": inputs.get("tags") or [],
            "settings": inputs.get("settings") or {},
            "meta": "{}",
        }
        if inputs.get("data"):
            made["content"] = _data_content(inputs["type"], inputs["data"])
        if inputs.get("comment"):
            made["commentModifiedOn"] = times["modifiedOn"]
        if inputs.get("tags"):
            made["tagsModifiedOn"] = times["modifiedOn"]
        return made

    def _refuse(self, ctx: Context, found: Zone, id: str, wanted: Props) -> None:
        """What the API checks against the zone's other records."""
        in_zone = [r for r in ctx.store.find(self.token, zoneId=found.id) if r.id != id]
        limit = _RECORD_LIMIT.get(found.plan)
        if limit is not None and len(in_zone) >= limit:
            raise ApiError(
                400, f'zoneId "{found.id}": Record quota exceeded, {limit} on {found.plan} (81045)'
            )
        name, kind = wanted["name"], wanted["type"]
        for other in (r for r in in_zone if r.outputs["name"] == name):
            _refuse_beside(name, kind, _value(wanted), other)


def full_name(name: str, zone: Zone) -> str:
    """The name in full, lower-case: `pay` and `@` are relative to the zone."""
    name = name.lower().rstrip(".")
    if name in ("@", ""):
        return zone.name
    return name if name == zone.name or name.endswith(f".{zone.name}") else f"{name}.{zone.name}"


def _refuse_beside(name: str, kind: str, value: str, other: Record) -> None:
    other_kind = other.outputs["type"]
    if kind == other_kind and value == _value(other.outputs):
        raise ApiError(
            400, f'name "{name}": An identical record already exists (81058), {other.id}'
        )
    if "CNAME" in (kind, other_kind) and {kind, other_kind} <= {"A", "AAAA", "CNAME"}:
        text = (
            "An A, AAAA, or CNAME record with that host already exists (81053)"
            if kind == "CNAME"
            else "A CNAME record with that host already exists (81054)"
        )
        raise ApiError(400, f'name "{name}": {text}, {other.id}')


def _value(record: Mapping[str, Any]) -> str:
    if record.get("data"):
        return _data_content(str(record["type"]), record["data"])
    return str(record.get("content") or "").lower().rstrip(".")


def _data_content(kind: str, data: Mapping[str, Any]) -> str:
    """The content that the API makes of `data`."""
    orders = {
        "CAA": ("flags", "tag", "value"),
        "SRV": ("priority", "weight", "port", "target"),
        "HTTPS": ("priority", "target", "value"),
        "SVCB": ("priority", "target", "value"),
        "TLSA": ("usage", "selector", "matchingType", "certificate"),
        "DS": ("keyTag", "algorithm", "digestType", "digest"),
        "SSHFP": ("algorithm", "type", "fingerprint"),
        "URI": ("weight", "target"),
    }
    fields = orders.get(kind, tuple(sorted(data)))
    texts = [_number(data[name]) for name in fields if data.get(name) is not None]
    if kind == "CAA" and len(texts) == 3:
        texts[2] = f'"{texts[2]}"'
    return " ".join(texts)


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _zone(ctx: Context, zone_id: str) -> Zone:
    found = zone(ctx, zone_id)
    if found is None:
        raise ApiError(404, f'zoneId "{zone_id}": Could not route, no such zone (7003)')
    return found


def _ttl_failures(inputs: Props, found: Zone | None) -> Iterator[Failure]:
    ttl, proxied = known(inputs, "ttl"), known(inputs, "proxied")
    if ttl is None:
        return
    if proxied and ttl != AUTOMATIC_TTL:
        yield Failure("ttl", f"{_number(ttl)} must be 1 when proxied is true: Cloudflare sets it")
        return
    least = _MIN_TTL.get(found.plan, _PAID_MIN_TTL) if found else _PAID_MIN_TTL
    if ttl != AUTOMATIC_TTL and not least <= ttl <= MAX_TTL:
        yield Failure(
            "ttl",
            f"{_number(ttl)}: TTL must be between {least} and {MAX_TTL} seconds, "
            "or 1 for Automatic (9021)",
        )


def _content_failures(inputs: Props) -> Iterator[Failure]:
    kind, content = known(inputs, "type"), known(inputs, "content")
    if known(inputs, "proxied") and kind is not None and kind not in PROXIABLE:
        yield Failure(
            "proxied", f'true is for records of type {listed(PROXIABLE)}, this one is "{kind}"'
        )
    if kind in DATA_TYPES and not unset(inputs, "content"):
        yield Failure("content", f'must be left out for type "{kind}": give data')
    if kind is not None and kind not in DATA_TYPES and not unset(inputs, "data"):
        yield Failure("data", f'must be left out for type "{kind}": give content')
    if content is not None and kind is not None and (reason := _content_problem(kind, content)):
        yield Failure("content", f'"{content}" {reason}')
    if kind == "CAA" and known(inputs, "data") is not None:
        yield from _authority_failures(inputs["data"])


def _authority_failures(data: Props) -> Iterator[Failure]:
    """A CAA record (RFC 8659): who may issue certificates."""
    for name in ("flags", "tag", "value"):
        if unset(data, name):
            yield Failure(f"data.{name}", 'is required for a record of type "CAA"')
    tag, flags = known(data, "tag"), known(data, "flags")
    if tag is not None and tag not in _CAA_TAGS:
        yield Failure("data.tag", f'"{tag}" is not {listed(_CAA_TAGS)}')
    if isinstance(flags, (int, float)) and not 0 <= flags <= 255:
        yield Failure("data.flags", f"{_number(flags)} is not between 0 and 255")


def _content_problem(kind: str, content: str) -> str | None:
    if kind == "A" and not _parses(IPv4Address, content):
        return "is no IPv4 address: Content for A record must be a valid IPv4 address (9005)"
    if kind == "AAAA" and not _parses(IPv6Address, content):
        return "is no IPv6 address: Content for AAAA record must be a valid IPv6 address (9006)"
    if kind == "MX" and content == NULL_MX:
        return None
    if kind in ("CNAME", "MX", "NS", "PTR") and not _is_host(content):
        return f"is no host name: Content for {kind} record is invalid (9007)"
    if kind == "TXT" and len(content) > _TXT_LIMIT:
        return f"has {len(content)} characters, {_TXT_LIMIT} is the limit"
    return None


def _parses(kind: type[IPv4Address] | type[IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except AddressValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    name = text.lower().rstrip(".")
    if _parses(IPv4Address, name) or not 0 < len(name) <= 253:
        return False
    return all(_LABEL.fullmatch(label) for label in name.split("."))


def _name_failures(inputs: Props, found: Zone | None) -> Iterator[Failure]:
    name = known(inputs, "name")
    if name is None:
        return
    if name != "@" and not _is_host(name):
        yield Failure("name", f'"{name}" is no host name, and not "@"')
        return
    if "*" in name[1:]:
        yield Failure("name", f'"{name}": "*" is for the first label only')
    if not found:
        return
    full = full_name(name, found)
    if known(inputs, "type") == "CNAME" and str(known(inputs, "content") or "").lower() == full:
        yield Failure("content", f'"{full}" is the record itself: a CNAME cannot reference itself')


def _shadow_failures(inputs: Props) -> Iterator[Failure]:
    if known(inputs, "includeShadowMetadata"):
        yield Failure("includeShadowMetadata", "true: the twin's records have no shadow metadata")


def _plan_failures(inputs: Props, found: Zone | None) -> Iterator[Failure]:
    if found is None:
        return
    comment = known(inputs, "comment")
    limit = _COMMENT_LIMIT.get(found.plan, _PAID_COMMENT_LIMIT)
    if comment is not None and len(comment) > limit:
        yield Failure(
            "comment", f"has {len(comment)} characters, {limit} is the limit on {found.plan}"
        )
    if found.plan == "free":
        for index, tag in items(inputs, "tags"):
            yield Failure(f"tags[{index}]", f'"{tag}": tags are not available on the free plan')

"""Lists of an account, which rules ask by name (`ip.src in $name`).

Source: cloudflare-docs waf/tools/lists/custom-lists.mdx (formats), plans/index.json (how many);
terraform-provider-cloudflare internal/services/list.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from twin.clouds.births import birth, forget
from twin.clouds.cloudflare.account import require_account
from twin.clouds.cloudflare.rulesets.expressions import expressions
from twin.clouds.cloudflare.zones import account_plan, has
from twin.clouds.rules import exclusive, items, known, now, unset
from twin.protocol.resource import ApiError, Context, Created, Failure, Props, Resource
from twin.rules import parse
from twin.store import Record

LIST: Final = "cloudflare:index/list:List"
QUOTA: Final = {"free": 1, "pro": 10, "business": 10, "enterprise": 1000}
MAX_ITEMS: Final = 10_000
_RULESET: Final = "cloudflare:index/ruleset:Ruleset"
_ITEM: Final = {"ip": "ip", "asn": "asn", "hostname": "hostname", "redirect": "redirect"}
_PAID_KINDS: Final = ("asn", "hostname")
_IPV4_PREFIXES: Final = range(8, 33)
_IPV6_PREFIXES: Final = range(4, 65)
_MAX_COMMENT: Final = 500
_HOST = re.compile(r"(\*\.)?([a-z0-9_-]+\.)+[a-z0-9-]+", re.IGNORECASE)


class List(Resource):
    """One list; its items are exactly those that the program names."""

    token = LIST

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "accountId"):
            yield Failure("accountId", "is required")
        kind, account_id = known(inputs, "kind"), known(inputs, "accountId")
        plan = account_plan(ctx, account_id) if account_id else "enterprise"
        if kind in _PAID_KINDS and not has(plan, "enterprise"):
            yield Failure("kind", f'"{kind}" needs the plan enterprise, the account has {plan}')
        given = known(inputs, "items") or ()
        if len(given) > MAX_ITEMS:
            yield Failure("items", f"has {len(given)} items, {MAX_ITEMS} is the limit")
        seen: dict[str, int] = {}
        for index, item in items(inputs, "items"):
            yield from _item_failures(f"items[{index}]", item, kind)
            value = _value(item, kind)
            if value is not None and value in seen:
                yield Failure(f"items[{index}]", f'"{value}" is items[{seen[value]}] as well')
            elif value is not None:
                seen[value] = index

    def create(self, ctx: Context, inputs: Props) -> Created:
        account_id = inputs["accountId"]
        require_account(ctx, account_id)
        with (
            exclusive(f"lists {account_id}"),
            birth(ctx, self.token, f"{account_id} {inputs['name']}", _id) as id,
        ):
            others = list(ctx.store.find(self.token, accountId=account_id))
            if inputs["name"] in names_of(others):
                raise ApiError(
                    400, f'name "{inputs["name"]}": a list with this name already exists (10009)'
                )
            limit = QUOTA[account_plan(ctx, account_id)]
            if len(others) >= limit:
                raise ApiError(
                    400, f'name "{inputs["name"]}": maximum number of lists reached, {limit}'
                )
            stamp = now()
        made = {**inputs, "createdOn": stamp, "modifiedOn": stamp}
        return Created(id=id, outputs=_counted(ctx, made))

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        return _counted(ctx, outputs)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return _counted(ctx, {"createdOn": outputs["createdOn"], **news, "modifiedOn": now()})

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        if using := _referring(ctx, outputs["name"]):
            raise ApiError(
                400,
                f'name "{outputs["name"]}": the list is used by {using} and cannot be deleted: '
                "change the rules first",
            )
        forget(ctx, self.token, id)


def names_of(lists: Iterable[Record]) -> frozenset[str]:
    """The names of lists."""
    return frozenset(str(record.outputs["name"]) for record in lists)


def _referring(ctx: Context, name: str) -> list[str]:
    """The rulesets with a rule that asks the list."""
    found = []
    for record in ctx.store.all(_RULESET):
        texts = [text for rule in record.outputs.get("rules") or () for text in expressions(rule)]
        if any(name in parse(text).lists for text in texts):
            found.append(f"the ruleset {record.id}")
    return found


def _counted(ctx: Context, outputs: Props) -> Props:
    number = len(outputs.get("items") or ())
    filters = len(_referring(ctx, outputs["name"]))
    return {**outputs, "numItems": number, "numReferencingFilters": filters}


def _item_failures(path: str, item: Mapping[str, Any], kind: str | None) -> Iterator[Failure]:
    if kind is None:
        return
    wanted = _ITEM[kind]
    for name in _ITEM.values():
        if name != wanted and not unset(item, name):
            yield Failure(
                f"{path}.{name}", f'is not for a list of the kind "{kind}": give {wanted}'
            )
    if unset(item, wanted):
        yield Failure(f"{path}.{wanted}", f'is required in a list of the kind "{kind}"')
    comment = known(item, "comment")
    if comment and len(comment) > _MAX_COMMENT:
        yield Failure(f"{path}.comment", f"has {len(comment)} characters, {_MAX_COMMENT} at most")
    if kind == "ip" and (text := known(item, "ip")) is not None:
        if problem := _address_problem(text):
            yield Failure(f"{path}.ip", f'"{text}" {problem}')
    elif kind == "hostname" and (hostname := known(item, "hostname")) is not None:
        name = known(hostname, "urlHostname")
        if name is not None and not _HOST.fullmatch(name):
            yield Failure(f"{path}.hostname.urlHostname", f'"{name}" is no host name')


def _address_problem(text: str) -> str | None:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return "is no IP address and no network (without bits set behind its prefix)"
    if network.version == 4 and network.prefixlen not in _IPV4_PREFIXES:
        return "is too wide: IPv4 networks have a prefix from /8 to /32"
    if network.version == 6 and network.prefixlen not in _IPV6_PREFIXES:
        return "must have a prefix from /4 to /64: a list holds no single IPv6 address"
    return None


def _value(item: Mapping[str, Any], kind: str | None) -> str | None:
    value = known(item, _ITEM[kind]) if kind else None
    if value is None:
        return None
    if kind == "ip" and _address_problem(value) is None:
        return str(ipaddress.ip_network(value))
    if kind == "hostname":
        return str(known(value, "urlHostname"))
    return str(known(value, "sourceUrl")) if kind == "redirect" else str(value)


def _id() -> str:
    return secrets.token_hex(16)

"""Who may connect to a database cluster, and its certificate authority.

Rules: terraform-provider-digitalocean database/resource_database_firewall.go and
datasource_database_ca.go; digitalocean/openapi databases_update_firewall_rules.yml.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, ip_network
from typing import Any, Final

from twin.clouds.births import birth, forget
from twin.clouds.digitalocean import common
from twin.clouds.digitalocean.cluster import cluster
from twin.clouds.rules import exclusive, items, known, new_uuid, now
from twin.protocol.resource import (
    ApiError,
    Context,
    Created,
    Failure,
    Function,
    Props,
    Resource,
)
from twin.store import Record
from twin.world import TrustedSource

MAX_RULES: Final = 100
_TYPES: Final = ("droplet", "k8s", "ip_addr", "tag", "app")


class DatabaseFirewall(Resource):
    """The whole list of a cluster's trusted sources. Without one, everyone may connect."""

    token = common.SOURCES

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        count = len(known(inputs, "rules") or ())
        if not count and "rules" in inputs and known(inputs, "rules") is not None:
            yield Failure("rules", "is empty, which would admit everyone: give at least one rule")
        if count > MAX_RULES:
            yield Failure("rules", f"{count} rules, {MAX_RULES} is the limit")
        for index, rule in items(inputs, "rules"):
            kind, value = known(rule, "type"), known(rule, "value")
            if kind is not None and value is not None and (reason := _problem(kind, value)):
                yield Failure(f"rules[{index}].value", f'"{value}" {reason}')

    def create(self, ctx: Context, inputs: Props) -> Created:
        target = _target(ctx, inputs["clusterId"])
        for other in ctx.store.find(self.token, clusterId=inputs["clusterId"]):
            raise ApiError(
                409,
                f'clusterId "{inputs["clusterId"]}" has trusted sources already ("{other.id}"): '
                "each write replaces the whole list, so there is one resource for a cluster",
            )
        make = lambda: f"{inputs['clusterId']}-{new_uuid()}"  # noqa: E731
        with birth(ctx, self.token, inputs["clusterId"], make) as id:
            outputs = self._put(ctx, target, inputs)
        return Created(id=id, outputs=outputs)

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        primary = _primary(ctx, outputs["clusterId"])
        return outputs if primary and ctx.world.database(primary.id) else None

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return self._put(ctx, _target(ctx, news["clusterId"]), news)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        primary = _primary(ctx, outputs["clusterId"])
        if primary is not None and ctx.world.database(primary.id) is not None:
            ctx.world.set_trusted_sources(primary.id, [])  # open to all, as the API leaves it
        forget(ctx, self.token, id)

    def _put(self, ctx: Context, target: Record, inputs: Props) -> Props:
        for rule in inputs["rules"]:
            if rule["type"] == "droplet":
                common.droplet(ctx, rule["value"], "rules")
            elif rule["type"] == "tag":
                common.require_tags(ctx, [rule["value"]], "rules")
        sources = [TrustedSource(kind=r["type"], value=r["value"]) for r in inputs["rules"]]
        with exclusive(target.id):
            ctx.world.set_trusted_sources(target.id, sources)
        return {**inputs, "rules": [_answered(rule) for rule in inputs["rules"]]}


class GetDatabaseCa(Function):
    """The certificate that signs a cluster's server certificate, as PEM."""

    token = "digitalocean:index/getDatabaseCa:getDatabaseCa"

    def call(self, ctx: Context, args: Props) -> Props:
        found = cluster(ctx, args["clusterId"])
        return {
            "id": found.id,
            "clusterId": found.id,
            "certificate": ctx.world.database_ca(found.id),
        }


def _answered(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule as the API answers it, with an id of its own."""
    return {"uuid": new_uuid(), "createdAt": now(), **rule}


def _problem(kind: str, value: str) -> str | None:
    if kind == "ip_addr":
        try:
            network = ip_network(value, strict=False)
        except ValueError:
            return "is no IPv4 address or network"
        if not isinstance(network, IPv4Network):
            return "is IPv6, which trusted sources do not support"
    if kind == "droplet" and not value.isdigit():
        return "is no Droplet id, which is a number"
    if kind == "tag":
        for failure in common.tag_failures({"value": [value]}, "value"):
            return failure.reason.split('" ', 1)[1]
    if kind in ("k8s", "app"):
        return f'names a resource of type "{kind}", which the twin does not have'
    return None


def _primary(ctx: Context, cluster_id: str) -> Record | None:
    """The cluster, or the primary of the replica, that an id names."""
    if (found := ctx.store.get(common.CLUSTER, cluster_id)) is not None:
        return found
    for replica in ctx.store.find(common.REPLICA, uuid=cluster_id):
        return ctx.store.get(common.CLUSTER, replica.outputs["clusterId"])
    return None


def _target(ctx: Context, cluster_id: str) -> Record:
    found = _primary(ctx, cluster_id)
    if found is None:
        raise ApiError(404, f'clusterId "{cluster_id}" is no cluster and no replica of the account')
    return found

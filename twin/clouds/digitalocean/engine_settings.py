"""Engine settings of a cluster: `DatabasePostgresqlConfig`, `DatabaseValkeyConfig`.

Ranges and value lists: digitalocean/openapi databases/models/advanced_config/postgres_… and
valkey_advanced_config.yml, kept in `settings.json`. Deleting one only forgets it: the cluster keeps
what was set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, ClassVar

from twin.clouds.digitalocean import common
from twin.clouds.digitalocean.cluster import child_collections, cluster
from twin.clouds.rules import known, listed
from twin.protocol.resource import ApiError, Context, Created, Failure, Props, Resource


class _Settings(Resource):
    engine: ClassVar[str]
    suffix: ClassVar[str]

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from _failures(inputs, _rules()[self.engine], "")

    def create(self, ctx: Context, inputs: Props) -> Created:
        owner = cluster(ctx, inputs["clusterId"], engine=self.engine)
        self._apply(ctx, owner.id, inputs, {})
        return Created(id=f"{owner.id}/{self.suffix}", outputs=inputs)

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        return outputs if ctx.world.database(outputs["clusterId"]) else None

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        self._apply(ctx, news["clusterId"], news, outputs)
        return news

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """Only the record goes; the cluster keeps its settings."""

    def _apply(self, ctx: Context, cluster_id: str, news: Props, olds: Props) -> None:
        self._refuse_lowering(ctx, cluster_id, news)
        settings = dict(self._api(news))
        ctx.world.configure_database(cluster_id, settings)

    def _refuse_lowering(self, ctx: Context, cluster_id: str, news: Props) -> None:
        """Some settings can be raised and never lowered again, not even by another resource."""
        kept = next(name for name in child_collections(cluster_id) if " settings " in name)
        for name, rule in _rules()[self.engine].items():
            value = news.get(name)
            if not rule.get("only_up") or value is None:
                continue
            highest = ctx.store.load(kept, name)
            if highest is not None and value < highest:
                raise ApiError(422, f"{name} {value} is less than {highest}: it can only be raised")
            ctx.store.save(kept, name, value)

    def _api(self, inputs: Props) -> Iterator[tuple[str, Any]]:
        for name, rule in _rules()[self.engine].items():
            if inputs.get(name) is not None:
                yield rule["api"], inputs[name]


class DatabasePostgresqlConfig(_Settings):
    """Postgres and PgBouncer settings of a cluster."""

    token = common.POSTGRES_CONFIG
    engine = "pg"
    suffix = "postgresql-config"


class DatabaseValkeyConfig(_Settings):
    """Valkey settings of a cluster."""

    token = common.VALKEY_CONFIG
    engine = "valkey"
    suffix = "valkey-config"


@cache
def _rules() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Engine to input to its rule: `api` name, `min`, `max`, `values`, `pattern`, `only_up`."""
    found: Mapping[str, Mapping[str, Mapping[str, Any]]] = json.loads(
        (resources.files(__package__) / "settings.json").read_text()
    )["engines"]
    return found


def _failures(
    inputs: Props, rules: Mapping[str, Mapping[str, Any]], path: str
) -> Iterator[Failure]:
    for name, rule in rules.items():
        value = known(inputs, name)
        if value is None:
            continue
        where = f"{path}{name}"
        if "fields" in rule:
            if len(value) > 1:
                yield Failure(where, f"{len(value)} given; the API takes one")
            for index, element in enumerate(value):
                if isinstance(element, dict):
                    yield from _failures(element, rule["fields"], f"{where}[{index}].")
        elif reason := _problem(value, rule):
            yield Failure(where, reason)


def _problem(value: Any, rule: Mapping[str, Any]) -> str | None:
    if "values" in rule and value not in rule["values"]:
        return f'"{value}" is not one of {listed(rule["values"])}'
    if "pattern" in rule and not re.fullmatch(rule["pattern"], value):
        return f'"{value}" does not match {rule["pattern"]}'
    low, high = rule.get("min"), rule.get("max")
    if low is not None and not low <= value <= high and value not in rule.get("or", ()):
        return f"{value} is not between {low} and {high}"
    return None

"""Managed database clusters and their read replicas.

Rules: terraform-provider-digitalocean database/resource_database_{cluster,replica}.go;
digitalocean/openapi databases/models/database_cluster.yml and responses/options.yml. The twin
doubles the engines that it can really run: `pg` and `valkey`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal
from urllib.parse import quote

from twin.clouds.births import birth, forget
from twin.clouds.digitalocean import common
from twin.clouds.digitalocean.catalog import catalog, memory_gib
from twin.clouds.rules import exclusive, known, listed, new_uuid, now, unset
from twin.protocol.resource import ApiError, Change, Context, Created, Failure, Props, Resource
from twin.store import Record
from twin.world import DatabaseEndpoint, DatabaseSpec

MAX_CLUSTERS: Final = 10  # of an account, by default
MAX_NODES: Final = 3  # one primary and two standbys
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_STORAGE_STEP: Final = 10 * 1024  # MiB; storage is sold in steps of 10 GiB
_BASE_STORAGE: Final = {1: 10 * 1024, 2: 30 * 1024, 4: 60 * 1024}  # MiB by GiB of memory
_PARTS: Final = (
    common.DATABASE,
    common.USER,
    common.POOL,
    common.SOURCES,
    common.POSTGRES_CONFIG,
    common.VALKEY_CONFIG,
)
_NAME = re.compile(r"[a-z][a-z0-9-]{1,61}[a-z0-9]")
_HOUR = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
_HOST_LABEL: Final = "private-{}-do-user-99999999-0"
_HOST_LABEL_LIMIT: Final = 63
"""A cluster's private host is named after it, and no label of a DNS name is longer (RFC 1035)."""
CLUSTERS: Final = "database clusters"
"""Where each cluster's name and time of creation are kept, by id."""


class DatabaseCluster(Resource):
    """A managed Postgres or Valkey."""

    token = common.CLUSTER

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        name = known(inputs, "name")
        if name is not None and not _NAME.fullmatch(name):
            yield Failure(
                "name",
                f'"{name}" must be 3 to 63 lower-case letters, digits and "-", '
                "begin with a letter and not end with a dash",
            )
        elif name is not None and len(_HOST_LABEL.format(name)) > _HOST_LABEL_LIMIT:
            longest = _HOST_LABEL_LIMIT - len(_HOST_LABEL.format(""))
            yield Failure(
                "name",
                f'"{name}" has {len(name)} characters: with more than {longest} its host name, '
                f"{_HOST_LABEL.format(name)}, would pass DNS's {_HOST_LABEL_LIMIT} for a label",
            )
        yield from _engine_failures(inputs)
        yield from _layout_failures(inputs)
        yield from _window_failures(inputs)
        yield from _storage_failures(inputs)
        yield from common.tag_failures(inputs)
        if unset(inputs, "privateNetworkUuid"):
            yield Failure("privateNetworkUuid", "is required by the twin: it makes no default VPC")
        if not unset(inputs, "backupRestore"):
            yield Failure("backupRestore", "the twin keeps no backups of clusters to restore from")

    def diff(self, ctx: Context, olds: Props, news: Props, changed: set[str]) -> Change:
        return Change(ignore=frozenset({"maintenanceWindows"} if _same_window(olds, news) else ()))

    def create(self, ctx: Context, inputs: Props) -> Created:
        common.vpc(ctx, inputs["privateNetworkUuid"], inputs["region"], "privateNetworkUuid")
        with birth(ctx, self.token, inputs["name"], new_uuid) as id:
            self._take_place(ctx, id, inputs["name"])
            endpoint = ctx.world.create_database(_spec(id, inputs))
            if inputs.get("evictionPolicy"):
                _set_eviction(ctx, id, inputs["evictionPolicy"])
        outputs = {
            **inputs,
            **connection(inputs["engine"], endpoint),
            "clusterUrn": f"do:dbaas:{id}",
            "metricsEndpoints": [f"https://{endpoint.host}:9273/metrics"],
            "projectId": inputs.get("projectId") or default_project(ctx),
            "storageSizeMib": inputs.get("storageSizeMib") or _base_storage(inputs),
        }
        return Created(id=id, outputs=outputs)

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        endpoint = ctx.world.database(id)
        return {**outputs, **connection(outputs["engine"], endpoint)} if endpoint else None

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        _refuse_shrinking(outputs, news)
        changed = {**outputs, **news}
        for dropped in ("tags", "maintenanceWindows", "evictionPolicy", "storageAutoscale"):
            if news.get(dropped) is None:
                changed.pop(dropped, None)
        if news["size"] != outputs["size"] and news.get("storageSizeMib") is None:
            # A larger plan brings at least its own base storage.
            base = max(int(_base_storage(news)), int(outputs["storageSizeMib"]))
            changed["storageSizeMib"] = str(base)
        ctx.world.create_database(_spec(id, changed))
        if news.get("evictionPolicy") != outputs.get("evictionPolicy"):
            # Taking the policy away sets `noeviction`, as the provider does.
            _set_eviction(ctx, id, news.get("evictionPolicy") or "noeviction")
        return changed

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        ctx.world.delete_database(id)
        # What lives in it goes with it: the engine does not delete what is `deleted_with` it.
        for token in (*_PARTS, common.REPLICA):
            for part in list(ctx.store.find(token, clusterId=id)):
                self._forget_sources(ctx, part.outputs.get("uuid"))
                ctx.store.remove(token, part.id)
        ctx.store.drop(CLUSTERS, id)
        for collection in child_collections(id):
            for key in ctx.store.items(collection):
                ctx.store.drop(collection, key)
        forget(ctx, self.token, id)

    def _forget_sources(self, ctx: Context, replica: str | None) -> None:
        """A replica's trusted sources, which name it by its own id."""
        if replica is not None:
            for part in list(ctx.store.find(common.SOURCES, clusterId=replica)):
                ctx.store.remove(common.SOURCES, part.id)

    def _take_place(self, ctx: Context, id: str, name: str) -> None:
        """Names are unique and their number is limited; clusters are created side by side."""
        with exclusive(CLUSTERS):
            others = {k: v for k, v in ctx.store.items(CLUSTERS).items() if k != id}
            if name in (other["name"] for other in others.values()):
                raise ApiError(422, f'name "{name}" is taken by another cluster of this account')
            if len(others) >= MAX_CLUSTERS:
                raise ApiError(
                    403, f'cluster "{name}" would be one too many: {MAX_CLUSTERS} is the limit'
                )
            ctx.store.save(CLUSTERS, id, {"name": name, "created_at": now()})


class DatabaseReplica(Resource):
    """A read-only copy of a Postgres cluster, on one node of its own.

    The twin answers its addresses with the primary's: what is read there is the same.
    """

    token = common.REPLICA

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from common.region_failures(inputs, catalog().engines["pg"].regions)
        yield from common.tag_failures(inputs)
        name, size = known(inputs, "name"), known(inputs, "size")
        if name is not None and not _NAME.fullmatch(name):
            yield Failure("name", f'"{name}" must be 3 to 63 lower-case letters, digits and "-"')
        sizes = catalog().engines["pg"].layouts[1]
        if size is not None and size not in sizes:
            yield Failure("size", f'"{size}" is no size of a pg node, such as db-s-1vcpu-2gb')
        yield from _storage_value_failures(inputs)

    def create(self, ctx: Context, inputs: Props) -> Created:
        primary = cluster(ctx, inputs["clusterId"], engine="pg")
        region = inputs.get("region") or primary.outputs["region"]
        network = inputs.get("privateNetworkUuid")
        if network is None and region == primary.outputs["region"]:
            network = primary.outputs["privateNetworkUuid"]
        if network is not None:
            common.vpc(ctx, network, region, "privateNetworkUuid")
        size = inputs.get("size") or primary.outputs["size"]
        if memory_gib(size) < memory_gib(primary.outputs["size"]):
            raise ApiError(422, f'size "{size}" is smaller than the primary\'s')
        if (endpoint := ctx.world.database(primary.id)) is None:
            raise ApiError(404, f'clusterId "{primary.id}" does not exist any more')
        key = f"{primary.id}/{inputs['name']}"
        with birth(ctx, self.token, key, new_uuid) as uuid:
            outputs = {
                **inputs,
                **connection("pg", endpoint),
                "uuid": uuid,
                "region": region,
                "size": size,
                "privateNetworkUuid": network,
                "storageSizeMib": inputs.get("storageSizeMib") or primary.outputs["storageSizeMib"],
            }
        return Created(id=f"{primary.id}/replicas/{inputs['name']}", outputs=outputs)

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        endpoint = ctx.world.database(outputs["clusterId"])
        return {**outputs, **connection("pg", endpoint)} if endpoint else None

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        _refuse_shrinking(outputs, {"size": outputs["size"], **news})
        return {**outputs, **news}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        forget(ctx, self.token, outputs["uuid"])


def cluster(ctx: Context, cluster_id: str, engine: str | None = None) -> Record:
    """A cluster by its id, of the wanted engine."""
    record = ctx.store.get(common.CLUSTER, cluster_id)
    if record is None:
        raise ApiError(404, f'clusterId "{cluster_id}" is no database cluster of this account')
    if engine is not None and record.outputs["engine"] != engine:
        raise ApiError(
            422, f'clusterId "{cluster_id}" is a {record.outputs["engine"]} cluster, not {engine}'
        )
    return record


def child_collections(cluster_id: str) -> tuple[str, ...]:
    """Where a cluster's logical databases, users, pools and settings are kept."""
    kinds = ("databases", "users", "pools", "settings")
    return tuple(f"cluster {kind} {cluster_id}" for kind in kinds)


def connection(engine: str, endpoint: DatabaseEndpoint) -> Props:
    """A cluster's connection outputs; the URI forms are the API's."""
    return {
        "host": endpoint.host,
        "privateHost": endpoint.private_host,
        "port": endpoint.port,
        "user": endpoint.admin_user,
        "password": endpoint.admin_password,
        "database": endpoint.default_database,
        "uri": uri(engine, endpoint, endpoint.host),
        "privateUri": uri(engine, endpoint, endpoint.private_host),
    }


def uri(engine: str, endpoint: DatabaseEndpoint, host: str) -> str:
    """`postgresql://…?sslmode=require`, or `rediss://…` for Valkey."""
    login = f"{quote(endpoint.admin_user)}:{quote(endpoint.admin_password, safe='')}"
    if engine == "valkey":
        return f"rediss://{login}@{host}:{endpoint.port}"
    name = quote(endpoint.default_database)
    return f"postgresql://{login}@{host}:{endpoint.port}/{name}?sslmode=require"


def default_project(ctx: Context) -> str:
    """The id of the account's default project, where everything is that no project names."""
    with exclusive("default project"):
        found = ctx.store.load("digitalocean", "default project")
        if found is None:
            found = new_uuid()
            ctx.store.save("digitalocean", "default project", found)
            ctx.store.save("digitalocean", "account since", now())
    return str(found)


def _spec(id: str, inputs: Props) -> DatabaseSpec:
    engine: Literal["pg", "valkey"] = "pg" if inputs["engine"] == "pg" else "valkey"
    return DatabaseSpec(
        id=id,
        name=inputs["name"],
        engine=engine,
        version=inputs["version"],
        nodes=inputs["nodeCount"],
        memory_mib=memory_gib(inputs["size"]) * 1024,
        vpc_id=inputs["privateNetworkUuid"],
    )


def _set_eviction(ctx: Context, id: str, policy: str) -> None:
    # The cluster's policy is written with underscores, the engine's own with dashes.
    ctx.world.configure_database(id, {"maxmemory_policy": policy.replace("_", "-")})


def _engine_failures(inputs: Props) -> Iterator[Failure]:
    offer = catalog()
    engine, version = known(inputs, "engine"), known(inputs, "version")
    if engine == "redis":
        yield Failure("engine", '"redis" is not offered since 2025-04-30: use "valkey"')
    elif engine is not None and engine not in offer.engines:
        yield Failure("engine", f'the twin does not run "{engine}", only {listed(offer.engines)}')
    if unset(inputs, "version"):
        yield Failure("version", "is required, but no definition was found")
    elif engine in offer.engines and version is not None:
        versions = offer.engines[engine].offered(offer.as_of)
        if version not in versions:
            yield Failure(
                "version", f'"{version}" of {engine} is not offered, only {listed(versions)}'
            )
    if known(inputs, "evictionPolicy") is not None and engine not in (None, "valkey"):
        yield Failure("evictionPolicy", f'is for valkey clusters only, this one is "{engine}"')
    if known(inputs, "sqlMode") is not None:
        yield Failure("sqlMode", "is for mysql clusters only")


def _layout_failures(inputs: Props) -> Iterator[Failure]:
    engine = catalog().engines.get(known(inputs, "engine") or "")
    nodes, size = known(inputs, "nodeCount"), known(inputs, "size")
    if nodes is not None and not 1 <= nodes <= MAX_NODES:
        yield Failure("nodeCount", f"{nodes} is not between 1 and {MAX_NODES}")
    if engine is None:
        return
    yield from common.region_failures(inputs, engine.regions)
    if size is None:
        return
    if not any(size in sizes for sizes in engine.layouts.values()):
        yield Failure("size", f'"{size}" is no size of {engine.slug}, such as db-s-1vcpu-2gb')
    elif nodes in engine.layouts and size not in engine.layouts[nodes]:
        yield Failure(
            "nodeCount",
            f'{nodes} nodes are not offered for size "{size}": a standby needs 2 GB of memory',
        )


def _window_failures(inputs: Props) -> Iterator[Failure]:
    windows = known(inputs, "maintenanceWindows")
    if windows is None:
        return
    if len(windows) != 1:
        yield Failure("maintenanceWindows", f"{len(windows)} given; the API takes exactly one")
    for index, window in enumerate(windows):
        day, hour = known(window, "day"), known(window, "hour")
        path = f"maintenanceWindows[{index}]"
        if day is not None and day not in DAYS:
            yield Failure(f"{path}.day", f'"{day}" is not one of {listed(DAYS)}')
        if hour is not None and not _HOUR.fullmatch(hour):
            yield Failure(f"{path}.hour", f'"{hour}" is no hour in UTC of the form "HH:MM"')


def _same_window(olds: Props, news: Props) -> bool:
    """The API answers hours with seconds; `13:00` and `13:00:00` are the same."""
    old, new = olds.get("maintenanceWindows"), known(news, "maintenanceWindows")
    if not old or not new or len(old) != len(new):
        return False
    return all(
        a["day"] == b["day"] and str(a["hour"])[:5] == str(b["hour"])[:5]
        for a, b in zip(old, new, strict=True)
    )


def _storage_failures(inputs: Props) -> Iterator[Failure]:
    yield from _storage_value_failures(inputs)
    storage = known(inputs, "storageSizeMib")
    if storage is not None and known(inputs, "engine") == "valkey":
        yield Failure("storageSizeMib", "is not for valkey clusters, which have no disk to grow")
    autoscale = known(inputs, "storageAutoscale")
    if autoscale is None:
        return
    threshold, increment = known(autoscale, "thresholdPercent"), known(autoscale, "incrementGib")
    if threshold is not None and not 15 <= threshold <= 95:
        yield Failure("storageAutoscale.thresholdPercent", f"{threshold} is not between 15 and 95")
    if increment is not None and increment < 10:
        yield Failure("storageAutoscale.incrementGib", f"{increment} is less than 10")


def _storage_value_failures(inputs: Props) -> Iterator[Failure]:
    storage, size = known(inputs, "storageSizeMib"), known(inputs, "size")
    if storage is None:
        return
    if not storage.isdigit() or int(storage) % _STORAGE_STEP or int(storage) == 0:
        yield Failure("storageSizeMib", f'"{storage}" is no multiple of 10240 (10 GiB) in MiB')
        return
    least = _BASE_STORAGE.get(memory_gib(size)) if size and re.search(r"-\d+gb$", size) else None
    if least is not None and int(storage) < least:
        yield Failure("storageSizeMib", f'"{storage}" is less than {least}, which "{size}" has')


def _base_storage(inputs: Props) -> str:
    memory = memory_gib(inputs["size"])
    # Beyond 4 GB no source gives the base: 15 GiB for each GB of memory is its rule up to there.
    return str(_BASE_STORAGE.get(memory, memory * 15 * 1024))


def _refuse_shrinking(outputs: Props, news: Props) -> None:
    if memory_gib(news["size"]) < memory_gib(outputs["size"]):
        raise ApiError(
            422,
            f'size "{news["size"]}" is smaller than "{outputs["size"]}": '
            "nodes cannot be resized down",
        )
    wanted = news.get("storageSizeMib")
    if wanted is not None and int(wanted) < int(outputs["storageSizeMib"]):
        raise ApiError(
            422,
            f"storageSizeMib {wanted} is less than {outputs['storageSizeMib']}: storage only grows",
        )
    versions = news.get("version"), outputs.get("version")
    if all(versions) and int(str(versions[0])) < int(str(versions[1])):
        raise ApiError(422, f'version "{versions[0]}" is older than "{versions[1]}": only upgrades')

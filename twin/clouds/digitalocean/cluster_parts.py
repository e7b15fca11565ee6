"""What lives inside a Postgres cluster: logical databases, users and connection pools.

Rules: terraform-provider-digitalocean database/resource_database_{db,user,connection_pool}.go;
digitalocean/openapi databases/models/connection_pool.yml; the Postgres limits page.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

from twin.clouds.digitalocean import common
from twin.clouds.digitalocean.catalog import memory_gib
from twin.clouds.digitalocean.cluster import child_collections, cluster
from twin.clouds.rules import exclusive, known
from twin.protocol.resource import ApiError, Context, Created, Failure, Props, Resource
from twin.store import Record
from twin.world import DatabaseEndpoint, PoolSpec

ADMIN: Final = "doadmin"
DEFAULT_DATABASE: Final = "defaultdb"
CONNECTIONS_PER_GB: Final = 25  # backend connections for each GB of memory …
RESERVED_CONNECTIONS: Final = 3  # … less those that the service keeps for itself
_RESERVED_NAMES: Final = {ADMIN, "postgres", "_doadmin"}
_RESERVED_DATABASES: Final = {DEFAULT_DATABASE, "postgres", "template0", "template1", "_dodb"}
_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.\-]{0,62}")


class _Part(Resource):
    """What is gone once its cluster is."""

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        return outputs if _stands(ctx, outputs["clusterId"]) else None


class DatabaseDb(_Part):
    """A logical database. Its name replaces it: the data goes with the old one."""

    token = common.DATABASE

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from _name_failures(inputs, _RESERVED_DATABASES)

    def create(self, ctx: Context, inputs: Props) -> Created:
        owner, name = cluster(ctx, inputs["clusterId"], engine="pg"), inputs["name"]
        id = f"{owner.id}/{name}"
        with exclusive(owner.id):
            _refuse_double(ctx, self.token, id, "database")
            _keep(ctx, owner.id, "databases", name, {})
            ctx.world.create_database_db(owner.id, name)
        return Created(id=id, outputs=inputs)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        with exclusive(outputs["clusterId"]):
            if _stands(ctx, outputs["clusterId"]):
                ctx.world.delete_database_db(outputs["clusterId"], outputs["name"])
            _drop(ctx, outputs["clusterId"], "databases", outputs["name"])


class DatabaseUser(_Part):
    """A login, which may connect and nothing more: grants are the program's own business."""

    token = common.USER

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from _name_failures(inputs, _RESERVED_NAMES)
        for name, engines in (("settings", "kafka or opensearch"), ("mysqlAuthPlugin", "mysql")):
            if known(inputs, name) is not None:
                yield Failure(name, f"is for users of {engines} clusters only")

    def create(self, ctx: Context, inputs: Props) -> Created:
        owner, name = cluster(ctx, inputs["clusterId"], engine="pg"), inputs["name"]
        id = f"{owner.id}/user/{name}"
        # The real provider, too, creates the users of a cluster one after the other.
        with exclusive(owner.id):
            _refuse_double(ctx, self.token, id, "user")
            kept = ctx.store.load(_collection(owner.id, "users"), name)
            password = kept["password"] if kept else _password()
            _keep(ctx, owner.id, "users", name, {"password": password})
            ctx.world.create_database_user(owner.id, name, password)
        return Created(id=id, outputs={**inputs, "role": "normal", "password": password})

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return outputs  # every input that a Postgres user may have replaces it

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        with exclusive(outputs["clusterId"]):
            if _stands(ctx, outputs["clusterId"]):
                ctx.world.delete_database_user(outputs["clusterId"], outputs["name"])
            _drop(ctx, outputs["clusterId"], "users", outputs["name"])


class DatabaseConnectionPool(_Part):
    """A PgBouncer pool; all pools of a cluster share its backend connections."""

    token = common.POOL

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        name, size = known(inputs, "name"), known(inputs, "size")
        if name is not None and not 3 <= len(name) <= 60:
            # The provider takes up to 63 characters at preview, the API 60.
            yield Failure("name", f'"{name}" must have 3 to 60 characters')
        if size is not None and size < 1:
            yield Failure("size", f"{size} is less than 1 connection")

    def create(self, ctx: Context, inputs: Props) -> Created:
        owner, name = cluster(ctx, inputs["clusterId"], engine="pg"), inputs["name"]
        id = f"{owner.id}/{name}"
        with exclusive(owner.id):
            _refuse_double(ctx, self.token, id, "connection pool")
            endpoint = _endpoint(ctx, owner)
            user, password = _login(ctx, owner, inputs.get("user"), endpoint)
            self._refuse_unknown_database(ctx, owner, inputs["dbName"])
            self._refuse_overcommit(ctx, owner, name, inputs["size"])
            pool = {
                "database": inputs["dbName"],
                "user": user,
                "mode": inputs["mode"],
                "size": inputs["size"],
            }
            _keep(ctx, owner.id, "pools", name, pool)
            port = ctx.world.set_pools(owner.id, _pools(ctx, owner.id))
        outputs = {
            **inputs,
            "host": endpoint.host,
            "privateHost": endpoint.private_host,
            "port": port,
            "password": password,
            "uri": _pool_uri(user, password, endpoint.host, port, name),
            "privateUri": _pool_uri(user, password, endpoint.private_host, port, name),
        }
        return Created(id=id, outputs=outputs)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        with exclusive(outputs["clusterId"]):
            _drop(ctx, outputs["clusterId"], "pools", outputs["name"])
            if _stands(ctx, outputs["clusterId"]):
                ctx.world.set_pools(outputs["clusterId"], _pools(ctx, outputs["clusterId"]))

    def _refuse_unknown_database(self, ctx: Context, owner: Record, name: str) -> None:
        names = {DEFAULT_DATABASE, *ctx.store.items(_collection(owner.id, "databases"))}
        if name not in names:
            raise ApiError(404, f'dbName "{name}" is no database of cluster "{owner.id}"')

    def _refuse_overcommit(self, ctx: Context, owner: Record, name: str, size: int) -> None:
        limit = backend_connections(owner.outputs["size"])
        others = ctx.store.items(_collection(owner.id, "pools"))
        taken = sum(pool["size"] for other, pool in others.items() if other != name)
        if taken + size > limit:
            raise ApiError(
                422,
                f"size {size} with the {taken} connections of the cluster's other pools is more "
                f'than {limit}, the backend connections of "{owner.outputs["size"]}"',
            )


def backend_connections(database_size: str) -> int:
    """How many backend connections a plan has for all its pools: 22 for 1 GB, 97 for 4 GB."""
    return CONNECTIONS_PER_GB * memory_gib(database_size) - RESERVED_CONNECTIONS


def _collection(cluster_id: str, kind: str) -> str:
    name = f"cluster {kind} {cluster_id}"
    if name not in child_collections(cluster_id):
        raise KeyError(kind)
    return name


def _keep(ctx: Context, cluster_id: str, kind: str, name: str, value: Any) -> None:
    ctx.store.save(_collection(cluster_id, kind), name, value)


def _drop(ctx: Context, cluster_id: str, kind: str, name: str) -> None:
    ctx.store.drop(_collection(cluster_id, kind), name)


def _refuse_double(ctx: Context, token: str, id: str, what: str) -> None:
    if ctx.store.get(token, id) is not None:
        raise ApiError(409, f'name: {what} "{id.rsplit("/", 1)[-1]}" already exists in the cluster')


def _stands(ctx: Context, cluster_id: str) -> bool:
    return ctx.world.database(cluster_id) is not None


def _endpoint(ctx: Context, owner: Record) -> DatabaseEndpoint:
    endpoint = ctx.world.database(owner.id)
    if endpoint is None:
        raise ApiError(404, f'clusterId "{owner.id}" does not exist any more')
    return endpoint


def _login(
    ctx: Context, owner: Record, user: str | None, endpoint: DatabaseEndpoint
) -> tuple[str, str]:
    """A pool's user and password; without one the client's own, which the API shows as admin."""
    if user is None or user == endpoint.admin_user:
        return endpoint.admin_user, endpoint.admin_password
    kept = ctx.store.load(_collection(owner.id, "users"), user)
    if kept is None:
        raise ApiError(404, f'user "{user}" is no user of cluster "{owner.id}"')
    return user, kept["password"]


def _pools(ctx: Context, cluster_id: str) -> list[PoolSpec]:
    kept = ctx.store.items(_collection(cluster_id, "pools"))
    return [PoolSpec(name=name, **pool) for name, pool in kept.items()]


def _pool_uri(user: str, password: str, host: str, port: int, pool: str) -> str:
    login = f"{quote(user)}:{quote(password, safe='')}"
    return f"postgresql://{login}@{host}:{port}/{quote(pool)}?sslmode=require"


def _password() -> str:
    """A password as the service makes them: `AVNS_` and 19 characters."""
    letters = string.ascii_letters + string.digits + "_-"
    return "AVNS_" + "".join(secrets.choice(letters) for _ in range(19))


def _name_failures(inputs: Props, reserved: set[str]) -> Iterator[Failure]:
    name = known(inputs, "name")
    if name is None:
        return
    if name in reserved:
        yield Failure("name", f'"{name}" belongs to the service and cannot be managed')
    elif not _NAME.fullmatch(name):
        yield Failure("name", f'"{name}" must be 1 to 63 letters, digits, "_", "-" and "."')

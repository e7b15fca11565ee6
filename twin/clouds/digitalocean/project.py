"""Projects: how resources are grouped on the account's pages.

Rules: terraform-provider-digitalocean project/*.go; digitalocean/openapi projects/models/*.yml.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from twin.clouds.births import birth, forget
from twin.clouds.digitalocean import common
from twin.clouds.digitalocean.cluster import default_project
from twin.clouds.rules import exclusive, items, known, listed, new_uuid, now
from twin.protocol.resource import ApiError, Context, Created, Failure, Props, Resource

_OWNER_ID: Final = 4711
_MEMBERS: Final = "project members"  # URN to the id of its project
_URN = re.compile(r"do:([a-z]+):(.+)")
# Kinds that a project can hold, with the type that the twin makes of them. VPCs, firewalls, tags
# and SSH keys belong to the account, never to a project.
_KINDS: Final = {
    "droplet": common.DROPLET,
    "dbaas": common.CLUSTER,
    "space": common.BUCKET,
    "loadbalancer": common.LOAD_BALANCER,
    "reservedip": common.RESERVED_IP,
    "floatingip": common.RESERVED_IP,
}


class Project(Resource):
    """A group of resources; deleting it moves its members to the default project."""

    token = common.PROJECT

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        for name, limit in (("name", 175), ("description", 255), ("purpose", 255)):
            value = known(inputs, name)
            if value is not None and len(value) > limit:
                yield Failure(name, f"has {len(value)} characters, {limit} is the limit")
        yield from _urn_failures(inputs)

    def create(self, ctx: Context, inputs: Props) -> Created:
        with birth(ctx, self.token, inputs["name"], new_uuid) as id:
            common.refuse_taken_name(ctx, self.token, inputs["name"], "project")
            join(ctx, id, inputs.get("resources") or [])
        outputs = {
            **inputs,
            "createdAt": now(),
            "updatedAt": now(),
            "ownerId": _OWNER_ID,
            "ownerUuid": default_project(ctx),
        }
        return Created(id=id, outputs=outputs)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        common.refuse_taken_name(ctx, self.token, news["name"], "project", own=id)
        if news.get("resources") is not None:
            leave(ctx, set(outputs.get("resources") or ()) - set(news["resources"]))
            join(ctx, id, news["resources"])
        kept = {k: v for k, v in outputs.items() if k != "description"}
        return {**kept, **news, "updatedAt": now()}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        leave(ctx, members(ctx, id))
        ctx.store.remove(common.MEMBERS, id)
        forget(ctx, self.token, id)


class ProjectResources(Resource):
    """Members of a project; not to be mixed with the project's own `resources`."""

    token = common.MEMBERS

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from _urn_failures(inputs)

    def create(self, ctx: Context, inputs: Props) -> Created:
        _require_project(ctx, inputs["project"])
        join(ctx, inputs["project"], inputs["resources"])
        return Created(id=inputs["project"], outputs=inputs)

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        if ctx.store.get(common.PROJECT, id) is None:
            return None
        held = members(ctx, id)
        return {**outputs, "resources": [urn for urn in outputs["resources"] if urn in held]}

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        leave(ctx, set(outputs["resources"]) - set(news["resources"]))
        join(ctx, id, news["resources"])
        return news

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        leave(ctx, outputs["resources"])


def members(ctx: Context, project_id: str) -> set[str]:
    """The URNs in a project."""
    return {urn for urn, holder in ctx.store.items(_MEMBERS).items() if holder == project_id}


def join(ctx: Context, project_id: str, urns: Iterable[str]) -> None:
    """Move resources into a project; each must exist."""
    with exclusive(_MEMBERS):
        for urn in urns:
            kind, name = _parts(urn)
            if ctx.store.get(_KINDS[kind], name) is None:
                raise ApiError(404, f'resources: "{urn}" is no resource of this account')
        for urn in urns:
            ctx.store.save(_MEMBERS, urn, project_id)


def leave(ctx: Context, urns: Iterable[str]) -> None:
    """Move resources to the default project."""
    with exclusive(_MEMBERS):
        for urn in urns:
            ctx.store.drop(_MEMBERS, urn)


def _require_project(ctx: Context, project_id: str) -> None:
    if ctx.store.get(common.PROJECT, project_id) is None:
        raise ApiError(404, f'project "{project_id}" does not exist')


def _parts(urn: str) -> tuple[str, str]:
    found = _URN.fullmatch(urn)
    if found is None or found[1] not in _KINDS:
        raise ApiError(422, f'resources: "{urn}" cannot be in a project')
    return found[1], found[2]


def _urn_failures(inputs: Props) -> Iterator[Failure]:
    for index, urn in items(inputs, "resources"):
        found = _URN.fullmatch(urn)
        if found is None:
            yield Failure(
                f"resources[{index}]",
                f'"{urn}" is no DigitalOcean URN such as do:droplet:1234 '
                "(the output dropletUrn, not Pulumi's urn)",
            )
        elif found[1] not in _KINDS:
            yield Failure(
                f"resources[{index}]",
                f'"{urn}": a project holds {listed(_KINDS)}, not "{found[1]}"',
            )

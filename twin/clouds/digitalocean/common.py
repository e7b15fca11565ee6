"""Rules and look-ups that several DigitalOcean types share."""

from __future__ import annotations

import re
from collections.abc import Iterator

from twin.clouds.digitalocean.catalog import catalog
from twin.clouds.rules import items, known, listed
from twin.protocol.resource import ApiError, Context, Failure, Props
from twin.store import Record

VPC = "digitalocean:index/vpc:Vpc"
TAG = "digitalocean:index/tag:Tag"
SSH_KEY = "digitalocean:index/sshKey:SshKey"
DROPLET = "digitalocean:index/droplet:Droplet"
RESERVED_IP = "digitalocean:index/reservedIp:ReservedIp"
ASSIGNMENT = "digitalocean:index/reservedIpAssignment:ReservedIpAssignment"
LOAD_BALANCER = "digitalocean:index/loadBalancer:LoadBalancer"
FIREWALL = "digitalocean:index/firewall:Firewall"
CLUSTER = "digitalocean:index/databaseCluster:DatabaseCluster"
DATABASE = "digitalocean:index/databaseDb:DatabaseDb"
USER = "digitalocean:index/databaseUser:DatabaseUser"
POOL = "digitalocean:index/databaseConnectionPool:DatabaseConnectionPool"
SOURCES = "digitalocean:index/databaseFirewall:DatabaseFirewall"
POSTGRES_CONFIG = "digitalocean:index/databasePostgresqlConfig:DatabasePostgresqlConfig"
VALKEY_CONFIG = "digitalocean:index/databaseValkeyConfig:DatabaseValkeyConfig"
REPLICA = "digitalocean:index/databaseReplica:DatabaseReplica"
BUCKET = "digitalocean:index/spacesBucket:SpacesBucket"
SPACES_KEY = "digitalocean:index/spacesKey:SpacesKey"
PROJECT = "digitalocean:index/project:Project"
MEMBERS = "digitalocean:index/projectResources:ProjectResources"

# terraform-provider-digitalocean, tag/tags.go
_TAG = re.compile(r"[a-zA-Z0-9:\-_]{1,255}")


def region_failures(inputs: Props, offered: tuple[str, ...] | None = None) -> Iterator[Failure]:
    """`region` must be one of the catalogue's."""
    region = known(inputs, "region")
    regions = offered or tuple(catalog().regions)
    if region is not None and region not in regions:
        yield Failure("region", f'region "{region}" is not one of {listed(regions)}')


def tag_failures(inputs: Props, name: str = "tags") -> Iterator[Failure]:
    """Tags are letters, digits, `:`, `-` and `_`, up to 255 characters."""
    for index, tag in items(inputs, name):
        if not _TAG.fullmatch(tag):
            yield Failure(
                f"{name}[{index}]",
                f'{name}[{index}] "{tag}" is no tag: only letters, digits, ":", "-" and "_", '
                "1 to 255 characters",
            )


def tag_exists(ctx: Context, name: str) -> bool:
    """Tags exist as resources, or because a droplet or a cluster was created with them."""
    wanted = name.lower()  # tags are compared without regard to case
    if any(record.id.lower() == wanted for record in ctx.store.all(TAG)):
        return True
    tagged = (*ctx.store.all(DROPLET), *ctx.store.all(CLUSTER))
    return any(wanted in map(str.lower, record.outputs.get("tags") or ()) for record in tagged)


def require_tags(ctx: Context, tags: list[str], field: str) -> None:
    """422 for a tag that nothing has made."""
    for tag in tags:
        if not tag_exists(ctx, tag):
            raise ApiError(422, f'{field} "{tag}" does not exist: create the tag first')


def vpc(ctx: Context, vpc_id: str, region: str | None, field: str) -> Record:
    """The VPC that a resource wants to be in, which must be in the resource's region."""
    record = ctx.store.get(VPC, vpc_id)
    if record is None:
        raise ApiError(404, f'{field} "{vpc_id}" is no VPC of this account')
    if region is not None and record.outputs["region"] != region:
        raise ApiError(
            422,
            f'{field} "{vpc_id}" is in region "{record.outputs["region"]}", '
            f'the resource is in region "{region}": both must be the same',
        )
    return record


def droplet(ctx: Context, droplet_id: object, field: str) -> Record:
    """A droplet of the account by its id."""
    record = ctx.store.get(DROPLET, str(droplet_id))
    if record is None:
        raise ApiError(404, f'{field} "{droplet_id}" is no Droplet of this account')
    return record


def refuse_taken_name(ctx: Context, token: str, name: str, what: str, own: str = "") -> None:
    """422 when another resource of the type has the name."""
    for record in ctx.store.find(token, name=name):
        if record.id != own:
            raise ApiError(422, f'name "{name}" is taken by another {what} of this account')

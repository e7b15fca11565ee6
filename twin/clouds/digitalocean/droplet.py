"""Droplets.

Rules: terraform-provider-digitalocean droplet/resource_droplet.go; digitalocean/openapi
droplets/models/droplet_create.yml and droplet_backup_policy.yml; the API's own messages as public
issues quote them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from twin.clouds.births import birth, forget
from twin.clouds.digitalocean import common
from twin.clouds.digitalocean.catalog import Size, catalog
from twin.clouds.digitalocean.firewall import follow_droplets
from twin.clouds.digitalocean.network import assigned_to, unassign
from twin.clouds.rules import items, known, listed, now, unset
from twin.protocol.resource import ApiError, Change, Context, Created, Failure, Props, Resource
from twin.world import DropletAddresses, DropletSpec

MAX_USER_DATA = 64 * 1024  # bytes of plain text
BACKUP_HOURS: Final = (0, 4, 8, 12, 16, 20)
_FIRST_ID: Final = 530_000_001  # ids are numbers of nine digits
_HOSTNAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9.\-]{0,253}[a-zA-Z0-9])?")


class Droplet(Resource):
    """A machine. Created means powered on: sshd and cloud-init are not ready yet."""

    token = common.DROPLET

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        name, user_data = known(inputs, "name"), known(inputs, "userData")
        if name is not None and not _HOSTNAME.fullmatch(name):
            yield Failure("name", f'"{name}" must be a host name: a-z, A-Z, 0-9, "." and "-" only')
        if user_data is not None and (size := len(user_data.encode())) > MAX_USER_DATA:
            yield Failure("userData", f"has {size} bytes, {MAX_USER_DATA} is the limit")
        if user_data == "":
            yield Failure("userData", "must not be empty; leave it out instead")
        yield from _slug_failures(inputs)
        yield from _backup_failures(inputs)
        yield from common.tag_failures(inputs)
        if unset(inputs, "vpcUuid"):
            # The real API would use the region's default VPC, whose range nobody chose.
            yield Failure("vpcUuid", "is required by the twin: it makes no default VPC")
        for index, volume in items(inputs, "volumeIds"):
            yield Failure(f"volumeIds[{index}]", f'"{volume}": the twin has no volumes')

    def diff(self, ctx: Context, olds: Props, news: Props, changed: set[str]) -> Change:
        gone = "ipv6" in changed and olds.get("ipv6") and not known(news, "ipv6")
        return Change(replace=frozenset({"ipv6"}) if gone else frozenset())

    def create(self, ctx: Context, inputs: Props) -> Created:
        vpc = common.vpc(ctx, inputs["vpcUuid"], inputs.get("region"), "vpcUuid")
        region = vpc.outputs["region"]
        size = _size(inputs["size"], region)
        keys = _public_keys(ctx, inputs.get("sshKeys") or ())
        make = lambda: str(ctx.store.next("digitalocean droplets", start=_FIRST_ID))  # noqa: E731
        with birth(ctx, self.token, inputs["name"], make) as id:
            addresses = ctx.world.create_droplet(
                DropletSpec(
                    id=id,
                    name=inputs["name"],
                    image=inputs["image"],
                    vcpus=size.vcpus,
                    memory_mib=size.memory_mib,
                    vpc_id=vpc.id,
                    user_data=inputs.get("userData") or "",
                    ssh_public_keys=keys,
                    tags=list(inputs.get("tags") or ()),
                )
            )
        outputs = {**inputs, **_hardware(size), **_addresses(id, inputs, addresses)}
        if inputs.get("userData"):
            outputs["userData"] = hashlib.sha1(inputs["userData"].encode()).hexdigest()  # noqa: S324
        outputs |= {
            "region": region,
            "dropletUrn": f"do:droplet:{id}",
            "status": "active",
            "locked": False,
            "createdAt": now(),
            "volumeIds": [],
            "privateNetworking": True,
            "publicNetworking": inputs.get("publicNetworking", True),
        }
        follow_droplets(ctx, id, outputs)
        return Created(id=id, outputs=outputs)

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        addresses = ctx.world.droplet(id)
        if addresses is None:
            return None
        return {**outputs, **_addresses(id, outputs, addresses)}

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        changed = {**outputs, **{k: v for k, v in news.items() if k != "userData"}}
        for dropped in ("tags", "backupPolicy"):
            if news.get(dropped) is None:
                changed.pop(dropped, None)
        if news["size"] != outputs["size"]:
            size = _size(news["size"], outputs["region"])
            if news.get("resizeDisk", True) and size.disk_gib < outputs["disk"]:
                raise ApiError(
                    422,
                    f'size "{size.slug}" has a smaller disk ({size.disk_gib} GiB) than the droplet '
                    f"({outputs['disk']} GiB): set resizeDisk to false or choose a larger one",
                )
            ctx.world.resize_droplet(id, size.vcpus, size.memory_mib)
            hardware = _hardware(size)
            if not news.get("resizeDisk", True):
                hardware["disk"] = outputs["disk"]
            changed |= hardware
        ctx.world.tag_droplet(id, list(news.get("tags") or ()))
        if (addresses := ctx.world.droplet(id)) is not None:
            changed |= _addresses(id, news, addresses)
        follow_droplets(ctx, id, changed)
        return changed

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        for address in list(assigned_to(ctx, id)):
            unassign(ctx, address)
        for assignment in list(ctx.store.find(common.ASSIGNMENT, dropletId=int(id))):
            ctx.store.remove(common.ASSIGNMENT, assignment.id)
        ctx.world.delete_droplet(id)
        follow_droplets(ctx, id, None)
        forget(ctx, self.token, id)


def _slug_failures(inputs: Props) -> Iterator[Failure]:
    offer = catalog()
    image, size, region = (known(inputs, name) for name in ("image", "size", "region"))
    yield from common.region_failures(inputs)
    if image is not None and image not in offer.images:
        yield Failure("image", f'"{image}" is not one of {listed(offer.images)}')
    if size is None:
        return
    if size not in offer.sizes:
        yield Failure("size", f'"{size}" is no Droplet size, such as s-1vcpu-2gb or s-2vcpu-4gb')
    elif region in offer.regions and region not in offer.sizes[size].regions:
        places = listed(offer.sizes[size].regions)
        yield Failure("size", f'"{size}" is not available in region "{region}", only in {places}')


def _backup_failures(inputs: Props) -> Iterator[Failure]:
    policy = known(inputs, "backupPolicy")
    if policy is None:
        return
    if known(inputs, "backups") is False:
        yield Failure("backupPolicy", "can only be set when backups are enabled: set backups true")
    plan, hour = known(policy, "plan"), known(policy, "hour")
    if unset(policy, "plan"):
        yield Failure("backupPolicy.plan", 'is required: "daily" or "weekly"')
    if hour is not None and hour not in BACKUP_HOURS:
        yield Failure("backupPolicy.hour", f"{hour} is not one of {listed(BACKUP_HOURS)}")
    if plan == "weekly" and unset(policy, "weekday"):
        yield Failure("backupPolicy.weekday", 'is required if plan is "weekly": SUN to SAT')
    if plan == "daily" and (day := known(policy, "weekday")) is not None:
        yield Failure("backupPolicy.weekday", f'"{day}" is for plan "weekly" only')


def _size(slug: str, region: str) -> Size:
    size = catalog().sizes[slug]
    if region not in size.regions:
        raise ApiError(
            422, f'size "{slug}" with region "{region}": Size is not available in this region.'
        )
    return size


def _public_keys(ctx: Context, wanted: Sequence[str]) -> list[str]:
    """SSH keys by id or fingerprint."""
    found = []
    keys = ctx.store.all(common.SSH_KEY)
    for name in wanted:
        match = [key for key in keys if name in (key.id, key.outputs["fingerprint"])]
        if not match:
            raise ApiError(
                422, f'sshKeys: "{name}" are invalid key identifiers for Droplet creation.'
            )
        found.append(match[0].outputs["publicKey"])
    return found


def _hardware(size: Size) -> Props:
    return {
        "vcpus": size.vcpus,
        "memory": size.memory_mib,
        "disk": size.disk_gib,
        "priceMonthly": size.price_monthly,
        "priceHourly": size.price_hourly,
    }


def _addresses(id: str, inputs: Props, addresses: DropletAddresses) -> Props:
    public = inputs.get("publicNetworking", True)
    # The twin's internet has no IPv6: an address of the documentation range stands for it.
    ipv6 = f"2001:db8::{int(id) >> 16:x}:{int(id) & 0xFFFF:x}" if inputs.get("ipv6") else ""
    return {
        "ipv4Address": addresses.public_ipv4 if public else "",
        "ipv4AddressPrivate": addresses.private_ipv4,
        "ipv6Address": ipv6,
    }

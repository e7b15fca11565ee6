"""VPCs and reserved IPs.

Rules: digitalocean/openapi vpcs/models/vpc.yml, the VPC limits page and
terraform-provider-digitalocean vpc/resource_vpc.go, reservedip/*.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Final

from twin.clouds.births import birth, forget
from twin.clouds.digitalocean import common
from twin.clouds.rules import exclusive, known, new_uuid, now
from twin.protocol.resource import ApiError, Context, Created, Failure, Props, Resource

_PRIVATE: Final = tuple(
    IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
# docs.digitalocean.com, VPC limits: taken by DigitalOcean's own services
_RESERVED: Final = tuple(
    IPv4Network(text)
    for text in ("10.244.0.0/16", "10.245.0.0/16", "10.246.0.0/24", "10.229.0.0/16")
)
_LARGEST, _SMALLEST, _DEFAULT = 16, 28, 20  # prefix lengths
_AUTOMATIC: Final = IPv4Network("10.104.0.0/13")  # where the API takes unnamed ranges from
_VPC_NAME = re.compile(r"[a-zA-Z0-9.\-]{1,255}")
_RANGES: Final = "vpc ranges"  # VPC id to its name and range
_ASSIGNED: Final = "reserved ip assignments"  # address to droplet id


class Vpc(Resource):
    """A private network; its range may not overlap another one of the account."""

    token = common.VPC

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from common.region_failures(inputs)
        name, description = known(inputs, "name"), known(inputs, "description")
        if name is not None and not _VPC_NAME.fullmatch(name):
            yield Failure("name", f'"{name}" may hold letters, digits, "." and "-" only')
        if description is not None and len(description) > 255:
            yield Failure("description", f"has {len(description)} characters, 255 is the limit")
        if (cidr := known(inputs, "ipRange")) is not None and (reason := _range_problem(cidr)):
            yield Failure("ipRange", f'"{cidr}" {reason}')

    def create(self, ctx: Context, inputs: Props) -> Created:
        with birth(ctx, self.token, inputs["name"], new_uuid) as id:
            common.refuse_taken_name(ctx, self.token, inputs["name"], "VPC")
            cidr = self._take_range(ctx, id, inputs)
            ctx.world.create_vpc(id, inputs["name"], cidr)
        outputs = {
            **inputs,
            "ipRange": cidr,
            "default": False,
            "vpcUrn": f"do:vpc:{id}",
            "createdAt": now(),
        }
        return Created(id=id, outputs=outputs)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        common.refuse_taken_name(ctx, self.token, news["name"], "VPC", own=id)
        kept = {k: v for k, v in outputs.items() if k != "description"}
        return {**kept, **news}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        for token, field in ((common.DROPLET, "vpcUuid"), (common.CLUSTER, "privateNetworkUuid")):
            for member in ctx.store.find(token, **{field: id}):
                # The real provider tries again for two minutes, then shows this.
                raise ApiError(
                    409, f'VPC "{id}" has members ({member.outputs["name"]}): delete them first'
                )
        ctx.world.delete_vpc(id)
        ctx.store.drop(_RANGES, id)
        forget(ctx, self.token, id)

    def _take_range(self, ctx: Context, id: str, inputs: Props) -> str:
        """Set the range aside before the world is asked: VPCs are created side by side."""
        with exclusive(_RANGES):
            taken = {k: v for k, v in ctx.store.items(_RANGES).items() if k != id}
            cidr = inputs.get("ipRange") or _free_range(taken.values())
            for name, other in taken.values():
                if IPv4Network(cidr).overlaps(IPv4Network(other)):
                    raise ApiError(
                        422,
                        f'ipRange "{cidr}": This range/size overlaps with another VPC network '
                        f"in your account: {name} {other}",
                    )
            ctx.store.save(_RANGES, id, [inputs["name"], cidr])
        return str(cidr)


def _free_range(taken: Iterable[list[str]]) -> str:
    others = [IPv4Network(cidr) for _, cidr in taken]
    for candidate in _AUTOMATIC.subnets(new_prefix=_DEFAULT):
        if not any(candidate.overlaps(other) for other in others):
            return str(candidate)
    raise ApiError(422, f"ipRange was not given and no /{_DEFAULT} is free: give one")


def _range_problem(cidr: str) -> str | None:
    try:
        network = IPv4Network(cidr)
    except (AddressValueError, NetmaskValueError, ValueError):
        return "is no IPv4 network in CIDR notation"
    if "/" not in cidr:
        return "has no prefix length"
    if not _LARGEST <= network.prefixlen <= _SMALLEST:
        return f"must be between /{_LARGEST} and /{_SMALLEST}"
    if not any(network.subnet_of(private) for private in _PRIVATE):
        return "must lie in a private range: 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
    for reserved in _RESERVED:
        if network.overlaps(reserved):
            return f"overlaps {reserved}, which DigitalOcean keeps for its own services"
    return None


class ReservedIp(Resource):
    """A public IPv4 that outlives droplets; assigned here or by `ReservedIpAssignment`."""

    token = common.RESERVED_IP

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from common.region_failures(inputs)
        if (address := known(inputs, "ipAddress")) is not None:
            yield Failure("ipAddress", f'"{address}" cannot be chosen: the API gives the address')

    def create(self, ctx: Context, inputs: Props) -> Created:
        with birth(ctx, self.token, inputs["region"], ctx.world.allocate_reserved_ip) as address:
            if inputs.get("dropletId") is not None:
                assign(ctx, address, inputs["region"], inputs["dropletId"])
        return Created(id=address, outputs=self._outputs(address, inputs))

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        if news.get("dropletId") is not None:
            assign(ctx, id, news["region"], news["dropletId"])
        else:
            unassign(ctx, id)
        return self._outputs(id, news)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        unassign(ctx, id)
        ctx.world.release_reserved_ip(id)
        forget(ctx, self.token, id)

    def _outputs(self, address: str, inputs: Props) -> Props:
        return {**inputs, "ipAddress": address, "reservedIpUrn": f"do:reservedip:{address}"}


class ReservedIpAssignment(Resource):
    """Routes a reserved IP to a droplet: both change by replacement, the new one made first.

    So creating moves the address, and deleting the old one lets go only of what is still its own.
    """

    token = common.ASSIGNMENT

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        address = known(inputs, "ipAddress")
        if address is not None and not _is_ipv4(address):
            yield Failure("ipAddress", f'"{address}" is no IPv4 address')

    def create(self, ctx: Context, inputs: Props) -> Created:
        address, droplet_id = inputs["ipAddress"], inputs["dropletId"]
        record = ctx.store.get(common.RESERVED_IP, address)
        if record is None:
            raise ApiError(404, f'ipAddress "{address}" is no reserved IP of this account')
        key = f"{droplet_id}-{address}"
        with birth(ctx, self.token, key, lambda: f"{key}-{new_uuid()}") as id:
            assign(ctx, address, record.outputs["region"], droplet_id)
        return Created(id=id, outputs=inputs)

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        holder = ctx.store.load(_ASSIGNED, outputs["ipAddress"])
        return outputs if holder == str(outputs["dropletId"]) else None

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        if ctx.store.load(_ASSIGNED, outputs["ipAddress"]) == str(outputs["dropletId"]):
            unassign(ctx, outputs["ipAddress"])
        forget(ctx, self.token, id)


def assign(ctx: Context, address: str, region: str, droplet_id: object) -> None:
    """Route an address to a droplet: same region, and one reserved IPv4 for each droplet."""
    droplet = common.droplet(ctx, droplet_id, "dropletId")
    if droplet.outputs["region"] != region:
        raise ApiError(
            422,
            f'ipAddress "{address}" is in region "{region}", droplet {droplet.id} is in '
            f'"{droplet.outputs["region"]}": both must be the same',
        )
    with exclusive("reserved ips"):
        for other, holder in ctx.store.items(_ASSIGNED).items():
            if holder == droplet.id and other != address:
                raise ApiError(
                    422, f"dropletId {droplet.id} has reserved IP {other} already: one for each"
                )
        ctx.world.assign_reserved_ip(address, droplet.id)
        ctx.store.save(_ASSIGNED, address, droplet.id)


def unassign(ctx: Context, address: str) -> None:
    """Route an address to nothing; it stays reserved."""
    if ctx.store.load(_ASSIGNED, address) is not None:
        ctx.world.assign_reserved_ip(address, None)
        ctx.store.drop(_ASSIGNED, address)


def assigned_to(ctx: Context, droplet_id: str) -> Iterator[str]:
    """The reserved addresses of a droplet."""
    for address, holder in ctx.store.items(_ASSIGNED).items():
        if holder == droplet_id:
            yield address


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True

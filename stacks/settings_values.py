"""What a single value of the settings may be: its type, its own rules, and the base of sections."""

from __future__ import annotations

import base64
import binascii
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from stacks import limits
from stacks.settings_problems import did_you_mean, refused

HOUR_PATTERN = r"^([01]\d|2[0-3]):00$"
DIGEST = re.compile(r"^[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}$")


class Unavailable(Exception):
    """A rule asked for a field that is wrong by itself; the rule is skipped, the field reported."""


class Section(BaseModel):
    """A frozen group of settings; keys are written with dashes, unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        coerce_numbers_to_str=True,
    )

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise Unavailable(name)
            return super().__getattr__(name)


def one_of(what: str, known: Any) -> AfterValidator:
    """One of the known words; the remedy names the nearest."""

    def check(value: str) -> str:
        if value not in known:
            raise refused(f"{what} that is not offered", did_you_mean(value, known))
        return value

    return AfterValidator(check)


def vpc_range(value: IPv4Network) -> IPv4Network:
    """A range that DigitalOcean takes for a VPC."""
    remedy = "choose a private range from /16 to /28, for example 10.20.0.0/20"
    if not any(value.subnet_of(private) for private in limits.PRIVATE_RANGES):
        raise refused("a VPC's range must be private (RFC 1918)", remedy)
    if value.prefixlen not in limits.VPC_PREFIXES:
        raise refused(f"a VPC is from /16 to /28, not /{value.prefixlen}", remedy)
    taken = next((r for r in limits.DIGITALOCEAN_RANGES if r.overlaps(value)), None)
    if taken:
        raise refused(f"DigitalOcean keeps {taken} for itself", remedy)
    return value


def _network_of(value: object, remedy: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(value), strict=True)
    except ValueError:
        raise refused("this is not an address range", remedy) from None


def _source(what: str) -> PlainValidator:
    def check(value: object) -> IPv4Network | IPv6Network:
        remedy = "name the addresses that may connect, for example 198.51.100.7/32"
        network = _network_of(value, remedy)
        if network.prefixlen < limits.WIDEST_SSH_SOURCE[network.version]:
            raise refused(f"{what} would be open to (nearly) the whole internet", remedy)
        return network

    return PlainValidator(check)


def _listed(value: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """A range that one of Cloudflare's lists can hold."""
    if value.version == 6 and value.prefixlen > limits.NARROWEST_LIST_IPV6:
        wider = value.supernet(new_prefix=limits.NARROWEST_LIST_IPV6)
        raise refused(
            "it stands on a list of the edge, which holds IPv6 ranges up to "
            f"/{limits.NARROWEST_LIST_IPV6}, and this one is /{value.prefixlen}",
            f"name the whole network, {wider}, or an IPv4 address",
        )
    return value


def _email(value: str) -> str:
    if not re.fullmatch(r'[^@\s<>,;"]+@[^@\s<>,;"]+\.[a-z]+', value):
        raise refused("this is not an e-mail address", "name one, for example ops@example.com")
    return value


def public_key(value: str) -> str:
    """One OpenSSH public key, without white space around it."""
    remedy = "paste one line of a .pub file, for example: ssh-ed25519 AAAA... name"
    if "PRIVATE KEY" in value:
        raise refused("this is a private key: it must never stand in a file", remedy)
    kind, _, rest = value.strip().partition(" ")
    try:
        body = base64.b64decode(rest.split(" ", 1)[0], validate=True)
    except (binascii.Error, ValueError):
        body = b""
    if kind not in {"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"} or kind.encode() not in body:
        raise refused("this is not an OpenSSH public key", remedy)
    return value.strip()


def _image(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-zA-Z0-9._:/-]*(@sha256:[0-9a-f]{64})?", value):
        raise refused("this is not an image name", "use registry/name@sha256:... as CI prints it")
    return value


Region = Annotated[str, one_of("a region", limits.DROPLET_REGIONS)]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["0" * 31 + "1"])]
PublicKey = Annotated[str, AfterValidator(public_key)]
Source = Annotated[IPv4Network | IPv6Network, _source("SSH")]
AdminSource = Annotated[
    IPv4Network | IPv6Network, _source("the admin API"), AfterValidator(_listed)
]
WebhookSource = Annotated[IPv4Network | IPv6Network, _source("a webhook")]
HostName = Annotated[
    str,
    Field(pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]+$", examples=["www.example.com"]),
]
Email = Annotated[str, AfterValidator(_email)]
Duration = Annotated[str, Field(pattern=r"^\d{1,4}[mh]$", examples=["8h"])]
Image = Annotated[str, AfterValidator(_image)]
Memory = Annotated[int, Field(ge=64, le=16384, examples=[256])]
Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

"""The settings of one stack as a frozen model: what may be set, its type, its default.

A field's own rules stand here; rules between fields stand in `settings_rules`.
"""

from __future__ import annotations

import base64
import binascii
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
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


def _one_of(what: str, known: Any) -> AfterValidator:
    def check(value: str) -> str:
        if value not in known:
            raise refused(f"{what} that is not offered", did_you_mean(value, known))
        return value

    return AfterValidator(check)


def _vpc_range(value: IPv4Network) -> IPv4Network:
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


def _email(value: str) -> str:
    if not re.fullmatch(r'[^@\s<>,;"]+@[^@\s<>,;"]+\.[a-z]+', value):
        raise refused("this is not an e-mail address", "name one, for example ops@example.com")
    return value


def _public_key(value: str) -> str:
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


Region = Annotated[str, _one_of("a region", limits.DROPLET_REGIONS)]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["0" * 31 + "1"])]
PublicKey = Annotated[str, AfterValidator(_public_key)]
Source = Annotated[IPv4Network | IPv6Network, _source("SSH")]
AdminSource = Annotated[IPv4Network | IPv6Network, _source("the admin API")]
WebhookSource = Annotated[IPv4Network | IPv6Network, _source("a webhook")]
HostName = Annotated[
    str,
    Field(pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]+$", examples=["www.example.com"]),
]
Email = Annotated[str, AfterValidator(_email)]
Image = Annotated[str, AfterValidator(_image)]
Memory = Annotated[int, Field(ge=64, le=16384, examples=[256])]
Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Zone(Section):
    """The Cloudflare zone this stack owns; one per environment."""

    name: str = Field(
        pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]+$", examples=["example.com"]
    )
    id: Hex32
    account_id: Hex32
    plan: Literal["free", "pro", "business", "enterprise"]


class Network(Section):
    """The VPC."""

    cidr: Annotated[IPv4Network, AfterValidator(_vpc_range)] = Field(examples=["10.20.0.0/20"])


class LoadBalancer(Section):
    """DigitalOcean's load balancer, where that is the ingress. One node has no standby."""

    nodes: int = Field(default=1, ge=1, le=100)


class Backups(Section):
    """A droplet's backups. `weekday` counts for weekly ones only; `hour` starts a 4-hour window."""

    plan: Literal["daily", "weekly"]
    weekday: Literal["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] = "SUN"
    hour: Literal[0, 4, 8, 12, 16, 20] = 4


class Host(Section):
    """The droplets. Each carries the whole set of containers."""

    count: int = Field(default=1, ge=1, le=10)
    size: Annotated[str, _one_of("a droplet size", limits.DROPLET_SIZES)]
    image: Literal["debian-13-x64", "ubuntu-24-04-x64", "ubuntu-22-04-x64"] = "debian-13-x64"
    backups: Backups | None = None
    reserved_ip: bool = False


class Ssh(Section):
    """Who may log in, from where, and how this machine connects."""

    public_keys: tuple[PublicKey, ...] = ()
    public_key_file: Path | None = None
    allow_from: tuple[Source, ...] = Field(examples=[["198.51.100.7/32"]])
    config_file: Path | None = None

    def keys(self) -> tuple[str, ...]:
        """The public keys, wherever they stand."""
        if self.public_key_file is None:
            return self.public_keys
        return (_public_key(self.public_key_file.read_text(encoding="utf-8")),)


class Maintenance(Section):
    """The weekly window in which the cloud may restart a cluster, UTC."""

    day: Day = "sunday"
    hour: str = Field(default="03:00", pattern=HOUR_PATTERN, examples=["03:00"])


class Replica(Section):
    """A read replica of the database in the same region."""

    size: Annotated[str, _one_of("a database size", limits.POSTGRES_SIZES)]


class Database(Section):
    """Managed Postgres. `nodes` counts the primary: 2 and 3 add standbys."""

    version: Annotated[str, _one_of("a Postgres version", limits.POSTGRES_VERSIONS)] = "17"
    size: Annotated[str, _one_of("a database size", limits.POSTGRES_SIZES)]
    nodes: int = Field(default=1, ge=1, le=limits.MAX_DATABASE_NODES)
    pool_size: int = Field(ge=1, examples=[12])
    maintenance: Maintenance = Maintenance()
    replica: Replica | None = None


class Cache(Section):
    """Managed Valkey."""

    version: Annotated[str, _one_of("a Valkey version", limits.VALKEY_VERSIONS)] = "8"
    size: Annotated[str, _one_of("a cache size", limits.VALKEY_SIZES)]
    nodes: int = Field(default=1, ge=1, le=limits.MAX_DATABASE_NODES)
    maintenance: Maintenance = Maintenance(hour="04:00")


class Storage(Section):
    """Object storage for dumps and exports; `region` only where the platform's has no Spaces."""

    region: Annotated[str, _one_of("a Spaces region", limits.SPACES_REGIONS)] | None = None
    retention_days: int = Field(default=35, ge=1, le=3650)


class Registry(Section):
    """Where the service's image is pushed and pulled; `username` where that takes a login."""

    server: str = Field(
        pattern=r"^[a-z0-9.-]+(:\d+)?(/[a-z0-9._/-]+)?$", examples=["registry.example.com/acme"]
    )
    username: str | None = None


class App(Section):
    """The service: a CI-built image by digest, or a registry to build for; replicas per droplet."""

    image: Image | None = None
    registry: Registry | None = None
    replicas: int = Field(default=2, ge=1, le=16)
    memory: Memory = 256
    worker_memory: Memory = 256


class Images(Section):
    """The images that are not ours."""

    gateway: Image = "nginx:1.28"
    connector: Image = "cloudflare/cloudflared:2026.10.0"


class Stripe(Section):
    """Where Stripe's API answers, when not at its own address."""

    api_base: str | None = Field(default=None, pattern=r"^https://[a-z0-9.-]+(:\d+)?$")


class Gateways(Section):
    """The payment gateways."""

    stripe: Stripe = Stripe()


class Hsts(Section):
    """How long browsers insist on HTTPS, in seconds; for subdomains too; in their preload list."""

    max_age: int = Field(default=31_536_000, ge=0, le=63_072_000)
    include_subdomains: bool = True
    preload: bool = False


class Owasp(Section):
    """The OWASP ruleset: paranoia level, and the score from which a request meets `action`."""

    paranoia: int = Field(default=1, ge=1, le=4)
    threshold: Literal[25, 40, 60] = 25
    action: Literal["block", "managed_challenge", "log"] = "block"


class Edge(Section):
    """Cloudflare in front of the service, as far as its plan allows.

    `redirect_from` are further names of the zone that lead to the service. `webhook_sources` names
    the addresses of gateways that publish none. `modern_ciphers` needs Advanced Certificate
    Manager. `sends_mail`: the zone's mail records are somebody else's.
    """

    hsts: Hsts = Hsts()
    owasp: Owasp = Owasp()
    redirect_from: tuple[HostName, ...] = ()
    webhook_sources: dict[
        Literal["stripe", "razorpay", "paypal", "cryptomus"], tuple[WebhookSource, ...]
    ] = Field(default={}, examples=[{"razorpay": ["198.51.100.7/32"]}])
    alert_emails: tuple[Email, ...] = ()
    sends_mail: bool = False
    modern_ciphers: bool = False
    log_export: bool = False


class Access(Section):
    """Cloudflare Access: the team, who is an admin, and from where the admin API may be called."""

    team: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", examples=["acme"])
    admins: tuple[Email, ...]
    admin_cidrs: tuple[AdminSource, ...]


class Settings(Section):
    """Everything a stack decides, its secrets aside."""

    environment: Literal["development", "staging", "production"]
    region: Region
    zone: Zone
    hostname: str = Field(
        pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]+$", examples=["pay.example.com"]
    )
    https_port: int = Field(default=443, ge=1, le=65535)
    ingress: Literal["tunnel", "load-balancer", "direct"] = "tunnel"
    load_balancer: LoadBalancer = LoadBalancer()
    network: Network
    host: Host
    ssh: Ssh
    database: Database
    cache: Cache
    storage: Storage = Storage()
    app: App = App()
    images: Images = Images()
    gateways: Gateways = Gateways()
    edge: Edge = Edge()
    access: Access | None = None
    outgoing_ca_file: Path | None = None
    protect: bool

    @property
    def url(self) -> str:
        """The public address, with the port where it is not HTTPS's own."""
        port = "" if self.https_port == 443 else f":{self.https_port}"
        return f"https://{self.hostname}{port}"

    @property
    def outgoing_ca(self) -> str | None:
        """The PEM certificates of `outgoing-ca-file`, trusted where the service calls out."""
        file = self.outgoing_ca_file
        return file.read_text(encoding="utf-8") if file else None

    @property
    def registry_ports(self) -> tuple[int, ...]:
        """The ports of our registry that a droplet must reach, beside HTTPS."""
        host = self.app.registry.server.partition("/")[0] if self.app.registry else ""
        port = host.partition(":")[2]
        return (int(port),) if port else ()

    @property
    def spaces_region(self) -> str:
        """Where the bucket lives."""
        return self.storage.region or self.region

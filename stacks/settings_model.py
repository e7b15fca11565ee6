"""The settings of one stack as a frozen model: what may be set, its type, its default.

A field's own rules stand here and in `settings_values`; rules between fields in `settings_rules`.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from stacks import limits
from stacks.settings_gateways import Gateways
from stacks.settings_values import (
    DIGEST,
    HOUR_PATTERN,
    AdminSource,
    Day,
    Duration,
    Email,
    Hex32,
    HostName,
    Image,
    Memory,
    PublicKey,
    Region,
    Section,
    Source,
    Unavailable,
    one_of,
    public_key,
    vpc_range,
)

__all__ = ["DIGEST", "Section", "Settings", "Unavailable"]


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

    cidr: Annotated[IPv4Network, AfterValidator(vpc_range)] = Field(examples=["10.20.0.0/20"])


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
    size: Annotated[str, one_of("a droplet size", limits.DROPLET_SIZES)]
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
        return (public_key(self.public_key_file.read_text(encoding="utf-8")),)


class Maintenance(Section):
    """The weekly window in which the cloud may restart a cluster, UTC."""

    day: Day = "sunday"
    hour: str = Field(default="03:00", pattern=HOUR_PATTERN, examples=["03:00"])


class Replica(Section):
    """A read replica of the database in the same region."""

    size: Annotated[str, one_of("a database size", limits.POSTGRES_SIZES)]


class Database(Section):
    """Managed Postgres. `nodes` counts the primary: 2 and 3 add standbys."""

    version: Annotated[str, one_of("a Postgres version", limits.POSTGRES_VERSIONS)] = "17"
    size: Annotated[str, one_of("a database size", limits.POSTGRES_SIZES)]
    nodes: int = Field(default=1, ge=1, le=limits.MAX_DATABASE_NODES)
    pool_size: int = Field(ge=1, examples=[12])
    maintenance: Maintenance = Maintenance()
    replica: Replica | None = None


class Cache(Section):
    """Managed Valkey."""

    version: Annotated[str, one_of("a Valkey version", limits.VALKEY_VERSIONS)] = "8"
    size: Annotated[str, one_of("a cache size", limits.VALKEY_SIZES)]
    nodes: int = Field(default=1, ge=1, le=limits.MAX_DATABASE_NODES)
    maintenance: Maintenance = Maintenance(hour="04:00")


class Storage(Section):
    """Object storage for dumps and exports; `region` only where the platform's has no Spaces."""

    region: Annotated[str, one_of("a Spaces region", limits.SPACES_REGIONS)] | None = None
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


class Mail(Section):
    """Who sends mail in the zone's name: the SPF names of the mail providers.

    `others`: what receivers do with mail from elsewhere. Begin with `quarantine`, read the reports,
    then `reject`. MX and DKIM records are the provider's: make them as it says.
    """

    senders: tuple[Annotated[str, Field(pattern=r"^([a-z0-9_-]+\.)+[a-z]+$")], ...] = Field(
        min_length=1, max_length=8, examples=[["_spf.google.com"]]
    )
    others: Literal["quarantine", "reject"] = "quarantine"
    reports: Email | None = None


class Edge(Section):
    """Cloudflare in front of the service, as far as its plan allows.

    `redirect_from` are further names of the zone that lead to the service. `modern_ciphers` needs
    Advanced Certificate Manager. Without `mail` the zone says that it sends none.
    """

    hsts: Hsts = Hsts()
    owasp: Owasp = Owasp()
    redirect_from: tuple[HostName, ...] = ()
    alert_emails: tuple[Email, ...] = ()
    mail: Mail | None = None
    modern_ciphers: bool = False
    log_export: bool = False


class GoogleWorkspace(Section):
    """The company's Google Workspace, and its OAuth client for Access."""

    apps_domain: HostName
    client_id: str = Field(
        pattern=r"^\d+-[a-z0-9]+\.apps\.googleusercontent\.com$",
        examples=["123456789012-abc123.apps.googleusercontent.com"],
    )


class Mfa(Section):
    """The second factor: by what, and after how long again (`0m`: at every login)."""

    authenticators: tuple[Literal["totp", "biometrics", "security_key"], ...] = Field(
        default=("totp", "security_key"), min_length=1
    )
    session: Duration = "12h"


class Posture(Section):
    """What must be true of an admin's device: enrolled with us, checks passed on its platform."""

    enrolled: bool = True
    platform: Literal["windows", "mac", "linux"] | None = None
    checks: tuple[Literal["disk-encryption", "firewall"], ...] = ()


class ServiceToken(Section):
    """A program's credentials. Raise `version` for a new secret; the one before counts until.

    `admin-api` reads. `admin-api-write` also replays webhooks, starts reconciliations and cancels
    subscriptions; `admin-api-money` also refunds, notes what the bank says of a payout, credits and
    sets exchange rates. Payouts are asked for and approved by people alone.
    """

    uses: tuple[Literal["ssh", "admin-api", "admin-api-write", "admin-api-money"], ...] = Field(
        min_length=1, examples=[["ssh"]]
    )
    hours: int = Field(default=8760, ge=1, le=87600)
    version: int | None = Field(default=None, ge=2)
    previous_until: str | None = None


class Access(Section):
    """Cloudflare Access: who is an admin, how they log in, from where the admin API is called.

    `organization`: this stack describes the account's Zero Trust organization, of which there is
    one. `ssh`: a droplet's SSH answers as `ssh.<zone>`, too, through a tunnel; several droplets' as
    `ssh-0.<zone>` and so on.
    """

    team: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", examples=["acme"])
    idp: GoogleWorkspace
    admins: tuple[Email, ...] = Field(examples=[["ada@example.com"]])
    admin_cidrs: tuple[AdminSource, ...] = Field(examples=[["198.51.100.7/32"]])
    session: Duration = "8h"
    mfa: Mfa = Mfa()
    posture: Posture | None = None
    ssh: bool = False
    service_tokens: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")], ServiceToken] = (
        Field(default={}, examples=[{"ci": {"uses": ["ssh"]}}])
    )
    organization: bool = True


class Settings(Section):
    """Everything a stack decides, its secrets aside.

    Raise `origin_rotations` by one to renew the origin's keys and certificates before their date.
    """

    environment: Literal["development", "staging", "production"]
    region: Region
    zone: Zone
    hostname: str = Field(
        pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]+$", examples=["pay.example.com"]
    )
    https_port: int = Field(default=443, ge=1, le=65535)
    ingress: Literal["tunnel", "load-balancer", "direct"] = "tunnel"
    load_balancer: LoadBalancer = LoadBalancer()
    origin_rotations: int = Field(default=0, ge=0)
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
    def ssh_hostnames(self) -> tuple[str, ...]:
        """The names of SSH behind Access, one for each droplet; none where that is not wanted."""
        if self.access is None or not self.access.ssh:
            return ()
        if self.host.count == 1:
            return (f"ssh.{self.zone.name}",)
        return tuple(f"ssh-{number}.{self.zone.name}" for number in range(self.host.count))

    @property
    def ssh_shares_tunnel(self) -> bool:
        """Whether SSH takes the visitors' tunnel; that of several droplets leads to any of them."""
        return self.ingress == "tunnel" and self.host.count == 1

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

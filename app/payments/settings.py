"""Settings from the environment, read once, refused whole: every error at once, before any work.

Each variable is `PAYMENTS_<NAME>`; `PAYMENTS_<NAME>_FILE` names a file that holds the value
instead (secrets as files). Nothing secret has a default. Commands read only the groups they need,
so that a migration does not ask for a gateway's key.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from payments.access.config import AccessSettings
from payments.gateways import routing as routes
from payments.gateways.config import (
    CryptomusSettings,
    PaypalSettings,
    RazorpaySettings,
    StripeSettings,
    split,
)
from payments.limits import rules
from payments.limits.rules import Limit

PREFIX = "PAYMENTS_"
FILE_SUFFIX = "_FILE"
ROLE_NAME = r"^[a-z_][a-z0-9_-]{0,62}$"

MIN_SESSION_KEY_BYTES = 32


class SettingsError(Exception):
    """The environment cannot be used; `problems` has one line per variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


def _check_url(value: SecretStr, schemes: tuple[str, ...]) -> SecretStr:
    """Refuse an address that is not `scheme://user:password@host:port/name`; never echo it."""
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with {' or '.join(f'{s}://' for s in schemes)}")
    if not parts.hostname or len(parts.path) < 2:
        raise ValueError("must name a host and, after the slash, a database")
    if parts.query or parts.fragment:
        raise ValueError("must carry no query: TLS has settings of its own")
    return value


def _check_pem(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        ssl.create_default_context(cadata=value)
    except ssl.SSLError as error:
        raise ValueError("must be one or more certificates in PEM form") from error
    return value


def _check_key(value: SecretStr) -> SecretStr:
    try:
        key = base64.b64decode(value.get_secret_value(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("must be base64") from error
    if len(key) < MIN_SESSION_KEY_BYTES:
        raise ValueError(f"must decode to at least {MIN_SESSION_KEY_BYTES} bytes")
    return value


class DatabaseSettings(_Group):
    """How to reach Postgres. Always over TLS that is verified against `ca`."""

    url: SecretStr
    pooled: bool = False
    ca: str | None = None

    @field_validator("url")
    @classmethod
    def _url(cls, value: SecretStr) -> SecretStr:
        checked = _check_url(value, ("postgresql", "postgres"))
        if urlsplit(checked.get_secret_value()).username is None:
            raise ValueError("must name a user")
        return checked

    _ca = field_validator("ca")(_check_pem)

    def parts(self) -> dict[str, Any]:
        """Return host, port, user, password and database, decoded."""
        parts = urlsplit(self.url.get_secret_value())
        return {
            "host": parts.hostname,
            "port": parts.port or 5432,
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or "") or None,
            "database": unquote(parts.path[1:]),
        }


class CacheSettings(_Group):
    """How to reach Valkey. Always over TLS that is verified against `ca`."""

    url: SecretStr
    ca: str | None = None

    @field_validator("url")
    @classmethod
    def _url(cls, value: SecretStr) -> SecretStr:
        return _check_url(value, ("rediss", "redis"))

    _ca = field_validator("ca")(_check_pem)


class _FromEnvironment(EnvSettingsSource):
    """The environment, with `NAME_FILE` read as the value of `NAME`."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        merged, problems = _with_files(self.env_vars)
        if problems:
            raise SettingsError(problems)
        self.env_vars = merged


def _with_files(
    variables: Mapping[str, str | None],
) -> tuple[dict[str, str | None], list[str]]:
    prefix, suffix = PREFIX.lower(), FILE_SUFFIX.lower()
    merged = dict(variables)
    problems = []
    for name, path in variables.items():
        if not (name.startswith(prefix) and name.endswith(suffix) and path):
            continue
        target = name.removesuffix(suffix)
        if variables.get(target):
            problems.append(f"{target.upper()}: set twice, also by {name.upper()}; keep one")
            continue
        try:
            merged[target] = Path(path).read_text(encoding="utf-8").removesuffix("\n")
        except OSError as error:
            problems.append(f"{name.upper()}: cannot read {path} ({error.strerror})")
    return merged, problems


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take explicit arguments (tests) before the environment, and nothing else."""
        return (init_settings, _FromEnvironment(settings_cls))


class DatabaseCommandSettings(_Settings):
    """What every command needs."""

    environment: str = Field(default="local", pattern=r"^[a-z0-9-]{1,32}$")
    release: str = "unknown"
    database: DatabaseSettings
    allow_plaintext_backends: bool = False


class PrepareSettings(DatabaseCommandSettings):
    """What `payments prepare-database` needs; the address is the cluster's administrator's."""

    migrator_role: str = Field(pattern=ROLE_NAME)
    app_role: str = Field(pattern=ROLE_NAME)


class MigrateSettings(DatabaseCommandSettings):
    """What `payments migrate` needs; the address is the migrator's."""


class ServiceSettings(DatabaseCommandSettings):
    """What `payments api` and `payments worker` need."""

    cache: CacheSettings
    public_url: str = Field(pattern=r"^https?://[^/?#]+$")
    session_key: SecretStr
    previous_session_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    stripe: StripeSettings = StripeSettings()
    razorpay: RazorpaySettings = RazorpaySettings()
    paypal: PaypalSettings = PaypalSettings()
    cryptomus: CryptomusSettings = CryptomusSettings()
    routing: Annotated[tuple[routes.Rule, ...], NoDecode] = ()
    access: AccessSettings | None = None
    rate_limits: Annotated[tuple[Limit, ...], NoDecode]
    outgoing_ca: str | None = None
    webhooks_to_private_addresses: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    host: str = "0.0.0.0"  # noqa: S104 - inside a container; no port is published
    port: int = Field(default=8000, ge=0, le=65535)
    metrics_port: int = Field(default=9100, ge=0, le=65535)
    run_dir: Path = Path("/tmp")  # noqa: S108 - the image's only writable place, a tmpfs

    _ca = field_validator("outgoing_ca")(_check_pem)

    @field_validator("rate_limits", mode="before")
    @classmethod
    def _rate_limits(cls, value: object) -> object:
        return rules.parse(value) if isinstance(value, str) else value

    @field_validator("routing", mode="before")
    @classmethod
    def _routing(cls, value: object) -> object:
        return routes.parse(value) if isinstance(value, str) else value

    _split = field_validator("previous_session_keys", mode="before")(split)

    @field_validator("session_key")
    @classmethod
    def _session_key(cls, value: SecretStr) -> SecretStr:
        return _check_key(value)

    @field_validator("previous_session_keys")
    @classmethod
    def _previous_session_keys(cls, values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        return tuple(_check_key(value) for value in values)

    @model_validator(mode="after")
    def _one_mode(self) -> ServiceSettings:
        modes = self._modes()
        if len(set(modes.values())) > 1:
            live = ", ".join(name for name, live in modes.items() if live)
            test = ", ".join(name for name, live in modes.items() if not live)
            raise ValueError(
                f"real money ({live}) and pretended money ({test}) in one installation: one would"
                " be booked as the other. Give all gateways keys of one mode"
            )
        return self

    def _modes(self) -> dict[str, bool]:
        gateways = {
            "stripe": self.stripe,
            "razorpay": self.razorpay,
            "paypal": self.paypal,
            "cryptomus": self.cryptomus,
        }
        return {name: bool(g.is_live) for name, g in gateways.items() if g.is_live is not None}

    @property
    def is_live(self) -> bool:
        """Whether real money moves: what the gateways' own keys say."""
        return any(self._modes().values())

    @property
    def session_key_bytes(self) -> bytes:
        """The session key, decoded."""
        return base64.b64decode(self.session_key.get_secret_value())

    @property
    def seal_keys(self) -> tuple[bytes, ...]:
        """The session key and those before it: what they sealed is still opened."""
        before = (base64.b64decode(key.get_secret_value()) for key in self.previous_session_keys)
        return (self.session_key_bytes, *before)


SettingsT = TypeVar("SettingsT", bound=DatabaseCommandSettings)


def load(kind: type[SettingsT], **explicit: Any) -> SettingsT:
    """Read the settings of one command from the environment.

    Raises `SettingsError` with every problem found: which variable, what is wrong, what to do.
    """
    problems: list[str] = []
    settings: SettingsT | None = None
    try:
        settings = kind(**explicit)
    except ValidationError as error:
        for item in error.errors():
            problems += _describe(kind, item)
    except SettingsError as error:
        problems += error.problems
    problems += _plaintext_problems(kind, settings)
    if problems or settings is None:
        raise SettingsError(sorted(set(problems)))
    return settings


def _describe(kind: type[BaseSettings], item: Any) -> list[str]:
    names = [str(part) for part in item["loc"] if isinstance(part, str)]
    if item["type"] != "missing":
        # Without a name it is about several groups; with one, perhaps about a group as a whole.
        name = PREFIX + ("_".join(names).upper() or "*")
        return [f"{name}: {item['msg'].removeprefix('Value error, ')}"]
    group = kind.model_fields[names[0]].annotation
    if len(names) == 1 and isinstance(group, type) and issubclass(group, _Group):
        # Not one variable of the group is set: name those that must be.
        fields = group.model_fields.items()
        names_missing = [f"{names[0]}_{field}" for field, info in fields if info.is_required()]
    else:
        names_missing = ["_".join(names)]
    return [
        f"{PREFIX}{name.upper()}: missing; set it, or {PREFIX}{name.upper()}{FILE_SUFFIX} to a"
        " file that holds it"
        for name in names_missing
    ]


def _plaintext_problems(
    kind: type[DatabaseCommandSettings], settings: DatabaseCommandSettings | None
) -> list[str]:
    """Refuse backends without an authority to verify them; only tests may ask for that.

    Looks at the environment itself when other settings are wrong, so that a person sees
    everything that is to be mended in one go.
    """
    if settings is not None:
        allowed = settings.allow_plaintext_backends
        missing = [] if settings.database.ca else ["DATABASE_CA"]
        if isinstance(settings, ServiceSettings) and not settings.cache.ca:
            missing.append("CACHE_CA")
    else:
        allowed = os.environ.get(f"{PREFIX}ALLOW_PLAINTEXT_BACKENDS", "").lower() in ("1", "true")
        wanted = ["DATABASE_CA"] + (["CACHE_CA"] if issubclass(kind, ServiceSettings) else [])
        missing = [
            name
            for name in wanted
            if not os.environ.get(PREFIX + name) and not os.environ.get(PREFIX + name + FILE_SUFFIX)
        ]
    if allowed:
        return []
    return [
        f"{PREFIX}{name}: missing; without it the connection would be neither encrypted nor"
        " verified. Give the authority's certificate in PEM form"
        for name in missing
    ]

"""What the service is told of Access: the team, the applications, who is an admin, from where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import NoDecode

from payments.access.rights import GRANTABLE, Rights

TEAM_DOMAIN: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.cloudflareaccess\.com$"
_AUDIENCE: Final = re.compile(r"[A-Za-z0-9_-]{8,128}")

Names = Annotated[tuple[str, ...], NoDecode]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode]
Grants = Annotated[Mapping[str, Rights], NoDecode]


class AccessSettings(BaseModel):
    """The Access team and whom we take for an admin.

    `audiences` are the AUD tags of the applications in front of `/admin` and `/api/admin`, in this
    order: an assertion for one is worth nothing at the other. `admins` are e-mail addresses.
    `/api/admin` answers only visitors within `admin_cidrs` (empty: nobody), and there also the
    service tokens whose client ids are in `service_tokens`, which may read, and do what stands
    behind their id: `ID,ID=write,ID=write+money`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    team_domain: str = Field(pattern=TEAM_DOMAIN)
    audiences: Names
    admins: Names
    admin_cidrs: Networks = ()
    service_tokens: Grants = {}

    @field_validator("audiences", "admins", "admin_cidrs", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("service_tokens", mode="before")
    @classmethod
    def _grants(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        found = {}
        for part in filter(None, map(str.strip, value.split(","))):
            name, _, granted = part.partition("=")
            rights = frozenset(granted.split("+") if granted else ())
            if name in found:
                raise ValueError("must name each service token once")
            if not rights <= GRANTABLE:
                raise ValueError(f"must grant some of {', '.join(sorted(GRANTABLE))}, joined by +")
            found[name] = rights | {"read"}
        return found

    @field_validator("audiences")
    @classmethod
    def _two(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) != 2 or value[0] == value[1]:
            raise ValueError("must be two different AUD tags: of /admin and of /api/admin")
        if not all(_AUDIENCE.fullmatch(tag) for tag in value):
            raise ValueError("must be AUD tags, as the application's `aud` output gives them")
        return value

    @field_validator("admins")
    @classmethod
    def _emails(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for email in value:
            if email.count("@") != 1 or email != email.strip():
                raise ValueError("must be e-mail addresses, separated by commas")
        return tuple(email.lower() for email in value)

    @property
    def issuer(self) -> str:
        """Who signs assertions."""
        return f"https://{self.team_domain}"

    @property
    def certificates_url(self) -> str:
        """Where the team publishes the keys that it signs with."""
        return f"{self.issuer}/cdn-cgi/access/certs"

    def may_call_api(self, address: str) -> bool:
        """Say whether a visitor at this address may use `/api/admin` at all."""
        try:
            visitor = ip_address(address)
        except ValueError:
            return False
        return any(visitor in network for network in self.admin_cidrs)

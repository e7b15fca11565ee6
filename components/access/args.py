"""What Access is told: people, their identity provider, their devices, programs, SSH.

Plain values decide which resources exist and are checked here; the message names the field, the
value and the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pulumi

Authenticator = Literal["totp", "biometrics", "security_key"]
Platform = Literal["windows", "mac", "linux"]
Check = Literal["disk-encryption", "firewall"]
Use = Literal["ssh", "admin-api", "admin-api-write", "admin-api-money"]
Right = Literal["write", "money"]

API_USES: Final[Mapping[Use, Right | None]] = {
    "admin-api": None,
    "admin-api-write": "write",
    "admin-api-money": "money",
}
"""What lets a program to the admin API, where it may read, and what each adds to that. Payouts are
asked for and approved by people: nothing here grants that."""

_DURATION: Final = re.compile(r"\d+[mh]")


@dataclass(frozen=True, kw_only=True)
class GoogleWorkspace:
    """The OAuth client of a Google Workspace domain; `client_secret` is a secret."""

    apps_domain: str
    client_id: str
    client_secret: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class Posture:
    """What must be true of an admin's device, which runs the Cloudflare One client.

    `enrolled`: it belongs to our Zero Trust organization. `checks` are looked at on `platform`.
    """

    enrolled: bool = True
    platform: Platform | None = None
    checks: Sequence[Check] = ()

    def __post_init__(self) -> None:
        if self.checks and self.platform is None:
            raise ValueError(
                f"checks={list(self.checks)}: name the platform they are looked at on: "
                "windows, mac or linux"
            )
        if "firewall" in self.checks and self.platform == "linux":
            raise ValueError(
                "checks=firewall, platform=linux: the client looks at a firewall on windows and "
                "mac only; leave it out"
            )


@dataclass(frozen=True, kw_only=True)
class ServiceToken:
    """A program's credentials, valid for `hours`, and what they are good for (`uses`).

    A higher `version` makes a new secret; `previous_until` (RFC 3339) says how long the one before
    is still taken. Both or none.
    """

    name: str
    uses: Sequence[Use]
    hours: int = 8760
    version: int | None = None
    previous_until: str | None = None

    @property
    def calls_api(self) -> bool:
        """Whether it may call the admin API at all."""
        return any(use in API_USES for use in self.uses)

    @property
    def rights(self) -> list[Right]:
        """What it may do there beside reading."""
        return [right for use, right in API_USES.items() if right and use in self.uses]

    def __post_init__(self) -> None:
        if (self.version is None) != (self.previous_until is None):
            raise ValueError(
                f"service token {self.name}: version and previous_until go together; the provider "
                "refuses one without the other"
            )


@dataclass(frozen=True, kw_only=True)
class SshRoute:
    """The name under which a droplet's SSH answers, and where that leads (a tunnel)."""

    hostname: str
    target: pulumi.Input[str]

    @property
    def label(self) -> str:
        """The name's first part: what tells it from the other droplets'."""
        return self.hostname.partition(".")[0]


@dataclass(frozen=True, kw_only=True)
class AccessArgs:
    """The account and zone, the service's host, who its admins are, and how they prove it.

    `session` and `mfa_session` are durations such as `8h`; `0m` asks for MFA at every login.
    `owns_organization`: organization and App Launcher are one per account, so one stack alone may
    describe them; the admins of the others must be among its own to enrol an authenticator.
    """

    account_id: str
    zone_id: str
    hostname: str
    team: str

    provider: GoogleWorkspace
    admins: Sequence[str]
    admin_cidrs: Sequence[str]
    session: str = "8h"
    authenticators: Sequence[Authenticator] = ("totp", "security_key")
    mfa_session: str = "12h"
    posture: Posture | None = None

    service_tokens: Sequence[ServiceToken] = ()
    ssh: Sequence[SshRoute] = ()
    owns_organization: bool = True

    def __post_init__(self) -> None:
        if not self.admins:
            raise ValueError("admins=[]: nobody could log in; name at least one e-mail address")
        if not self.admin_cidrs:
            raise ValueError("admin_cidrs=[]: nobody could call the admin API; name addresses")
        if not self.authenticators:
            raise ValueError("authenticators=[]: nobody would be asked for a second factor")
        for name in ("session", "mfa_session"):
            if not _DURATION.fullmatch(getattr(self, name)):
                raise ValueError(f"{name}={getattr(self, name)!r}: write minutes or hours, as 8h")
        unusable = [t.name for t in self.service_tokens if "ssh" in t.uses and not self.ssh]
        if unusable:
            raise ValueError(f"service token {unusable[0]} is for ssh, and no ssh route is given")

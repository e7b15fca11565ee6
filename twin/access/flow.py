"""What the stage and the team domain hand each other: addresses, and a finished login."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twin.access.deployed import Deployed, Organization
from twin.access.sessions import Session

GOOGLE_HOST: Final = "accounts.google.localhost"
CALLBACK: Final = "/cdn-cgi/access/callback"


@dataclass(frozen=True, kw_only=True)
class Handover:
    """A login that is done: `authority` is the application's host with its port, `back` the path.

    `browser` is the SHA-256 of the browser's `CF_AppSession`.
    """

    session: str
    aud: str
    hostname: str
    authority: str
    back: str
    browser: str


@dataclass(frozen=True)
class Ways:
    """Where things are on this machine; `port` is the edge's."""

    deployed: Deployed
    port: Callable[[], int]

    def team(self, organization: Organization) -> str:
        """Return the team domain's host and port, as a browser here reaches it."""
        return organization.local + self._suffix()

    def google(self) -> str:
        """Return the simulated Google's host and port."""
        return GOOGLE_HOST + self._suffix()

    def callback(self, organization: Organization) -> str:
        """Return where Google sends people back to."""
        return f"https://{self.team(organization)}{CALLBACK}"

    def identity(self, session: Session) -> dict[str, Any]:
        """Return what `get-identity` tells of a session."""
        provider = self.deployed.provider(session.provider)
        names = self.deployed.posture()
        return {
            "email": session.email,
            "idp": {"id": session.provider, "type": provider.kind if provider else ""},
            "geo": {"country": session.country},
            "user_uuid": session.user,
            "devicePosture": {
                id: {"id": id, "rule_name": name, "success": id in session.posture}
                for id, name in names.items()
            },
            "account_id": session.account,
            "iat": int(session.since),
            "ip": session.address,
            "groups": list(session.groups),
            "is_warp": bool(session.posture),
            "is_gateway": bool(session.posture),
            "service_token_status": False,
            "version": 2,
        }

    def _suffix(self) -> str:
        return "" if self.port() == 443 else f":{self.port()}"

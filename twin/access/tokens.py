"""The tokens that Access gives out, and which of them it takes back.

Claims: cloudflare-docs, application-token. Their times are the machine's and not the twin's: the
service verifies them by the machine's clock, and a twin that was moved ahead would otherwise log in
people from the future. How long a session lasts is measured with the twin's clock.
"""

from __future__ import annotations

import hmac
from typing import Any, Final

from twin.access.deployed import Application, Organization
from twin.access.keys import Keys
from twin.access.sessions import Session, Sessions
from twin.clock import Clock

SERVICE_SECONDS: Final = 60
"""The life of a token that is made for one request of a program."""


class Tokens:
    """Makes and verifies tokens."""

    def __init__(self, keys: Keys, sessions: Sessions, clock: Clock) -> None:
        self._keys = keys
        self._sessions = sessions
        self._clock = clock

    def of_person(self, organization: Organization, session: Session) -> str:
        """Return a session's token: an application's, or the team's own."""
        issued = int(session.since - self._clock.ahead)
        claims: dict[str, Any] = {
            "aud": [session.aud] if session.aud else [session.account],
            "email": session.email,
            "exp": issued + round(session.until - session.since),
            "iat": issued,
            "nbf": issued,
            "iss": organization.issuer,
            "type": "app" if session.aud else "org",
            "identity_nonce": session.nonce,
            "sub": session.user,
            "country": session.country,
        }
        if session.policy:
            claims["policy_id"] = session.policy
        return self._keys.sign(organization.account, claims)

    def of_program(self, organization: Organization, app: Application, client_id: str) -> str:
        """Return the token of one request of a program: no e-mail, an empty subject."""
        issued = int(self._clock.now() - self._clock.ahead)
        return self._keys.sign(
            organization.account,
            {
                "type": "app",
                "aud": [app.aud],
                "exp": issued + SERVICE_SECONDS,
                "iss": organization.issuer,
                "common_name": client_id,
                "iat": issued,
                "sub": "",
            },
        )

    def session(
        self, organization: Organization, token: str, aud: str, binding: str | None = None
    ) -> Session | None:
        """Return the session that a token stands for, at one application (`aud` empty: the team).

        `binding` is the browser's binding cookie where the application asks for one.
        """
        claims = self._keys.verified(organization.account, token)
        if claims is None or claims.get("iss") != organization.issuer:
            return None
        if claims.get("type") != ("app" if aud else "org"):
            return None
        if claims.get("aud") != [aud or organization.account]:
            return None
        session = self._sessions.find(str(claims.get("identity_nonce", "")))
        if session is None or session.aud != aud or session.email != claims.get("email"):
            return None
        if binding is not None and not hmac.compare_digest(session.binding, binding):
            return None
        return session

"""Tokens for clients of the API: a JSON web token (RFC 7519) that stands for a session.

A client that keeps no cookies sends it as `Authorization: Bearer`. It names a session, and whoever
presents it is looked up there: a log-out, a new password or a lock ends the token at once, and a
role is the session's. The signature only spares the cache questions about invented ones. Signed
and verified here alone, so with a shared key; the algorithm is ours and never the token's.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import Any, Final

import jwt

from payments.people.sessions import Session

LIFETIME_SECONDS: Final = 15 * 60
ALGORITHM: Final = "HS256"
AUDIENCE: Final = "api"
MOST_CHARACTERS: Final = 1024

_SESSION: Final = re.compile(r"[0-9a-f]{64}")


class Tokens:
    """Makes and reads tokens under the service's session key; times are the service's clock."""

    def __init__(self, key: bytes, issuer: str, clock: Callable[[], float]) -> None:
        # Of its own, as `csrf` has one: a key authenticates one kind of message.
        self._key = hmac.digest(key, b"api token v1", "sha256")
        self._issuer = issuer
        self._clock = clock

    def issue(self, session: Session) -> str:
        """Return a token for a session; it lives `LIFETIME_SECONDS` and not longer than that."""
        now = int(self._clock())
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": str(session.user_id),
            "sid": session.key,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)

    def session_of(self, token: str) -> str | None:
        """Return the key of the session that a token stands for; None for a token that is none."""
        if len(token) > MOST_CHARACTERS:
            return None
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=self._issuer,
                # The end is checked below, against the service's clock.
                options={
                    "require": ["exp", "iat", "aud", "iss", "sub"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError:
            return None
        session = claims.get("sid")
        if self._clock() >= claims["exp"]:
            return None
        return session if isinstance(session, str) and _SESSION.fullmatch(session) else None

"""Verifying what Access says of a request: the header `Cf-Access-Jwt-Assertion`.

The header's content is a JSON web token (RFC 7519). Everything about it is checked, by what we
were told and not by what it says of itself: the algorithm, the signature by a key of our team, the
issuer, the audience of exactly the application in front of this path, its times. The e-mail header
that Access sets beside it is never read: it is not signed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from payments.access.config import AccessSettings
from payments.access.keys import ALGORITHM, Keys

HEADER: Final = "cf-access-jwt-assertion"

LEEWAY_SECONDS: Final = 30.0
"""How far our clock and Access's may be apart."""

MAX_AGE_SECONDS: Final = 24 * 3600.0
"""The longest that one log-in counts here, whatever session length Access is set to."""

MOST_CHARACTERS: Final = 8 * 1024
"""An assertion has some 900 characters; more of it need not be decoded."""


class RefusedError(Exception):
    """The assertion proves nothing; the text says why, for the log only."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whom Access vouches for: a person (`email`) or a program (`service_token`, a client id).

    `subject` is Access's own name for them, `issued` when they logged in (seconds since the epoch).
    """

    subject: str
    email: str | None
    service_token: str | None
    issued: float


class Verifier:
    """Verifies assertions of one team. One instance serves a replica."""

    def __init__(self, settings: AccessSettings, keys: Keys, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._keys = keys
        self._clock = clock

    async def verify(self, token: str, audience: str) -> Identity:
        """Return whom the assertion is about; raises `RefusedError` or `KeysUnavailableError`."""
        if len(token) > MOST_CHARACTERS:
            raise RefusedError("too long")
        key = await self._key(token)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=audience,
                issuer=self._settings.issuer,
                # The times are checked below, against the service's clock.
                options={
                    "require": ["exp", "iat", "aud", "iss"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError as error:
            raise RefusedError(type(error).__name__) from error
        issued = self._check_times(claims)
        if claims.get("type", "app") != "app":
            raise RefusedError("not an application's token")
        return _identity(claims, issued)

    async def _key(self, token: str) -> jwt.PyJWK:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise RefusedError(type(error).__name__) from error
        key_id = header.get("kid")
        if header.get("alg") != ALGORITHM or not isinstance(key_id, str) or len(key_id) > 200:
            raise RefusedError("another algorithm, or no key id")
        key = await self._keys.find(key_id)
        if key is None:
            raise RefusedError("no key of this team")
        return key

    def _check_times(self, claims: Mapping[str, Any]) -> float:
        now = self._clock()
        issued, expires = claims["iat"], claims["exp"]
        not_before = claims.get("nbf", issued)
        for value in (issued, expires, not_before):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise RefusedError("a time is no number")
        if now >= expires + LEEWAY_SECONDS:
            raise RefusedError("expired")
        if now < max(issued, not_before) - LEEWAY_SECONDS:
            raise RefusedError("not valid yet")
        if now - issued > MAX_AGE_SECONDS:
            raise RefusedError("too old")
        return float(issued)


def _identity(claims: Mapping[str, Any], issued: float) -> Identity:
    """Tell people from programs: a service token has a `common_name`, its client id, no `email`."""
    email, name = claims.get("email"), claims.get("common_name")
    subject = claims.get("sub")
    if isinstance(email, str) and email and not name:
        return Identity(
            subject=subject if isinstance(subject, str) and subject else email.lower(),
            email=email.lower(),
            service_token=None,
            issued=issued,
        )
    if isinstance(name, str) and name and not email:
        return Identity(subject=name, email=None, service_token=name, issued=issued)
    raise RefusedError("neither a person nor a program")

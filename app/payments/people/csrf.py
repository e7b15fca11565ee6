"""Tokens that tie a form to the browser it was rendered for.

A token is `salt ‖ HMAC-SHA-256(key, salt ‖ binding)` in base64url. The binding is the session's key
for somebody who is logged in, and the value of the visitor cookie for somebody who is not: nothing
is stored, a token dies with its session, and the salt makes every rendered token different, so that
a compressing proxy leaks nothing of it (BREACH).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

FIELD = "csrf"
"""Name of the hidden form field."""

HEADER = "x-csrf-token"
"""Name of the header in which a script of our own pages sends it."""

VISITOR_COOKIE = "__Host-visitor"
"""Binding of forms before log-in. Not the session's name: a first visit that comes from another
site carries no strict cookie, and must not overwrite the session it cannot see."""

_SALT = 16
_SIZE = _SALT + hashlib.sha256().digest_size


class Csrf:
    """Makes and checks tokens under the service's session key (32 bytes or more)."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("the session key needs at least 32 bytes")
        # A key of its own: the same secret must not authenticate two kinds of message.
        self._key = hmac.digest(key, b"csrf token v1", "sha256")

    def issue(self, binding: str) -> str:
        """Return a fresh token for this session or visitor."""
        salt = secrets.token_bytes(_SALT)
        return urlsafe_b64encode(salt + self._mac(salt, binding)).decode()

    def valid(self, token: str | None, binding: str | None) -> bool:
        """Say whether the token was made for this session or visitor."""
        if not token or not binding:
            return False
        try:
            raw = urlsafe_b64decode(token.encode())
        except ValueError:
            return False
        if len(raw) != _SIZE:
            return False
        return hmac.compare_digest(raw[_SALT:], self._mac(raw[:_SALT], binding))

    def _mac(self, salt: bytes, binding: str) -> bytes:
        return hmac.digest(self._key, salt + binding.encode(), "sha256")


def new_visitor() -> str:
    """Return a value for the visitor cookie: 256 random bits."""
    return secrets.token_urlsafe(32)

"""Time-based one-time passwords: RFC 6238 with SHA-1, six digits and steps of 30 seconds.

These are the parameters of Access's "authenticator application" (cloudflare-docs, independent-mfa).
"""

from __future__ import annotations

import base64
import hmac
import secrets
import struct
from typing import Final
from urllib.parse import quote

STEP: Final = 30
DIGITS: Final = 6
DRIFT: Final = 1
"""Steps that a code may be early or late: RFC 6238, section 5.2."""


def new_key() -> str:
    """Return a key of 160 bits in base32, as authenticators take it."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def code(key: str, counter: int) -> str:
    """Return the password of one step (RFC 4226, section 5.3)."""
    mac = hmac.digest(base64.b32decode(key), struct.pack(">Q", counter), "sha1")
    start = mac[-1] & 0x0F
    (number,) = struct.unpack(">I", mac[start : start + 4])
    return str((number & 0x7FFFFFFF) % 10**DIGITS).zfill(DIGITS)


def matching(key: str, given: str, now: float, after: int) -> int | None:
    """Return the step that `given` is the password of, None for none.

    A step at or before `after`, the last one used, is not taken again.
    """
    current = int(now // STEP)
    for counter in range(current - DRIFT, current + DRIFT + 1):
        if counter > after and hmac.compare_digest(code(key, counter), given):
            return counter
    return None


def address(key: str, email: str, issuer: str) -> str:
    """Return the `otpauth:` address that an authenticator's QR code holds."""
    label = quote(f"{issuer}:{email}")
    return f"otpauth://totp/{label}?secret={key}&issuer={quote(issuer)}&algorithm=SHA1&period=30"

"""Standard Webhooks: the headers of a delivery, signed with every secret that is valid.

github.com/standard-webhooks/standard-webhooks, spec 1.0.0: HMAC-SHA256 over `id.timestamp.body`,
base64 with the version before it; several signatures in one header are how secrets change without
a gap. Secrets are sealed at rest with a key of the service's own: a copy of the database alone
cannot sign.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PREFIX: Final = "whsec_"
_NONCE_BYTES: Final = 12


def new_secret() -> bytes:
    """Return a new secret: 32 random bytes."""
    return secrets.token_bytes(32)


def shown(secret: bytes) -> str:
    """Return a secret as its owner keeps it."""
    return PREFIX + base64.b64encode(secret).decode()


def headers(
    message_id: str, timestamp: int, body: bytes, secrets: Sequence[bytes]
) -> dict[str, str]:
    """Return the headers of a delivery, with a signature by each secret."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        for secret in secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


class Seal:
    """Seals secrets under a key derived from the service's session key."""

    def __init__(self, session_key: bytes) -> None:
        key = HKDF(SHA256(), 32, salt=None, info=b"payments webhook secrets v1").derive(session_key)
        self._cipher = AESGCM(key)

    def close(self, secret: bytes) -> bytes:
        """Return the sealed form of a secret."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, None)

    def open(self, sealed: bytes) -> bytes:
        """Return the secret. Raises `cryptography.exceptions.InvalidTag` under another key."""
        return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)

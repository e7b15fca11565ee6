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
from contextlib import suppress
from typing import Final

from cryptography.exceptions import InvalidTag
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


class UnreadableError(Exception):
    """A secret was sealed under a key that the service does not have any more."""


class Seal:
    """Seals secrets under a key derived from the service's session key.

    Given several, the first seals and each of them opens: so the session key can be changed.
    """

    def __init__(self, *session_keys: bytes) -> None:
        self._ciphers = [AESGCM(_derived(key)) for key in session_keys]

    def close(self, secret: bytes) -> bytes:
        """Return the sealed form of a secret."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, secret, None)

    def open(self, sealed: bytes) -> bytes:
        """Return the secret. Raises `UnreadableError`."""
        for cipher in self._ciphers:
            with suppress(InvalidTag):
                return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        raise UnreadableError("sealed under none of the keys")

    def renew(self, sealed: bytes) -> bytes | None:
        """Return it sealed under the first key; None where it is already. Raises as `open`."""
        secret = self.open(sealed)
        with suppress(InvalidTag):
            self._ciphers[0].decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
            return None
        return self.close(secret)


def _derived(session_key: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"payments webhook secrets v1").derive(session_key)

"""Pulumi's passphrase secrets provider, so that values are encrypted without a process for each.

The format is the engine's (`v1:<nonce>:<ciphertext>`, AES-256-GCM; the key by PBKDF2 from the
passphrase and the stack's `encryptionsalt`, which also holds an encrypted word to check it by).
"""

from __future__ import annotations

import base64
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

_ITERATIONS = 1_000_000
_WORD = "pulumi"


class WrongPassphrase(Exception):
    """The passphrase is not the one the values were encrypted with."""


class Crypter:
    """Encrypts and decrypts the values of one stack file."""

    def __init__(self, salt_line: str, passphrase: str) -> None:
        """`salt_line` is the file's `encryptionsalt`. Raises WrongPassphrase."""
        version, salt, word = salt_line.split(":", 2)
        if version != "v1":
            raise WrongPassphrase(f"encryptionsalt has an unknown format: {version}")
        self._cipher = AESGCM(_key(base64.b64decode(salt), passphrase))
        self.salt_line = salt_line
        if self.decrypt(word) != _WORD:
            raise WrongPassphrase("the passphrase does not fit")

    @classmethod
    def new(cls, passphrase: str) -> Crypter:
        """A crypter with a fresh salt."""
        salt = os.urandom(8)
        word = _encrypt(AESGCM(_key(salt, passphrase)), _WORD)
        return cls(f"v1:{base64.b64encode(salt).decode()}:{word}", passphrase)

    def encrypt(self, text: str) -> str:
        """A value for `secure:`."""
        return _encrypt(self._cipher, text)

    def decrypt(self, value: str) -> str:
        """The text of a `secure:` value. Raises WrongPassphrase."""
        try:
            _, nonce, sealed = value.split(":", 2)
            plain = self._cipher.decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None)
        except (InvalidTag, ValueError) as error:
            raise WrongPassphrase("the passphrase does not fit") from error
        return plain.decode()


@lru_cache(maxsize=8)  # a million rounds: a third of a second each
def _key(salt: bytes, passphrase: str) -> bytes:
    derivation = PBKDF2HMAC(algorithm=SHA256(), length=32, salt=salt, iterations=_ITERATIONS)
    return derivation.derive(passphrase.encode())


def _encrypt(cipher: AESGCM, text: str) -> str:
    nonce = os.urandom(12)
    sealed = cipher.encrypt(nonce, text.encode(), None)
    return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"

"""What signs PayPal's messages: RSA keys with certificates that anybody may fetch.

A certificate is the leaf (CN and SAN `messageverificationcerts.paypal.com`, as the real one's) and
behind it the twin's authority, which signed it; whoever trusts that authority can check the chain
with a standard verifier. Old certificates stay where they were, as PayPal's do.
"""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from twin.ca import CertificateAuthority
from twin.gateways.common.tables import Book, new_id

NAME = "messageverificationcerts.paypal.com"
ALGORITHM = "SHA256withRSA"
_BITS = 2048


class Certificates:
    """The certificates, kept in the book's table `certificate`."""

    def __init__(self, book: Book, authority: Path) -> None:
        self._table = book.add("certificate")
        self._home = authority.parent

    def first(self) -> str:
        """Return the id of the oldest certificate."""
        known = self._table.items()
        return known[0][0] if known else self.issue()

    def issue(self) -> str:
        """Make a key and its certificate; returns the id."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        id = f"CERT-{new_id('', 8, '0123456789abcdef')}-{new_id('', 8, '0123456789abcdef')}"
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        certificate = CertificateAuthority(self._home).certify(key.public_key(), NAME)
        self._table.put(id, {"id": id, "certificate": certificate, "key": pem})
        return id

    def pem(self, id: str) -> str | None:
        """Return a certificate with what is behind it."""
        known = self._table.get(id)
        return None if known is None else str(known["certificate"])

    def sign(self, id: str, message: str) -> str:
        """Return a signature, base64."""
        key = self._key(id)
        signature = key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signature).decode()

    def check(self, id: str, message: str, signature: str) -> bool:
        """Return whether a signature is this certificate's."""
        try:
            given = base64.b64decode(signature, validate=True)
            self._key(id).public_key().verify(
                given, message.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (ValueError, KeyError, InvalidSignature):
            return False
        return True

    def _key(self, id: str) -> rsa.RSAPrivateKey:
        known = self._table.get(id)
        if known is None:
            raise KeyError(id)
        key = serialization.load_pem_private_key(known["key"].encode(), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError(f"{id} has no RSA key")
        return key

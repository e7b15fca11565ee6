"""The certificates that PayPal signs its deliveries with: fetched, verified, kept for a while.

A delivery names its certificate by an address, so an attacker would name their own: only an address
below `paypal.com`, or the host whose API we are told to use, is ever asked, and what comes must be
for such a name and lead to an authority that we trust.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import DNSName, ExtensionNotFound, SubjectAlternativeName
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from payments.gateways.http import JsonApi
from payments.gateways.protocol import GatewayUnknownError, InvalidWebhookError

DOMAIN: Final = ".paypal.com"
KEPT: Final = timedelta(hours=12)
MOST_KEPT: Final = 8
MAX_BYTES: Final = 64 * 1024


class Certificates:
    """Public keys by the address of their certificate."""

    def __init__(self, api: JsonApi, *, api_base: str, outgoing_ca: str | None) -> None:
        self._api = api
        self._own = urlsplit(api_base)
        self._outgoing_ca = outgoing_ca
        self._store: Store | None = None
        self._kept: dict[str, tuple[datetime, RSAPublicKey]] = {}

    async def key(self, url: str, now: datetime) -> RSAPublicKey:
        """Return the key of the certificate at `url`.

        Raises `InvalidWebhookError` when it is not PayPal's, `GatewayUnknownError` when it cannot
        be had now.
        """
        self._check_address(url)
        kept = self._kept.get(url)
        if kept is not None and now < kept[0]:
            return kept[1]
        status, pem = await self._api.fetch("GET", url, most=MAX_BYTES)
        if status >= 500 or status == 429:
            raise GatewayUnknownError(f"the certificate: status {status}")
        if status != 200:
            raise InvalidWebhookError(f"there is no certificate at its address (status {status})")
        leaf, key = self._verified(pem, now)
        while len(self._kept) >= MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[url] = (min(now + KEPT, leaf.not_valid_after_utc), key)
        return key

    def _check_address(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise InvalidWebhookError("the certificate's address cannot be read") from None
        if (parts.scheme, parts.netloc) == (self._own.scheme, self._own.netloc):
            return
        known = host.endswith(DOMAIN) and port in (None, 443) and parts.username is None
        if not known or parts.scheme != "https":
            raise InvalidWebhookError("the certificate's address is not PayPal's")

    def _verified(self, pem: bytes, now: datetime) -> tuple[x509.Certificate, RSAPublicKey]:
        """Return the first certificate if the rest leads from it to an authority of ours."""
        try:
            leaf, *others = x509.load_pem_x509_certificates(pem)
            names = leaf.extensions.get_extension_for_class(SubjectAlternativeName).value
        except (ValueError, ExtensionNotFound) as error:
            raise InvalidWebhookError("the certificate cannot be read") from error
        for name in names.get_values_for_type(DNSName):
            if name != self._own.hostname and not name.endswith(DOMAIN):
                continue
            verifier = (
                PolicyBuilder()
                .store(self._authorities())
                .time(now.astimezone(UTC).replace(tzinfo=None))
                .build_server_verifier(DNSName(name.replace("*", "any", 1)))
            )
            try:
                verifier.verify(leaf, others)
            except VerificationError:
                continue
            key = leaf.public_key()
            if isinstance(key, RSAPublicKey):
                return leaf, key
        raise InvalidWebhookError("the certificate is not PayPal's, or no authority vouches for it")

    def _authorities(self) -> Store:
        if self._store is None:
            pem = certifi.contents() + "\n" + (self._outgoing_ca or "")
            self._store = Store(x509.load_pem_x509_certificates(pem.encode()))
        return self._store

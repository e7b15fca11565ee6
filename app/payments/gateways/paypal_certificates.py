"""The certificates that PayPal signs its deliveries with: fetched, verified, kept for a while.

A delivery names its certificate by an address, so an attacker would name their own: only an address
below `paypal.com`, or the host whose API we are told to use, is ever asked, and what comes must be
for such a name and lead to an authority that we trust.

It has to be asked before anything is proven, and deliveries are never limited in number. So what a
stranger can have us ask is: few at once, one after the other, over connections of their own, so
that the calls that move money wait for none of it. While somebody keeps asking, a certificate that
this process has not had yet waits with them; PayPal delivers for three days, and neither the repair
of payments nor reconciliation needs a delivery.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
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
PATH: Final = re.compile(r"/v1/notifications/certs/[A-Za-z0-9_-]{1,100}")
"""As in every delivery that PayPal's documentation and samples show."""
STRANGERS: Final = 30
WITHIN: Final = timedelta(minutes=1)
"""How many certificates that were never good are asked for within which time, at most."""


class Certificates:
    """Public keys by the address of their certificate."""

    def __init__(self, *, api_base: str, outgoing_ca: str | None) -> None:
        self._api = JsonApi(api_base, outgoing_ca=outgoing_ca)
        self._own = urlsplit(api_base)
        self._outgoing_ca = outgoing_ca
        self._store: Store | None = None
        self._kept: dict[str, tuple[datetime, RSAPublicKey]] = {}
        self._asking = asyncio.Lock()
        self._strangers: deque[datetime] = deque()

    async def key(self, url: str, now: datetime) -> RSAPublicKey:
        """Return the key of the certificate at `url`.

        Raises `InvalidWebhookError` when it is not PayPal's, `GatewayUnknownError` when it cannot
        be had now.
        """
        self._check_address(url)
        key = self._known(url, now)
        if key is not None:
            return key
        async with self._asking:
            key = self._known(url, now)
            if key is not None:
                return key
            if url not in self._kept:
                self._count_stranger(now)
            return await self._fetch(url, now)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    def _known(self, url: str, now: datetime) -> RSAPublicKey | None:
        until, key = self._kept.get(url, (now, None))
        return key if now < until else None

    def _count_stranger(self, now: datetime) -> None:
        while self._strangers and self._strangers[0] <= now - WITHIN:
            self._strangers.popleft()
        if len(self._strangers) >= STRANGERS:
            raise GatewayUnknownError("too many certificates were asked for: later again")
        self._strangers.append(now)

    async def _fetch(self, url: str, now: datetime) -> RSAPublicKey:
        status, pem = await self._api.fetch("GET", url, most=MAX_BYTES)
        if status >= 500 or status == 429:
            raise GatewayUnknownError(f"the certificate: status {status}")
        if status != 200:
            raise InvalidWebhookError(f"there is no certificate at its address (status {status})")
        leaf, key = self._verified(pem, now)
        self._kept.pop(url, None)
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
        if not PATH.fullmatch(parts.path) or parts.query or parts.fragment:
            raise InvalidWebhookError("the certificate's address is not as PayPal's are")
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

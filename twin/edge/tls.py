"""The edge's TLS: a certificate for each name it serves, and what the name's zone takes.

`min_tls_version`, `tls_1_3` and `ciphers` are the deployed settings; without them the defaults of a
new zone hold, TLS 1.0 and CBC suites with them (cloudflare-docs, ssl/edge-certificates). Names that
are not a zone's take TLS 1.2 and up with the intermediate ciphers.

The curve is P-256 alone. Python's ssl offers one curve or all of OpenSSL's, among them two that
Mozilla's profiles refuse (secp521r1, X448); the real edge also has X25519. HTTP/2 and HTTP/3 are
not spoken: the server library has neither, so `http2`, `http3` and `0rtt` change nothing here.
"""

from __future__ import annotations

import ssl
import tempfile
import warnings
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twin.ca import CertificateAuthority
from twin.edge.routes import Routes

INTERMEDIATE: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
)
"""Mozilla's intermediate profile 5.7 for the kind of key that our certificates have."""
DEFAULT_CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-SHA384",
)
"""What a zone without `ciphers` takes (ssl/…/cipher-suites/supported-cipher-suites), of which only
these can be used with the ECDSA certificates here."""
CURVE: Final = "prime256v1"
_VERSIONS: Final = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a name's connections must keep to."""

    minimum: str = "1.2"
    tls13: bool = True
    ciphers: tuple[str, ...] = INTERMEDIATE

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Terms:
        """Read a zone's settings."""
        ciphers = tuple(settings.get("ciphers") or DEFAULT_CIPHERS)
        return cls(
            minimum=str(settings.get("min_tls_version") or "1.0"),
            tls13=settings.get("tls_1_3", "on") != "off",
            ciphers=ciphers,
        )


class Certificates:
    """TLS contexts by server name. `sites` are the names that are not a zone's."""

    def __init__(
        self,
        authority: CertificateAuthority,
        routes: Routes,
        sites: Container[str],
        fallback: str,
        settings: Callable[[str], dict[str, Any]],
    ) -> None:
        self._authority = authority
        self._routes = routes
        self._sites = sites
        self._fallback = fallback
        self._settings = settings
        self._contexts: dict[tuple[tuple[str, ...], Terms], tuple[str, ssl.SSLContext]] = {}
        self._refusing = server_context(Terms())
        self._refusing.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    def context(self, name: str) -> ssl.SSLContext:
        """Return the context for a server name; one that refuses where it is not served."""
        if not name:
            return self.for_names((self._fallback,), Terms())
        if name in self._sites:
            return self.for_names((name,), Terms())
        zone = self._routes.zone(name)
        if zone is None or name.removesuffix(zone.name).count(".") > 1:
            return self._refusing  # a zone's certificate covers one level below it
        return self.for_names((zone.name, f"*.{zone.name}"), Terms.of(self._settings(zone.id)))

    def for_names(self, names: tuple[str, ...], terms: Terms) -> ssl.SSLContext:
        """Return a context with a certificate for these names; renewed before it ends."""
        certificate, key = self._authority.server_certificate(names)
        kept = self._contexts.get((names, terms))
        if kept is None or kept[0] != certificate:
            context = server_context(terms)
            _load(context, certificate, key)
            kept = self._contexts[names, terms] = (certificate, context)
        return kept[1]


def server_context(terms: Terms) -> ssl.SSLContext:
    """Return a context without a certificate that keeps to the terms."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    legacy = terms.minimum in ("1.0", "1.1")
    # OpenSSL signs TLS 1.0 and 1.1 handshakes at level 0 only.
    context.set_ciphers(":".join(terms.ciphers) + (":@SECLEVEL=0" if legacy else ""))
    with warnings.catch_warnings():
        # A zone may take old versions; whether ours does is the program's decision, and tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = _VERSIONS[terms.minimum]
    if not terms.tls13:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ecdh_curve(CURVE)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load a certificate and key given as text; the library reads files only."""
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder) / "chain.pem"
        chain.touch(mode=0o600)
        chain.write_text(certificate + key)
        context.load_cert_chain(chain)

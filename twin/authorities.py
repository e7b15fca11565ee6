"""Cloudflare's own authorities, as each twin has them: made once, kept in its store.

- The Origin CA signs what origins present to the edge; nobody else trusts it.
- The shared client certificate is what the edge presents to an origin when Authenticated Origin
  Pulls is on and the zone has uploaded none of its own: the same one for every customer, so it
  proves "through Cloudflare" and not "through my zone" (developers.cloudflare.com, Authenticated
  Origin Pulls, zone-level).

Both sides of the twin, the clouds and the edge, ask here what a certificate is worth today.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from twin.store import Store

DEPLOYING_SECONDS = 10
"""From the upload of a client certificate to `active`: minutes at Cloudflare, shorter here."""

_COLLECTION = "cloudflare/authority"
_REVOKED = "cloudflare/revoked-origin-certificates"
_LIFE = timedelta(days=3650)
_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key, both PEM; `authority` is the certificate that signed it."""

    certificate: str
    key: str
    authority: str


def origin_ca(store: Store) -> Pair:
    """The authority that signs origin certificates."""
    return _kept(store, "origin", lambda: _authority("CloudFlare Origin SSL ECC CA"))


def shared_client(store: Store) -> Pair:
    """The client certificate that every customer's zone shares."""
    return _kept(store, "shared-client", _shared_client)


def deployed_at(client: Mapping[str, Any]) -> float:
    """When an uploaded client certificate is `active`, by the clock: its outputs say since when."""
    uploaded = datetime.fromisoformat(str(client["uploadedOn"]))
    return uploaded.timestamp() + DEPLOYING_SECONDS


def revoke(store: Store, certificate: str) -> None:
    """An origin certificate was deleted: the edge takes it no longer."""
    serial = x509.load_pem_x509_certificate(certificate.encode()).serial_number
    store.save(_REVOKED, f"{serial:x}", True)


def is_revoked(store: Store, serial: int) -> bool:
    """Whether an origin certificate with this serial number was deleted."""
    return store.load(_REVOKED, f"{serial:x}") is not None


def signed(
    authority: Pair,
    *,
    subject: x509.Name,
    public: Any,
    names: Sequence[str],
    days: int,
    use: x509.ObjectIdentifier,
) -> x509.Certificate:
    """A certificate for a public key, from now on."""
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    key = serialization.load_pem_private_key(authority.key.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101  (made below)
    now = datetime.now(UTC).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(key, hashes.SHA256())


def text(certificate: x509.Certificate) -> str:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def named(organization: str, unit: str, common: str) -> x509.Name:
    """A subject of three parts."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _kept(store: Store, name: str, make: Any) -> Pair:
    with _lock:
        found = store.load(_COLLECTION, name)
        if found is None:
            found = make()
            store.save(_COLLECTION, name, found)
        return Pair(**found)


def _shared_client() -> dict[str, str]:
    authority = Pair(**_authority("origin-pull.cloudflare.net"))
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = signed(
        authority,
        subject=named("CloudFlare, Inc.", "Origin Pull", "*.cloudflare.com"),
        public=key.public_key(),
        names=(),
        days=_LIFE.days,
        use=ExtendedKeyUsageOID.CLIENT_AUTH,
    )
    return {"certificate": text(leaf), "key": _pem(key), "authority": authority.certificate}


def _authority(common: str) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = named("CloudFlare, Inc.", common, common)
    now = datetime.now(UTC).replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signs(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = text(certificate)
    return {"certificate": pem, "key": _pem(key), "authority": pem}


def _signs() -> x509.KeyUsage:
    return x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()

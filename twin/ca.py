"""The twin's certificate authority: one per instance, signing what its clouds' servers present.

The real platforms have their own: a database cluster's certificate is signed by a private authority
that the API hands out, the edge presents publicly trusted ones. Here one authority does for all, in
`ca.pem` and `ca.key` (0600) of the instance's home; it lives as long as the home does.

Certificates keep to what strict verifiers ask (RFC 5280 as Python 3.13's default context checks
it): subject and authority key identifiers, critical basic constraints, names as subjectAltName.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY_DAYS = 3650
_SERVER_DAYS = 365
"""Below what browsers accept (397, CA/Browser Forum ballot SC31) and what Mozilla's intermediate
profile allows (366, ssl-config.mozilla.org/guidelines/5.7.json)."""
_RENEW_BEFORE = timedelta(days=30)
_BACKDATED = timedelta(hours=1)
"""Guests' clocks may run behind."""
_LONGEST_COMMON_NAME = 64


@dataclass(frozen=True)
class _Issued:
    certificate: str
    key: str
    renew_at: datetime


class CertificateAuthority:
    """Creates or loads the authority of a home, and signs server certificates. Thread-safe.

    Raises ValueError when the home's `ca.pem` and `ca.key` do not belong together.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.certificate_file = home / "ca.pem"
        self._key_file = home / "ca.key"
        self._issued: dict[tuple[str, ...], _Issued] = {}
        self._lock = threading.Lock()
        with _exclusive(home / ".ca.lock"):
            if not (self.certificate_file.exists() and self._key_file.exists()):
                self._make()
        self._key = _load_key(self._key_file)
        self._certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        if self._certificate.public_key() != self._key.public_key():
            raise ValueError(
                f"{self.certificate_file} and {self._key_file} do not belong together: "
                "remove both, and a new authority is made."
            )

    @property
    def certificate(self) -> str:
        """The authority's own certificate, PEM."""
        return self.certificate_file.read_text()

    def server_certificate(self, names: Sequence[str]) -> tuple[str, str]:
        """Return a certificate for these DNS names and IP addresses, and its key, both PEM.

        The certificate comes with the authority's behind it. The same names get the same pair
        until 30 days before it ends.
        """
        if not names:
            raise ValueError("A server certificate needs at least one name.")
        wanted = tuple(dict.fromkeys(name.lower().rstrip(".") for name in names))
        with self._lock:
            issued = self._issued.get(wanted)
            if issued is None or datetime.now(UTC) >= issued.renew_at:
                issued = self._issued[wanted] = self._issue(wanted)
        return issued.certificate, issued.key

    def certify(self, key: rsa.RSAPublicKey, name: str) -> str:
        """Return a certificate for somebody's own key under this name, PEM, the authority's behind.

        For what signs messages rather than serving: whoever trusts the authority can check it.
        """
        leaf = self._sign(key, (name,), datetime.now(UTC) + timedelta(days=_SERVER_DAYS))
        return leaf.public_bytes(serialization.Encoding.PEM).decode() + self.certificate

    def _make(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        serial = hashlib.sha256(identity.digest).hexdigest()[:8]
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Payments twin"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"Payments twin CA {serial}"),
            ]
        )
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + timedelta(days=_AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(identity, critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(self._key_file, _key_pem(key), 0o600)
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        _write(self.certificate_file, pem.decode(), 0o644)

    def _issue(self, names: tuple[str, ...]) -> _Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        ends = datetime.now(UTC) + timedelta(days=_SERVER_DAYS)
        certificate = self._sign(key.public_key(), names, ends)
        leaf = certificate.public_bytes(serialization.Encoding.PEM).decode()
        return _Issued(leaf + self.certificate, _key_pem(key), ends - _RENEW_BEFORE)

    def _sign(
        self,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        names: tuple[str, ...],
        ends: datetime,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        common = names[0] if len(names[0]) <= _LONGEST_COMMON_NAME else "payments-twin"
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(min(ends, self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )


class _exclusive:
    """Hold a lock file, so that two processes that start at once make one authority."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds no elliptic-curve key.")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _write(path: Path, text: str, mode: int) -> None:
    """Write a whole file or none, never readable by more than `mode` says."""
    part = path.with_suffix(path.suffix + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    part.replace(path)

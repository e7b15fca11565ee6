"""The tls provider: keys, requests and certificates, kept in the engine's state only.

Rules and defaults: hashicorp/terraform-provider-tls, internal/provider/resource_*.go and
common_cert.go. A certificate inside its early renewal period is replaced by the next update, though
nothing about it changed (`modifyPlanIfCertificateReadyForRenewal`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from ipaddress import ip_address
from typing import Any, ClassVar, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from twin.clouds.rules import items, known, unset
from twin.clouds.tls_uses import EXTENDED_USES, KEY_USES
from twin.protocol.resource import (
    UNKNOWN,
    ApiError,
    Change,
    Context,
    Created,
    Failure,
    Package,
    Props,
    Resource,
)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_CURVES: Final[dict[str, type[ec.EllipticCurve]]] = {
    "P224": ec.SECP224R1,
    "P256": ec.SECP256R1,
    "P384": ec.SECP384R1,
    "P521": ec.SECP521R1,
}
_DEFAULT_CURVE: Final = "P224"
_DEFAULT_BITS: Final = 2048
_RFC3339: Final = "%Y-%m-%dT%H:%M:%SZ"
_SUBJECT: Final = {
    "country": NameOID.COUNTRY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "streetAddresses": NameOID.STREET_ADDRESS,
    "postalCode": NameOID.POSTAL_CODE,
    "commonName": NameOID.COMMON_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}


def now() -> datetime:
    """The time that certificates are issued and judged at."""
    return datetime.now(UTC)


class _Made(Resource):
    """What is computed once; nothing is held outside the state."""

    recorded = False

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        """Write-only inputs exist in the provider; the twin has no place where they would rest."""
        for name in inputs:
            if "PemWo" in name:
                yield Failure(name, "write-only inputs are not doubled: give the plain one")

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        """Only `earlyRenewalHours` changes in place."""
        return {**outputs, "earlyRenewalHours": news.get("earlyRenewalHours")}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """Nothing to remove."""


class PrivateKey(_Made):
    """A key, in three private and two public notations."""

    token: ClassVar[str] = "tls:index/privateKey:PrivateKey"

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Draw it."""
        key = _draw(inputs)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        openssh = _openssh(key)
        outputs = {
            **inputs,
            "ecdsaCurve": inputs.get("ecdsaCurve") or _DEFAULT_CURVE,
            "rsaBits": inputs.get("rsaBits") or _DEFAULT_BITS,
            "privateKeyPem": _private_pem(key, serialization.PrivateFormat.TraditionalOpenSSL),
            "privateKeyPemPkcs8": _private_pem(key, serialization.PrivateFormat.PKCS8),
            "publicKeyPem": public.decode(),
            **openssh,
        }
        return Created(id=hashlib.sha1(public, usedforsecurity=False).hexdigest(), outputs=outputs)


class CertRequest(_Made):
    """A certificate signing request (PKCS #10)."""

    token: ClassVar[str] = "tls:index/certRequest:CertRequest"

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Sign it with its own key."""
        key = _load_key(inputs["privateKeyPem"], "privateKeyPem")
        builder = x509.CertificateSigningRequestBuilder().subject_name(_name(inputs))
        if names := _names(inputs):
            builder = builder.add_extension(names, critical=False)
        pem = builder.sign(key, _digest(key)).public_bytes(serialization.Encoding.PEM).decode()
        digest = hashlib.sha1(pem.encode(), usedforsecurity=False).hexdigest()
        return Created(
            id=digest,
            outputs={**inputs, "certRequestPem": pem, "keyAlgorithm": _algorithm(key)},
        )


class _Certificate(_Made):
    """What both kinds of certificate share: life, uses and renewal."""

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        """Hours are not negative."""
        yield from super().validate(ctx, inputs)
        for name in ("validityPeriodHours", "earlyRenewalHours"):
            hours = known(inputs, name)
            if hours is not None and hours < 0:
                yield Failure(name, f"must be at least 0, not {hours}")
        if (
            known(inputs, "isCaCertificate")
            and self.token == SelfSignedCert.token
            and _nameless(inputs)
        ):
            yield Failure("subject", "must hold a name for a certificate authority (RFC 5280)")

    def diff(self, ctx: Context, olds: Props, news: Props, changed: set[str]) -> Change:
        """Replace what is inside its early renewal period."""
        hours = news.get("earlyRenewalHours", 0)
        if hours is UNKNOWN or "validityEndTime" not in olds or not _is_due(olds, hours):
            return Change()
        return Change(replace=frozenset({"readyForRenewal"}))

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        """A refresh notices that it is ready."""
        due = _is_due(outputs, outputs.get("earlyRenewalHours", 0))
        return {**outputs, "readyForRenewal": due or outputs["readyForRenewal"]}

    def issue(
        self,
        inputs: Props,
        *,
        subject: x509.Name,
        names: x509.SubjectAlternativeName | None,
        public: Any,
        issuer: x509.Certificate | None,
        key: Key,
    ) -> Created:
        """Sign a certificate; `issuer` is None where it signs itself."""
        starts = now().replace(microsecond=0)
        ends = starts + timedelta(hours=inputs["validityPeriodHours"])
        serial = x509.random_serial_number()
        authority = bool(inputs["isCaCertificate"])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(public)
            .serial_number(serial)
            .not_valid_before(starts)
            .not_valid_after(ends)
            .add_extension(
                x509.BasicConstraints(ca=authority, path_length=inputs.get("maxPathLength")),
                critical=True,
            )
        )
        identity = x509.SubjectKeyIdentifier.from_public_key(public)
        if authority or inputs["setSubjectKeyId"]:
            builder = builder.add_extension(identity, critical=False)
        if issuer or inputs.get("setAuthorityKeyId"):
            builder = _with_authority(builder, issuer, identity)
        builder = _with_uses(builder, inputs["allowedUses"])
        if names:
            builder = builder.add_extension(names, critical=False)
        made = builder.sign(key, _digest(key)).public_bytes(serialization.Encoding.PEM)
        outputs = {
            **inputs,
            "certPem": made.decode(),
            "readyForRenewal": False,
            "validityStartTime": starts.strftime(_RFC3339),
            "validityEndTime": ends.strftime(_RFC3339),
        }
        return Created(id=str(serial), outputs=outputs)


class SelfSignedCert(_Certificate):
    """A certificate that its own key signed: an authority, most often."""

    token: ClassVar[str] = "tls:index/selfSignedCert:SelfSignedCert"

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Issue it."""
        key = _load_key(inputs["privateKeyPem"], "privateKeyPem")
        made = self.issue(
            inputs,
            subject=_name(inputs),
            names=_names(inputs),
            public=key.public_key(),
            issuer=None,
            key=key,
        )
        made.outputs["keyAlgorithm"] = _algorithm(key)
        return made


class LocallySignedCert(_Certificate):
    """A certificate for a request, signed by an authority whose key the program has."""

    token: ClassVar[str] = "tls:index/locallySignedCert:LocallySignedCert"

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Issue it: subject and names are the request's."""
        key = _load_key(inputs["caPrivateKeyPem"], "caPrivateKeyPem")
        try:
            request = x509.load_pem_x509_csr(inputs["certRequestPem"].encode())
            issuer = x509.load_pem_x509_certificate(inputs["caCertPem"].encode())
        except ValueError as error:
            raise ApiError(400, f"certRequestPem, caCertPem: {error}") from None
        made = self.issue(
            inputs,
            subject=request.subject,
            names=_requested_names(request),
            public=request.public_key(),
            issuer=issuer,
            key=key,
        )
        made.outputs["caKeyAlgorithm"] = _algorithm(key)
        return made


def package() -> Package:
    """The tls provider in the installed SDK's version."""
    return Package(
        name="tls",
        version=version("pulumi-tls"),
        resources=[PrivateKey(), CertRequest(), SelfSignedCert(), LocallySignedCert()],
    )


# --- keys -----------------------------------------------------------------------------------------
def _draw(inputs: Props) -> Key:
    if inputs["algorithm"] == "RSA":
        return rsa.generate_private_key(65537, inputs.get("rsaBits") or _DEFAULT_BITS)
    if inputs["algorithm"] == "ED25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(_CURVES[inputs.get("ecdsaCurve") or _DEFAULT_CURVE]())


def _private_pem(key: Key, form: serialization.PrivateFormat) -> str:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        form = serialization.PrivateFormat.PKCS8  # it has no older form
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem.decode()


def _openssh(key: Key) -> Props:
    """OpenSSH has no P-224: the provider answers empty texts for it."""
    names = ("privateKeyOpenssh", "publicKeyOpenssh")
    prints = ("publicKeyFingerprintMd5", "publicKeyFingerprintSha256")
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP224R1):
        return dict.fromkeys((*names, *prints), "")
    public = key.public_key()
    line = public.public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    ).decode()
    md5 = serialization.ssh_key_fingerprint(public, hashes.MD5()).hex(":")  # noqa: S303
    sha256 = serialization.ssh_key_fingerprint(public, hashes.SHA256())
    encoded = base64.b64encode(sha256).decode().rstrip("=")
    return {
        "privateKeyOpenssh": _private_pem(key, serialization.PrivateFormat.OpenSSH),
        "publicKeyOpenssh": line + "\n",
        "publicKeyFingerprintMd5": md5,
        "publicKeyFingerprintSha256": f"SHA256:{encoded}",
    }


def _load_key(pem: str, name: str) -> Key:
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ApiError(400, f"{name}: Failed to parse private key PEM") from None
    if not isinstance(key, Key):
        raise ApiError(400, f"{name}: the key is neither RSA, ECDSA nor ED25519")
    return key


def _algorithm(key: Key) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RSA"
    return "ECDSA" if isinstance(key, ec.EllipticCurvePrivateKey) else "ED25519"


def _digest(key: Key) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


# --- certificates ---------------------------------------------------------------------------------
def _name(inputs: Props) -> x509.Name:
    subject = inputs.get("subject") or {}
    found = []
    for field, oid in _SUBJECT.items():
        values = subject.get(field) or []
        for value in [values] if isinstance(values, str) else values:
            found.append(x509.NameAttribute(oid, value))
    return x509.Name(found)


def _nameless(inputs: Props) -> bool:
    subject = known(inputs, "subject")
    return unset(inputs, "subject") or (isinstance(subject, dict) and not any(subject.values()))


def _names(inputs: Props) -> x509.SubjectAlternativeName | None:
    try:
        found: list[x509.GeneralName] = [x509.DNSName(n) for _, n in items(inputs, "dnsNames")]
        found += [x509.IPAddress(ip_address(n)) for _, n in items(inputs, "ipAddresses")]
        found += [x509.UniformResourceIdentifier(n) for _, n in items(inputs, "uris")]
    except ValueError as error:
        raise ApiError(400, f"dnsNames, ipAddresses, uris: {error}") from None
    return x509.SubjectAlternativeName(found) if found else None


def _requested_names(request: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        return request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _with_authority(
    builder: x509.CertificateBuilder,
    issuer: x509.Certificate | None,
    identity: x509.SubjectKeyIdentifier,
) -> x509.CertificateBuilder:
    """The issuer's key identifier, where it has one."""
    if issuer is not None:
        try:
            own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        except x509.ExtensionNotFound:
            return builder
        identity = own.value
    made = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identity)
    return builder.add_extension(made, critical=False)


def _with_uses(builder: x509.CertificateBuilder, uses: list[str]) -> x509.CertificateBuilder:
    plain = {use: use in uses for use in KEY_USES}
    if any(plain.values()):
        plain["key_cert_sign"] = plain.pop("cert_signing")
        plain["crl_sign"] = plain.pop("crl_signing")
        builder = builder.add_extension(x509.KeyUsage(**plain), critical=True)
    if extended := [EXTENDED_USES[use] for use in uses if use in EXTENDED_USES]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    return builder


def _is_due(outputs: Props, early_hours: int) -> bool:
    ends = datetime.fromisoformat(outputs["validityEndTime"])
    return now() >= ends - timedelta(hours=early_hours)

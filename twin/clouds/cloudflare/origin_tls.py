"""TLS between edge and origin: Origin CA certificates, client certificates of origin pulls.

Rules: terraform-provider-cloudflare internal/services/{origin_ca_certificate,
authenticated_origin_pulls_certificate,authenticated_origin_pulls_settings}; the error texts are the
API's, as public issues quote them. What an upload goes through: cloudflare-docs
ssl/origin-configuration/authenticated-origin-pull/set-up/manage-certificates.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from twin import authorities
from twin.clouds.births import birth, forget
from twin.clouds.cloudflare.account import Zone, zone, zones
from twin.clouds.rules import items, known, listed, unset
from twin.protocol.resource import ApiError, Context, Created, Failure, Function, Props, Resource

ORIGIN_CERTIFICATE: Final = "cloudflare:index/originCaCertificate:OriginCaCertificate"
CLIENT_CERTIFICATE: Final = (
    "cloudflare:index/authenticatedOriginPullsCertificate:AuthenticatedOriginPullsCertificate"
)
PULLS_SETTINGS: Final = (
    "cloudflare:index/authenticatedOriginPullsSettings:AuthenticatedOriginPullsSettings"
)
PULLS: Final = "cloudflare/origin-pulls"
"""Zone id to whether its origin pulls are authenticated; deleting the resource changes nothing."""

VALIDITIES: Final = (7, 30, 90, 365, 730, 1095, 5475)
_LONGEST: Final = 5475

IPV4_RANGES: Final = (
    "173.245.48.0/20",
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "141.101.64.0/18",
    "108.162.192.0/18",
    "190.93.240.0/20",
    "188.114.96.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "162.158.0.0/15",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "172.64.0.0/13",
    "131.0.72.0/22",
)
IPV6_RANGES: Final = (
    "2400:cb00::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2405:b500::/32",
    "2405:8100::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
)
"""www.cloudflare.com/ips, unchanged for years."""


class OriginCaCertificate(Resource):
    """A certificate for an origin, trusted by Cloudflare's edge alone. Deleting it revokes it."""

    token = ORIGIN_CERTIFICATE

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        validity, kind = known(inputs, "requestedValidity"), known(inputs, "requestType")
        if validity is not None and validity not in VALIDITIES:
            yield Failure("requestedValidity", f"{validity:g} is not {listed(VALIDITIES)} days")
        if not known(inputs, "hostnames") and not unset(inputs, "hostnames"):
            yield Failure("hostnames", "needs at least one name")
        for index, host in items(inputs, "hostnames"):
            if "*" in host.removeprefix("*."):
                yield Failure(
                    f"hostnames[{index}]", f'"{host}" can have one "*", as its first label'
                )
        request = known(inputs, "csr")
        if request is not None and kind is not None:
            yield from _request_failures(request, kind)

    def create(self, ctx: Context, inputs: Props) -> Created:
        for host in inputs["hostnames"]:
            if not _is_ours(ctx, host):
                raise ApiError(
                    400,
                    f'hostnames "{host}": This zone is either not part of your account, or you do '
                    "not have access to it (1010)",
                )
        request = x509.load_pem_x509_csr(inputs["csr"].encode())
        days = int(inputs.get("requestedValidity") or _LONGEST)
        made = authorities.signed(
            authorities.origin_ca(ctx.store),
            subject=authorities.named(
                "CloudFlare, Inc.", "CloudFlare Origin CA", "CloudFlare Origin Certificate"
            ),
            public=request.public_key(),
            names=inputs["hostnames"],
            days=days,
            use=ExtendedKeyUsageOID.SERVER_AUTH,
        )
        with birth(ctx, self.token, inputs["csr"], _number) as id:
            outputs = {
                **inputs,
                "requestedValidity": days,
                "certificate": authorities.text(made),
                "expiresOn": made.not_valid_after_utc.strftime("%Y-%m-%d %H:%M:%S +0000 UTC"),
            }
        return Created(id=id, outputs=outputs)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        authorities.revoke(ctx.store, outputs["certificate"])
        forget(ctx, self.token, id)


class AuthenticatedOriginPullsCertificate(Resource):
    """A client certificate of the zone's own. The one deployed last is the one presented."""

    token = CLIENT_CERTIFICATE

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        certificate, key = known(inputs, "certificate"), known(inputs, "privateKey")
        if certificate is not None and key is not None:
            yield from _pair_failures(certificate, key)

    def create(self, ctx: Context, inputs: Props) -> Created:
        _zone(ctx, inputs["zoneId"])
        made = x509.load_pem_x509_certificate(inputs["certificate"].encode())
        key = f"{inputs['zoneId']} {made.serial_number}"
        with birth(ctx, self.token, key, lambda: str(uuid4())) as id:
            outputs = {
                **inputs,
                "certificateId": id,
                "expiresOn": _stamp(made.not_valid_after_utc),
                "issuer": made.issuer.rfc4514_string(),
                "serialNumber": str(made.serial_number),
                "signature": "ECDSAWithSHA256",
                "status": "pending_deployment",
                "uploadedOn": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            }
            if isinstance(made.public_key(), rsa.RSAPublicKey):
                outputs["signature"] = "SHA256WithRSA"
        return Created(id=id, outputs=outputs)

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        return {**outputs, "status": _status(ctx, outputs)}

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        # The key alone: the certificate replaces.
        return {**outputs, **news}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        forget(ctx, self.token, id)


class AuthenticatedOriginPullsSettings(Resource):
    """Whether the edge presents a client certificate to the zone's origins."""

    token = PULLS_SETTINGS

    def create(self, ctx: Context, inputs: Props) -> Created:
        _zone(ctx, inputs["zoneId"])
        ctx.store.save(PULLS, inputs["zoneId"], inputs["enabled"])
        return Created(id=inputs["zoneId"], outputs=dict(inputs))

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        ctx.store.save(PULLS, news["zoneId"], news["enabled"])
        return {**outputs, **news}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """Only the record goes: the provider's Delete is empty."""


class GetClientCertificate(Function):
    """A client certificate as it is now: its `status` says whether the edge presents it yet."""

    token = (
        "cloudflare:index/getAuthenticatedOriginPullsCertificate:"
        "getAuthenticatedOriginPullsCertificate"
    )

    def call(self, ctx: Context, args: Props) -> Props:
        found = ctx.store.get(CLIENT_CERTIFICATE, str(args.get("certificateId")))
        if found is None or found.outputs["zoneId"] != args["zoneId"]:
            raise ApiError(404, "Certificate not found (1413)")
        told = {name: value for name, value in found.outputs.items() if name != "privateKey"}
        return {**told, "id": found.id, "status": _status(ctx, found.outputs)}


class GetIpRanges(Function):
    """The ranges that Cloudflare connects to origins from."""

    token = "cloudflare:index/getIpRanges:getIpRanges"

    def call(self, ctx: Context, args: Props) -> Props:
        return {
            "id": "ip_ranges",
            "etag": "38f79d050aa027e3be3865e495dcc9bc",
            "ipv4Cidrs": list(IPV4_RANGES),
            "ipv6Cidrs": list(IPV6_RANGES),
            "jdcloudCidrs": [],
        }


def _request_failures(request: str, kind: str) -> Iterable[Failure]:
    try:
        key: object = x509.load_pem_x509_csr(request.encode()).public_key()
    except ValueError:
        yield Failure("csr", "is no certificate signing request in PEM form")
        return
    kinds: dict[str, type[object]] = {
        "origin-rsa": rsa.RSAPublicKey,
        "origin-ecc": ec.EllipticCurvePublicKey,
    }
    if kind in kinds and not isinstance(key, kinds[kind]):
        yield Failure("requestType", f'"{kind}" does not fit the key of the request')


def _pair_failures(certificate: str, key: str) -> Iterable[Failure]:
    try:
        made = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        yield Failure("certificate", "is no certificate in PEM form")
        return
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):
        yield Failure("privateKey", "is no private key in PEM form")
        return
    if private.public_key() != made.public_key():
        yield Failure("privateKey", "does not belong to the certificate")
    if made.not_valid_after_utc <= datetime.now(UTC):
        yield Failure("certificate", f"expired on {_stamp(made.not_valid_after_utc)}")


def _status(ctx: Context, outputs: Props) -> str:
    deployed = authorities.deployed_at(outputs) <= ctx.clock.now()
    return "active" if deployed else "pending_deployment"


def _zone(ctx: Context, zone_id: str) -> Zone:
    found = zone(ctx, zone_id)
    if found is None:
        raise ApiError(403, f'zoneId "{zone_id}": Authentication error (10000)')
    return found


def _is_ours(ctx: Context, host: str) -> bool:
    plain = host.lower().removeprefix("*.")
    return any(plain == it.name or plain.endswith(f".{it.name}") for it in zones(ctx))


def _number() -> str:
    """Origin CA certificates are numbered with 48 decimal digits."""
    return "".join(str(secrets.randbelow(10)) for _ in range(48))


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

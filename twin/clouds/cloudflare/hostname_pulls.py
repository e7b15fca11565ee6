"""Origin pulls per host name: client certificates, and which host name's origin gets which.

Rules: terraform-provider-cloudflare internal/services/{authenticated_origin_pulls,
authenticated_origin_pulls_hostname_certificate}; cloudflare-docs ssl/origin-configuration/
authenticated-origin-pull.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from twin.clouds.births import birth, forget
from twin.clouds.cloudflare.account import zone
from twin.clouds.cloudflare.zones import require_zone
from twin.clouds.rules import items, known, new_uuid, now
from twin.protocol.resource import ApiError, Context, Created, Failure, Props, Resource

HOSTNAME_CERTIFICATE: Final = (
    "cloudflare:index/authenticatedOriginPullsHostnameCertificate:"
    "AuthenticatedOriginPullsHostnameCertificate"
)
HOSTNAME_PULLS: Final = "cloudflare:index/authenticatedOriginPulls:AuthenticatedOriginPulls"


class AuthenticatedOriginPullsHostnameCertificate(Resource):
    """A client certificate that single host names' origins get to see."""

    token = HOSTNAME_CERTIFICATE

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        certificate, key = known(inputs, "certificate"), known(inputs, "privateKey")
        if certificate is not None:
            yield from certificate_failures(certificate, key)

    def create(self, ctx: Context, inputs: Props) -> Created:
        require_zone(ctx, inputs["zoneId"])
        made = x509.load_pem_x509_certificate(inputs["certificate"].encode())
        key = f"{inputs['zoneId']} {made.serial_number}"
        with birth(ctx, self.token, key, new_uuid) as id:
            rsa_key = isinstance(made.public_key(), rsa.RSAPublicKey)
            outputs = {
                **inputs,
                "expiresOn": made.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "issuer": made.issuer.rfc4514_string(),
                "serialNumber": str(made.serial_number),
                "signature": "SHA256WithRSA" if rsa_key else "ECDSAWithSHA256",
                "status": "active",
                "uploadedOn": now(),
            }
        return Created(id=id, outputs=outputs)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        for record in ctx.store.all(HOSTNAME_PULLS):
            for entry in record.outputs["configs"]:
                if entry.get("certId") == id and entry.get("enabled"):
                    raise ApiError(
                        400, f'{id} is the certificate of "{entry["hostname"]}": disable that first'
                    )
        forget(ctx, self.token, id)


class AuthenticatedOriginPulls(Resource):
    """Which of a zone's host names present which certificate to their origin."""

    token = HOSTNAME_PULLS

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        found = zone(ctx, known(inputs, "zoneId") or "")
        if known(inputs, "configs") == []:
            yield Failure("configs", "needs at least one host name")
        seen: set[str] = set()
        for index, entry in items(inputs, "configs"):
            path, host = f"configs[{index}]", known(entry, "hostname")
            if entry.get("certId") is None:
                yield Failure(f"{path}.certId", "is required")
            if entry.get("hostname") is None:
                yield Failure(f"{path}.hostname", "is required")
            if host is None:
                continue
            if host in seen:
                yield Failure(f"{path}.hostname", f'"{host}" is named twice')
            seen.add(host)
            if found and host != found.name and not host.endswith(f".{found.name}"):
                yield Failure(f"{path}.hostname", f'"{host}" is not in the zone "{found.name}"')

    def create(self, ctx: Context, inputs: Props) -> Created:
        require_zone(ctx, inputs["zoneId"])
        first = inputs["configs"][0]["hostname"]
        with birth(ctx, self.token, f"{inputs['zoneId']} {first}", new_uuid) as id:
            made = self._made(ctx, inputs, {"createdAt": now()})
        return Created(id=id, outputs=made)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return self._made(ctx, news, {"createdAt": outputs["createdAt"]})

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        forget(ctx, self.token, id)

    def _made(self, ctx: Context, inputs: Props, times: dict[str, Any]) -> Props:
        for entry in inputs["configs"]:
            record = ctx.store.get(HOSTNAME_CERTIFICATE, entry["certId"])
            if record is None or record.outputs["zoneId"] != inputs["zoneId"]:
                raise ApiError(
                    400, f'configs: there is no certificate "{entry["certId"]}" in the zone'
                )
        entry = inputs["configs"][0]
        record = ctx.store.get(HOSTNAME_CERTIFICATE, entry["certId"])
        shown = dict(record.outputs) if record else {}
        names = ("certificate", "expiresOn", "issuer", "serialNumber", "signature")
        return {
            **inputs,
            **times,
            **{name: shown[name] for name in names if name in shown},
            "certId": entry["certId"],
            "certStatus": "active",
            "enabled": entry.get("enabled"),
            "hostname": entry["hostname"],
            "status": "active",
            "updatedAt": now(),
        }


def certificate_failures(certificate: str, key: str | None) -> Iterator[Failure]:
    """What is wrong with a client certificate and, where it is known, its key."""
    try:
        made = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        yield Failure("certificate", "is no certificate in PEM form")
        return
    try:
        authority = made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        authority = False
    if authority:
        yield Failure("certificate", "is an authority's, a leaf certificate is wanted")
    ends = made.not_valid_after_utc
    if ends <= datetime.now(UTC):
        yield Failure("certificate", f"expired on {ends:%Y-%m-%dT%H:%M:%SZ}")
    if key is None:
        return
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):
        yield Failure("privateKey", "is no private key in PEM form")
        return
    if private.public_key() != made.public_key():
        yield Failure("privateKey", "does not belong to the certificate")

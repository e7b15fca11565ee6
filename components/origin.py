"""How edge and origin prove themselves to each other where no tunnel does it.

Owns the origin's key and its certificate from Cloudflare's Origin CA; our own authority and the
client certificate that Cloudflare presents to the origin (Authenticated Origin Pulls). Not: the
server that shows the one and asks for the other (`gateway`); the zone's `ssl` mode, which may
become strict only after that server answers.

- A client certificate of our own: the one Cloudflare offers is shared by all its customers, whose
  zones could lead to our origin as well.
- At the level of the zone and not of the host name: a zone is one environment and has one origin,
  so no proxied name of it can be forgotten; and its rotation needs no moment at which the zone
  points from one certificate to the next, as a host's association does.
- Rotation is by generation. Neither resource renews itself: `OriginCaCertificate` has no such
  argument, and the tls provider's early renewal was reported not to happen under Pulumi
  (pulumi/pulumi-tls#39, open). The generation follows from the date and is part of the names, so
  the update that enters a new one makes key and certificates anew, hands them to the gateways, and
  deletes the old ones last of all: deleting an origin certificate revokes it.
- The origin trusts our authority and not one certificate, so that old and new are both welcome
  meanwhile. The authority outlives the platform (20 years) and is not rotated.
- The client's key is RSA, as in all of Cloudflare's instructions for uploading one.
- Deleting the settings changes nothing at Cloudflare: a zone that went back to a tunnel goes on
  presenting its shared certificate, to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import pulumi
import pulumi_cloudflare as cloudflare
import pulumi_tls as tls

VALIDITY_DAYS: Final = 365
"""One of the Origin CA's validities: 7, 30, 90, 365, 730, 1095, 5475."""
ROTATION_DAYS: Final = 180
"""A generation's length: an update at least this often finds half a year left, or renews."""
AUTHORITY_DAYS: Final = 20 * 365
_HOURS: Final = 24


def generation(today: date) -> int:
    """The generation of a day: it changes every `ROTATION_DAYS`, the same for every stack."""
    return today.toordinal() // ROTATION_DAYS


@dataclass(frozen=True, kw_only=True)
class OriginArgs:
    """The zone, the name in it, and the generation of keys and certificates (see `generation`)."""

    zone_id: str
    hostname: str
    generation: int


class Origin(pulumi.ComponentResource):
    """An origin that only our zone's edge can talk to."""

    certificate: pulumi.Output[str]
    """What the origin presents, PEM; only Cloudflare trusts it."""
    private_key: pulumi.Output[str]
    """Its key, PEM (secret)."""
    client_authority: pulumi.Output[str]
    """The authority of the certificate that the edge presents, PEM."""
    pulls: pulumi.Output[str]
    """Known once the edge presents it: an origin that asks earlier shuts visitors out."""

    def __init__(
        self, name: str, args: OriginArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Origin", name, {}, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._name, self._args = name, args
        self.certificate, self.private_key = self._server(f"g{args.generation}")
        self.client_authority, self.pulls = self._client(f"g{args.generation}")
        self.register_outputs(
            {
                "certificate": self.certificate,
                "private_key": self.private_key,
                "client_authority": self.client_authority,
                "pulls": self.pulls,
            }
        )

    def _server(self, turn: str) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        key = tls.PrivateKey(
            f"{self._name}-key-{turn}", algorithm="ECDSA", ecdsa_curve="P256", opts=self._child
        )
        request = tls.CertRequest(
            f"{self._name}-request-{turn}",
            private_key_pem=key.private_key_pem,
            subject=tls.CertRequestSubjectArgs(common_name=self._args.hostname),
            dns_names=[self._args.hostname],
            opts=self._child,
        )
        certificate = cloudflare.OriginCaCertificate(
            f"{self._name}-certificate-{turn}",
            csr=request.cert_request_pem,
            hostnames=[self._args.hostname],
            request_type="origin-ecc",
            requested_validity=VALIDITY_DAYS,
            opts=self._child,
        )
        return certificate.certificate, pulumi.Output.secret(key.private_key_pem)

    def _client(self, turn: str) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        authority_key = tls.PrivateKey(
            f"{self._name}-authority-key", algorithm="RSA", rsa_bits=3072, opts=self._child
        )
        authority = tls.SelfSignedCert(
            f"{self._name}-authority",
            private_key_pem=authority_key.private_key_pem,
            subject=tls.SelfSignedCertSubjectArgs(
                organization=self._args.hostname, common_name="Origin pulls"
            ),
            allowed_uses=["cert_signing", "crl_signing"],
            is_ca_certificate=True,
            validity_period_hours=AUTHORITY_DAYS * _HOURS,
            opts=self._child,
        )
        key = tls.PrivateKey(
            f"{self._name}-client-key-{turn}", algorithm="RSA", rsa_bits=2048, opts=self._child
        )
        request = tls.CertRequest(
            f"{self._name}-client-request-{turn}",
            private_key_pem=key.private_key_pem,
            subject=tls.CertRequestSubjectArgs(
                organization=self._args.hostname, common_name=f"Edge {turn}"
            ),
            opts=self._child,
        )
        leaf = tls.LocallySignedCert(
            f"{self._name}-client-{turn}",
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=authority_key.private_key_pem,
            ca_cert_pem=authority.cert_pem,
            allowed_uses=["digital_signature", "client_auth"],
            validity_period_hours=VALIDITY_DAYS * _HOURS,
            opts=self._child,
        )
        uploaded = cloudflare.AuthenticatedOriginPullsCertificate(
            f"{self._name}-pulls-{turn}",
            zone_id=self._args.zone_id,
            certificate=leaf.cert_pem,
            private_key=key.private_key_pem,
            opts=self._child,
        )
        settings = cloudflare.AuthenticatedOriginPullsSettings(
            f"{self._name}-pulls",
            zone_id=self._args.zone_id,
            enabled=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[uploaded]),
        )
        return authority.cert_pem, settings.id

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
- An uploaded client certificate is `pending_deployment` for minutes. Until Cloudflare says `active`
  the edge presents the one before it, or none at all, which shuts every visitor out. So the program
  waits: the gateways come after, and so does the end of the program, which the engine awaits before
  it deletes what the program no longer names. Where it never becomes active the update fails and
  nothing is deleted. Two at once are possible, the last one deployed counts; but the API's
  reference asks to keep one (cloudflare-docs, authenticated-origin-pull/set-up).
- The origin trusts our authority and not one certificate, so that old and new are both welcome
  meanwhile. The authority outlives the platform (20 years) and is not rotated.
- The client's key is RSA, as in all of Cloudflare's instructions for uploading one.
- Deleting the settings changes nothing at Cloudflare: a zone that went back to a tunnel goes on
  presenting its shared certificate, to nobody.
"""

from __future__ import annotations

import asyncio
import time
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
DEPLOYMENT_SECONDS: Final = 20 * 60
"""How long Cloudflare may take to deploy a client certificate; it says "some minutes"."""
_ASK_EVERY_SECONDS: Final = 5.0
_HOURS: Final = 24


def generation(today: date, extra: int = 0) -> int:
    """The generation of a day: it changes every `ROTATION_DAYS`, the same for every stack.

    `extra` ones are added by hand, to rotate on any other day.
    """
    return today.toordinal() // ROTATION_DAYS + extra


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
    expires: pulumi.Output[str]
    """The day on which the first of the two certificates ends, `2027-05-20`."""

    def __init__(
        self, name: str, args: OriginArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Origin", name, {}, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._name, self._args = name, args
        turn = f"g{args.generation}"
        self.certificate, self.private_key, server_ends = self._server(turn)
        self.client_authority, self.pulls, client_ends = self._client(turn)
        # One is written as RFC 3339 and the other as Go does; both begin with the day.
        self.expires = pulumi.Output.all(server_ends, client_ends).apply(
            lambda ends: min(str(end)[: len("2027-05-20")] for end in ends)
        )
        self.register_outputs(
            {
                "certificate": self.certificate,
                "private_key": self.private_key,
                "client_authority": self.client_authority,
                "pulls": self.pulls,
                "expires": self.expires,
            }
        )

    def _server(
        self, turn: str
    ) -> tuple[pulumi.Output[str], pulumi.Output[str], pulumi.Output[str]]:
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
        private_key: pulumi.Output[str] = pulumi.Output.secret(key.private_key_pem)
        return certificate.certificate, private_key, certificate.expires_on

    def _client(
        self, turn: str
    ) -> tuple[pulumi.Output[str], pulumi.Output[str], pulumi.Output[str]]:
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
        presented: pulumi.Output[str] = pulumi.Output.all(settings.id, uploaded.id).apply(
            lambda ids: self._deployed(settings_id=ids[0], certificate_id=ids[1])
        )
        return authority.cert_pem, presented, uploaded.expires_on

    async def _deployed(self, *, settings_id: str, certificate_id: str) -> str:
        """Wait until the edge presents a client certificate; a preview does not wait."""
        deadline = time.monotonic() + DEPLOYMENT_SECONDS
        told = False
        while True:
            status = await cloudflare.get_authenticated_origin_pulls_certificate_output(
                zone_id=self._args.zone_id,
                certificate_id=certificate_id,
                opts=pulumi.InvokeOutputOptions(parent=self),
            ).status.future()
            if status == "active" or pulumi.runtime.is_dry_run():
                return settings_id
            if time.monotonic() >= deadline:
                raise TimeoutError(
                    f"the client certificate {certificate_id} is {status} after "
                    f"{DEPLOYMENT_SECONDS // 60} minutes: a gateway that asks for it now would "
                    "shut everybody out, so the update ends here, and the one before it stays. "
                    "Look at the zone's Authenticated Origin Pulls, then run `pulumi up` again"
                )
            if not told:
                pulumi.log.info("Cloudflare deploys the client certificate; waiting", self)
                told = True
            await asyncio.sleep(_ASK_EVERY_SECONDS)

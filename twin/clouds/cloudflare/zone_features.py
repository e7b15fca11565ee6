"""Things of which a zone has one: DNSSEC, bots, transforms, normalisation, leaked passwords.

Rules: terraform-provider-cloudflare internal/services/{zone_dnssec, bot_management,
managed_transforms, url_normalization_settings, leaked_credential_check}; what a plan has:
cloudflare-docs plans/index.json and bots/plans. Deleting bots or leaked passwords changes nothing:
the provider's Delete is empty.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterable
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from twin.clouds.cloudflare.zones import has, not_entitled, plan_of, require_zone
from twin.clouds.rules import items, known, listed, now, unset
from twin.kept import keep, left
from twin.protocol.resource import ApiError, Context, Created, Failure, Props, Resource

DNSSEC: Final = "cloudflare:index/zoneDnssec:ZoneDnssec"
BOTS: Final = "cloudflare:index/botManagement:BotManagement"
MANAGED_TRANSFORMS: Final = "cloudflare:index/managedTransforms:ManagedTransforms"
NORMALIZATION: Final = "cloudflare:index/urlNormalizationSettings:UrlNormalizationSettings"
LEAKED_CREDENTIALS: Final = "cloudflare:index/leakedCredentialCheck:LeakedCredentialCheck"

_KEYS: Final = "cloudflare/dnssec-keys"
"""Zone id to its key-signing key, PEM: switching DNSSEC off and on keeps the key."""
_KSK, _PROTOCOL, _ALGORITHM, _SHA256 = 257, 3, 13, 2  # RFC 4034, RFC 6605
_SBFM: Final = {
    "sbfmDefinitelyAutomated": "pro",
    "sbfmVerifiedBots": "pro",
    "sbfmStaticResourceProtection": "pro",
    "optimizeWordpress": "pro",
    "sbfmLikelyAutomated": "business",
    "autoUpdateModel": "enterprise",
    "suppressSessionScore": "enterprise",
    "bmCookieEnabled": "enterprise",
    "contentBotsProtection": "enterprise",
}
_BOT_DEFAULTS: Final[Props] = {
    "aiBotsProtection": "disabled",
    "cfRobotsVariant": "policy_only",
    "crawlerProtection": "disabled",
    "enableJs": False,
    "fightMode": False,
    "isRobotsTxtManaged": False,
}
_REQUEST_HEADERS: Final = {
    "add_bot_protection_headers": "enterprise",
    "add_client_certificate_headers": "free",
    "add_true_client_ip_headers": "enterprise",
    "add_visitor_location_headers": "free",
    "add_waf_credential_check_status_header": "free",
    "remove_visitor_ip_headers": "free",
}
_RESPONSE_HEADERS: Final = {
    "add_security_headers": "free",
    "remove_x-powered-by_header": "free",
}


class _OnePerZone(Resource):
    """A resource of which a zone has one, under the zone's own id."""

    def create(self, ctx: Context, inputs: Props) -> Created:
        zone = require_zone(ctx, inputs["zoneId"])
        if ctx.store.get(self.token, zone.id):
            name = self.token.rsplit(":", 1)[-1]
            raise ApiError(
                400,
                f'zoneId "{zone.id}": the zone has one {name} and it is managed by another '
                "resource: two would overwrite each other at every update",
            )
        before = left(ctx.store, self.token, zone.id) or {}
        return Created(id=zone.id, outputs=self.made(ctx, inputs, before))

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return self.made(ctx, news, outputs)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """What it does is the record's alone."""

    def made(self, ctx: Context, inputs: Props, before: Props) -> Props:
        """All outputs; `before` are those of the last run, empty on create."""
        return {**before, **inputs}


class ZoneDnssec(_OnePerZone):
    """Signing of a zone. Deleting it switches signing off.

    The API says `pending` until the registrar publishes the DS record (dns/dnssec/dnssec-states).
    The provider keeps the `active` that it asked for, and takes over what the API says at a Read.
    """

    token = DNSSEC

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        if outputs["status"] == "disabled":
            return outputs
        published = require_zone(ctx, outputs["zoneId"]).ds_published
        return {**outputs, "status": "active" if published else "pending"}

    def made(self, ctx: Context, inputs: Props, before: Props) -> Props:
        zone = require_zone(ctx, inputs["zoneId"])
        status = inputs.get("status") or before.get("status") or "active"
        made = {**before, **inputs, "status": status, "modifiedOn": now()}
        if status == "active":
            made |= _delegation(zone.name, _public_key(ctx, zone.id))
        return made


class _Kept(_OnePerZone):
    """Deleting it changes nothing: the provider's Delete is empty."""

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        keep(ctx.store, self.token, id, outputs)


class BotManagement(_Kept):
    """Bot Fight Mode, Super Bot Fight Mode or Bot Management, whichever the plan has."""

    token = BOTS

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        plan = plan_of(ctx, inputs)
        for name, least in _SBFM.items():
            if not unset(inputs, name) and not has(plan, least):
                yield not_entitled(name, inputs[name], least, plan)
        if known(inputs, "fightMode") and has(plan, "pro"):
            yield Failure(
                "fightMode",
                f"true is for the plan free, {plan} has Super Bot Fight Mode instead",
            )

    def made(self, ctx: Context, inputs: Props, before: Props) -> Props:
        plan = require_zone(ctx, inputs["zoneId"]).plan
        defaults = dict(_BOT_DEFAULTS)
        if has(plan, "pro"):
            defaults |= {
                "optimizeWordpress": False,
                "sbfmDefinitelyAutomated": "allow",
                "sbfmStaticResourceProtection": False,
                "sbfmVerifiedBots": "allow",
            }
        if has(plan, "business"):
            defaults["sbfmLikelyAutomated"] = "allow"
        return {**defaults, "usingLatestModel": True, **before, **inputs}


class ManagedTransforms(_OnePerZone):
    """Cloudflare's ready-made header transforms; deleting it switches them off."""

    token = MANAGED_TRANSFORMS

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        plan = plan_of(ctx, inputs)
        for name, offered in (
            ("managedRequestHeaders", _REQUEST_HEADERS),
            ("managedResponseHeaders", _RESPONSE_HEADERS),
        ):
            seen: set[str] = set()
            for index, entry in items(inputs, name):
                path, id = f"{name}[{index}].id", known(entry, "id")
                if id is None:
                    continue
                if id not in offered:
                    yield Failure(path, f'"{id}" is not {listed(offered)}')
                elif not has(plan, offered[id]):
                    yield not_entitled(path, id, offered[id], plan)
                if id in seen:
                    yield Failure(path, f'"{id}" is named twice')
                seen.add(id)
        names = [known(e, "id") for _, e in items(inputs, "managedRequestHeaders") if e["enabled"]]
        if {"remove_visitor_ip_headers", "add_true_client_ip_headers"} <= set(names):
            yield Failure(
                "managedRequestHeaders",
                "remove_visitor_ip_headers and add_true_client_ip_headers contradict each other",
            )


class UrlNormalizationSettings(_OnePerZone):
    """How paths are normalised: for the rules only (`incoming`), or for the origin too (`both`)."""

    token = NORMALIZATION


class LeakedCredentialCheck(_Kept):
    """The detection of passwords from published breaches."""

    token = LEAKED_CREDENTIALS

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "zoneId"):
            yield Failure("zoneId", "is required")


def _public_key(ctx: Context, zone_id: str) -> ec.EllipticCurvePublicKey:
    kept = ctx.store.load(_KEYS, zone_id)
    if kept is None:
        made = ec.generate_private_key(ec.SECP256R1())
        kept = made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        ctx.store.save(_KEYS, zone_id, kept)
    key = serialization.load_pem_private_key(str(kept).encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101  (made above)
    return key.public_key()


def _delegation(name: str, key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    """The DS record of a key, computed as RFC 4034 says, and what the API tells beside it."""
    point = key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    data = struct.pack("!HBB", _KSK, _PROTOCOL, _ALGORITHM) + point[1:]
    tag = sum(byte << 8 if index % 2 == 0 else byte for index, byte in enumerate(data))
    tag = (tag + (tag >> 16)) & 0xFFFF
    owner = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    digest = hashlib.sha256(owner + data).hexdigest().upper()
    return {
        "algorithm": str(_ALGORITHM),
        "digest": digest,
        "digestAlgorithm": "SHA256",
        "digestType": str(_SHA256),
        "ds": f"{name}. 3600 IN DS {tag} {_ALGORITHM} {_SHA256} {digest}",
        "flags": _KSK,
        "keyTag": tag,
        "keyType": "ECDSAP256SHA256",
        "publicKey": base64.b64encode(point[1:]).decode(),
    }

"""Service tokens: what a program shows Access instead of a person who logs in.

Rules: terraform-provider-cloudflare internal/services/zero_trust_access_service_token; formats and
rotation from developers.cloudflare.com, cloudflare-one/access-controls/service-credentials. The
secret is shown when it is made and at no other time; only its hash is kept for the edge.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from twin.clouds.births import birth, forget
from twin.clouds.cloudflare import access
from twin.clouds.rules import known, new_uuid
from twin.protocol.resource import UNKNOWN, Context, Created, Failure, Props, Resource

DEFAULT_DURATION: Final = "8760h"
_ALPHABET: Final = string.ascii_letters + string.digits
_IDS: Final = "cloudflare/access-client-id"


class ZeroTrustAccessServiceToken(Resource):
    """A client id and a secret; a higher `clientSecretVersion` makes a new secret."""

    token = access.SERVICE_TOKEN

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from access.owner_failures(inputs)
        version = inputs.get("clientSecretVersion")
        until = inputs.get("previousClientSecretExpiresAt")
        # The provider's validators: each of the two asks for the other.
        if version is not None and until is None:
            yield Failure(
                "previousClientSecretExpiresAt", "is required together with clientSecretVersion"
            )
        if until is not None and version is None:
            yield Failure(
                "clientSecretVersion", "is required together with previousClientSecretExpiresAt"
            )
        moment = known(inputs, "previousClientSecretExpiresAt")
        if moment is not None and _moment(moment) is None:
            yield Failure(
                "previousClientSecretExpiresAt",
                f'"{moment}" is no time in RFC 3339, such as 2030-01-01T00:00:00Z',
            )

    def preview(self, ctx: Context, inputs: Props) -> Props:
        for record in ctx.store.find(self.token, name=inputs.get("name")):
            if _version(inputs) > _version(record.outputs):
                return {"clientSecret": UNKNOWN}
        return {}

    def create(self, ctx: Context, inputs: Props) -> Created:
        owner = access.require_owner(ctx, inputs)
        with birth(ctx, self.token, f"{owner} {inputs['name']}", new_uuid) as id:
            client = ctx.store.load(_IDS, id) or f"{secrets.token_hex(16)}.access"
            ctx.store.save(_IDS, id, client)
            secret = new_secret()
            ctx.store.save(access.SERVICE_SECRETS, id, {"current": digest(secret), "previous": ""})
            duration = inputs.get("duration") or DEFAULT_DURATION
            return Created(
                id=id,
                outputs={
                    "enabled": True,
                    **inputs,
                    "clientId": client,
                    "clientSecret": secret,
                    "clientSecretVersion": _version(inputs),
                    "duration": duration,
                    "expiresAt": _expiry(duration),
                },
            )

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        duration = news.get("duration") or DEFAULT_DURATION
        made = {**outputs, **news, "duration": duration, "clientSecretVersion": _version(news)}
        made["enabled"] = news.get("enabled", True)
        if "previousClientSecretExpiresAt" not in news:
            made.pop("previousClientSecretExpiresAt", None)
        if duration != outputs["duration"]:
            made["expiresAt"] = _expiry(duration)
        if _version(news) > _version(outputs):
            kept = ctx.store.load(access.SERVICE_SECRETS, id) or {}
            made["clientSecret"] = new_secret()
            ctx.store.save(
                access.SERVICE_SECRETS,
                id,
                {"current": digest(made["clientSecret"]), "previous": kept.get("current", "")},
            )
        return made

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        ctx.store.drop(access.SERVICE_SECRETS, id)
        ctx.store.drop(_IDS, id)
        forget(ctx, self.token, id)


def new_secret() -> str:
    """`cfast_`, 40 letters and digits, and a checksum of 8."""
    text = "".join(secrets.choice(_ALPHABET) for _ in range(40))
    return f"cfast_{text}{zlib.crc32(text.encode()):08x}"


def digest(secret: str) -> str:
    """What is kept of a secret: its SHA-256 as hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _version(inputs: Props) -> float:
    version = inputs.get("clientSecretVersion")
    return 1 if version is None or version is UNKNOWN else float(version)


def _expiry(duration: str) -> str:
    until = datetime.now(UTC) + timedelta(seconds=access.seconds(duration))
    return until.strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None

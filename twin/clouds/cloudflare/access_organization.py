"""The Zero Trust organization of an account, and the interval of its signing keys.

Both are singletons that exist before and after the program: creating is an upsert with full PUT
semantics, deleting does nothing (terraform-provider-cloudflare, empty Delete). What they set stays
in force, so it is kept apart from the resource's record.

Organizations made on or after 2026-10-05 authenticate service tokens strictly, and cannot choose
otherwise (developers.cloudflare.com, service-tokens); the account file's
`cloudflare.organization_created` (a date) makes an older one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Final

from twin.clouds.cloudflare import access, account
from twin.clouds.rules import known, now, unset
from twin.protocol.resource import ApiError, Context, Created, Failure, Props, Resource

STRICT_SINCE: Final = date(2026, 10, 5)
SHORTEST_INTERVAL: Final = 21
LONGEST_INTERVAL: Final = 365
_AUTH_DOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.cloudflareaccess\.com")


class ZeroTrustOrganization(Resource):
    """Name, team domain, session and multi-factor rules of everything in the account."""

    token = access.ORGANIZATION

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from access.owner_failures(inputs)
        domain, mfa = known(inputs, "authDomain"), known(inputs, "mfaConfig")
        if domain is not None and not _AUTH_DOMAIN.fullmatch(domain):
            yield Failure("authDomain", f'"{domain}" must be <team>.cloudflareaccess.com')
        if isinstance(mfa, dict):
            yield from access.mfa_session_failures(mfa, "mfaConfig")
        if known(inputs, "mfaRequiredForAllApps") and not (
            isinstance(mfa, dict)
            and mfa.get("allowedAuthenticators")
            and mfa.get("sessionDuration")
        ):
            yield Failure(
                "mfaRequiredForAllApps",
                "needs mfaConfig with an authenticator and a sessionDuration",
            )
        if known(inputs, "strictServiceTokenAuth") is False and _is_strict(ctx):
            yield Failure(
                "strictServiceTokenAuth",
                f"cannot be switched off in an organization made since {STRICT_SINCE}",
            )
        inactivity = known(inputs, "serviceTokenInactivity") or {}
        days = known(inactivity, "inactivityThresholdDays")
        if days is not None and not 30 <= days <= 365:
            yield Failure(
                "serviceTokenInactivity.inactivityThresholdDays", f"{days} is not from 30 to 365"
            )

    def create(self, ctx: Context, inputs: Props) -> Created:
        owner = access.require_owner(ctx, inputs)
        return Created(id=owner, outputs=self._put(ctx, owner, inputs))

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        return outputs

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return self._put(ctx, access.require_owner(ctx, news), news)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """Only the record goes."""

    def _put(self, ctx: Context, owner: str, inputs: Props) -> Props:
        on = (inputs.get("mfaConfig") or {}).get("allowedAuthenticators")
        if not on:
            for token in (access.APPLICATION, access.POLICY):
                for record in ctx.store.all(token):
                    if (record.outputs.get("mfaConfig") or {}).get("allowedAuthenticators"):
                        raise ApiError(
                            400,
                            f'mfaConfig: "{record.outputs.get("name")}" has multi-factor settings '
                            "of its own; remove them before switching it off",
                        )
        kept = access.organization(ctx, owner)
        domain = inputs.get("authDomain") or kept.get("authDomain") or _invented(owner)
        made = {
            "allowAuthenticateViaWarp": False,
            "autoRedirectToIdentity": False,
            "isUiReadOnly": False,
            "mfaConfigurationAllowed": True,
            "mfaRequiredForAllApps": False,
            "strictServiceTokenAuth": _is_strict(ctx),
            "trustedAccounts": [],
            **inputs,
            "authDomain": domain,
            "name": inputs.get("name") or domain,
        }
        if kept and kept["authDomain"] != domain:
            ctx.world.remove_name(kept["authDomain"])
        # Services verify assertions by the keys that are published there.
        ctx.world.add_name(domain)
        ctx.store.save(access.ORGANIZATIONS, owner, made)
        return made


class ZeroTrustAccessKeyConfiguration(Resource):
    """After how many days the key that signs tokens is replaced."""

    token = access.KEY_CONFIGURATION

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "accountId"):
            yield Failure("accountId", "is required")
        days = known(inputs, "keyRotationIntervalDays")
        if days is not None and not SHORTEST_INTERVAL <= days <= LONGEST_INTERVAL:
            yield Failure(
                "keyRotationIntervalDays",
                f"{days:g} is not from {SHORTEST_INTERVAL} to {LONGEST_INTERVAL}",
            )

    def create(self, ctx: Context, inputs: Props) -> Created:
        account.require_account(ctx, inputs["accountId"])
        return Created(id=inputs["accountId"], outputs=self._put(ctx, inputs))

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return self._put(ctx, news)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """Only the record goes."""

    def _put(self, ctx: Context, inputs: Props) -> Props:
        days = inputs["keyRotationIntervalDays"]
        ctx.store.save(access.KEY_INTERVALS, inputs["accountId"], days)
        return {**inputs, "daysUntilNextRotation": days, "lastKeyRotationAt": now()}


def _is_strict(ctx: Context) -> bool:
    made = ctx.account.get("cloudflare", {}).get("organization_created")
    return made is None or date.fromisoformat(made) >= STRICT_SINCE


def _invented(owner: str) -> str:
    return f"frosty-moon-{owner[:4]}.cloudflareaccess.com"

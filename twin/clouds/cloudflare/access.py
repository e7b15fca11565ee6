"""What the doubles of Zero Trust share: tokens, durations, selectors of policies.

Sources: terraform-provider-cloudflare internal/services/zero_trust_*; developers.cloudflare.com,
cloudflare-one/access-controls/policies (rule types, selectors, which need an identity).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any, Final

from twin.clouds.cloudflare import account
from twin.clouds.rules import items, known
from twin.protocol.resource import ApiError, Context, Failure, Props
from twin.store import Record


def _token(name: str) -> str:
    return f"cloudflare:index/{name[0].lower()}{name[1:]}:{name}"


APPLICATION: Final = _token("ZeroTrustAccessApplication")
POLICY: Final = _token("ZeroTrustAccessPolicy")
IDENTITY_PROVIDER: Final = _token("ZeroTrustAccessIdentityProvider")
SERVICE_TOKEN: Final = _token("ZeroTrustAccessServiceToken")
KEY_CONFIGURATION: Final = _token("ZeroTrustAccessKeyConfiguration")
SHORT_LIVED_CERTIFICATE: Final = _token("ZeroTrustAccessShortLivedCertificate")
POSTURE_RULE: Final = _token("ZeroTrustDevicePostureRule")
LIST: Final = _token("ZeroTrustList")
ORGANIZATION: Final = _token("ZeroTrustOrganization")

ORGANIZATIONS: Final = "cloudflare/zero-trust-organization"
"""Documents by account: what stays when the resource is deleted, which the provider does not do."""
KEY_INTERVALS: Final = "cloudflare/access-key-interval"
"""Documents by account: days between two rotations of the signing key; also not undone."""
SERVICE_SECRETS: Final = "cloudflare/access-service-secret"
"""Documents by service token: SHA-256 of the current and the previous secret, both as hex."""

IDENTITY_SELECTORS: Final = frozenset(
    {
        "authContext",
        "authMethod",
        "azureAd",
        "cloudflareAccountMember",
        "email",
        "emailDomain",
        "emailList",
        "externalEvaluation",
        "githubOrganization",
        "gsuite",
        "loginMethod",
        "oidc",
        "okta",
        "saml",
        "userRiskScore",
    }
)
"""Selectors that say something of a person who logged in."""
BROWSER_AUTHENTICATORS: Final = ("totp", "biometrics", "security_key")

_REFERENCES: Final = {
    "deviceposture": (POSTURE_RULE, "integrationUid"),
    "emaillist": (LIST, "id"),
    "gsuite": (IDENTITY_PROVIDER, "identityProviderId"),
    "iplist": (LIST, "id"),
    "loginmethod": (IDENTITY_PROVIDER, "id"),
    "servicetoken": (SERVICE_TOKEN, "tokenId"),
}
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
MFA_LONGEST: Final = 720 * 3600


def seconds(duration: str) -> float:
    """A duration as the API writes it (`2h45m`), in seconds."""
    return sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(duration))


def require_owner(ctx: Context, inputs: Props) -> str:
    """The account that a resource belongs to; ApiError for one that is not ours."""
    zone_id = inputs.get("zoneId")
    if zone_id:
        zone = account.zone(ctx, zone_id)
        if zone is None:
            raise ApiError(403, f'zoneId "{zone_id}": Authentication error (10000)')
        return zone.account_id
    account.require_account(ctx, inputs["accountId"])
    return str(inputs["accountId"])


def organization(ctx: Context, account_id: str) -> Props:
    """The account's Zero Trust organization; empty where nobody made one."""
    return ctx.store.load(ORGANIZATIONS, account_id) or {}


def owner_failures(inputs: Props) -> Iterator[Failure]:
    """One of account and zone, or the provider has no address to send the request to."""
    if inputs.get("accountId") is None and inputs.get("zoneId") is None:
        yield Failure("accountId", "is required")


def mfa_failures(config: Props | None, path: str) -> Iterator[Failure]:
    """Rules of an application's or a policy's `mfaConfig`."""
    if not isinstance(config, dict):
        return
    given = known(config, "allowedAuthenticators") or []
    if known(config, "mfaDisabled") and (given or config.get("sessionDuration")):
        yield Failure(f"{path}.mfaDisabled", "conflicts with the authenticators and the session")
    wrong = [name for name in given if name not in BROWSER_AUTHENTICATORS]
    if wrong:
        yield Failure(
            f"{path}.allowedAuthenticators", f'"{wrong[0]}" is for infrastructure applications only'
        )
    yield from mfa_session_failures(config, path)


def mfa_session_failures(config: Props, path: str) -> Iterator[Failure]:
    """`0m` to 30 days, in minutes or hours."""
    for name in ("sessionDuration", "amrMatchingSessionDuration"):
        duration = known(config, name)
        if duration is not None and seconds(duration) > MFA_LONGEST:
            yield Failure(f"{path}.{name}", f'"{duration}" is longer than 720h')


def require_mfa(ctx: Context, account_id: str, config: Props | None) -> None:
    """Independent MFA is switched on for the organization before anything asks for it."""
    if config is None:
        return
    on = (organization(ctx, account_id).get("mfaConfig") or {}).get("allowedAuthenticators")
    if not on:
        raise ApiError(
            400, "mfaConfig: multi-factor authentication is not enabled for the organization"
        )


# --- selectors ----------------------------------------------------------------------------------
def rule_failures(policy: Props, path: str = "") -> Iterator[Failure]:
    """Rules of one policy: its selectors, and which fit its decision."""
    prefix = f"{path}." if path else ""
    decision = known(policy, "decision")
    if policy.get("includes") is None or policy["includes"] == []:
        yield Failure(f"{prefix}includes", "needs at least one rule: nobody would be meant")
    for group in ("includes", "requires", "excludes"):
        for index, rule in items(policy, group):
            yield from _selector_failures(rule, decision, f"{prefix}{group}[{index}]")
    if decision != "allow" and policy.get("mfaConfig") is not None and decision is not None:
        yield Failure(f"{prefix}mfaConfig", f'has no meaning for the decision "{decision}"')
    yield from mfa_failures(known(policy, "mfaConfig"), f"{prefix}mfaConfig")
    if known(policy, "approvalRequired") and not policy.get("approvalGroups"):
        yield Failure(f"{prefix}approvalGroups", "is required with approvalRequired")


def _selector_failures(rule: Props, decision: str | None, path: str) -> Iterator[Failure]:
    named = [name for name, value in rule.items() if value is not None]
    if len(named) != 1:
        given = ", ".join(sorted(named)) or "none"
        yield Failure(path, f"must hold exactly one selector, not {given}")
        return
    [name] = named
    if decision in ("bypass", "non_identity") and name in IDENTITY_SELECTORS:
        yield Failure(f"{path}.{name}", f'needs a person, and "{decision}" asks nobody to log in')
    value = rule[name]
    if not isinstance(value, dict):
        return
    yield from _value_failures(name, value, f"{path}.{name}")


def _value_failures(name: str, value: Props, path: str) -> Iterator[Failure]:
    if name == "ip" and (text := known(value, "ip")):
        try:
            ip_network(text, strict=False)
        except ValueError:
            yield Failure(f"{path}.ip", f'"{text}" is no address and no CIDR range')
    email = known(value, "email") if name in ("email", "gsuite") else None
    if email and not _EMAIL.fullmatch(email):
        yield Failure(f"{path}.email", f'"{email}" is no e-mail address')
    if name == "emailDomain" and (text := known(value, "domain")) and "@" in text:
        yield Failure(f"{path}.domain", f'"{text}" must be the part after the @')
    country = known(value, "countryCode") if name == "geo" else None
    if country and not re.fullmatch(r"[A-Z]{2}|T1", country):
        yield Failure(f"{path}.countryCode", f'"{country}" is no ISO 3166-1 alpha-2 code')


def require_references(ctx: Context, policy: Props) -> None:
    """What a policy's selectors name must exist; ApiError for what does not."""
    for group in ("includes", "requires", "excludes"):
        for rule in policy.get(group) or ():
            for name, value in rule.items():
                _require_reference(ctx, name, value)


def _require_reference(ctx: Context, name: str, value: Any) -> None:
    token, key = _REFERENCES.get(name.lower(), ("", ""))
    if not token or not isinstance(value, dict):
        return
    found: Record | None = ctx.store.get(token, str(value[key]))
    if found is None:
        raise ApiError(400, f'{name}.{key} "{value[key]}": not found')
    kind = found.outputs.get("type")
    if name == "gsuite" and kind != "google-apps":
        raise ApiError(400, f'gsuite: the identity provider is of type "{kind}", not "google-apps"')
    if name == "ipList" and kind != "IP":
        raise ApiError(400, f'ipList: the list is of type "{kind}", not "IP"')

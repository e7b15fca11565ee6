"""Access applications, and the certificate authority of an application's SSH logins.

Rules: terraform-provider-cloudflare internal/services/zero_trust_access_application
(plan_modifiers.go has the defaults by type); paths from developers.cloudflare.com,
cloudflare-one/access-controls/policies/app-paths.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from twin.clouds.births import birth, forget
from twin.clouds.cloudflare import access, account
from twin.clouds.rules import exclusive, items, known, listed, new_uuid
from twin.protocol.resource import UNKNOWN, ApiError, Context, Created, Failure, Props, Resource

SELF_HOSTED: Final = ("self_hosted", "ssh", "vnc", "rdp")
DEFAULT_SESSION: Final = "24h"
_VISIBLE: Final = (*SELF_HOSTED, "saas", "bookmark")
_SESSIONS: Final = (*SELF_HOSTED, "saas", "dash_sso", "app_launcher", "warp")
_AUDS: Final = "cloudflare/access-aud"
_AUTHORITIES: Final = "cloudflare/access-ssh-ca"


class ZeroTrustAccessApplication(Resource):
    """Something that Access stands in front of. Its AUD tag is its own for life."""

    token = access.APPLICATION

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from access.owner_failures(inputs)
        kind = known(inputs, "type")
        if inputs.get("type") is None:
            yield Failure("type", "is required")
        if inputs.get("selfHostedDomains") is not None:
            yield Failure("selfHostedDomains", "is no longer supported: use destinations")
        if kind in SELF_HOSTED:
            yield from _place_failures(ctx, inputs)
        elif kind is not None and inputs.get("mfaConfig") is not None:
            yield Failure("mfaConfig", f"is for {listed(SELF_HOSTED)} applications")
        yield from access.mfa_failures(known(inputs, "mfaConfig"), "mfaConfig")
        allowed = inputs.get("allowedIdps") or []
        if known(inputs, "autoRedirectToIdentity") and allowed is not UNKNOWN and len(allowed) != 1:
            yield Failure(
                "autoRedirectToIdentity", "needs exactly one identity provider in allowedIdps"
            )
        yield from _policy_failures(inputs)

    def create(self, ctx: Context, inputs: Props) -> Created:
        owner = access.require_owner(ctx, inputs)
        with exclusive(f"access {owner}"):
            key = f"{owner} {inputs['type']} {inputs.get('domain') or _first(inputs)}"
            with birth(ctx, self.token, key, new_uuid) as id:
                self._require(ctx, owner, id, inputs)
                aud = ctx.store.load(_AUDS, id) or secrets.token_hex(32)
                ctx.store.save(_AUDS, id, aud)
                return Created(id=id, outputs=self._outputs(ctx, owner, inputs, aud))

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        owner = access.require_owner(ctx, news)
        with exclusive(f"access {owner}"):
            self._require(ctx, owner, id, news)
            return self._outputs(ctx, owner, news, outputs["aud"])

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        ctx.store.drop(_AUDS, id)
        forget(ctx, self.token, id)

    def _require(self, ctx: Context, owner: str, id: str, inputs: Props) -> None:
        access.require_mfa(ctx, owner, inputs.get("mfaConfig"))
        for name in inputs.get("allowedIdps") or ():
            if ctx.store.get(access.IDENTITY_PROVIDER, name) is None:
                raise ApiError(400, f'allowedIdps "{name}": not found')
        for policy in inputs.get("policies") or ():
            if policy.get("id") is None:
                access.require_references(ctx, policy)
            elif ctx.store.get(access.POLICY, policy["id"]) is None:
                raise ApiError(400, f'policies "{policy["id"]}": not found')
            elif inputs.get("zoneId"):
                raise ApiError(400, "zoneId: policies of the account need an account's application")
        mine = set(places(inputs))
        for other in ctx.store.all(self.token):
            if other.id == id:
                continue
            taken = mine & set(places(other.outputs))
            if taken:
                raise ApiError(
                    409, f'domain "{min(taken)}": an application with it already exists (11010)'
                )
            same = other.outputs.get("accountId") == inputs.get("accountId")
            if same and inputs["type"] == other.outputs["type"] == "app_launcher":
                raise ApiError(409, "type: the account already has an App Launcher (11010)")

    def _outputs(self, ctx: Context, owner: str, inputs: Props, aud: str) -> Props:
        kind = inputs["type"]
        made: Props = {**inputs, "aud": aud}
        if kind in SELF_HOSTED:
            made["domain"] = inputs.get("domain") or _first(inputs)
            made["destinations"] = inputs.get("destinations") or [
                {"type": "public", "uri": made["domain"]}
            ]
            made["selfHostedDomains"] = places(made)
            made.setdefault("httpOnlyCookieAttribute", True)
        if kind == "app_launcher":
            made["domain"] = access.organization(ctx, owner).get("authDomain", "")
            made.setdefault("skipAppLauncherLoginPage", False)
        if kind in _VISIBLE:
            made.setdefault("appLauncherVisible", True)
        if kind in _SESSIONS:
            made.setdefault("sessionDuration", DEFAULT_SESSION)
        if inputs.get("policies"):
            made["policies"] = _numbered(inputs["policies"])
        return made


def places(app: Props) -> list[str]:
    """The hosts and paths that an application covers, as they were written, in lower-case hosts."""
    found = [
        destination["uri"]
        for destination in app.get("destinations") or ()
        if destination.get("type") in (None, "public") and destination.get("uri")
    ]
    if app.get("domain") and app["domain"] not in found:
        found.insert(0, app["domain"])
    return [_lower_host(uri) for uri in found]


def _first(inputs: Props) -> str:
    return str(next(iter(places(inputs)), ""))


def _lower_host(uri: str) -> str:
    host, slash, path = uri.partition("/")
    return host.lower() + slash + path


def _numbered(policies: list[Props]) -> list[Props]:
    """Precedence where it was left out: one more than the policy before."""
    last, made = 0, []
    for policy in policies:
        last = int(policy["precedence"]) if policy.get("precedence") is not None else last + 1
        made.append({**policy, "precedence": last})
    return made


def _place_failures(ctx: Context, inputs: Props) -> Iterator[Failure]:
    given: list[tuple[str, Any]] = [
        (f"destinations[{index}].uri", known(destination, "uri"))
        for index, destination in items(inputs, "destinations")
        if known(destination, "type") in (None, "public")
    ]
    for index, destination in items(inputs, "destinations"):
        if known(destination, "type") in (None, "public") and destination.get("uri") is None:
            yield Failure(f"destinations[{index}].uri", "is required for a public destination")
    domain = known(inputs, "domain")
    if inputs.get("domain") is None and not inputs.get("destinations"):
        yield Failure("domain", "is required, or destinations")
    uris = [uri for _, uri in given]
    if inputs.get("destinations") and domain and None not in uris and domain not in uris:
        yield Failure("domain", f'"{domain}" must be one of the destinations')
    for path, uri in [("domain", domain), *given]:
        if uri is None or uri is UNKNOWN:
            continue
        reason = _uri_problem(uri)
        if reason is None and not _in_zone(ctx, inputs, uri):
            reason = "is in no zone of the account"
        if reason:
            yield Failure(path, f'"{uri}" {reason}')


def _uri_problem(uri: str) -> str | None:
    host, _, path = uri.partition("/")
    if "://" in uri:
        return "must not have a scheme: write the host and the path"
    if ":" in host:
        return "must not have a port: Access knows HTTPS's own only"
    if "?" in uri or "#" in uri:
        return "must not have a query or a fragment"
    if not host or ".." in host:
        return "has no host"
    if any(label.count("*") > 1 for label in host.split(".")):
        return "may have one * between two dots"
    if any(segment.count("*") > 1 for segment in path.split("/")):
        return "may have one * between two slashes"
    return None


def _in_zone(ctx: Context, inputs: Props, uri: str) -> bool:
    host = uri.partition("/")[0].replace("*", "wildcard")
    zone_id, account_id = known(inputs, "zoneId"), known(inputs, "accountId")
    if zone_id:
        zone = account.zone(ctx, zone_id)
        return zone is not None and (host == zone.name or host.endswith("." + zone.name))
    return account_id is None or account.zone_of(ctx, host, account_id) is not None


def _policy_failures(inputs: Props) -> Iterator[Failure]:
    seen: set[int] = set()
    last = 0
    for index, policy in items(inputs, "policies"):
        path = f"policies[{index}]"
        if policy.get("id") is None:
            yield from access.rule_failures(policy, path)
            if policy.get("decision") is None:
                yield Failure(f"{path}.decision", "is required for a policy of the application")
        elif any(policy.get(name) for name in ("includes", "requires", "excludes", "decision")):
            yield Failure(path, "has an id, and so its rules stand in the policy of the account")
        precedence = known(policy, "precedence")
        last = last + 1 if precedence is None else int(precedence)
        if last in seen:
            yield Failure(f"{path}.precedence", f"{last} is taken by a policy before")
        seen.add(last)


class ZeroTrustAccessShortLivedCertificate(Resource):
    """The authority that signs short-lived SSH certificates for one application."""

    token = access.SHORT_LIVED_CERTIFICATE

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from access.owner_failures(inputs)

    def create(self, ctx: Context, inputs: Props) -> Created:
        access.require_owner(ctx, inputs)
        app = ctx.store.get(access.APPLICATION, inputs["appId"])
        if app is None:
            raise ApiError(404, f'appId "{inputs["appId"]}": not found')
        if ctx.store.get(self.token, app.id) is not None:
            raise ApiError(409, f'appId "{app.id}": already has a certificate authority')
        key = ctx.store.load(_AUTHORITIES, app.id) or _ssh_key()
        ctx.store.save(_AUTHORITIES, app.id, key)
        outputs = {**inputs, "aud": app.outputs["aud"], "publicKey": key["public"]}
        return Created(id=app.id, outputs=outputs)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        ctx.store.drop(_AUTHORITIES, id)


def _ssh_key() -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return {
        "private": private.decode(),
        "public": f"{public.decode()} open-ssh-ca@cloudflareaccess.org",
    }

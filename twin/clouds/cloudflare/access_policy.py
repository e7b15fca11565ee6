"""Reusable Access policies, identity providers, posture rules and lists.

Rules: terraform-provider-cloudflare internal/services/zero_trust_access_policy,
zero_trust_access_identity_provider, zero_trust_device_posture_rule, zero_trust_list; the posture
checks' inputs and platforms from developers.cloudflare.com, reusable-components/posture-checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Final

from twin.clouds.births import birth, forget
from twin.clouds.cloudflare import access, account
from twin.clouds.rules import items, known, listed, new_uuid, now, unset
from twin.protocol.resource import ApiError, Context, Created, Failure, Props, Resource

LONGEST_LIST: Final = 1000
"""Entries of a list below Enterprise."""
_GOOGLE: Final = ("google", "google-apps")
_PLATFORMS: Final = {
    "disk_encryption": ("windows", "mac", "linux"),
    "firewall": ("windows", "mac"),
    "os_version": ("windows", "mac", "linux", "android", "ios", "chromeos"),
    "serial_number": ("windows", "mac", "linux"),
    "domain_joined": ("windows",),
    "file": ("windows", "mac", "linux"),
    "application": ("windows", "mac", "linux"),
}
_NEEDS: Final = {
    "firewall": ("enabled",),
    "os_version": ("version", "operator"),
    "serial_number": ("id",),
    "file": ("path",),
    "application": ("path",),
    "unique_client_id": ("id",),
}
_CLIENT_ONLY: Final = ("gateway", "warp")
"""Checks of the client's own connection: they take neither an input nor a platform."""


class ZeroTrustAccessPolicy(Resource):
    """A policy of the account, which applications share by its id."""

    token = access.POLICY

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "accountId"):
            yield Failure("accountId", "is required")
        yield from access.rule_failures(inputs)

    def create(self, ctx: Context, inputs: Props) -> Created:
        self._require(ctx, inputs)
        with birth(ctx, self.token, f"{inputs['accountId']} {inputs['name']}", new_uuid) as id:
            return Created(id=id, outputs=_policy_outputs(inputs))

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        self._require(ctx, news)
        return _policy_outputs(news)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        for app in ctx.store.all(access.APPLICATION):
            if id in {policy.get("id") for policy in app.outputs.get("policies") or ()}:
                raise ApiError(
                    409,
                    f'policy "{outputs["name"]}" is used by the application '
                    f'"{app.outputs.get("name")}": detach it there first',
                )
        forget(ctx, self.token, id)

    def _require(self, ctx: Context, inputs: Props) -> None:
        account.require_account(ctx, inputs["accountId"])
        access.require_mfa(ctx, inputs["accountId"], inputs.get("mfaConfig"))
        access.require_references(ctx, inputs)


def _policy_outputs(inputs: Props) -> Props:
    return {**inputs, "sessionDuration": inputs.get("sessionDuration") or "24h"}


class ZeroTrustAccessIdentityProvider(Resource):
    """Where people prove who they are. Google Workspace is `google-apps`, not `google`."""

    token = access.IDENTITY_PROVIDER

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from access.owner_failures(inputs)
        kind, config = known(inputs, "type"), known(inputs, "config")
        if not isinstance(config, dict):
            return
        if kind in _GOOGLE:
            wanted = ("clientId", "clientSecret", *(["appsDomain"] if kind != "google" else []))
            for name in wanted:
                if config.get(name) in (None, ""):
                    yield Failure(f"config.{name}", f'is required for the type "{kind}"')
        if kind == "google" and config.get("appsDomain") is not None:
            yield Failure("config.appsDomain", 'is for "google-apps"; "google" admits any account')
        domain = known(config, "appsDomain")
        if domain and ("@" in domain or "/" in domain):
            yield Failure("config.appsDomain", f'"{domain}" must be a domain such as example.com')

    def create(self, ctx: Context, inputs: Props) -> Created:
        owner = access.require_owner(ctx, inputs)
        with birth(ctx, self.token, f"{owner} {inputs['name']}", new_uuid) as id:
            return Created(id=id, outputs={**inputs, "readOnly": False})

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        access.require_owner(ctx, news)
        return {**news, "readOnly": False}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        forget(ctx, self.token, id)


class ZeroTrustDevicePostureRule(Resource):
    """What must be true of a device that the Cloudflare One client runs on."""

    token = access.POSTURE_RULE

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "accountId"):
            yield Failure("accountId", "is required")
        if unset(inputs, "name"):
            yield Failure("name", "is required")
        kind = known(inputs, "type")
        if kind is not None:
            yield from _posture_failures(kind, inputs)
        schedule = known(inputs, "schedule")
        if schedule is not None and access.seconds(schedule) < 60:
            yield Failure("schedule", f'"{schedule}" is shorter than 1m')

    def create(self, ctx: Context, inputs: Props) -> Created:
        account.require_account(ctx, inputs["accountId"])
        with birth(ctx, self.token, f"{inputs['accountId']} {inputs['name']}", new_uuid) as id:
            return Created(id=id, outputs=dict(inputs))

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return dict(news)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        for policy in ctx.store.all(access.POLICY):
            if id in str(policy.outputs.get("requires")) + str(policy.outputs.get("includes")):
                raise ApiError(
                    409,
                    f'posture rule "{outputs["name"]}" is used by the policy '
                    f'"{policy.outputs["name"]}": take it out there first',
                )
        forget(ctx, self.token, id)


def _posture_failures(kind: str, inputs: Props) -> Iterator[Failure]:
    given = known(inputs, "input") or {}
    platforms = [known(match, "platform") for _, match in items(inputs, "matches")]
    if kind in _CLIENT_ONLY:
        if given:
            yield Failure("input", f'is not for the type "{kind}", which asks the client itself')
        return
    for name in _NEEDS.get(kind, ()):
        if given.get(name) is None:
            yield Failure(f"input.{name}", f'is required for the type "{kind}"')
    if kind == "disk_encryption" and not (given.get("requireAll") or given.get("checkDisks")):
        yield Failure("input", "needs requireAll or checkDisks: no disk would be looked at")
    fitting = _PLATFORMS.get(kind)
    if fitting is None:
        return
    if len(platforms) != 1:
        yield Failure("matches", f'needs exactly one platform for the type "{kind}"')
    elif platforms[0] is not None and platforms[0] not in fitting:
        yield Failure(
            "matches[0].platform", f'"{platforms[0]}" has no such check: {listed(fitting)} have'
        )


class ZeroTrustList(Resource):
    """A list that policies name: addresses, serial numbers, e-mails."""

    token = access.LIST

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "accountId"):
            yield Failure("accountId", "is required")
        seen: set[str] = set()
        for index, item in items(inputs, "items"):
            value, path = known(item, "value"), f"items[{index}].value"
            if value is None:
                if unset(item, "value"):
                    yield Failure(path, "is required")
                continue
            if value in seen:
                yield Failure(path, f'"{value}" stands there twice')
            seen.add(value)
            if known(inputs, "type") == "IP" and not _is_network(value):
                yield Failure(path, f'"{value}" is no address and no CIDR range')
        if len(seen) > LONGEST_LIST:
            yield Failure("items", f"{len(seen)} entries; the plan allows {LONGEST_LIST}")

    def create(self, ctx: Context, inputs: Props) -> Created:
        account.require_account(ctx, inputs["accountId"])
        with birth(ctx, self.token, f"{inputs['accountId']} {inputs['name']}", new_uuid) as id:
            return Created(id=id, outputs=_list_outputs(inputs, now()))

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        if news["type"] != outputs["type"]:
            raise ApiError(400, f'type "{news["type"]}": a list keeps its type; make another one')
        return _list_outputs(news, outputs["createdAt"])

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        for policy in ctx.store.all(access.POLICY):
            if any(id in str(policy.outputs.get(k)) for k in ("includes", "requires", "excludes")):
                raise ApiError(
                    409,
                    f'list "{outputs["name"]}" is used by the policy '
                    f'"{policy.outputs["name"]}": take it out there first',
                )
        forget(ctx, self.token, id)


def _list_outputs(inputs: Props, created: str) -> Props:
    count = len(inputs.get("items") or ())
    return {**inputs, "listCount": count, "createdAt": created, "updatedAt": now()}


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True

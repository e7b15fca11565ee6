"""Zero Trust's doubles: what they refuse, what they fill in, what survives them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.twin.clouds.accounts import ACCOUNT_ID, CF_CONFIG, ZONE_ID, known
from tests.twin.clouds.handlers import Handlers
from tests.twin.conftest import StartEngine
from twin.clouds import cloudflare
from twin.clouds.cloudflare import access
from twin.clouds.cloudflare.access_token import digest
from twin.protocol.resource import ApiError, Context

HOST = "pay.payments.localhost"
MFA = {"allowedAuthenticators": ["totp"], "sessionDuration": "12h"}
ORGANIZATION = {
    "accountId": ACCOUNT_ID,
    "name": "payments",
    "authDomain": "payments.cloudflareaccess.com",
    "mfaConfig": MFA,
}
ADA = {"email": {"email": "ada@payments.localhost"}}


@pytest.fixture
def handlers(paper_context: Context) -> Handlers:
    made = Handlers(cloudflare.package(), known(paper_context, CF_CONFIG))
    made.create("ZeroTrustOrganization", ORGANIZATION)
    return made


def _policy(**given: Any) -> dict[str, Any]:
    return {
        "accountId": ACCOUNT_ID,
        "name": "admins",
        "decision": "allow",
        "includes": [ADA],
        **given,
    }


def _app(**given: Any) -> dict[str, Any]:
    made = {
        "accountId": ACCOUNT_ID,
        "name": "admin",
        "type": "self_hosted",
        "domain": f"{HOST}/admin",
        **given,
    }
    return {key: value for key, value in made.items() if value is not None}


def _provider() -> dict[str, Any]:
    config = {"clientId": "id", "clientSecret": "secret", "appsDomain": "payments.localhost"}
    return {
        "accountId": ACCOUNT_ID,
        "name": "Google Workspace",
        "type": "google-apps",
        "config": config,
    }


@pytest.mark.parametrize(
    ("name", "inputs", "said"),
    [
        ("Policy", _policy(includes=[]), "includes: needs at least one rule"),
        ("Policy", _policy(includes=[{**ADA, "everyone": {}}]), "exactly one selector"),
        ("Policy", _policy(includes=[{}]), "exactly one selector, not none"),
        ("Policy", _policy(decision="service_auth"), '"service_auth" is not one of'),
        ("Policy", _policy(decision="bypass"), "asks nobody to log in"),
        ("Policy", _policy(decision="non_identity"), "asks nobody to log in"),
        ("Policy", _policy(requires=[{"ip": {"ip": "10.0.0/8"}}]), "no address"),
        ("Policy", _policy(requires=[{"geo": {"countryCode": "Germany"}}]), "3166"),
        ("Policy", _policy(includes=[{"emailDomain": {"domain": "@a.de"}}]), "after the @"),
        ("Policy", _policy(mfaConfig={"allowedAuthenticators": ["sms"]}), '"sms" is not one of'),
        ("Policy", _policy(mfaConfig={"allowedAuthenticators": ["piv_key"]}), "infrastructure"),
        ("Policy", _policy(mfaConfig={"sessionDuration": "721h"}), "longer than 720h"),
        ("Policy", _policy(approvalRequired=True), "approvalGroups"),
        ("Policy", _policy(sessionDuration="8 hours"), "sessionDuration"),
        ("Application", _app(domain=f"https://{HOST}/admin"), "scheme"),
        ("Application", _app(domain=f"{HOST}:8443/admin"), "port"),
        ("Application", _app(domain=f"{HOST}/admin?x=1"), "query"),
        ("Application", _app(domain="p*y*.payments.localhost"), "one *"),
        ("Application", _app(domain=f"{HOST}/a*b*c"), "one *"),
        ("Application", _app(domain="pay.elsewhere.example/admin"), "in no zone"),
        ("Application", _app(domain=None), "domain: is required"),
        ("Application", _app(selfHostedDomains=[HOST]), "no longer supported"),
        ("Application", _app(destinations=[{"type": "public", "uri": HOST}]), "destinations"),
        ("Application", _app(zoneId=ZONE_ID), "conflicts"),
        (
            "Application",
            _app(optionsPreflightBypass=True, corsHeaders={"maxAge": 1}),
            "conflicts",
        ),
        ("Application", _app(sameSiteCookieAttribute="Sometimes"), "is not one of"),
        ("Application", _app(autoRedirectToIdentity=True), "exactly one identity provider"),
        (
            "Application",
            _app(policies=[{"id": "a", "precedence": 1}, {"id": "b", "precedence": 1}]),
            "taken",
        ),
        ("Application", _app(type="saas", domain=None, mfaConfig=MFA), "mfaConfig"),
        (
            "IdentityProvider",
            {**_provider(), "config": {"clientId": "x", "clientSecret": "y"}},
            "appsDomain",
        ),
        ("IdentityProvider", {**_provider(), "type": "google-workspace"}, "google-apps"),
        (
            "ServiceToken",
            {"accountId": ACCOUNT_ID, "name": "ci", "clientSecretVersion": 2},
            "previousClientSecretExpiresAt: is required together",
        ),
        (
            "ServiceToken",
            {
                "accountId": ACCOUNT_ID,
                "name": "ci",
                "clientSecretVersion": 2,
                "previousClientSecretExpiresAt": "tomorrow",
            },
            "RFC 3339",
        ),
        (
            "KeyConfiguration",
            {"accountId": ACCOUNT_ID, "keyRotationIntervalDays": 20},
            "20 is not from 21 to 365",
        ),
    ],
)
def test_what_the_real_api_refuses_is_refused(
    handlers: Handlers, name: str, inputs: dict[str, Any], said: str
) -> None:
    failures = handlers.failures(f"ZeroTrustAccess{name}", inputs)
    assert any(said in failure for failure in failures), failures


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"type": "firewall", "input": {"enabled": True}}, "one platform"),
        (
            {
                "type": "firewall",
                "input": {"enabled": True},
                "matches": [{"platform": "linux"}],
            },
            "no such check",
        ),
        ({"type": "disk_encryption", "matches": [{"platform": "mac"}]}, "requireAll"),
        ({"type": "gateway", "input": {"enabled": True}}, "asks the client itself"),
        ({"type": "gateway", "schedule": "30s"}, "shorter than 1m"),
        ({"type": "screen_lock"}, "is not one of"),
    ],
)
def test_a_posture_check_needs_what_its_kind_looks_at(
    handlers: Handlers, inputs: dict[str, Any], said: str
) -> None:
    given = {"accountId": ACCOUNT_ID, "name": "laptop", **inputs}
    failures = handlers.failures("ZeroTrustDevicePostureRule", given)
    assert any(said in failure for failure in failures), failures


def test_a_list_takes_addresses_once(handlers: Handlers) -> None:
    given = {"accountId": ACCOUNT_ID, "name": "admins", "type": "IP"}
    twice = [{"value": "192.0.2.0/24"}, {"value": "192.0.2.0/24"}, {"value": "home"}]
    failures = handlers.failures("ZeroTrustList", {**given, "items": twice})
    assert [text.split(": ")[0] for text in failures] == ["items[1].value", "items[2].value"]


def test_what_selectors_name_must_exist(handlers: Handlers) -> None:
    for selector in (
        {"ipList": {"id": "nothing"}},
        {"devicePosture": {"integrationUid": "nothing"}},
        {"loginMethod": {"id": "nothing"}},
        {"gsuite": {"email": "admins@payments.localhost", "identityProviderId": "nothing"}},
    ):
        with pytest.raises(ApiError):
            handlers.create("ZeroTrustAccessPolicy", _policy(requires=[selector]))


def test_an_application_keeps_its_audience_and_gets_the_provider_s_defaults(
    handlers: Handlers,
) -> None:
    made = handlers.create("ZeroTrustAccessApplication", _app())
    assert re.fullmatch(r"[0-9a-f]{64}", made.outputs["aud"])
    assert made.outputs["sessionDuration"] == "24h"
    assert made.outputs["httpOnlyCookieAttribute"] is True
    assert made.outputs["destinations"] == [{"type": "public", "uri": f"{HOST}/admin"}]
    moved = _app(domain=f"{HOST}/backoffice", sessionDuration="8h")
    assert (
        handlers.update("ZeroTrustAccessApplication", made.id, moved)["aud"] == made.outputs["aud"]
    )
    with pytest.raises(ApiError, match="already exists"):
        handlers.create("ZeroTrustAccessApplication", _app(domain=f"{HOST}/backoffice"))


def test_a_policy_that_is_attached_cannot_be_deleted(handlers: Handlers) -> None:
    policy = handlers.create("ZeroTrustAccessPolicy", _policy())
    app = handlers.create("ZeroTrustAccessApplication", _app(policies=[{"id": policy.id}]))
    assert app.outputs["policies"] == [{"id": policy.id, "precedence": 1}]
    with pytest.raises(ApiError, match="admin"):
        handlers.delete("ZeroTrustAccessPolicy", policy.id)
    handlers.delete("ZeroTrustAccessApplication", app.id)
    handlers.delete("ZeroTrustAccessPolicy", policy.id)


def test_a_service_token_shows_its_secret_once_and_rotates_with_its_version(
    handlers: Handlers,
) -> None:
    given = {"accountId": ACCOUNT_ID, "name": "ci"}
    made = handlers.create("ZeroTrustAccessServiceToken", given)
    first = made.outputs["clientSecret"]
    assert re.fullmatch(r"cfast_[A-Za-z0-9]{48}", first)
    assert re.fullmatch(r"[0-9a-f]{32}\.access", made.outputs["clientId"])
    renamed = handlers.update("ZeroTrustAccessServiceToken", made.id, {**given, "name": "robot"})
    assert renamed["clientSecret"] == first
    until = "2030-01-01T00:00:00Z"
    rotation = {**given, "clientSecretVersion": 2, "previousClientSecretExpiresAt": until}
    rotated = handlers.update("ZeroTrustAccessServiceToken", made.id, rotation)
    assert rotated["clientSecret"] != first
    assert rotated["clientId"] == made.outputs["clientId"]
    kept = handlers.ctx.store.load(access.SERVICE_SECRETS, made.id)
    assert kept == {"current": digest(rotated["clientSecret"]), "previous": digest(first)}


def test_multi_factor_settings_need_the_organization_s_switch_first(
    paper_context: Context,
) -> None:
    handlers = Handlers(cloudflare.package(), known(paper_context, CF_CONFIG))
    with pytest.raises(ApiError, match="not enabled for the organization"):
        handlers.create("ZeroTrustAccessApplication", _app(mfaConfig=MFA))
    handlers.create("ZeroTrustOrganization", ORGANIZATION)
    handlers.create("ZeroTrustAccessApplication", _app(mfaConfig=MFA))
    off = {k: v for k, v in ORGANIZATION.items() if k != "mfaConfig"}
    with pytest.raises(ApiError, match="remove them before"):
        handlers.update("ZeroTrustOrganization", ACCOUNT_ID, off)


def test_deleting_the_organization_leaves_it_as_it_was(handlers: Handlers) -> None:
    handlers.delete("ZeroTrustOrganization", ACCOUNT_ID)
    kept = access.organization(handlers.ctx, ACCOUNT_ID)
    assert kept["authDomain"] == "payments.cloudflareaccess.com"


def test_only_an_older_organization_may_authenticate_service_tokens_loosely(
    handlers: Handlers, paper_context: Context
) -> None:
    loose = {**ORGANIZATION, "strictServiceTokenAuth": False}
    assert any("2026-10-05" in text for text in handlers.failures("ZeroTrustOrganization", loose))
    account = {**handlers.ctx.account}
    account["cloudflare"] = {**account["cloudflare"], "organization_created": "2025-03-01"}
    older = Handlers(cloudflare.package(), replace(handlers.ctx, account=account))
    assert older.failures("ZeroTrustOrganization", loose) == []


PROGRAM = f"""
    import pulumi
    import pulumi_cloudflare as cf
    account = {ACCOUNT_ID!r}
    cloud = cf.Provider("cf", api_token={CF_CONFIG["apiToken"]!r})
    opts = pulumi.ResourceOptions(provider=cloud)
    org = cf.ZeroTrustOrganization("org", account_id=account, name="payments",
        auth_domain="payments.cloudflareaccess.com",
        mfa_config=cf.ZeroTrustOrganizationMfaConfigArgs(
            allowed_authenticators=["totp"], session_duration="12h"), opts=opts)
    idp = cf.ZeroTrustAccessIdentityProvider("idp", account_id=account, name="google",
        type="google-apps", config=cf.ZeroTrustAccessIdentityProviderConfigArgs(
            client_id="x", client_secret=pulumi.Output.secret("y"),
            apps_domain="payments.localhost"), opts=opts)
    addresses = cf.ZeroTrustList("list", account_id=account, name="admins", type="IP",
        items=[cf.ZeroTrustListItemArgs(value="192.0.2.0/24")], opts=opts)
    rule = cf.ZeroTrustDevicePostureRule("rule", account_id=account, name="enrolled",
        type="gateway", opts=opts)
    token = cf.ZeroTrustAccessServiceToken("token", account_id=account, name="ci",
        VERSION opts=opts)
    include = cf.ZeroTrustAccessPolicyIncludeArgs
    require = cf.ZeroTrustAccessPolicyRequireArgs
    admins = cf.ZeroTrustAccessPolicy("admins", account_id=account, name="admins",
        decision="allow", includes=[include(email=cf.ZeroTrustAccessPolicyIncludeEmailArgs(
            email="ada@payments.localhost"))],
        requires=[
            require(ip_list=cf.ZeroTrustAccessPolicyRequireIpListArgs(id=addresses.id)),
            require(device_posture=cf.ZeroTrustAccessPolicyRequireDevicePostureArgs(
                integration_uid=rule.id))], opts=opts)
    ci = cf.ZeroTrustAccessPolicy("ci", account_id=account, name="ci", decision="non_identity",
        includes=[include(service_token=cf.ZeroTrustAccessPolicyIncludeServiceTokenArgs(
            token_id=token.id))], opts=opts)
    app = cf.ZeroTrustAccessApplication("app", account_id=account, name="admin",
        type="self_hosted", domain="{HOST}/admin", allowed_idps=[idp.id],
        auto_redirect_to_identity=True,
        mfa_config=cf.ZeroTrustAccessApplicationMfaConfigArgs(
            allowed_authenticators=["totp"], session_duration="1h"),
        policies=[cf.ZeroTrustAccessApplicationPolicyArgs(id=admins.id, precedence=1),
                  cf.ZeroTrustAccessApplicationPolicyArgs(id=ci.id, precedence=2)],
        opts=pulumi.ResourceOptions(provider=cloud, depends_on=[org]))
    cf.ZeroTrustAccessShortLivedCertificate("ca", account_id=account, app_id=app.id, opts=opts)
    cf.ZeroTrustAccessKeyConfiguration("keys", account_id=account,
        key_rotation_interval_days=42, opts=opts)
    pulumi.export("aud", app.aud)
    pulumi.export("secret", token.client_secret)
"""


def test_the_engine_makes_it_changes_nothing_twice_rotates_and_removes_it(
    start_engine: StartEngine, paper_context: Context
) -> None:
    engine = start_engine(cloudflare.package(), context=known(paper_context, {}))
    engine.program(PROGRAM.replace("VERSION", ""))
    first = engine.up()
    assert first.code == 0, first.output
    assert "create" in first.steps.values()
    made = engine.revealed()
    secret = made["token"]["outputs"]["clientSecret"]["plaintext"]
    assert secret.strip('"').startswith("cfast_")
    assert secret.strip('"') not in engine.state(), "the secret lies encrypted in the state"
    again = engine.up()
    assert (again.code, again.steps) == (0, {}), again.output
    refreshed = engine.refresh()
    assert (refreshed.code, refreshed.steps) == (0, {}), refreshed.output
    rotation = 'client_secret_version=2, previous_client_secret_expires_at="2030-01-01T00:00:00Z",'
    engine.program(PROGRAM.replace("VERSION", rotation))
    rotated = engine.up()
    assert rotated.code == 0, rotated.output
    assert rotated.steps == {"token": "update"}
    assert engine.revealed()["token"]["outputs"]["clientSecret"]["plaintext"] != secret
    gone = engine.destroy()
    assert gone.code == 0, gone.output
    assert paper_context.store.all(access.APPLICATION) == []


def test_an_account_has_one_app_launcher(handlers: Handlers) -> None:
    launcher = {"accountId": ACCOUNT_ID, "name": "launcher", "type": "app_launcher"}
    made = handlers.create("ZeroTrustAccessApplication", launcher)
    assert made.outputs["domain"] == "payments.cloudflareaccess.com"
    with pytest.raises(ApiError, match="App Launcher"):
        handlers.create("ZeroTrustAccessApplication", {**launcher, "name": "another"})
    other = {"id": "d" * 32, "name": "other"}
    handlers.ctx.account["cloudflare"]["accounts"].append(other)
    try:
        handlers.create("ZeroTrustAccessApplication", {**launcher, "accountId": other["id"]})
    finally:
        handlers.ctx.account["cloudflare"]["accounts"].remove(other)

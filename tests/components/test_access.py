"""Access: who gets in, by what, and what would lock everybody out or leave a door open."""

from __future__ import annotations

from typing import Any

import pytest

from components.access import (
    Access,
    AccessArgs,
    GoogleWorkspace,
    Posture,
    ServiceToken,
    SshRoute,
)
from components.service import AccessEnvironment
from tests.components.fakes import built
from tests.recorder import Recorded, Recorder, is_secret, value_of

ACCOUNT, ZONE, HOST = "b" * 32, "a" * 32, "pay.example.com"
ADMINS = ("ada@example.com", "grace@example.com")


def _args(**given: Any) -> AccessArgs:
    made: dict[str, Any] = {
        "account_id": ACCOUNT,
        "zone_id": ZONE,
        "hostname": HOST,
        "team": "example",
        "provider": GoogleWorkspace(
            apps_domain="example.com", client_id="client", client_secret="GOCSPX-secret"
        ),
        "admins": ADMINS,
        "admin_cidrs": ("198.51.100.7/32",),
        "posture": Posture(platform="mac", checks=("disk-encryption",)),
        "service_tokens": (
            ServiceToken(name="ci", uses=("ssh",)),
            ServiceToken(name="reports", uses=("admin-api",)),
            ServiceToken(name="bank", uses=("admin-api-write", "admin-api-money")),
        ),
        "ssh": [SshRoute(hostname="ssh.example.com", target="t.cfargotunnel.com")],
    }
    return AccessArgs(**{**made, **given})


def _built(**given: Any) -> tuple[Recorder, Access]:
    return built(lambda: Access("access", _args(**given)))


def _policies_of(recorder: Recorder, app: Recorded) -> list[Recorded]:
    ids = [entry["id"] for entry in app.inputs["policies"]]
    by_id = {f"{found.name}-id": found for found in recorder.of_type(":ZeroTrustAccessPolicy")}
    return [by_id[id] for id in ids]


def _apps(recorder: Recorder) -> dict[str, Recorded]:
    found = recorder.of_type(":ZeroTrustAccessApplication")
    return {app.name.removeprefix("access-app-"): app for app in found}


def test_admin_and_its_api_are_covered_with_everything_below_them() -> None:
    recorder, _ = _built()
    apps = _apps(recorder)
    assert set(apps) == {"launcher", "pages", "api", "ssh"}
    places = {name: app.inputs.get("domain") for name, app in apps.items()}
    assert places["pages"] == f"{HOST}/admin", "with /* the page /admin itself would be open"
    assert places["api"] == f"{HOST}/api/admin"
    for name in ("pages", "api", "ssh"):
        assert apps[name].inputs["destinations"] == [{"type": "public", "uri": places[name]}]


def test_nobody_but_a_listed_person_of_our_workspace_on_a_good_device_gets_in() -> None:
    recorder, _ = _built()
    for name in ("pages", "api", "ssh", "launcher"):
        people = [
            policy
            for policy in _policies_of(recorder, _apps(recorder)[name])
            if policy.inputs["decision"] == "allow"
        ]
        assert len(people) == 1, name
        given = people[0].inputs
        assert given["includes"] == [{"email": {"email": email}} for email in ADMINS]
        assert {"loginMethod": {"id": "access-google-id"}} in given["requires"]
        posture = [rule for rule in given["requires"] if "devicePosture" in rule]
        assert len(posture) == 2, "enrolled, and its disk encrypted"


def test_every_policy_rule_has_one_selector_and_none_reads_what_google_does_not_send() -> None:
    recorder, _ = _built()
    for policy in recorder.of_type(":ZeroTrustAccessPolicy"):
        for group in ("includes", "requires", "excludes"):
            for rule in policy.inputs.get(group) or ():
                assert len(rule) == 1, "two selectors in one object are ambiguous"
                assert "authMethod" not in rule, "it would lock every Google user out"
        assert policy.inputs["decision"] != "bypass", "it would take the assertion away"


def test_the_second_factor_is_access_s_own_and_the_launcher_is_exempt() -> None:
    recorder, _ = _built()
    organization = recorder.one(":ZeroTrustOrganization").inputs
    assert organization["mfaConfig"]["allowedAuthenticators"] == ["totp", "security_key"]
    assert organization["mfaRequiredForAllApps"] is True
    assert organization["strictServiceTokenAuth"] is True
    apps = _apps(recorder)
    assert all(apps[name].inputs["mfaConfig"] for name in ("pages", "api", "ssh"))
    assert "mfaConfig" not in apps["launcher"].inputs, "authenticators are enrolled there"
    later = {found.name for app in apps.values() for found in recorder.before(app)}
    assert "access-organization" in later, "multi-factor settings are refused before it"


def test_the_api_asks_for_the_addresses_and_for_people_only_where_no_program_comes() -> None:
    recorder, _ = _built()
    policies = _policies_of(recorder, _apps(recorder)["api"])
    assert [policy.inputs["decision"] for policy in policies] == ["allow", "non_identity"]
    for policy in policies:
        assert {"ipList": {"id": "access-addresses-id"}} in policy.inputs["requires"]
    programs = policies[1].inputs
    assert programs["includes"] == [
        {"serviceToken": {"tokenId": f"access-token-{name}-id"}} for name in ("reports", "bank")
    ], "whatever a token may do there, it comes by the API's own policy"
    pages = _policies_of(recorder, _apps(recorder)["pages"])
    assert [policy.inputs["decision"] for policy in pages] == ["allow"], "no program on a page"
    ssh = _policies_of(recorder, _apps(recorder)["ssh"])
    assert ssh[1].inputs["includes"] == [{"serviceToken": {"tokenId": "access-token-ci-id"}}]


def test_cookies_stay_with_their_application_and_the_browser() -> None:
    recorder, _ = _built()
    apps = _apps(recorder)
    for name in ("pages", "api"):
        given = apps[name].inputs
        assert given["httpOnlyCookieAttribute"] is True
        assert given["pathCookieAttribute"] is True, "both have a cookie of one name on one host"
        assert given["sameSiteCookieAttribute"] == "lax", "strict would redirect for ever"
    assert apps["pages"].inputs["enableBindingCookie"] is True
    assert "enableBindingCookie" not in apps["ssh"].inputs, "it breaks what is no browser"


def test_the_ssh_name_does_not_exist_before_its_application() -> None:
    recorder, _ = _built()
    record = recorder.one(":DnsRecord")
    assert record.inputs["proxied"] is True
    assert "access-app-ssh" in {found.name for found in recorder.before(record)}
    without, _ = _built(ssh=(), service_tokens=())
    assert without.of_type(":DnsRecord") == []
    assert "ssh" not in _apps(without)


def test_each_droplets_ssh_has_its_application_and_all_have_the_same_policies() -> None:
    routes = [
        SshRoute(hostname=f"ssh-{n}.example.com", target=f"t{n}.cfargotunnel.com") for n in (0, 1)
    ]
    recorder, _ = _built(ssh=routes)
    apps = _apps(recorder)
    assert {"ssh-0", "ssh-1"} <= set(apps)
    assert "ssh" not in apps
    assert apps["ssh-0"].inputs["policies"] == apps["ssh-1"].inputs["policies"]
    for label in ("ssh-0", "ssh-1"):
        record = recorder.named(f"access-{label}-record")
        assert record.inputs["content"] == f"t{label[-1]}.cfargotunnel.com"
        assert f"access-app-{label}" in {found.name for found in recorder.before(record)}


def test_secrets_stay_secret_and_the_service_learns_what_it_verifies() -> None:
    recorder, access = _built()
    assert recorder.named("access-google").is_secret("config")
    assert is_secret(access.service_tokens)
    tokens = value_of(access.service_tokens)
    assert tokens is not None
    assert set(tokens) == {"ci", "reports", "bank"}
    assert tokens["ci"]["client_secret"].startswith("cfast_")
    assert value_of(access.team_domain) == "example.cloudflareaccess.com"
    audiences = value_of(access.audiences)
    apps = _apps(recorder)
    assert audiences == [apps["pages"].outputs["aud"], apps["api"].outputs["aud"]]
    assert value_of(access.api_clients) == {
        tokens["reports"]["client_id"]: [],
        tokens["bank"]["client_id"]: ["write", "money"],
    }, "ci is for SSH, and reports reads"
    assert not is_secret(access.audiences)


def test_a_rotation_reaches_the_provider_with_both_of_its_halves() -> None:
    token = ServiceToken(
        name="ci", uses=("ssh",), version=2, previous_until="2030-01-01T00:00:00Z", hours=720
    )
    recorder, _ = _built(service_tokens=(token,))
    given = recorder.one(":ZeroTrustAccessServiceToken").inputs
    assert given["clientSecretVersion"] == 2
    assert given["previousClientSecretExpiresAt"] == "2030-01-01T00:00:00Z"
    assert given["duration"] == "720h"


def test_a_stack_that_shares_its_account_leaves_the_organization_to_another() -> None:
    recorder, _ = _built(owns_organization=False)
    assert recorder.of_type(":ZeroTrustOrganization") == []
    assert recorder.of_type(":ZeroTrustAccessKeyConfiguration") == []
    assert "launcher" not in _apps(recorder), "the account has one"
    assert _apps(recorder)["pages"].inputs["mfaConfig"], "asked for by the application itself"


def test_a_preview_knows_no_ids_and_still_shows_everything() -> None:
    recorder, _ = built(lambda: Access("access", _args()), preview=True)
    assert len(recorder.of_type(":ZeroTrustAccessApplication")) == 4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"admins": ()}, "nobody could log in"),
        ({"admin_cidrs": ()}, "nobody could call the admin API"),
        ({"authenticators": ()}, "second factor"),
        ({"session": "8 hours"}, "write minutes or hours"),
        ({"ssh": ()}, "is for ssh, and no ssh route"),
    ],
)
def test_args_that_make_no_sense_say_what_to_do(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _args(**given)


def test_a_check_needs_the_platform_it_is_made_on() -> None:
    with pytest.raises(ValueError, match="name the platform"):
        Posture(checks=("firewall",))
    with pytest.raises(ValueError, match="windows and mac only"):
        Posture(checks=("firewall",), platform="linux")
    with pytest.raises(ValueError, match="go together"):
        ServiceToken(name="ci", uses=("ssh",), version=2)


def test_the_service_is_told_what_each_program_may_do() -> None:
    told = AccessEnvironment(
        team_domain="example.cloudflareaccess.com",
        audiences=["a", "b"],
        admins=ADMINS,
        admin_cidrs=["198.51.100.7/32"],
        service_tokens={"c1.access": [], "d2.access": ["write", "money"]},
    ).variables()
    tokens = value_of(told["PAYMENTS_ACCESS_SERVICE_TOKENS"])
    assert tokens == "c1.access,d2.access=write+money"

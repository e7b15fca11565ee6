"""What the doubles take and refuse of a zone's settings, lists, bots, notifications and checks."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest

from tests.twin.clouds.zone_things import (
    ACCOUNT,
    ZONE,
    certificate,
    custom,
    handlers,
    ip_list,
    rule,
    setting,
)
from twin.kept import in_force
from twin.protocol.resource import UNKNOWN, ApiError

HSTS = {"enabled": True, "max_age": 31536000.0, "include_subdomains": True, "preload": False}
ALERT = {
    "accountId": ACCOUNT,
    "name": "tunnel",
    "alertType": "tunnel_health_event",
    "mechanisms": {"emails": [{"id": "ops@example.com"}]},
}
WEBHOOK = {"accountId": ACCOUNT, "name": "pager", "url": "https://hooks.example.com/x"}
JOB = {
    "zoneId": ZONE,
    "dataset": "http_requests",
    "destinationConf": "s3://logs/edge?region=fra1",
    "ownershipChallenge": "proof",
}
CHECK = {"zoneId": ZONE, "name": "live", "address": "example.com", "type": "HTTPS"}


def _hsts(**more: Any) -> dict[str, Any]:
    return setting("security_header", {"strict_transport_security": {**HSTS, **more}})


def _alert(kind: str, **more: Any) -> dict[str, Any]:
    return {**ALERT, "alertType": kind, **more}


def _bots(**more: Any) -> dict[str, Any]:
    return {"zoneId": ZONE, **more}


def _job(**more: Any) -> dict[str, Any]:
    return {k: v for k, v in {**JOB, **more}.items() if v is not None}


def _transforms(*ids: str, replies: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "zoneId": ZONE,
        "managedRequestHeaders": [{"id": id, "enabled": True} for id in ids],
        "managedResponseHeaders": [{"id": id, "enabled": True} for id in replies],
    }


ACCEPTED: list[tuple[str, str, dict[str, Any]]] = [
    ("free", "ZoneSetting", setting("ssl", "strict")),
    ("free", "ZoneSetting", setting("min_tls_version", "1.2")),
    ("free", "ZoneSetting", setting("tls_1_3", "zrt")),
    ("free", "ZoneSetting", setting("challenge_ttl", 1800.0)),
    ("free", "ZoneSetting", setting("browser_cache_ttl", 0.0)),
    ("free", "ZoneSetting", setting("always_use_https", UNKNOWN)),
    ("free", "ZoneSetting", _hsts(nosniff=True)),
    ("pro", "ZoneSetting", setting("polish", "lossy")),
    ("business", "ZoneSetting", setting("max_upload", 200)),
    ("enterprise", "ZoneSetting", setting("true_client_ip_header", "on")),
    ("free", "BotManagement", _bots(fightMode=True, enableJs=False, aiBotsProtection="block")),
    ("pro", "BotManagement", _bots(sbfmDefinitelyAutomated="block", fightMode=False)),
    ("business", "BotManagement", _bots(sbfmLikelyAutomated="managed_challenge")),
    ("free", "ZoneDnssec", {"zoneId": ZONE, "status": "active"}),
    ("free", "LeakedCredentialCheck", {"zoneId": ZONE, "enabled": True}),
    ("free", "UrlNormalizationSettings", {"zoneId": ZONE, "type": "cloudflare", "scope": "both"}),
    ("free", "ManagedTransforms", _transforms(replies=("add_security_headers",))),
    ("free", "List", ip_list("192.0.2.1", "10.0.0.0/8", "2001:db8::/64", UNKNOWN)),
    ("free", "NotificationPolicy", ALERT),
    ("free", "NotificationPolicy", {**ALERT, "filters": {"tunnelIds": [UNKNOWN]}}),
    (
        "business",
        "NotificationPolicy",
        _alert("clickhouse_alert_fw_anomaly", filters={"zones": [ZONE]}),
    ),
    ("pro", "NotificationPolicyWebhooks", WEBHOOK),
    ("enterprise", "LogpushJob", JOB),
    ("pro", "Healthcheck", {**CHECK, "httpConfig": {"path": "/livez", "expectedCodes": ["2xx"]}}),
    ("pro", "Healthcheck", {**CHECK, "type": "TCP", "tcpConfig": {"port": 443}}),
    ("free", "AuthenticatedOriginPullsHostnameCertificate", certificate()),
]

REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ("free", "ZoneSetting", setting("sssl", "on"), '"sssl": Undefined zone setting.*"ssl".*1003'),
    ("free", "ZoneSetting", setting("ssl", "on"), '"on" for "ssl" is not off, flexible'),
    ("free", "ZoneSetting", setting("ssl", "origin_pull"), "needs the plan enterprise"),
    ("free", "ZoneSetting", setting("http3", True), 'True for "http3" is not on or off'),
    ("free", "ZoneSetting", setting("http2", "off"), 'Not allowed .*"http2".* the zone has free'),
    ("enterprise", "ZoneSetting", setting("ciphers", ["AES"]), "Advanced Certificate Manager"),
    ("pro", "ZoneSetting", setting("max_upload", 200), "the plan pro takes up to 100 MB"),
    ("free", "ZoneSetting", setting("challenge_ttl", 1000), "1000 for .* is not 300"),
    ("free", "ZoneSetting", setting("advanced_ddos", "off"), "can be read, not set"),
    ("free", "ZoneSetting", setting("security_level", "off"), "needs the plan enterprise"),
    ("free", "ZoneSetting", setting("security_header", {"maxAge": 1}), "must be"),
    (
        "free",
        "ZoneSetting",
        _hsts(maxAge=1),
        "'maxAge', which is unknown; did you mean \"max_age\"",
    ),
    ("free", "ZoneSetting", _hsts(max_age=-1), "which is not from 0"),
    ("free", "ZoneSetting", _hsts(preload="yes"), "preload='yes', which is no bool"),
    ("free", "BotManagement", _bots(sbfmVerifiedBots="allow"), "needs the plan pro"),
    ("pro", "BotManagement", _bots(sbfmLikelyAutomated="block"), "needs the plan business"),
    ("business", "BotManagement", _bots(suppressSessionScore=False), "needs the plan enterprise"),
    ("pro", "BotManagement", _bots(fightMode=True), "true is for the plan free"),
    ("pro", "BotManagement", _bots(sbfmVerifiedBots="challenge"), "is not one of allow, block"),
    ("free", "ManagedTransforms", _transforms("add_x"), '"add_x" is not'),
    ("pro", "ManagedTransforms", _transforms("add_true_client_ip_headers"), "plan enterprise"),
    (
        "enterprise",
        "ManagedTransforms",
        _transforms("add_true_client_ip_headers", "remove_visitor_ip_headers"),
        "contradict each other",
    ),
    ("free", "UrlNormalizationSettings", {"zoneId": ZONE, "type": "x", "scope": "both"}, "^type"),
    ("free", "List", ip_list("192.0.2.1", name="Office"), "^name: .*does not match"),
    ("pro", "List", ip_list(kind="asn"), "needs the plan enterprise, the account has pro"),
    ("pro", "List", ip_list("192.0.2.300"), r"items\[0\].ip: .*no IP address"),
    ("pro", "List", ip_list("192.0.2.1/24"), "no IP address and no network"),
    ("pro", "List", ip_list("10.0.0.0/7"), "is too wide"),
    ("pro", "List", ip_list("2001:db8::1"), "a list holds no single IPv6 address"),
    ("pro", "List", ip_list("192.0.2.1", "192.0.2.1/32"), r'"192.0.2.1/32" is items\[0\] as well'),
    (
        "pro",
        "List",
        {**ip_list(), "items": [{"asn": 1}]},
        'asn: is not for a list of the kind "ip"',
    ),
    (
        "pro",
        "NotificationPolicy",
        _alert("http_alert_origin_error"),
        "a zone of the plan enterprise",
    ),
    ("pro", "NotificationPolicy", _alert("nothing"), '"nothing" is not one of'),
    ("pro", "NotificationPolicy", {**ALERT, "mechanisms": {}}, "needs at least one of emails"),
    ("pro", "NotificationPolicy", {**ALERT, "mechanisms": {"emails": [{"id": "ops"}]}}, "e-mail"),
    (
        "free",
        "NotificationPolicy",
        {**ALERT, "mechanisms": {"webhooks": [{"id": "x"}]}},
        "plan pro",
    ),
    ("pro", "NotificationPolicy", {**ALERT, "filters": {"zones": [ZONE]}}, "is no filter of"),
    ("business", "NotificationPolicy", _alert("clickhouse_alert_fw_anomaly"), "zones: is required"),
    ("free", "NotificationPolicyWebhooks", WEBHOOK, "need a zone of the plan pro"),
    ("pro", "NotificationPolicyWebhooks", {**WEBHOOK, "url": "https://x.test:8443"}, "80 or 443"),
    ("business", "LogpushJob", JOB, "Logpush needs the plan enterprise"),
    ("enterprise", "LogpushJob", _job(dataset="http"), '"http" is not one of'),
    ("enterprise", "LogpushJob", _job(dataset="audit_logs"), "is an account's: give accountId"),
    ("enterprise", "LogpushJob", _job(destinationConf="ftp://x"), "is no URL of s3"),
    ("enterprise", "LogpushJob", _job(destinationConf="s3://x"), "without a region"),
    ("enterprise", "LogpushJob", _job(ownershipChallenge=None), "ownershipChallenge: is required"),
    ("enterprise", "LogpushJob", _job(maxUploadRecords=10), "10 is neither 0 nor between 1000"),
    ("free", "Healthcheck", CHECK, "health checks need the plan pro"),
    ("pro", "Healthcheck", {**CHECK, "name": "live check"}, "^name: .*does not match"),
    ("pro", "Healthcheck", {**CHECK, "interval": 30}, "30 s is not from 60 to 3600 s"),
    ("pro", "Healthcheck", {**CHECK, "tcpConfig": {"port": 1}}, 'is not for the type "HTTPS"'),
    ("pro", "Healthcheck", {**CHECK, "httpConfig": {"expectedCodes": ["ok"]}}, "neither 200 nor"),
    (
        "pro",
        "AuthenticatedOriginPullsHostnameCertificate",
        certificate(authority=True),
        "a leaf certificate is wanted",
    ),
    (
        "pro",
        "AuthenticatedOriginPullsHostnameCertificate",
        certificate(days=-1),
        "^certificate: expired on",
    ),
    (
        "pro",
        "AuthenticatedOriginPullsHostnameCertificate",
        {**certificate(), "privateKey": certificate()["privateKey"]},
        "does not belong to the certificate",
    ),
]


@pytest.mark.parametrize(("plan", "kind", "inputs"), ACCEPTED)
def test_what_the_plan_has_is_taken(plan: str, kind: str, inputs: dict[str, Any]) -> None:
    assert handlers(plan).failures(kind, inputs) == []


@pytest.mark.parametrize(("plan", "kind", "inputs", "message"), REFUSED)
def test_what_the_api_refuses_is_refused(
    plan: str, kind: str, inputs: dict[str, Any], message: str
) -> None:
    found = handlers(plan).failures(kind, inputs)
    assert any(re.search(message, failure) for failure in found), found


def test_what_was_bought_beside_the_plan_is_taken() -> None:
    chosen = setting("ciphers", ["ECDHE-ECDSA-AES128-GCM-SHA256"])
    assert handlers("free", "Advanced Certificate Manager").failures("ZoneSetting", chosen) == []
    refused = handlers("enterprise", "Argo Smart Routing").failures("ZoneSetting", chosen)
    assert "Advanced Certificate Manager" in "".join(refused)


def test_a_settings_value_outlives_its_resource() -> None:
    account = handlers()
    made = account.create("ZoneSetting", setting("ssl", "full"))
    assert made.outputs["editable"]
    account.update("ZoneSetting", made.id, setting("ssl", "strict"))
    account.delete("ZoneSetting", made.id)
    (kept,) = in_force(account.ctx.store, account.resource("ZoneSetting").token)
    assert (kept["settingId"], kept["value"]) == ("ssl", "strict")
    account.create("ZoneSetting", setting("ssl", "full"))
    (one,) = in_force(account.ctx.store, account.resource("ZoneSetting").token)
    assert one["value"] == "full", "what is set again is not set twice"


def test_bots_and_leaked_passwords_stay_as_they_were_set() -> None:
    account = handlers("pro")
    for kind, inputs in (
        ("BotManagement", _bots(sbfmDefinitelyAutomated="block")),
        ("LeakedCredentialCheck", {"zoneId": ZONE, "enabled": True}),
    ):
        made = account.create(kind, inputs)
        account.delete(kind, made.id)
        (kept,) = in_force(account.ctx.store, account.resource(kind).token)
        assert {**kept, **inputs} == kept
    again = account.create("BotManagement", _bots(sbfmVerifiedBots="allow"))
    assert again.outputs["sbfmDefinitelyAutomated"] == "block", "only what is given is set"


def test_the_delegation_is_computed_from_the_zones_key() -> None:
    account = handlers()
    made = account.create("ZoneDnssec", {"zoneId": ZONE, "status": "active"}).outputs
    owner = b"\x07example\x03com\x00"
    data = b"\x01\x01\x03\x0d" + base64.b64decode(made["publicKey"])
    assert made["digest"] == hashlib.sha256(owner + data).hexdigest().upper()
    assert made["ds"] == f"example.com. 3600 IN DS {made['keyTag']} 13 2 {made['digest']}"
    account.delete("ZoneDnssec", ZONE)
    again = account.create("ZoneDnssec", {"zoneId": ZONE}).outputs
    assert again["ds"] == made["ds"], "a registrar's DS record must stay right"


def test_dnssec_is_pending_until_the_registrar_publishes_the_record() -> None:
    account = handlers()
    dnssec, zone = account.resource("ZoneDnssec"), account.ctx.account["cloudflare"]["zones"][0]
    made = account.create("ZoneDnssec", {"zoneId": ZONE, "status": "active"}).outputs
    assert made["status"] == "active", "the provider answers what it asked for"
    assert dnssec.read(account.ctx, ZONE, made) == made, "the twin's registrar publishes at once"
    zone["ds_published"] = False
    waiting = dnssec.read(account.ctx, ZONE, made)
    assert waiting == {**made, "status": "pending"}
    zone["ds_published"] = True
    assert dnssec.read(account.ctx, ZONE, waiting) == made
    off = {**made, "status": "disabled"}
    assert dnssec.read(account.ctx, ZONE, off) == off


def test_two_resources_cannot_manage_what_a_zone_has_one_of() -> None:
    account = handlers()
    account.create("BotManagement", _bots(fightMode=False))
    with pytest.raises(ApiError, match="the zone has one BotManagement"):
        account.create("BotManagement", _bots(fightMode=False))


def test_a_list_cannot_go_while_a_rule_asks_it() -> None:
    account = handlers()
    made = account.create("List", ip_list("192.0.2.1"))
    rules = account.create("Ruleset", custom(rule("not ip.src in $office")))
    record = account.ctx.store.get(account.resource("List").token, made.id)
    assert record is not None
    now = account.resource("List").read(account.ctx, made.id, record.outputs)
    assert now is not None
    assert (now["numItems"], now["numReferencingFilters"]) == (1, 1)
    with pytest.raises(ApiError, match=r"is used by .* and cannot be deleted"):
        account.delete("List", made.id)
    account.delete("Ruleset", rules.id)
    account.delete("List", made.id)


def test_an_account_has_so_many_lists_and_names_are_unique() -> None:
    account = handlers("free")
    account.create("List", ip_list())
    with pytest.raises(ApiError, match="a list with this name already exists"):
        account.create("List", ip_list())
    with pytest.raises(ApiError, match="maximum number of lists reached, 1"):
        account.create("List", ip_list(name="second"))


def test_a_zone_exports_four_datasets_at_most() -> None:
    account = handlers("enterprise")
    for bucket in "abcd":
        account.create("LogpushJob", _job(destinationConf=f"s3://{bucket}/x?region=fra1"))
    with pytest.raises(ApiError, match="4 exist"):
        account.create("LogpushJob", JOB)


def test_a_plan_has_so_many_health_checks() -> None:
    account = handlers()
    for number in range(10):
        account.create("Healthcheck", {**CHECK, "name": f"check-{number}"})
    with pytest.raises(ApiError, match="the plan pro has 10 health checks"):
        account.create("Healthcheck", CHECK)


def test_a_policy_needs_its_webhook_and_a_webhook_keeps_its_url() -> None:
    account = handlers()
    with pytest.raises(ApiError, match="there is no webhook"):
        account.create("NotificationPolicy", {**ALERT, "mechanisms": {"webhooks": [{"id": "x"}]}})
    hook = account.create("NotificationPolicyWebhooks", WEBHOOK)
    policy = {**ALERT, "mechanisms": {"webhooks": [{"id": hook.id}]}}
    made = account.create("NotificationPolicy", policy)
    with pytest.raises(ApiError, match="URL cannot be changed"):
        account.update("NotificationPolicyWebhooks", hook.id, {**WEBHOOK, "url": "https://y.test"})
    with pytest.raises(ApiError, match="is in use by the policy"):
        account.delete("NotificationPolicyWebhooks", hook.id)
    account.delete("NotificationPolicy", made.id)
    account.delete("NotificationPolicyWebhooks", hook.id)


def test_a_host_names_certificate_goes_after_its_use() -> None:
    account = handlers()
    made = account.create("AuthenticatedOriginPullsHostnameCertificate", certificate())
    use = {"certId": made.id, "enabled": True, "hostname": "pay.example.com"}
    pulls = account.create("AuthenticatedOriginPulls", {"zoneId": ZONE, "configs": [use]})
    assert pulls.outputs["certificate"] == made.outputs["certificate"]
    with pytest.raises(ApiError, match="disable that first"):
        account.delete("AuthenticatedOriginPullsHostnameCertificate", made.id)
    off = {"zoneId": ZONE, "configs": [{**use, "enabled": False}]}
    account.update("AuthenticatedOriginPulls", pulls.id, off)
    account.delete("AuthenticatedOriginPullsHostnameCertificate", made.id)
    outside = {"zoneId": ZONE, "configs": [{**use, "hostname": "pay.other.test"}]}
    assert account.failures("AuthenticatedOriginPulls", outside)

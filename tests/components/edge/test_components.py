"""The resources of the edge: one ruleset per phase, in an order that leaves no gap."""

from __future__ import annotations

import json

import pulumi_random as random
import pytest

from components.edge import plans, records, settings, whole
from components.edge.front import Edge, EdgeArgs
from components.edge.rules import PHASES
from components.edge.settings import Hsts
from components.edge.watch import DATASETS, LogExport, Watch, WatchArgs
from components.edge.zone import Zone, ZoneArgs
from tests.components.fakes import built
from tests.recorder import Recorder

ZONE, ACCOUNT = "0" * 32, "1" * 32
WISHES = whole.Wishes(
    hostname="pay.example.com",
    redirected=("www.example.com",),
    admin_cidrs=("198.51.100.7/32", "203.0.113.0/24", "2001:db8::/64"),
    log_export=True,
    has=frozenset({"tunnel", "access"}),
)


def _edge(plan: plans.PlanName) -> Recorder:
    fitted = whole.fit(WISHES, plans.plan(plan))

    def program() -> Edge:
        return Edge(
            "payments-edge",
            EdgeArgs(
                account_id=ACCOUNT,
                zone_id=ZONE,
                fitted=fitted,
                admin_cidrs=WISHES.admin_cidrs,
            ),
        )

    return built(program)[0]


def _zone(*, mail: records.Mail | None = None, hsts: Hsts | None = None) -> Recorder:
    def program() -> Zone:
        gate = random.RandomBytes("origin-certificate", length=8)
        return Zone(
            "payments-zone",
            ZoneArgs(
                zone_id=ZONE,
                settings=settings.settings(hsts or Hsts(), modern_ciphers=False),
                records=records.records("example.com", mail=mail, redirected=("www.example.com",)),
                protect=True,
                origin_ready=(gate,),
            ),
        )

    return built(program)[0]


def _watch(plan: plans.PlanName, *emails: str) -> Recorder:
    fitted = whole.fit(WISHES, plans.plan(plan))

    def program() -> Watch:
        return Watch(
            "payments-watch",
            WatchArgs(
                account_id=ACCOUNT,
                zone_id=ZONE,
                alerts=fitted.alerts,
                emails=emails,
                tunnel_id="tunnel-1",
                log_export=LogExport(
                    destination="s3://logs/edge?secret-access-key=very-secret",
                    ownership_challenge="challenge-secret",
                )
                if fitted.log_export
                else None,
            ),
        )

    return built(program)[0]


@pytest.mark.parametrize("plan", plans.NAMES)
def test_every_phase_has_one_ruleset_whose_rules_keep_their_refs(plan: plans.PlanName) -> None:
    rulesets = _edge(plan).of_type(":Ruleset")
    phases = [ruleset.inputs["phase"] for ruleset in rulesets]
    assert len(phases) == len(set(phases)), "a second entry point is refused"
    assert set(phases) == set(PHASES) - (
        {"http_request_firewall_managed"} if plan == "free" else set()
    )
    for ruleset in rulesets:
        assert ruleset.inputs["kind"] == "zone"
        assert ruleset.inputs["rules"], "an empty phase needs no entry point"
        assert ruleset.options.delete_before_replace, "two entry points cannot stand side by side"
        refs = [rule["ref"] for rule in ruleset.inputs["rules"]]
        assert len(refs) == len(set(refs))


def test_the_list_of_admins_stands_before_the_rule_that_names_it() -> None:
    record = _edge("pro")
    admins = record.one(":List")
    assert [item["ip"] for item in admins.inputs["items"]] == [
        "198.51.100.7",
        "2001:db8::/64",
        "203.0.113.0/24",
    ], "the API gives whole addresses back without their length, a difference at every update"
    firewall = record.named("payments-edge-firewall")
    before = {found.name for found in record.before(firewall)}
    assert {admins.name, "payments-edge-leaked-passwords"} <= before
    assert f"${admins.inputs['name']}" in json.dumps(firewall.inputs["rules"])


def test_a_rate_limit_reaches_the_provider_as_it_was_fitted() -> None:
    (login,) = _edge("free").named("payments-edge-rate-limits").inputs["rules"]
    assert login["ratelimit"] == {
        "characteristics": ["cf.colo.id", "ip.src"],
        "period": 10,
        "requestsPerPeriod": 20,
        "mitigationTimeout": 10,
        "requestsToOrigin": False,
    }
    assert "actionParameters" not in login
    business = _edge("business").named("payments-edge-rate-limits").inputs["rules"]
    response = business[0]["actionParameters"]["response"]
    assert (response["statusCode"], response["contentType"]) == (429, "application/json")
    assert json.loads(response["content"])["code"] == "rate_limited"


def test_headers_overrides_and_redirects_reach_the_provider_in_its_own_form() -> None:
    record = _edge("pro")
    replies = record.named("payments-edge-response-headers").inputs["rules"]
    headers = replies[0]["actionParameters"]["headers"]
    assert headers["X-Frame-Options"] == {"operation": "set", "value": "DENY"}
    assert headers["X-Powered-By"] == {"operation": "remove"}
    owasp = record.named("payments-edge-managed").inputs["rules"][-1]["actionParameters"]
    assert owasp["id"] == plans.OWASP
    assert owasp["overrides"]["rules"] == [
        {"id": "6179ae15870a4bb7b2d480d4843b323c", "action": "block", "scoreThreshold": 25}
    ]
    (redirect,) = record.named("payments-edge-redirects").inputs["rules"]
    to = redirect["actionParameters"]["fromValue"]
    assert (to["statusCode"], to["preserveQueryString"]) == (301, True)
    assert to["targetUrl"]["expression"].startswith('concat("https://pay.example.com"')
    static = record.named("payments-edge-cache").inputs["rules"][1]["actionParameters"]
    assert static["cacheKey"] == {"cacheDeceptionArmor": True}
    skip = record.named("payments-edge-firewall").inputs["rules"][0]["actionParameters"]
    assert skip["ruleset"] == "current"
    assert "http_request_sbfm" in skip["phases"]


def test_the_bots_settings_are_those_of_the_plan() -> None:
    free = _edge("free").one(":BotManagement").inputs
    assert free == {
        "zoneId": ZONE, "fightMode": False, "enableJs": False, "aiBotsProtection": "block"
    }  # fmt: skip
    assert "sbfmLikelyAutomated" in _edge("business").one(":BotManagement").inputs


def test_the_transport_is_strict() -> None:
    found = {it.inputs["settingId"]: it.inputs["value"] for it in _zone().of_type(":ZoneSetting")}
    assert found["ssl"] == "strict"
    assert (found["min_tls_version"], found["tls_1_3"]) == ("1.2", "on")
    assert found["0rtt"] == "off", "a payment sent as early data can be sent again by anybody"
    assert (found["always_use_https"], found["http3"], found["websockets"]) == ("on", "on", "on")
    assert found["security_header"] == {
        "strict_transport_security": {
            "enabled": True,
            "max_age": 31_536_000,
            "include_subdomains": True,
            "preload": False,
            "nosniff": True,
        }
    }, "the provider takes these keys in snake case only"
    rewriters = ("email_obfuscation", "rocket_loader", "always_online")
    assert {found[name] for name in rewriters} == {"off"}, "our policy forbids foreign scripts"


def test_strict_tls_waits_for_the_origins_certificate_and_nothing_else_does() -> None:
    record = _zone()
    for setting in record.of_type(":ZoneSetting"):
        waits = {found.name for found in record.before(setting)}
        assert ("origin-certificate" in waits) is (setting.inputs["settingId"] == "ssl")


def test_a_zone_without_mail_says_so() -> None:
    record = _zone()
    found = [(it.inputs["type"], it.inputs["name"], it.inputs.get("content")) for it in
             record.of_type(":DnsRecord")]  # fmt: skip
    assert ("TXT", "example.com", '"v=spf1 -all"') in found
    assert ("MX", "example.com", ".") in found
    dmarc = next(content for kind, name, content in found if name == "_dmarc.example.com")
    assert "p=reject" in str(dmarc)
    authorities = {
        it.inputs["data"]["value"] for it in record.of_type(":DnsRecord") if "data" in it.inputs
    }
    assert authorities == {"letsencrypt.org", "pki.goog", "ssl.com"}


def test_a_zone_that_sends_mail_says_who_may_and_what_becomes_of_the_rest() -> None:
    mail = records.Mail(senders=("_spf.google.com", "mail.example.org"), reports="d@example.com")
    found = {it.inputs["name"]: it.inputs["content"] for it in _zone(mail=mail).of_type(
        ":DnsRecord") if it.inputs["type"] == "TXT"}  # fmt: skip
    assert found == {
        "example.com": '"v=spf1 include:_spf.google.com include:mail.example.org -all"',
        "_dmarc.example.com": '"v=DMARC1; p=quarantine; sp=reject; rua=mailto:d@example.com"',
    }
    kinds = {it.inputs["type"] for it in _zone(mail=mail).of_type(":DnsRecord")}
    assert "MX" not in kinds, "the provider names its own"
    with pytest.raises(ValueError, match="all its mail would be refused"):
        records.Mail(senders=())


def test_dnssec_is_protected_and_its_record_is_an_output() -> None:
    record = _zone()
    dnssec = record.one(":ZoneDnssec")
    assert dnssec.inputs["status"] == "active"
    assert dnssec.options.protect, "deleting it while the registrar publishes DS ends the name"
    assert record.outputs_of(record.one("payments:index:Zone")) == {"ds", "records"}


def test_paths_are_the_same_for_the_rules_and_the_origin() -> None:
    paths = _zone().one(":UrlNormalizationSettings").inputs
    assert (paths["type"], paths["scope"]) == ("cloudflare", "both")


def test_the_preload_list_is_not_entered_by_a_slip() -> None:
    with pytest.raises(ValueError, match="preload=True with max_age=60"):
        Hsts(max_age=60, preload=True)


def test_people_are_told_of_what_the_plan_can_tell() -> None:
    policies = {it.inputs["alertType"]: it for it in _watch("pro", "ops@example.com").of_type(
        ":NotificationPolicy")}  # fmt: skip
    assert "http_alert_origin_error" not in policies
    tunnel = policies["tunnel_health_event"].inputs
    assert tunnel["filters"] == {"tunnelIds": ["tunnel-1"]}
    assert tunnel["mechanisms"] == {"emails": [{"id": "ops@example.com"}]}
    business = _watch("business", "ops@example.com")
    anomaly = next(
        it.inputs
        for it in business.of_type(":NotificationPolicy")
        if it.inputs["alertType"] == "clickhouse_alert_fw_anomaly"
    )
    assert anomaly["filters"] == {"zones": [ZONE]}


def test_nobody_to_tell_means_no_policies() -> None:
    assert not _watch("enterprise").of_type(":NotificationPolicy")


def test_logs_leave_only_on_a_plan_that_exports_and_without_what_is_private() -> None:
    assert not _watch("business").of_type(":LogpushJob")
    jobs = _watch("enterprise").of_type(":LogpushJob")
    assert {job.inputs["dataset"] for job in jobs} == set(DATASETS)
    for job in jobs:
        assert job.is_secret("destinationConf")
        assert job.is_secret("ownershipChallenge")
        names = set(job.inputs["outputOptions"]["fieldNames"])
        private = {"ClientRequestURI", "ClientRequestQuery", "RequestHeaders", "Cookies",
                   "ClientRequestReferer"}  # fmt: skip
        assert not names & private, "gateways send references back in a query"

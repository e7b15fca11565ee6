"""The real engine on the zone-level doubles: nothing changes by itself, and what replaces."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest

from tests.twin.clouds.accounts import ACCOUNT, ACCOUNT_ID, CF_TOKEN, ZONE_ID
from tests.twin.conftest import Engine, StartEngine
from tools import drift
from twin.clouds import cloudflare
from twin.protocol.resource import Context

PROGRAM = f"""
    import pulumi, pulumi_cloudflare as cf
    provider = cf.Provider("cf", api_token="{CF_TOKEN}")
    opts = pulumi.ResourceOptions(provider=provider)
    office = cf.List("office", account_id="{ACCOUNT_ID}", kind="ip", name="@LIST@",
        items=[dict(ip="203.0.113.0/24", comment="b"), dict(ip="192.0.2.1")], opts=opts)
    cf.Ruleset("firewall", zone_id="{ZONE_ID}", kind="zone", name="@NAME@",
        phase="http_request_firewall_custom", rules=[
            dict(ref="machines", action="skip", expression='http.request.uri.path eq "/w"',
                 action_parameters=dict(ruleset="current", phases=["http_ratelimit"])),
            dict(ref="admin", action="block",
                 expression=office.name.apply(lambda name: f"not ip.src in ${{name}}")),
        ], opts=pulumi.ResourceOptions(provider=provider, delete_before_replace=@FIRST@))
    cf.Ruleset("limits", zone_id="{ZONE_ID}", kind="zone", name="limits", phase="http_ratelimit",
        rules=[dict(ref="login", action="block", expression='http.request.uri.path eq "/login"',
            ratelimit=dict(characteristics=["cf.colo.id", "ip.src"], period=@PERIOD@,
                           requests_per_period=10, mitigation_timeout=600))], opts=opts)
    cf.Ruleset("headers", zone_id="{ZONE_ID}", kind="zone", name="headers",
        phase="http_response_headers_transform", rules=[dict(action="rewrite", expression="true",
            action_parameters=dict(headers={{"X-Frame-Options": dict(operation="set", value="DENY"),
                "X-Powered-By": dict(operation="remove")}}))], opts=opts)
    for name, value in dict(ssl="strict", challenge_ttl=1800, security_header=dict(
            strict_transport_security=dict(enabled=True, max_age=31536000))).items():
        cf.ZoneSetting(name, zone_id="{ZONE_ID}", setting_id=name, value=value, opts=opts)
    dnssec = cf.ZoneDnssec("dnssec", zone_id="{ZONE_ID}", status="active", opts=opts)
    cf.BotManagement("bots", zone_id="{ZONE_ID}", fight_mode=False,
        sbfm_definitely_automated="block", opts=opts)
    cf.UrlNormalizationSettings("paths", zone_id="{ZONE_ID}", type="cloudflare", scope="both",
        opts=opts)
    cf.LeakedCredentialCheck("leaks", zone_id="{ZONE_ID}", enabled=True, opts=opts)
    cf.ManagedTransforms("transforms", zone_id="{ZONE_ID}", managed_request_headers=[],
        managed_response_headers=[dict(id="add_security_headers", enabled=True)], opts=opts)
    hook = cf.NotificationPolicyWebhooks("hook", account_id="{ACCOUNT_ID}", name="hook",
        url="https://hooks.example.com/x", secret="s3cret-of-the-hook", opts=opts)
    cf.NotificationPolicy("told", account_id="{ACCOUNT_ID}", name="told",
        alert_type="universal_ssl_event_type", mechanisms=dict(webhooks=[dict(id=hook.id)],
        emails=[dict(id="b@example.com"), dict(id="a@example.com")]), opts=opts)
    cf.Healthcheck("live", zone_id="{ZONE_ID}", name="live", address="pay.payments.localhost",
        type="HTTPS", http_config=dict(path="/livez", expected_codes=["200"]), opts=opts)
    pulumi.export("ds", dnssec.ds)
"""
BASE = {"LIST": "office", "NAME": "rules", "PERIOD": "60", "FIRST": "True"}


def program(**changes: str) -> str:
    text = PROGRAM
    for name, value in {**BASE, **changes}.items():
        text = text.replace(f"@{name}@", value)
    return text


@pytest.fixture
def engine(start_engine: StartEngine, paper_context: Context) -> Engine:
    return start_engine(cloudflare.package(), context=replace(paper_context, account=ACCOUNT))


def test_nothing_changes_by_itself_and_everything_goes(
    engine: Engine, paper_context: Context
) -> None:
    engine.program(program())
    first = engine.up()
    assert first.code == 0, first.output
    assert engine.up().steps == {}
    assert engine.refresh("--expect-no-changes").code == 0
    rules = engine.resources()["firewall"]["outputs"]["rules"]
    assert len({rule["id"] for rule in rules}) == 2
    assert "s3cret-of-the-hook" not in engine.state()

    engine.program(program(PERIOD="10"))
    changed = engine.up()
    assert changed.steps == {"limits": "update"}, changed.output
    assert engine.resources()["limits"]["outputs"]["version"] == "2"
    gone = engine.destroy()
    assert gone.code == 0, gone.output
    assert paper_context.store.all() == []


def test_dnssec_that_waits_for_the_registrar_is_known_by_the_engines_log(
    start_engine: StartEngine, paper_context: Context
) -> None:
    account = deepcopy(ACCOUNT)
    (zone,) = (it for it in account["cloudflare"]["zones"] if it["id"] == ZONE_ID)
    zone["ds_published"] = False
    engine = start_engine(cloudflare.package(), context=replace(paper_context, account=account))
    engine.program(program())
    assert engine.up().code == 0
    assert engine.up().steps == {}, "who does not ask the API is not told"
    waiting = engine.preview("--refresh", "--expect-no-changes")
    assert waiting.code != 0, waiting.output
    (change,) = drift.would_change(engine.folder / "events.json")
    assert drift.waits_for_registrar(change), change
    zone["ds_published"] = True
    assert engine.preview("--refresh", "--expect-no-changes").code == 0


def test_a_renamed_ruleset_collides_with_itself_unless_it_goes_first(engine: Engine) -> None:
    engine.program(program(FIRST="False"))
    assert engine.up().code == 0
    engine.program(program(FIRST="False", NAME="renamed"))
    failed = engine.up()
    assert failed.code != 0
    assert "exceeded maximum number of zone rulesets" in failed.output
    engine.program(program(NAME="renamed"))
    done = engine.up()
    assert done.code == 0, done.output


def test_what_a_plan_lacks_is_refused_at_preview(engine: Engine) -> None:
    engine.program(program(PERIOD="600"))
    planned = engine.preview()
    assert planned.code != 0
    assert "600 s: the plan pro counts for 10 or 60 s" in planned.output

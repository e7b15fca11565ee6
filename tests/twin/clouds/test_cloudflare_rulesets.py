"""What the doubles take and refuse of rules, phase by phase and plan by plan."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.twin.clouds.zone_things import (
    CACHE,
    CLOUDFLARE,
    CUSTOM,
    LIMIT,
    MANAGED,
    OWASP,
    REDIRECT,
    REPLY,
    REQUEST,
    act,
    custom,
    handlers,
    header,
    ip_list,
    limit,
    rule,
    ruleset,
)
from twin.protocol.resource import UNKNOWN, ApiError

SKIP = {"ruleset": "current", "phases": [LIMIT, MANAGED], "products": ["bic"]}
EXECUTE = rule("true", "execute", actionParameters={"id": OWASP})
PATH = {"expression": "http.request.uri.path"}
TARGET = {"expression": 'concat("https://example.com", http.request.uri.path)'}


def _skip(**more: Any) -> dict[str, Any]:
    return act(CUSTOM, "skip", **more)


def _response(**more: Any) -> dict[str, Any]:
    given = {"statusCode": 429, "content": "no", "contentType": "text/plain", **more}
    return act(CUSTOM, "block", response=given)


def _redirect(target: Any, **more: Any) -> dict[str, Any]:
    return act(REDIRECT, "redirect", fromValue={"targetUrl": target, **more})


def _overrides(*, id: str = OWASP, **more: Any) -> dict[str, Any]:
    return act(MANAGED, "execute", id=id, overrides=more)


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("free", custom(rule())),
    ("free", custom(*[rule(ref=str(n)) for n in range(5)])),
    ("free", custom(UNKNOWN, rule(UNKNOWN))),
    ("free", {**custom(), "rules": UNKNOWN}),
    ("free", custom(rule("ip.src in $office", "managed_challenge"))),
    ("free", _skip(**SKIP)),
    ("pro", _skip(phases=["http_request_sbfm"])),
    ("pro", _skip(phases=[LIMIT]) | {"description": "d"}),
    ("pro", custom(rule("true", "skip", actionParameters=SKIP, logging={"enabled": True}))),
    ("pro", _response()),
    ("pro", _response(content="x" * 2048)),
    ("enterprise", custom(rule("true", "log"))),
    ("business", custom(rule('http.host matches "a"'))),
    ("free", limit(period=10, mitigationTimeout=10)),
    ("free", limit("managed_challenge", period=10)),
    ("pro", limit(period=60, mitigationTimeout=3600)),
    ("pro", limit("js_challenge")),
    ("business", limit(period=600, mitigationTimeout=86400)),
    ("business", limit(characteristics=["cf.colo.id", "cf.unique_visitor_id"])),
    ("business", limit(countingExpression="http.response.code eq 401")),
    ("enterprise", limit(mitigationTimeout=0)),
    ("enterprise", limit("managed_challenge", mitigationTimeout=77)),
    ("enterprise", limit(characteristics=["cf.colo.id", 'http.request.headers["x-key"]'])),
    ("enterprise", limit(characteristics=["cf.colo.id", "lower(http.host)"])),
    ("pro", act(MANAGED, "execute", id=CLOUDFLARE)),
    ("pro", ruleset(MANAGED, rule("ssl", "skip", actionParameters={"rulesets": [OWASP]}), EXECUTE)),
    ("pro", _overrides(categories=[{"category": "paranoia-level-2", "enabled": False}])),
    ("pro", _overrides(rules=[{"id": "6179ae15870a4bb7b2d480d4843b323c", "scoreThreshold": 40}])),
    ("free", act(MANAGED, "execute", id="77454fe2d30c4220b5701f6fdfb893ba")),
    ("free", _redirect(TARGET, statusCode=301, preserveQueryString=True)),
    ("free", _redirect({"value": "https://example.com/"})),
    ("free", header("X-Frame-Options")),
    ("free", header("X-Powered-By", "remove")),
    ("free", header("Set-Cookie", "add")),
    ("free", header("Server", "remove")),
    ("free", header("X-Request-Path", phase=REQUEST, value=None, **PATH)),
    ("free", header("CF-Connecting-IP", "remove", REQUEST)),
    ("free", header("Cookie", "remove", REQUEST)),
    ("free", act("http_request_transform", "rewrite", uri={"path": {"value": "/new"}})),
    ("free", act(CACHE, "set_cache_settings", cache=False)),
    ("free", act(CACHE, "set_cache_settings", cache=True, edgeTtl={"mode": "respect_origin"})),
    ("pro", act(CACHE, "set_cache_settings", edgeTtl={"mode": "override_origin", "default": 3600})),
    ("business", act(CACHE, "set_cache_settings", browserTtl={"mode": "bypass"})),
    ("free", act(CACHE, "set_cache_settings", cacheKey={"cacheDeceptionArmor": True})),
    ("free", act("http_config_settings", "set_config", ssl="strict", bic=False)),
    ("free", act("http_request_origin", "route", origin={"port": 8443})),
    ("pro", act("http_custom_errors", "serve_error", content="no", statusCode=503)),
]

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("pro", {**custom(), "accountId": "b" * 32}, 'conflicts with "accountId"'),
    ("pro", {**custom(), "kind": "custom"}, '^kind: "custom" is not doubled'),
    ("pro", ruleset("http_request_sbfm", rule()), "^phase: .*use BotManagement"),
    ("pro", ruleset("magic_transit", rule()), '^phase: "magic_transit" is not of a zone'),
    ("free", ruleset("http_custom_errors"), "^phase: .*needs the plan pro, the zone has free"),
    ("free", custom(*[rule()] * 6), "^rules: has 6 rules, the plan free has 5"),
    ("pro", custom(*[rule()] * 21), "^rules: has 21 rules, the plan pro has 20"),
    ("free", ruleset(CACHE, *[rule("true", "set_cache_settings")] * 11), "the plan free has 10"),
    ("pro", custom(rule(ref="a"), rule(ref="a")), r'^rules\[1\].ref: "a" is the ref of rules\[0\]'),
    ("pro", custom(rule("")), r"^rules\[0\].expression: '' is not .* \(20125\)"),
    (
        "pro",
        custom(rule('htp.host eq "a"')),
        r"(?s)^rules\[0\].expression: 'htp.host eq \"a\"' is not a valid value for expression "
        r"because could not parse filter expression: Filter parsing error \(1:1\):.*unknown "
        "identifier",
    ),
    ("pro", custom(rule('http.host matches "a"')), "needs the plan business, the zone has pro"),
    ("pro", custom(rule("http.response.code eq 200")), "a response's field is not available"),
    ("pro", custom(rule("true", "execute")), r'^rules\[0\].action: "execute" is not block, '),
    ("pro", custom(rule("true", "log")), r"action: .log. needs the plan enterprise"),
    ("pro", custom(rule(actionParameters={"id": OWASP})), r'id: is no parameter of .* "block"'),
    ("pro", custom(rule("true", "skip")), r"actionParameters: is required for the action .skip."),
    ("free", _skip(phases=["http_request_sbfm"]), "needs the plan pro, the zone has free"),
    ("pro", _skip(phases=[REPLY]), "cannot be skipped, only http_ratelimit"),
    ("pro", _skip(rulesets=[OWASP]), "a custom rule skips the phase"),
    ("pro", _skip(products=["WAF"]), '"WAF" is not one of bic'),
    ("pro", custom(rule(logging={"enabled": False})), 'logging: is for the action "skip"'),
    ("pro", custom(rule(ratelimit=limit()["rules"][0]["ratelimit"])), "of the phase http_ratel"),
    ("free", _response(), "a custom response. needs the plan pro"),
    ("pro", _response(statusCode=200), "statusCode: 200 is not between 400 and 499"),
    ("pro", _response(content="é" * 1025), "content: has 2050 bytes, 2048 is the limit"),
    ("pro", _response(contentType="text/css"), "contentType: .text/css. is not"),
    ("pro", ruleset(LIMIT, rule()), r"ratelimit: is required for a rule of the phase"),
    ("pro", limit(characteristics=["ip.src"]), 'lacks "cf.colo.id", which is mandatory'),
    ("pro", limit(characteristics=["cf.colo.id"]), "needs ip.src as well on the plan pro"),
    ("pro", limit(characteristics=["cf.colo.id", "cf.unique_visitor_id"]), "the plan business"),
    ("pro", limit(characteristics=["cf.colo.id", "http.host"]), "needs the plan enterprise"),
    (
        "enterprise",
        limit(characteristics=["cf.colo.id", "ip.src", "cf.unique_visitor_id"]),
        "ip.src or cf.unique_visitor_id, not both",
    ),
    ("enterprise", limit(characteristics=["cf.colo.id", "ssl"]), "cannot be counted by"),
    ("free", limit(mitigationTimeout=10), "period: 60 s: the plan free counts for 10 s"),
    ("pro", limit(period=120), r"period: 120 s: the plan pro counts for 10 or 60 s"),
    ("pro", limit(period=50), "period: 50 s"),
    ("business", limit(period=900), "period: 900 s: the plan business counts for"),
    ("enterprise", limit(period=86400), "period: 86400 s"),
    ("free", limit(period=10, mitigationTimeout=60), "mitigationTimeout: 60 s: the plan free"),
    ("pro", limit(mitigationTimeout=86400), "mitigationTimeout: 86400 s: the plan pro acts for"),
    ("pro", limit(mitigationTimeout=None), "mitigationTimeout: is required for the action"),
    ("pro", limit(mitigationTimeout=0), r"0 s for the action .block. \(throttling\) needs"),
    ("pro", limit("managed_challenge", mitigationTimeout=60), "60 s must be 0 for the action"),
    ("enterprise", limit(mitigationTimeout=86401), "is not from 0 to 86400 s"),
    ("pro", limit(requestsPerPeriod=0), "requestsPerPeriod: 0 is not at least 1"),
    ("pro", limit(requestsPerPeriod=None), "requestsPerPeriod: is required"),
    ("pro", limit(countingExpression="true and ssl"), "has no counting expression|limits of the p"),
    ("pro", limit("log"), "needs the plan enterprise"),
    ("free", act(MANAGED, "execute", id=OWASP), "OWASP Core Ruleset.* needs the plan pro"),
    ("pro", act(MANAGED, "execute", id="0" * 32), "there is no such managed ruleset"),
    ("pro", act(MANAGED, "execute", overrides={}), "id: is required for the action"),
    ("pro", ruleset(MANAGED, EXECUTE, EXECUTE), r"is executed by rules\[0\] already: once"),
    (
        "pro",
        ruleset(MANAGED, EXECUTE, rule("ssl", "skip", actionParameters={"rulesets": [OWASP]})),
        r"^rules\[1\].action: .skip. stands behind the rule that executes",
    ),
    ("pro", _overrides(action="skip"), 'action: "skip" is not block, log'),
    ("pro", _overrides(sensitivityLevel="low"), "is for the phase ddos_l7 only"),
    ("pro", act(MANAGED, "execute", id=OWASP, matchedData={"publicKey": "k"}), "payload logging"),
    (
        "pro",
        _overrides(rules=[{"id": "x", "scoreThreshold": 9}], id=CLOUDFLARE),
        "is for the OWASP ruleset's scoring rule",
    ),
    ("free", _redirect({}), 'needs one of "value", "expression"'),
    ("free", _redirect({**TARGET, "value": "https://x.test"}), "conflicts with"),
    ("free", _redirect({"value": "example.com"}), "neither an http.s. URL nor a path"),
    ("free", _redirect({"expression": "ssl"}), "must make a String, this is of type Boolean"),
    ("free", _redirect(TARGET, statusCode=304), '"304" is not one of 301'),
    ("free", header("Server"), r'headers\["Server"\]: "server" cannot be modified in replies'),
    ("free", header("CF-Ray", "remove"), "are Cloudflare's own"),
    ("free", header("X-A", "remove", value="x"), 'must be left out for the operation "remove"'),
    ("free", header("X-A", value=None), "needs value or expression"),
    ("free", header("X-A", "add", REQUEST), '"add" is for replies'),
    ("free", header("X-Forwarded-For", phase=REQUEST), "it identifies the visitor"),
    ("free", header("CF-Connecting-IP", phase=REQUEST), "are Cloudflare's own"),
    ("free", header("Cookie", phase=REQUEST), '"cookie" can be removed, not set'),
    ("free", header("Host", phase=REQUEST), '"host" cannot be modified in requests'),
    ("free", header("X A"), "is no header name"),
    ("free", header("X-A", value="a\nb"), "has a line break"),
    ("free", act(REPLY, "rewrite", uri={"path": {"value": "/"}}), "rewrites headers only"),
    ("free", act(REPLY, "rewrite", headers={f"X-{n}": {"operation": "remove"} for n in range(31)}),
     "has 31 headers"),
    ("free", act("http_request_transform", "rewrite", uri={"path": {"value": "new"}}), "with /"),
    ("free", act(CACHE, "set_cache_settings", cache=False, edgeTtl={"mode": "respect_origin"}),
     "edgeTtl: cannot be set where cache is false"),
    ("free", act(CACHE, "set_cache_settings", edgeTtl={"mode": "override_origin", "default": 3600}),
     "3600 s is not between 7200 and"),
    ("pro", act(CACHE, "set_cache_settings", edgeTtl={"mode": "override_origin"}), "is required"),
    ("pro", act(CACHE, "set_cache_settings", edgeTtl={"mode": "respect_origin", "default": 7200}),
     "must be left out for the mode"),
    ("pro", act(CACHE, "set_cache_settings", readTimeout=200), "needs the plan enterprise"),
    ("pro", act(CACHE, "set_cache_settings", cacheKey={"customKey": {"host": {"resolved": True}}}),
     "a custom cache key. needs the plan enterprise"),
    ("pro", act("http_request_origin", "route", hostHeader="x"), "needs the plan enterprise"),
    ("free", act("http_config_settings", "set_config", polish="lossy"), "needs the plan pro"),
    ("pro", act("http_custom_errors", "serve_error", statusCode=503), "needs one of content"),
]  # fmt: skip


@pytest.mark.parametrize(("plan", "inputs"), ACCEPTED)
def test_what_the_plan_has_is_taken(plan: str, inputs: dict[str, Any]) -> None:
    assert handlers(plan).failures("Ruleset", inputs) == []


@pytest.mark.parametrize(("plan", "inputs", "message"), REFUSED)
def test_what_the_api_refuses_is_refused(plan: str, inputs: dict[str, Any], message: str) -> None:
    found = handlers(plan).failures("Ruleset", inputs)
    assert any(re.search(message, failure) for failure in found), found


def test_a_phase_has_one_entry_point() -> None:
    account = handlers()
    account.create("Ruleset", custom(rule()))
    account.create("Ruleset", limit())
    with pytest.raises(
        ApiError, match=f"maximum number of zone rulesets for phase {CUSTOM} .20217"
    ):
        account.create("Ruleset", custom(rule()))


def test_a_list_must_exist_when_the_rule_does() -> None:
    account = handlers()
    rules = custom(rule("ip.src in $office"))
    assert account.failures("Ruleset", rules) == [], "it may be made in the same update"
    with pytest.raises(ApiError, match=r"unknown list \$office"):
        account.create("Ruleset", rules)
    account.create("List", ip_list("192.0.2.1"))
    account.create("Ruleset", rules)


def test_a_rule_keeps_its_id_by_its_ref_wherever_it_goes() -> None:
    account = handlers()
    made = account.create("Ruleset", custom(rule(ref="a"), rule("ssl", ref="b"), rule("not ssl")))
    before = made.outputs["rules"]
    assert len({it["id"] for it in before}) == 3
    changed = custom(rule("not ssl"), rule("ssl", "managed_challenge", ref="b"), rule(ref="a"))
    after = account.update("Ruleset", made.id, changed)
    ids = [it["id"] for it in after["rules"]]
    assert ids == [before[2]["id"], before[1]["id"], before[0]["id"]]
    assert after["version"] == "2"
    assert after["rules"][0]["ref"] == ids[0], "a rule without a ref has its id as one"
    assert all(it["enabled"] for it in after["rules"])
    new = account.update("Ruleset", made.id, custom(rule(ref="c")))
    assert new["rules"][0]["id"] not in ids


def test_transform_rules_are_counted_together() -> None:
    account = handlers("free")
    one = {"operation": "set", "value": "x"}
    rules = [rule("true", "rewrite", actionParameters={"headers": {"X-A": one}})] * 6
    account.create("Ruleset", ruleset(REQUEST, *rules))
    with pytest.raises(ApiError, match="transform rules would be 12, the plan free has 10"):
        account.create("Ruleset", ruleset(REPLY, *rules))


def test_a_zone_of_someone_else_is_refused() -> None:
    with pytest.raises(ApiError, match=r"403 .*Authentication error"):
        handlers().create("Ruleset", {**custom(rule()), "zoneId": "f" * 32})

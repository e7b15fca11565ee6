"""No plan is given a rule that it would refuse, whatever is wanted; nothing is lost in silence."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.edge import firewall, fitting, paths, plans, rules
from components.edge import limits as limits_table
from components.edge.limits import LIMITS, Limit
from components.edge.rules import Rule
from tests.components.edge import conditions
from tests.components.edge.wanted import PLANS, firewalls, limits
from twin.rules import check


@settings(deadline=None, max_examples=200)
@given(firewalls(), PLANS)
def test_no_plan_gets_a_custom_rule_it_would_refuse(
    wanted: list[Rule], name: plans.PlanName
) -> None:
    fit = fitting.fit_firewall(wanted, plans.plan(name))
    assert not list(conditions.against_firewall(fit.rules, name))


@settings(deadline=None, max_examples=200)
@given(limits(), PLANS)
def test_no_plan_gets_a_rate_limit_it_would_refuse(
    wanted: list[Limit], name: plans.PlanName
) -> None:
    fit = fitting.fit_limits(wanted, plans.plan(name))
    assert not list(conditions.against_rates(fit.rules, name))


@settings(deadline=None, max_examples=200)
@given(limits(), PLANS)
def test_a_visitor_within_a_limit_is_never_refused_for_the_plans_sake(
    wanted: list[Limit], name: plans.PlanName
) -> None:
    by_name = {limit.name: limit for limit in wanted}
    for rule in fitting.fit_limits(wanted, plans.plan(name)).rules:
        limit, rate = by_name[rule.ref], rule.rate
        assert rate is not None
        assert rate.requests >= limit.requests
        # Whoever keeps within a limit may send all of it in the first moment of each period.
        periods = -(-rate.period // limit.period)
        assert rate.requests >= limit.requests * periods


@settings(deadline=None)
@given(limits(), PLANS)
def test_every_limit_is_accounted_for_and_a_changed_one_has_somebody_who_makes_up_for_it(
    wanted: list[Limit], name: plans.PlanName
) -> None:
    fit = fitting.fit_limits(wanted, plans.plan(name))
    assert [finding.ref for finding in fit.findings] == [limit.name for limit in wanted]
    kept = {rule.ref for rule in fit.rules}
    for finding, limit in zip(fit.findings, wanted, strict=True):
        assert (finding.outcome == "left out") == (limit.name not in kept)
        assert bool(finding.changes) == (finding.outcome != "exact")
        assert bool(finding.otherwise) == (finding.outcome != "exact")


@settings(deadline=None)
@given(firewalls(), PLANS)
def test_every_custom_rule_is_accounted_for_and_keeps_its_place(
    wanted: list[Rule], name: plans.PlanName
) -> None:
    fit = fitting.fit_firewall(wanted, plans.plan(name))
    assert [finding.ref for finding in fit.findings] == [rule.ref for rule in wanted]
    kept = {f.ref for f in fit.findings if f.outcome in {"exact", "weakened"}}
    order = [rule.ref for rule in wanted if rule.ref in kept]
    assert [r.ref for r in fit.rules if r.ref in kept] == [
        ref for ref in order if ref in {r.ref for r in fit.rules}
    ]
    by_ref = {rule.ref: rule for rule in wanted}
    texts = [rule.expression for rule in fit.rules]
    for finding in fit.findings:
        if finding.outcome == "joined":
            alone = f"({by_ref[finding.ref].expression})"
            assert any(alone in text for text in texts), "a joined rule still matches what it did"


@given(st.text(alphabet='ab"\\ /$.', max_size=20))
def test_a_text_is_read_back_as_it_was(value: str) -> None:
    quoted = rules.text(value)
    assert quoted[1:-1].replace('\\"', '"').replace("\\\\", "\\") == value or "\\" in value
    assert rules.fields(f"http.host eq {quoted}") == {"http.host"}, "a text is not an expression"


# The seeds' five limits: what is wanted, and what each plan makes of it.
TABLE = """
limit                wanted                  free            pro                    business                enterprise
login                10/60 block 900         20/10 block 10  20/60 block 600        10/60 block 600         10/60 block 900
register             5/3600 block 3600       -               -                      5/600 block 3600        5/3600 block 3600
create-subscription  10/60 block 60          -               -                      10/60 block 60          10/60 block 60
transactions         100/60 managed          -               100/60 managed         100/60 managed          100/60 managed
api                  1000/3600 js            -               -                      1000/600 js             1000/3600 js
"""  # noqa: E501
ROWS = [re.split(r"\s{2,}", line) for line in TABLE.strip().splitlines()]
CASES = [
    (plan, row[0], row[column])
    for column, plan in enumerate(ROWS[0])
    if plan in plans.NAMES
    for row in ROWS[1:]
]


@pytest.mark.parametrize(("plan", "name", "expected"), CASES)
def test_the_seeds_limits_on_a_plan(plan: plans.PlanName, name: str, expected: str) -> None:
    fit = fitting.fit_limits(LIMITS, plans.plan(plan))
    found = next((rule for rule in fit.rules if rule.ref == name), None)
    if found is None:
        assert expected == "-"
        return
    assert found.rate is not None
    action = found.action.removesuffix("_challenge")
    then = f"{action} {found.rate.timeout}" if found.rate.timeout else action
    assert f"{found.rate.requests}/{found.rate.period} {then}" == expected
    assert found.parameters.get("response", {}).get("status_code") == (
        429 if action == "block" and plan != "free" else None
    )


def test_the_seeds_limits_are_what_the_seeds_say() -> None:
    for limit, row in zip(LIMITS, ROWS[1:], strict=True):
        action = limit.action.removesuffix("_challenge")
        then = f"{action} {limit.block}" if limit.block else action
        assert [limit.name, f"{limit.requests}/{limit.period} {then}"] == row[:2]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_limit_covers_a_webhook_or_a_health_check(method: str) -> None:
    everything = Limit(
        name="all", prefixes=("/",), requests=1, period=60, action="managed_challenge"
    )
    for limit in (*LIMITS, everything):
        (rule,) = fitting.fit_limits([limit], plans.ENTERPRISE).rules
        covers = check(rule.expression, phase="http_ratelimit", plan="enterprise").compile()
        for path in paths.MACHINES:
            assert not covers({"http.request.method": method, "http.request.uri.path": path})
        if limit.prefixes:
            beside = f"{limit.prefixes[0]}payments/webhook/stripe"
            assert covers({"http.request.method": method, "http.request.uri.path": beside})


def test_the_service_gets_the_same_table() -> None:
    rows = json.loads(limits_table.for_service())
    assert [(row["name"], row["requests"], row["period"], row["block"]) for row in rows] == [
        (limit.name, limit.requests, limit.period, limit.block) for limit in LIMITS
    ]
    login, *_, api = rows
    assert login["methods"] == ["POST"]
    assert login["paths"] == ["/login", "/api/auth/login", "/api/v1/auth/login"]
    assert (api["methods"], api["paths"], api["prefixes"]) == (None, [], ["/api/"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"requests": 0}, "limits nothing"),
        ({"block": 0}, "a block lasts"),
        ({"action": "js_challenge"}, "a challenge none"),
        ({"block": 59}, "still full"),
        ({"paths": ()}, "covers nothing"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(wrong: dict[str, Any], says: str) -> None:
    right: dict[str, Any] = {
        "name": "login",
        "requests": 1,
        "period": 60,
        "action": "block",
        "block": 60,
        "paths": ("/",),
    }
    with pytest.raises(ValueError, match=says):
        Limit(**{**right, **wrong})


def test_a_challenge_of_a_plan_without_regular_expressions_is_left_out_and_told() -> None:
    rule = Rule(ref="odd", description="", expression='http.host matches "a"', action="block",
                otherwise="the service")  # fmt: skip
    (finding,) = fitting.fit_firewall([rule], plans.PRO).findings
    assert finding.outcome == "left out"
    assert finding.changes == ("Pro has no regular expressions",)
    assert finding.otherwise == "the service"
    assert fitting.fit_firewall([rule], plans.BUSINESS).rules == (rule,)


def test_joining_keeps_everything_the_rules_did() -> None:
    wanted = [
        Rule(
            ref=ref, description="", expression=f'http.host eq "{ref}"', action="block", joins="all"
        )
        for ref in "abcdefg"
    ]
    fit = fitting.fit_firewall(wanted, plans.FREE)
    (one,) = fit.rules
    assert one.ref == "all"
    assert one.expression.count(" or ") == 6
    assert {finding.outcome for finding in fit.findings} == {"joined"}
    assert fitting.fit_firewall(wanted, plans.PRO).rules == tuple(wanted), "there was room"


def _long(**lengths: int) -> list[Rule]:
    return [
        Rule(ref=ref, description="", expression=f'http.host eq "{"x" * length}"', action="block",
             joins="all")
        for ref, length in lengths.items()
    ]  # fmt: skip


def test_what_is_too_long_to_be_joined_stands_by_itself_and_the_others_are_joined() -> None:
    fit = fitting.fit_firewall(
        _long(a=10, b=4000, c=10, d=2000, e=2000), replace(plans.FREE, custom_rules=3)
    )
    assert [rule.ref for rule in fit.rules] == ["all", "b", "e"]
    assert {finding.ref for finding in fit.findings if finding.outcome == "joined"} == set("acd")
    assert not [finding for finding in fit.findings if finding.outcome == "left out"]


def test_what_does_not_fit_into_one_rule_is_joined_into_several() -> None:
    fit = fitting.fit_firewall(
        _long(a=2000, b=2000, c=2000, d=2000), replace(plans.FREE, custom_rules=2)
    )
    assert [rule.ref for rule in fit.rules] == ["all", "all-2"], "a ref is given once"
    assert {finding.outcome for finding in fit.findings} == {"joined"}


@pytest.mark.parametrize("name", plans.NAMES)
def test_webhooks_from_many_addresses_are_still_let_by(name: plans.PlanName) -> None:
    many = tuple(f"198.51.{n // 250}.{n % 250}" for n in range(200))
    hooks = tuple(replace(it, sources=it.sources or many) if it.gateway == "razorpay" else it
                  for it in paths.WEBHOOKS)  # fmt: skip
    wanted = firewall.rules(hostname="pay.example.com", webhooks=hooks, admin_list="admins")
    fit = fitting.fit_firewall(wanted, plans.plan(name))
    lost = {finding.ref for finding in fit.findings if finding.outcome == "left out"}
    assert not lost & {"webhooks", "health", "admin-api", "path-tricks"}
    assert any(many[-1] in rule.expression for rule in fit.rules if rule.action == "skip")
    assert not list(conditions.against_firewall(fit.rules, name))


def test_an_edge_ttl_is_no_shorter_than_the_plan_can_keep() -> None:
    rule = Rule(
        ref="kept",
        description="",
        expression="true",
        action="set_cache_settings",
        parameters={"cache": True, "edge_ttl": {"mode": "override_origin", "default": 60}},
    )
    for plan in plans.PLANS.values():
        (fitted,) = fitting.fit_cache([rule], plan).rules
        assert fitted.parameters["edge_ttl"]["default"] == max(60, conditions.EDGE_TTL[plan.name])


def test_header_rules_count_together() -> None:
    many = [
        Rule(ref=f"r{n}", description="", expression="true", action="rewrite") for n in range(9)
    ]
    requests, replies = fitting.fit_headers(many, many, plans.FREE)
    assert len(requests.rules) + len(replies.rules) == conditions.TRANSFORMS["free"]
    assert len(replies.rules) == 9, "what protects visitors goes before what tidies requests"
    lost = [finding for finding in requests.findings if finding.outcome == "left out"]
    assert len(lost) == 8

"""What may be said in a phase on a plan, field by field, against what the double takes."""

from __future__ import annotations

import pytest

from components.edge import fitting, language, plans
from components.edge.rules import PHASES, Phase, Rule
from tests.components.edge.test_against_the_double import refused
from tests.components.edge.wanted import KNOWN_FIELDS, about
from twin.rules.functions import FUNCTIONS

ACTIONS: dict[Phase, tuple[str, dict[str, object]]] = {
    "http_request_dynamic_redirect": (
        "redirect",
        {"from_value": {"status_code": 301, "target_url": {"value": "https://example.com/"}}},
    ),
    "http_request_firewall_custom": ("block", {}),
    "http_request_firewall_managed": ("execute", {"id": plans.CLOUDFLARE_MANAGED}),
    "http_request_late_transform": ("rewrite", {"headers": {"X-A": {"operation": "remove"}}}),
    "http_request_cache_settings": ("set_cache_settings", {"cache": False}),
    "http_response_headers_transform": ("rewrite", {"headers": {"X-A": {"operation": "remove"}}}),
}
BOUGHT = ("cf.bot_management.", "cf.waf.content_scan.", "http.request.jwt.", "cf.api_gateway.")
BOUGHT += ("cf.schema_validation.",)
"""Fields of products beside the plans, which the double has on Enterprise or everywhere."""


def _rule(phase: Phase, expression: str, **more: object) -> Rule:
    action, parameters = ACTIONS[phase]
    parameters = {**parameters, **more}
    return Rule(ref="one", description="", expression=expression, action=action,
                parameters=parameters)  # fmt: skip


def _fit(rule: Rule, phase: Phase, plan: plans.Plan) -> fitting.Fit:
    match phase:
        case "http_request_dynamic_redirect":
            return fitting.fit_redirects([rule], plan)
        case "http_request_firewall_custom":
            return fitting.fit_firewall([rule], plan)
        case "http_request_firewall_managed":
            return fitting.fit_managed([rule], plan)
        case "http_request_late_transform":
            return fitting.fit_headers([rule], [], plan)[0]
        case "http_request_cache_settings":
            return fitting.fit_cache([rule], plan)
    return fitting.fit_headers([], [rule], plan)[1]


# Free has no managed ruleset to execute.
CASES = [(phase, plan) for phase in ACTIONS for plan in plans.NAMES
         if phase != "http_request_firewall_managed" or plan != "free"]  # fmt: skip


@pytest.mark.parametrize(("phase", "plan"), CASES)
def test_every_field_is_kept_where_the_plan_has_it_and_told_where_not(
    phase: Phase, plan: plans.PlanName
) -> None:
    lost, taken = set(), set()
    for name in sorted(KNOWN_FIELDS):
        rule = _rule(phase, about(name))
        fit = _fit(rule, phase, plans.plan(plan))
        assert refused(fit.rules, phase, plan) == [], (
            f"{name} would fail in the middle of an update"
        )
        (finding,) = fit.findings
        assert bool(fit.rules) == (finding.outcome == "exact")
        if not fit.rules:
            assert name in finding.changes[0]
            if refused([rule], phase, plan) == []:
                lost.add(name)
        taken |= {name for rule in fit.rules}
    assert len(taken) > 80, "an allow-list that allows nothing proves nothing"
    assert not {name for name in lost if not name.startswith(BOUGHT)}, "the plan has these"


CALLS = {
    "regex_replace": 'regex_replace(http.request.uri.path, "^/a", "/b")',
    "wildcard_replace": 'wildcard_replace(http.request.uri.path, "/a/*", "/b/${1}")',
    "to_string": "to_string(ip.src.asnum)",
    "uuidv4": "uuidv4(cf.random_seed)",
    "encode_base64": "encode_base64(http.host)",
    "concat": 'concat("a", http.request.uri.path)',
    "join": 'join(http.request.headers.names, ",")',
    "lower": "lower(http.host)",
    "paid": 'http.request.cookies["a"][0]',
    "of the reply": 'http.response.headers["x"][0]',
}


@pytest.mark.parametrize("plan", plans.NAMES)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_makes_a_value_is_looked_at_as_well(call: str, plan: plans.PlanName) -> None:
    target = {"from_value": {"status_code": 301, "target_url": {"expression": call}}}
    header = {"headers": {"X-A": {"operation": "set", "expression": call}}}
    cases: list[tuple[Phase, dict[str, object]]] = [
        ("http_request_dynamic_redirect", target),
        ("http_request_late_transform", header),
        ("http_response_headers_transform", header),
    ]
    for phase, parameters in cases:
        rule = _rule(phase, 'http.host eq "a"', **parameters)
        fit = _fit(rule, phase, plans.plan(plan))
        assert refused(fit.rules, phase, plan) == []
        assert bool(fit.rules) == (refused([rule], phase, plan) == [])


@pytest.mark.parametrize("plan", plans.NAMES)
def test_a_value_s_function_does_not_stand_in_a_condition(plan: plans.PlanName) -> None:
    for call in CALLS.values():
        rule = _rule("http_request_firewall_custom", f'{call} eq "x"')
        fit = _fit(rule, "http_request_firewall_custom", plans.plan(plan))
        assert refused(fit.rules, "http_request_firewall_custom", plan) == []


@pytest.mark.parametrize("plan", plans.NAMES)
def test_cloudflares_own_lists_are_enterprises(plan: plans.PlanName) -> None:
    rule = _rule("http_request_firewall_custom", "ip.src in $cf.anonymizer")
    kept = _fit(rule, "http_request_firewall_custom", plans.plan(plan)).rules
    assert bool(kept) == (plan == "enterprise")
    assert refused(kept, "http_request_firewall_custom", plan) == []


def test_the_functions_are_all_known() -> None:
    assert set(language.FUNCTIONS) == set(FUNCTIONS)
    assert all(phases <= set(PHASES) for phases in language.FUNCTIONS.values())

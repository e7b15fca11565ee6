"""The strict double of Cloudflare's API as a second judge of what was fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings

from components.edge import fitting, plans, whole
from components.edge.limits import Limit
from components.edge.rules import PHASES, Phase, Rule
from tests.components.edge.test_components import WISHES
from tests.components.edge.wanted import PLANS, firewalls, limits
from twin.clouds.cloudflare.rulesets.expressions import Place
from twin.clouds.cloudflare.rulesets.ruleset import rule_failures

LISTS = ("admins", WISHES.admin_list)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _as_sent(value: Any, *, names: bool = True) -> Any:
    """Python's spelling as the provider's; the names of headers stay as they are."""
    if isinstance(value, Mapping):
        return {
            (_camel(key) if names else key): _as_sent(inner, names=key != "headers")
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_as_sent(inner) for inner in value]
    return value


def sent(rule: Rule) -> dict[str, Any]:
    """A rule as the provider hands it to the API."""
    made = {
        "ref": rule.ref,
        "description": rule.description,
        "expression": rule.expression,
        "action": rule.action,
        "enabled": True,
    }
    if rule.parameters:
        made["actionParameters"] = _as_sent(dict(rule.parameters))
    if rule.rate:
        made["ratelimit"] = {
            "characteristics": list(rule.rate.characteristics),
            "period": rule.rate.period,
            "requestsPerPeriod": rule.rate.requests,
            "mitigationTimeout": rule.rate.timeout,
            "requestsToOrigin": False,
        }
    return made


def refused(rules: Sequence[Rule], phase: Phase, plan: str) -> list[str]:
    """What the double says against these rules."""
    place = Place(phase=phase, plan=plan, lists=LISTS)
    found = rule_failures({"rules": [sent(rule) for rule in rules]}, place)
    return [f"{failure.property}: {failure.reason}" for failure in found]


@pytest.mark.parametrize("plan", plans.NAMES)
def test_the_double_takes_every_phase_of_every_plan(plan: plans.PlanName) -> None:
    fitted = whole.fit(WISHES, plans.plan(plan))
    for phase in PHASES:
        assert refused(fitted.rules[phase], phase, plan) == []


@settings(deadline=None, max_examples=100)
@given(firewalls(), PLANS)
def test_the_double_takes_whatever_firewall_was_fitted(
    wanted: list[Rule], plan: plans.PlanName
) -> None:
    rules = fitting.fit_firewall(wanted, plans.plan(plan)).rules
    assert refused(rules, "http_request_firewall_custom", plan) == []


@settings(deadline=None, max_examples=100)
@given(limits(), PLANS)
def test_the_double_takes_whatever_limits_were_fitted(
    wanted: list[Limit], plan: plans.PlanName
) -> None:
    rules = fitting.fit_limits(wanted, plans.plan(plan)).rules
    assert refused(rules, "http_ratelimit", plan) == []


def test_the_double_would_have_refused_the_wishes_themselves() -> None:
    enterprise = whole.fit(WISHES, plans.ENTERPRISE)
    for plan in ("free", "pro"):
        assert refused(enterprise.rules["http_ratelimit"], "http_ratelimit", plan)
    assert refused(enterprise.rules["http_request_firewall_custom"],
                    "http_request_firewall_custom", "free")  # fmt: skip

"""What a plan takes of the wanted rules, and what was lost on the way: pure functions.

A fitted rule is never stricter than what was wanted: a visitor who keeps within a limit is not
refused because a plan can only count badly. What a plan cannot say is said more weakly, or left
out, and reported with whoever makes up for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from components.edge import paths
from components.edge.joining import join
from components.edge.language import refusal
from components.edge.limits import Limit
from components.edge.plans import CHALLENGES, MAX_EXPRESSION, Plan
from components.edge.rules import (
    PATH,
    PHASES,
    Phase,
    Rate,
    Rule,
    below,
    either,
    every,
    one_of,
)

Outcome = Literal["exact", "joined", "weakened", "left out"]

SERVICE: Final = "the service enforces it exactly, with counters that all replicas share"
METHOD: Final = "http.request.method"
TOO_MANY: Final = (
    '{"type":"about:blank","title":"Too many requests.","status":429,"code":"rate_limited",'
    '"detail":"Too many requests from this address. Wait before you try again."}'
)
"""The body of a refused request, in the service's own form (RFC 9457)."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What became of one wanted rule; `changes` says how, `otherwise` who makes up for it."""

    phase: str
    ref: str
    outcome: Outcome
    changes: tuple[str, ...] = ()
    otherwise: str = ""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The rules that a plan takes, in order, and one finding for every wanted rule."""

    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]


def fit_firewall(wanted: Sequence[Rule], plan: Plan) -> Fit:
    """Custom rules: unknown ones left out, alike ones joined, then the least important left out."""
    phase = PHASES["http_request_firewall_custom"]
    findings: list[Finding] = []
    rules: list[Rule] = []
    changes: dict[str, list[str]] = {}
    for rule in wanted:
        why = ""
        if rule.action not in plan.custom_actions:
            why = f"{plan.title} does not have the action {rule.action}"
        why = why or refusal(rule, "http_request_firewall_custom", plan)
        if why:
            findings.append(_left_out(phase, rule, why))
            continue
        able, lost = _able(rule, plan)
        if lost:
            changes[rule.ref] = [lost]
        rules.append(able)
    rules, joined = join(rules, plan.custom_rules)
    rules, gone = _fewer(rules, plan.custom_rules)
    lost_refs = {rule.ref for rule in gone}
    room = f"{plan.title} has {plan.custom_rules} custom rules"
    for rule in wanted:
        if any(finding.ref == rule.ref for finding in findings):
            continue
        host = joined.get(rule.ref)
        how = changes.get(rule.ref, [])
        if (host or rule.ref) in lost_refs:
            findings.append(_left_out(phase, rule, room))
        elif how:
            findings.append(_weakened(phase, rule, how))
        elif host:
            findings.append(
                Finding(
                    phase=phase,
                    ref=rule.ref,
                    outcome="joined",
                    changes=(f"one rule {host}: {room}",),
                )
            )
        else:
            findings.append(Finding(phase=phase, ref=rule.ref, outcome="exact"))
    return Fit(rules=tuple(rules), findings=_in_order(findings, wanted))


def fit_limits(wanted: Sequence[Limit], plan: Plan) -> Fit:
    """Rate limits: the most important ones that there is room for, each as the plan can say it."""
    phase = PHASES["http_ratelimit"]
    said = {it.name: _limit(it, plan) for it in wanted}
    able = [it for it in wanted if len(said[it.name][0].expression) <= MAX_EXPRESSION]
    kept = {it.name for it in sorted(able, key=lambda it: it.rank)[: plan.rate_rules]}
    rules, findings = [], []
    for limit in wanted:
        if limit.name not in kept:
            room = f"{plan.title} has {plan.rate_rules} rate limiting rule(s)"
            if limit not in able:
                room = f"an expression has at most {MAX_EXPRESSION} characters"
            findings.append(
                Finding(
                    phase=phase,
                    ref=limit.name,
                    outcome="left out",
                    changes=(room,),
                    otherwise=SERVICE,
                )
            )
            continue
        rule, changes = said[limit.name]
        rules.append(rule)
        findings.append(
            Finding(
                phase=phase,
                ref=limit.name,
                outcome="weakened" if changes else "exact",
                changes=tuple(changes),
                otherwise=SERVICE if changes else "",
            )
        )
    return Fit(rules=tuple(rules), findings=tuple(findings))


def fit_managed(wanted: Sequence[Rule], plan: Plan) -> Fit:
    """Managed rulesets that the plan has, and the exceptions that still mean something."""
    phase = PHASES["http_request_firewall_managed"]
    rules, findings = [], []
    for rule in wanted:
        if why := refusal(rule, "http_request_firewall_managed", plan):
            findings.append(_left_out(phase, rule, why))
            continue
        if rule.action == "execute":
            named = (rule.parameters["id"],)
        else:
            named = tuple(rule.parameters.get("rulesets", ()))
        had = [ruleset for ruleset in named if ruleset in plan.managed_rulesets]
        if not had and rule.action == "execute":
            findings.append(_left_out(phase, rule, f"{plan.title} does not have this ruleset"))
            continue
        if not had:
            nothing = (f"nothing to except from on {plan.title}",)
            findings.append(Finding(phase=phase, ref=rule.ref, outcome="exact", changes=nothing))
            continue
        if rule.action != "execute":
            rule = replace(rule, parameters={**rule.parameters, "rulesets": had})
        rules.append(rule)
        findings.append(Finding(phase=phase, ref=rule.ref, outcome="exact"))
    return Fit(rules=tuple(rules), findings=tuple(findings))


def fit_cache(wanted: Sequence[Rule], plan: Plan) -> Fit:
    """Cache rules within the plan's number, no edge TTL shorter than the plan's shortest."""
    phase: Phase = "http_request_cache_settings"
    able, changes = [], {}
    for rule in wanted:
        ttl = rule.parameters.get("edge_ttl", {})
        if 0 < ttl.get("default", 0) < plan.edge_ttl_minimum:
            longer = {**ttl, "default": plan.edge_ttl_minimum}
            rule = replace(rule, parameters={**rule.parameters, "edge_ttl": longer})
            changes[rule.ref] = (
                f"kept {plan.edge_ttl_minimum} s at the edge, {plan.title}'s shortest"
            )
        able.append(rule)
    return _counted(phase, able, plan, plan.cache_rules, "cache rules", changes)


def fit_redirects(wanted: Sequence[Rule], plan: Plan) -> Fit:
    """Redirects that the plan can say, within its number."""
    phase: Phase = "http_request_dynamic_redirect"
    return _counted(phase, wanted, plan, plan.redirect_rules, "redirects")


def fit_headers(request: Sequence[Rule], response: Sequence[Rule], plan: Plan) -> tuple[Fit, Fit]:
    """Header rules; requests' and replies' count together, and the replies' come first."""
    what, room = "transform rules", plan.transform_rules
    replies = _counted("http_response_headers_transform", response, plan, room, what)
    left = room - len(replies.rules)
    return _counted("http_request_late_transform", request, plan, left, what), replies


def _limit(limit: Limit, plan: Plan) -> tuple[Rule, list[str]]:
    """One limit as a plan can say it, and what that took."""
    changes: list[str] = []
    requests = limit.requests
    blind = limit.methods is not None and METHOD not in plan.rate_fields
    if blind and limit.form:
        requests *= 2
        changes.append(
            f"{plan.title} cannot tell methods apart: fetching the form counts too, so "
            f"{requests} requests instead of {limit.requests}"
        )
    elif blind:
        changes.append(f"{plan.title} cannot tell methods apart: every request counts")
    shorter = [period for period in plan.rate_periods if period <= limit.period]
    period = max(shorter) if shorter else min(plan.rate_periods)
    if period > limit.period:
        requests *= math.ceil(period / limit.period)
    if period != limit.period:
        changes.append(f"counted over {period} s instead of {limit.period} s")
    timeout = 0
    if limit.action not in CHALLENGES:
        shorter = [it for it in plan.rate_timeouts if it <= limit.block]
        timeout = max(shorter) if shorter else min(plan.rate_timeouts)
        if timeout != limit.block:
            changes.append(f"blocked for {timeout} s instead of {limit.block} s")
    refused = limit.action == "block" and plan.custom_response
    rule = Rule(
        ref=limit.name,
        description=f"{limit.name}: {limit.requests} in {limit.period} s",
        expression=_covered(limit, blind=blind),
        action=limit.action,
        parameters={
            "response": {
                "status_code": 429,
                "content_type": "application/json",
                "content": TOO_MANY,
            }
        }
        if refused
        else {},
        rate=Rate(requests=requests, period=period, timeout=timeout),
        rank=limit.rank,
    )
    return rule, changes


def _covered(limit: Limit, *, blind: bool) -> str:
    conditions = []
    if limit.paths:
        conditions.append(one_of(PATH, limit.paths))
    conditions += [below(prefix) for prefix in limit.prefixes]
    parts = [either(conditions)]
    if limit.methods is not None and not blind:
        parts.insert(0, one_of(METHOD, limit.methods))
    if spared := [path for path in paths.MACHINES if path.startswith(limit.prefixes)]:
        parts.append(f"not {one_of(PATH, spared)}")
    return every(*parts)


def _able(rule: Rule, plan: Plan) -> tuple[Rule, str]:
    """A rule without what the plan cannot do in it, and what was taken out of it."""
    parameters = dict(rule.parameters)
    lost = ""
    if "phases" in parameters:
        # What the plan does not run needs no skipping: nothing is lost.
        parameters["phases"] = [p for p in parameters["phases"] if p in plan.skippable_phases]
        if not parameters["phases"]:
            del parameters["phases"]
    if "response" in parameters and not plan.custom_response:
        del parameters["response"]
        lost = f"{plan.title} answers with Cloudflare's own page"
    return replace(rule, parameters=parameters), lost


def _fewer(rules: Sequence[Rule], room: int) -> tuple[list[Rule], list[Rule]]:
    """The most important rules that there is room for, in their order; and the others."""
    ranked = sorted(range(len(rules)), key=lambda index: (rules[index].rank, index))
    kept = set(ranked[: max(room, 0)])
    return (
        [rule for index, rule in enumerate(rules) if index in kept],
        [rule for index, rule in enumerate(rules) if index not in kept],
    )


def _counted(
    phase: Phase,
    wanted: Sequence[Rule],
    plan: Plan,
    room: int,
    what: str,
    changes: Mapping[str, str] | None = None,
) -> Fit:
    """The rules that the plan can say, and of those the most important ones within its number."""
    refused = {rule.ref: why for rule in wanted if (why := refusal(rule, phase, plan))}
    kept, gone = _fewer([rule for rule in wanted if rule.ref not in refused], room)
    lost = {rule.ref: f"{plan.title} has {max(room, 0)} {what} left" for rule in gone}
    findings = []
    for rule in wanted:
        gone_for = refused.get(rule.ref) or lost.get(rule.ref)
        how = (changes or {}).get(rule.ref)
        if gone_for:
            findings.append(_left_out(PHASES[phase], rule, gone_for))
        elif how:
            findings.append(_weakened(PHASES[phase], rule, [how]))
        else:
            findings.append(Finding(phase=PHASES[phase], ref=rule.ref, outcome="exact"))
    return Fit(rules=tuple(kept), findings=tuple(findings))


def _left_out(phase: str, rule: Rule, why: str) -> Finding:
    return Finding(
        phase=phase, ref=rule.ref, outcome="left out", changes=(why,), otherwise=rule.otherwise
    )


def _weakened(phase: str, rule: Rule, how: Sequence[str]) -> Finding:
    return Finding(
        phase=phase,
        ref=rule.ref,
        outcome="weakened",
        changes=tuple(how),
        otherwise=rule.otherwise,
    )


def _in_order(findings: Sequence[Finding], wanted: Sequence[Rule]) -> tuple[Finding, ...]:
    places = {rule.ref: index for index, rule in enumerate(wanted)}
    return tuple(sorted(findings, key=lambda finding: places[finding.ref]))

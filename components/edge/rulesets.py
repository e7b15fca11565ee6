"""From rules as data to the provider's arguments: one ruleset per phase of the zone.

A phase has one entry point ruleset: all rules of a phase live in it. Its name, kind and phase never
change: a change replaces it, and the new one cannot be created beside the old one. Hence also
`delete_before_replace`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_cloudflare as cloudflare

from components.edge.rules import PHASES, Phase, Rule

_TITLES: dict[Phase, str] = {
    "http_request_dynamic_redirect": "Payments: redirects",
    "http_request_firewall_custom": "Payments: firewall",
    "http_ratelimit": "Payments: rate limits",
    "http_request_firewall_managed": "Payments: managed rulesets",
    "http_request_late_transform": "Payments: request headers",
    "http_request_cache_settings": "Payments: cache",
    "http_response_headers_transform": "Payments: reply headers",
}


def ruleset(
    name: str,
    phase: Phase,
    rules: Sequence[Rule],
    zone_id: str,
    *,
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource] = (),
) -> cloudflare.Ruleset:
    """The entry point of one phase."""
    return cloudflare.Ruleset(
        f"{name}-{PHASES[phase]}",
        zone_id=zone_id,
        kind="zone",
        name=_TITLES[phase],
        phase=phase,
        rules=[arguments(rule) for rule in rules],
        opts=pulumi.ResourceOptions(
            parent=parent, depends_on=list(after), delete_before_replace=True
        ),
    )


def arguments(rule: Rule) -> cloudflare.RulesetRuleArgs:
    """One rule as the provider takes it."""
    rate = rule.rate
    return cloudflare.RulesetRuleArgs(
        ref=rule.ref,
        description=rule.description,
        expression=rule.expression,
        action=rule.action,
        enabled=True,
        action_parameters=_parameters(rule.parameters) if rule.parameters else None,
        ratelimit=cloudflare.RulesetRuleRatelimitArgs(
            characteristics=list(rate.characteristics),
            period=rate.period,
            requests_per_period=rate.requests,
            mitigation_timeout=rate.timeout,
            requests_to_origin=False,
        )
        if rate
        else None,
    )


def _parameters(given: Mapping[str, Any]) -> cloudflare.RulesetRuleActionParametersArgs:
    """The parameters of an action; a name without a type of its own is passed on as it is."""
    nested = {
        "response": _response,
        "overrides": _overrides,
        "headers": _headers,
        "from_value": _from_value,
        "edge_ttl": cloudflare.RulesetRuleActionParametersEdgeTtlArgs,
        "browser_ttl": cloudflare.RulesetRuleActionParametersBrowserTtlArgs,
        "cache_key": cloudflare.RulesetRuleActionParametersCacheKeyArgs,
    }
    made: dict[str, Any] = {
        name: nested[name](**value) if name in nested else value for name, value in given.items()
    }
    return cloudflare.RulesetRuleActionParametersArgs(**made)


def _response(**given: Any) -> cloudflare.RulesetRuleActionParametersResponseArgs:
    return cloudflare.RulesetRuleActionParametersResponseArgs(**given)


def _overrides(
    categories: Sequence[Mapping[str, Any]], rules: Sequence[Mapping[str, Any]]
) -> cloudflare.RulesetRuleActionParametersOverridesArgs:
    return cloudflare.RulesetRuleActionParametersOverridesArgs(
        categories=[
            cloudflare.RulesetRuleActionParametersOverridesCategoryArgs(**it) for it in categories
        ],
        rules=[cloudflare.RulesetRuleActionParametersOverridesRuleArgs(**it) for it in rules],
    )


def _headers(
    **given: Mapping[str, Any],
) -> dict[str, cloudflare.RulesetRuleActionParametersHeadersArgs]:
    return {
        name: cloudflare.RulesetRuleActionParametersHeadersArgs(**what)
        for name, what in given.items()
    }


def _from_value(
    target_url: Mapping[str, Any], **given: Any
) -> cloudflare.RulesetRuleActionParametersFromValueArgs:
    return cloudflare.RulesetRuleActionParametersFromValueArgs(
        target_url=cloudflare.RulesetRuleActionParametersFromValueTargetUrlArgs(**target_url),
        **given,
    )

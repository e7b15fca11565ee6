"""Bots: what the zone's bot settings are on each plan.

- Bot Fight Mode stays off on every plan: no rule can exempt a path from it, and it challenges
  webhooks, API clients and monitors (bots/get-started/bot-fight-mode).
- Super Bot Fight Mode, from Pro on, runs in the ruleset engine and is skipped for machines and for
  the API by custom rules. Verified bots pass.
- JavaScript detections stay off: they put an inline script into pages, which the service's content
  security policy forbids.
"""

from __future__ import annotations

from components.edge.fitting import Finding
from components.edge.plans import Plan

Value = bool | str

EVERYWHERE: dict[str, Value] = {
    "fight_mode": False,
    "enable_js": False,
    "ai_bots_protection": "block",
}
WANTED: dict[str, Value] = {
    "sbfm_definitely_automated": "managed_challenge",
    "sbfm_likely_automated": "managed_challenge",
    "sbfm_verified_bots": "allow",
    "sbfm_static_resource_protection": False,
    "optimize_wordpress": False,
}


def settings(plan: Plan) -> dict[str, Value]:
    """The arguments of BotManagement that the plan takes."""
    return {**EVERYWHERE, **{name: WANTED[name] for name in plan.sbfm}}


def findings(plan: Plan) -> tuple[Finding, ...]:
    """What became of the wanted settings."""
    found = []
    for name, ref in (
        ("sbfm_definitely_automated", "definitely-automated"),
        ("sbfm_likely_automated", "likely-automated"),
    ):
        has = name in plan.sbfm
        found.append(
            Finding(
                phase="bots",
                ref=ref,
                outcome="exact" if has else "left out",
                changes=() if has else (f"{plan.title} does not have {name}",),
                otherwise="" if has else "the rule `suspicious`, and the service's own limits",
            )
        )
    return tuple(found)

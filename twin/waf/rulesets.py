"""The managed-rules phase as it was deployed: which rulesets are executed, how, and what is spared.

Read from the store in the provider's names, anew when a resource of it changed. Sources:
developers.cloudflare.com, ruleset-engine/managed-rulesets (execute, override, exceptions) and
waf/managed-rules/reference/owasp-core-ruleset (levels, scores, threshold).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from twin.edge.fields import BODY_FIELDS
from twin.edge.logs import note
from twin.rules import RuleError, Value, parse
from twin.store import Store

RULESET: Final = "cloudflare:index/ruleset:Ruleset"
PHASE: Final = "http_request_firewall_managed"
OWASP: Final = "4814384a9e5d4991b9815dcfc25d2f1f"
CLOUDFLARE: Final = "efb7b8c949ac4650a09736fc376e9aee"
FREE: Final = "77454fe2d30c4220b5701f6fdfb893ba"
NAMES: Final = {
    OWASP: "Cloudflare OWASP Core Ruleset",
    CLOUDFLARE: "Cloudflare Managed Ruleset",
    FREE: "Cloudflare Free Managed Ruleset",
}
"""The rulesets that are inspected for; another one that is executed is logged and does nothing."""
SCORING_RULE: Final = "6179ae15870a4bb7b2d480d4843b323c"
"""The OWASP ruleset's last rule, `949110: Inbound Anomaly Score Exceeded`."""
THRESHOLD: Final = 40
"""The scoring rule's own `score_threshold` (owasp-core-ruleset/configure-api)."""
LEVELS: Final = (1, 2, 3, 4)
_LEVEL_TAG: Final = "paranoia-level-"

Condition = Callable[[Mapping[str, Value]], bool]


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What was changed of a managed ruleset; None and absence leave a rule as it came."""

    action: str | None = None
    enabled: bool | None = None
    categories: Mapping[str, tuple[bool | None, str | None]] = field(default_factory=dict)
    """By tag: enabled, action."""
    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By rule id, the override as it was deployed."""

    def of_rule(self, id: str, tags: tuple[str, ...], action: str) -> tuple[bool, str]:
        """Return whether a rule counts and what it does: rule before tag before ruleset."""
        enabled = True if self.enabled is None else self.enabled
        action = self.action or action
        for tag in tags:
            on, does = self.categories.get(tag, (None, None))
            enabled = enabled if on is None else on
            action = does or action
        own = self.rules.get(id, {})
        if own.get("enabled") is not None:
            enabled = bool(own["enabled"])
        return enabled, str(own.get("action") or action)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One rule of the phase. Of a skip rule, what it spares; of an execute rule, its overrides."""

    ref: str
    description: str
    condition: Condition
    logged: bool
    skips: frozenset[str] = frozenset()
    """`rest`, `ruleset:<id>`, `rule:<ruleset id>/<rule id>`: as in `Exchange.skips`, and the rest
    of this phase."""
    executes: str = ""
    overrides: Overrides = Overrides()

    @property
    def levels(self) -> tuple[int, ...]:
        """The paranoia levels whose rules are on."""
        return tuple(
            level
            for level in LEVELS
            if self.overrides.of_rule("", (f"{_LEVEL_TAG}{level}",), "score")[0]
        )

    @property
    def threshold(self) -> int:
        """The score from which the OWASP ruleset acts."""
        given = self.overrides.rules.get(SCORING_RULE, {}).get("scoreThreshold")
        return THRESHOLD if given is None else int(given)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A zone's managed-rules phase."""

    steps: tuple[Step, ...] = ()
    needs_body: bool = False
    """Whether a rule's condition looks into the body."""


class Deployed:
    """The phases of all zones."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._generation = -1
        self._phases: dict[str, Phase] = {}

    def phase(self, zone: str) -> Phase | None:
        """Return what a zone deployed, or None where no ruleset is executed."""
        generation = self._store.generation
        if generation != self._generation:
            self._phases = {
                str(record.outputs.get("zoneId")): _phase(record.outputs)
                for record in self._store.all(RULESET)
                if record.outputs.get("kind") == "zone" and record.outputs.get("phase") == PHASE
            }
            self._generation = generation
        found = self._phases.get(zone)
        return found if found and any(step.executes for step in found.steps) else None


def _phase(outputs: Mapping[str, Any]) -> Phase:
    steps, needs_body = [], False
    for number, given in enumerate(outputs.get("rules") or []):
        if given.get("enabled") is False:
            continue
        called = str(given.get("ref") or given.get("id") or number)
        try:
            expression = parse(str(given["expression"]))
            step = _step(called, given, expression.compile())
        except (RuleError, KeyError, TypeError, ValueError) as error:
            # A double that let this through has a gap; the real API would have refused it.
            note(logging.ERROR, "rule not enforced", rule=called, phase=PHASE, reason=error)
            continue
        if step.executes and step.executes not in NAMES:
            note(logging.WARNING, "ruleset not inspected for", rule=called, ruleset=step.executes)
            continue
        steps.append(step)
        needs_body |= any(name.startswith(BODY_FIELDS) for name in expression.fields)
    return Phase(steps=tuple(steps), needs_body=needs_body)


def _step(called: str, given: Mapping[str, Any], condition: Condition) -> Step:
    parameters = given.get("actionParameters") or {}
    common: dict[str, Any] = {
        "ref": called,
        "description": str(given.get("description") or ""),
        "condition": condition,
        "logged": (given.get("logging") or {}).get("enabled") is not False,
    }
    if given["action"] == "execute":
        overrides = _overrides(parameters.get("overrides") or {})
        return Step(**common, executes=str(parameters["id"]), overrides=overrides)
    if given["action"] != "skip":
        raise ValueError(f"action={given['action']!r}: this phase takes execute and skip")
    skips = {"rest"} if parameters.get("ruleset") == "current" else set()
    skips |= {f"ruleset:{id}" for id in parameters.get("rulesets") or ()}
    for ruleset, rules in (parameters.get("rules") or {}).items():
        skips |= {f"rule:{ruleset}/{rule}" for rule in rules}
    return Step(**common, skips=frozenset(skips))


def _overrides(given: Mapping[str, Any]) -> Overrides:
    return Overrides(
        action=given.get("action"),
        enabled=given.get("enabled"),
        categories={
            str(each["category"]): (each.get("enabled"), each.get("action"))
            for each in given.get("categories") or ()
        },
        rules={str(each["id"]): each for each in given.get("rules") or ()},
    )

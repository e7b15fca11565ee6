"""From matches to decisions, without an engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.twin.waf.site import ZONE, ruleset
from twin.store import Store
from twin.waf.decide import CONFIDENT, WIDESPREAD, decide
from twin.waf.rulesets import CLOUDFLARE, FREE, OWASP, RULESET, SCORING_RULE, Deployed, Step
from twin.waf.verdict import Match, Verdict, read


def match(id: int, severity: str = "critical", level: int = 1, *tags: str) -> Match:
    return Match(
        id=id, message="m", severity=severity, level=level, tags=tuple(tags), variable="ARGS:q"
    )


def verdict(*matches: Match) -> Verdict:
    return Verdict(matches=matches)


def deployed(*rules: dict[str, Any]) -> tuple[Step, ...]:
    store = Store(":memory:")
    store.put(RULESET, "r", {}, ruleset(rules))
    phase = Deployed(store).phase(ZONE)
    return phase.steps if phase else ()


def execute(id: str, **overrides: Any) -> dict[str, Any]:
    parameters = {"id": id, **({"overrides": overrides} if overrides else {})}
    return {
        "ref": "x",
        "action": "execute",
        "expression": "true",
        "actionParameters": parameters,
    }


def test_the_score_is_the_sum_of_severities_as_cloudflares_example_adds_them() -> None:
    (step,) = deployed(execute(OWASP, rules=[{"id": SCORING_RULE, "scoreThreshold": 25}]))
    several = [match(n, "critical", 3) for n in range(4)] + [match(9, "warning", 2)]
    assert decide(step, verdict(*several), ()) is None, "23 is below 25"
    decision = decide(step, verdict(*several, match(10, "warning", 3)), ())
    assert decision is not None
    assert (decision.score, decision.threshold, decision.action) == (26, 25, "block")
    assert decision.rule == SCORING_RULE, "the real edge names its last rule"


def test_the_scoring_rules_own_threshold_is_medium() -> None:
    (step,) = deployed(execute(OWASP))
    assert decide(step, verdict(*(match(n) for n in range(7))), ()) is None
    assert decide(step, verdict(*(match(n) for n in range(8))), ()) is not None


def test_rules_of_levels_that_were_switched_off_add_nothing() -> None:
    off = [{"category": f"paranoia-level-{level}", "enabled": False} for level in (2, 3, 4)]
    (step,) = deployed(execute(OWASP, categories=off))
    assert step.levels == (1,)
    higher = verdict(*(match(n, "critical", 2) for n in range(20)))
    assert decide(step, higher, ()) is None
    assert decide(step, verdict(*higher.matches, *(match(n) for n in range(50, 58))), ())


def test_what_belongs_to_no_level_adds_nothing() -> None:
    (step,) = deployed(execute(OWASP, rules=[{"id": SCORING_RULE, "scoreThreshold": 1}]))
    assert decide(step, verdict(match(949110, "critical", 0)), ()) is None


@pytest.mark.parametrize(
    "change",
    [{"enabled": False}, {"rules": [{"id": SCORING_RULE, "enabled": False}]}],
    ids=["ruleset", "scoring rule"],
)
def test_a_ruleset_that_is_switched_off_does_nothing(change: dict[str, Any]) -> None:
    (step,) = deployed(execute(OWASP, **change))
    assert decide(step, verdict(*(match(n) for n in range(30))), ()) is None


def test_an_exception_for_the_scoring_rule_spares_the_request() -> None:
    (step,) = deployed(execute(OWASP))
    found = verdict(*(match(n) for n in range(30)))
    assert decide(step, found, {f"rule:{OWASP}/{SCORING_RULE}"}) is None
    assert decide(step, found, {f"rule:{CLOUDFLARE}/{SCORING_RULE}"}) is not None


def test_the_rules_override_wins_over_the_rulesets() -> None:
    (step,) = deployed(
        execute(OWASP, action="log", rules=[{"id": SCORING_RULE, "action": "js_challenge"}])
    )
    decision = decide(step, verdict(*(match(n) for n in range(8))), ())
    assert decision is not None
    assert decision.action == "js_challenge"


def test_cloudflares_own_rulesets_act_on_one_rule_and_only_on_those_that_stand_for_them() -> None:
    (managed,), (free,) = deployed(execute(CLOUDFLARE)), deployed(execute(FREE))
    log4shell, injection, method = match(944150), match(942100), match(911100)
    assert decide(managed, verdict(method), ()) is None
    assert decide(managed, verdict(method, injection), ()).rule == "942100"  # type: ignore[union-attr]
    assert decide(free, verdict(injection), ()) is None
    assert decide(free, verdict(injection, log4shell), ()).rule == "944150"  # type: ignore[union-attr]
    assert WIDESPREAD < CONFIDENT


def test_only_the_zones_own_enabled_rules_of_this_phase_count() -> None:
    store = Store(":memory:")
    store.put(RULESET, "a", {}, ruleset([{**execute(OWASP), "enabled": False}]))
    store.put(RULESET, "b", {}, {**ruleset([execute(OWASP)], zone="other")})
    store.put(RULESET, "c", {}, {**ruleset([execute(OWASP)]), "phase": "http_ratelimit"})
    found = Deployed(store)
    assert found.phase(ZONE) is None
    assert found.phase("other") is not None
    store.put(RULESET, "a", {}, ruleset([execute(OWASP)]))
    assert found.phase(ZONE) is not None, "a deployment counts from the next request on"


def test_an_answer_is_read_with_each_rule_once_and_an_error_is_no_verdict() -> None:
    rule = (
        b'{"id": 1, "message": "m", "severity": "error", "level": 2, "tags": null, "variable": ""}'
    )
    found = read(b'{"microseconds": 7, "rules": [' + rule + b"," + rule + b"]}")
    assert [it.id for it in found.matches] == [1]
    assert found.scores() == {1: 0, 2: 4, 3: 0, 4: 0}
    with pytest.raises(ValueError, match="broken body"):
        read(b'{"rules": [], "error": "broken body", "microseconds": 1}')

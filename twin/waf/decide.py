"""From the rules that matched to what is done, as each managed ruleset would.

The OWASP ruleset adds up what its enabled rules score, each once, and its last rule acts from a
threshold on (owasp-core-ruleset/example). Cloudflare's own rulesets are not public. Their stand-ins
here are rules of the core ruleset that Cloudflare's have counterparts of and that hardly ever match
by mistake, each acting by itself: injection proved by a parser (libinjection), known payloads, and
paths and files that no visitor has business with. A request that these let through may still be
refused by the real rulesets, and the other way round; no rule has its real id, so that an override
or exception of a single rule of theirs does nothing here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from twin.waf.rulesets import CLOUDFLARE, FREE, OWASP, SCORING_RULE, Step
from twin.waf.verdict import Match, Verdict

BLOCK: Final = "block"
WIDESPREAD: Final = frozenset({932170, 932171, 944150, 944110, 934130})
"""Shellshock, Log4Shell, Java commands, Struts and prototype pollution: attacks that everybody is
scanned for, which is what the free ruleset is against (waf/managed-rules). All of paranoia level 1,
here and below: every request would pay for a higher one (`twin.waf.stage`)."""
CONFIDENT: Final = WIDESPREAD | frozenset(
    {
        # SQL: parsed as such; names of system tables; sleep(); UNION SELECT; comments as code.
        # Not 942190 and 942350: "select any two from the list", "; update me", as customers write.
        *(942100, 942140, 942160, 942270, 942320, 942500),
        # Scripts: parsed as such; <script>; event handlers; javascript: addresses
        *(941100, 941110, 941140, 941160, 941390),
        # Files: /../ in its encodings, files of the system, dot files
        *(930100, 930110, 930120, 930130),
        # Commands: shell paths and commands by parser and by list
        *(932120, 932130, 932160, 932230, 932235, 932250, 932260, 932330),
        # PHP, Node, templates, Java
        *(933100, 933150, 933160, 933200, 934100, 934160, 944100, 944120),
        # Scanners that say who they are; header injection, request smuggling
        *(913100, 921110, 921130, 921140, 921150, 921160),
    }
)
STANDS_FOR: Final = {CLOUDFLARE: CONFIDENT, FREE: WIDESPREAD}
TAGS: Final = {
    "attack-sqli": "sqli",
    "attack-xss": "xss",
    "attack-rce": "rce",
    "attack-lfi": "file-inclusion",
    "attack-rfi": "file-inclusion",
    "attack-injection-php": "php",
    "attack-injection-java": "java",
    "attack-reputation-scanner": "bot",
}
"""The core ruleset's tags as the tags of Cloudflare's own ruleset, for overrides by category."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one executed ruleset does about a request. `rule` is what the journal names."""

    ruleset: str
    action: str
    rule: str
    description: str
    matches: tuple[Match, ...]
    score: int = 0
    threshold: int = 0

    @property
    def detail(self) -> str:
        """Score and matched rules in one line, without anything that the visitor sent."""
        rules = "; ".join(str(match) for match in self.matches)
        return f"score {self.score} of {self.threshold}: {rules}" if self.threshold else rules


def decide(step: Step, verdict: Verdict, skipped: Collection[str]) -> Decision | None:
    """Return what an executed ruleset does, or None. `skipped` as in `Exchange.skips`."""
    if step.executes == OWASP:
        return _score(step, verdict, skipped)
    return _first(step, verdict, skipped)


def _score(step: Step, verdict: Verdict, skipped: Collection[str]) -> Decision | None:
    enabled, action = step.overrides.of_rule(SCORING_RULE, (), BLOCK)
    if not enabled or f"rule:{OWASP}/{SCORING_RULE}" in skipped:
        return None
    counted = tuple(match for match in verdict.matches if match.score and _counts(step, match))
    score = sum(match.score for match in counted)
    if not counted or score < step.threshold:
        return None
    return Decision(
        ruleset=OWASP,
        action=action,
        rule=SCORING_RULE,
        description="949110: Inbound Anomaly Score Exceeded",
        matches=counted,
        score=score,
        threshold=step.threshold,
    )


def _counts(step: Step, match: Match) -> bool:
    """Whether an OWASP rule is on: its level, and any of its tags by Cloudflare's names."""
    tags = tuple(tag for tag in match.tags if "/" not in tag)
    return step.overrides.of_rule("", (*tags, f"paranoia-level-{match.level}"), "score")[0]


def _first(step: Step, verdict: Verdict, skipped: Collection[str]) -> Decision | None:
    for match in verdict.matches:
        if match.id not in STANDS_FOR[step.executes]:
            continue
        tags = tuple(TAGS[tag] for tag in match.tags if tag in TAGS)
        enabled, action = step.overrides.of_rule(str(match.id), tags, BLOCK)
        if enabled and f"rule:{step.executes}/{match.id}" not in skipped:
            return Decision(
                ruleset=step.executes,
                action=action,
                rule=str(match.id),
                description=match.message,
                matches=(match,),
            )
    return None

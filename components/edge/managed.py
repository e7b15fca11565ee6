"""The managed rulesets: Cloudflare's own and the OWASP core ruleset, with tuning and exceptions.

Exceptions stand before what they except from: a skip rule only spares what comes after it. Each
managed ruleset may be executed once per zone.

Matched payloads are not logged (`matched_data`): they could hold card data or passwords.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from components.edge import paths
from components.edge.plans import CLOUDFLARE_MANAGED, OWASP
from components.edge.rules import PATH, Rule, below, every, one_of

SCORING_RULE: Final = "6179ae15870a4bb7b2d480d4843b323c"
"""The OWASP ruleset's last rule, which adds up the score (owasp-core-ruleset/configure-api)."""

LEVELS: Final = (1, 2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class Owasp:
    """How strict the core ruleset is.

    `paranoia` 1 to 4 says how many of its rules count, `threshold` from which score a request is
    refused: 25 is Cloudflare's high sensitivity, 40 medium, 60 low.
    """

    paranoia: int = 1
    threshold: Literal[25, 40, 60] = 25
    action: Literal["block", "managed_challenge", "log"] = "block"

    def __post_init__(self) -> None:
        if self.paranoia not in LEVELS:
            raise ValueError(f"paranoia={self.paranoia}: the core ruleset has levels 1 to 4")


@dataclass(frozen=True, kw_only=True)
class Exempt:
    """Requests that a ruleset does not inspect, and why."""

    ref: str
    expression: str
    rulesets: tuple[str, ...]
    why: str


EXCEPTIONS: Final = (
    Exempt(
        ref="webhook-bodies",
        expression=one_of(PATH, paths.WEBHOOK_PATHS),
        rulesets=(OWASP,),
        why="gateways' payloads quote what customers typed; the service verifies their signature",
    ),
    Exempt(
        ref="static-files",
        expression=every(one_of("http.request.method", ("GET", "HEAD")), below(paths.STATIC)),
        rulesets=(OWASP,),
        why="files named by their own hash take no input",
    ),
    Exempt(
        ref="health-checks",
        expression=every(
            one_of("http.request.method", ("GET", "HEAD")), one_of(PATH, paths.HEALTH)
        ),
        rulesets=(OWASP, CLOUDFLARE_MANAGED),
        why="a check that is refused looks like an outage; they take no input",
    ),
)


def rules(owasp: Owasp | None = None) -> tuple[Rule, ...]:
    """The wanted rules: exceptions, Cloudflare's ruleset, the core ruleset."""
    tuned = owasp or Owasp()
    wanted = [
        Rule(
            ref=exception.ref,
            description=exception.why,
            expression=exception.expression,
            action="skip",
            parameters={"rulesets": list(exception.rulesets)},
        )
        for exception in EXCEPTIONS
    ]
    wanted.append(
        Rule(
            ref="cloudflare-managed",
            description="Cloudflare Managed Ruleset",
            expression="true",
            action="execute",
            parameters={"id": CLOUDFLARE_MANAGED},
            otherwise="Cloudflare's Free Managed Ruleset, which it deploys by itself",
        )
    )
    wanted.append(
        Rule(
            ref="owasp",
            description=f"OWASP Core Ruleset, paranoia {tuned.paranoia}, from {tuned.threshold}",
            expression="true",
            action="execute",
            parameters={
                "id": OWASP,
                "overrides": {
                    "categories": [
                        {"category": f"paranoia-level-{level}", "enabled": False}
                        for level in LEVELS
                        if level > tuned.paranoia
                    ],
                    "rules": [
                        {
                            "id": SCORING_RULE,
                            "action": tuned.action,
                            "score_threshold": tuned.threshold,
                        }
                    ],
                },
            },
            otherwise="the service validates every input and builds no SQL from it",
        )
    )
    return tuple(wanted)

"""What the edge decided: the newest decisions, and how often each rule made one.

A stage that stops, challenges, redirects or lets a request skip something records it here with the
rule that matched; a request no rule matched is only counted. Kept in memory: like the real edge's
security events it is a sample to look at, not an archive.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

from twin.clock import Clock
from twin.edge.exchange import Exchange

KEPT: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One rule's decision on one request. `phase` is a ruleset phase, or `access`, `settings`.

    `action` is the rule's (`block`, `managed_challenge`, `js_challenge`, `skip`, `log`, `allow`,
    `redirect`, `login`, …); `rule` its ref or id, `description` its text; `until` the end of a
    mitigation in the twin's time; `detail` what else helps (matched CRS rules, a counter's value).
    """

    at: float
    ray: str
    zone: str
    host: str
    method: str
    path: str
    visitor: str
    country: str
    phase: str
    action: str
    rule: str
    description: str = ""
    detail: str = ""
    until: float | None = None


class Journal:
    """The newest decisions, newest last, and counters by (phase, rule, action)."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.requests = 0
        """Every request of every zone, decided upon or not."""
        self.decisions: deque[Decision] = deque(maxlen=KEPT)
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def record(
        self,
        exchange: Exchange,
        *,
        phase: str,
        action: str,
        rule: str,
        description: str = "",
        detail: str = "",
        until: float | None = None,
    ) -> Decision:
        """Keep one decision, and return it."""
        decision = Decision(
            at=self.clock.now(),
            ray=exchange.ray,
            zone=exchange.zone.name,
            host=exchange.host,
            method=exchange.request.method,
            path=exchange.path,
            visitor=exchange.visitor,
            country=exchange.country,
            phase=phase,
            action=action,
            rule=rule,
            description=description,
            detail=detail,
            until=until,
        )
        self.decisions.append(decision)
        self.counts[phase, rule, action] += 1
        return decision

"""The rate limits' state: one set of counters for each deployed rule.

A rule that is deployed again unchanged keeps its counters; one that changed, or is gone, forgets
them. Counters live in memory, as they do in a data centre.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from twin.clock import Clock
from twin.edge.fields import Fields
from twin.edge.firewall.counters import Counters, Key
from twin.edge.firewall.deployed import RATE_LIMIT, Deployed, Rule


@dataclass(frozen=True, kw_only=True)
class Mitigation:
    """Somebody whom a rule refuses or challenges until a moment of the twin's time."""

    id: str
    rule: str
    description: str
    action: str
    who: str
    until: float


class Limits:
    """Counters by rule, and who is mitigated."""

    def __init__(self, deployed: Deployed, clock: Clock) -> None:
        self._deployed = deployed
        self._clock = clock
        self._counters: dict[tuple[str, str], Counters] = {}
        self._zones: dict[str, tuple[Rule, ...]] = {}

    def counters(self, zone: str, rule: Rule) -> Counters:
        """Return a rule's counters."""
        rules = self._deployed.zone(zone).rules.get(RATE_LIMIT, ())
        if self._zones.get(zone) is not rules:
            self._keep(zone, rules)
        found = self._counters.get((zone, rule.identity))
        if found is None:
            limit = rule.limit
            assert limit is not None  # noqa: S101  (rate limiting rules have one)
            found = self._counters[zone, rule.identity] = Counters(
                self._clock, limit=limit.requests, period=limit.period, timeout=limit.timeout
            )
        return found

    def mitigations(self, zone: str) -> Iterator[Mitigation]:
        """Return who is refused or challenged just now."""
        for rule in self._deployed.zone(zone).rules.get(RATE_LIMIT, ()):
            for key, until in self.counters(zone, rule).mitigations():
                yield Mitigation(
                    id=_id(zone, rule, key),
                    rule=rule.name,
                    description=rule.description,
                    action=rule.action,
                    who=" ".join(str(part) for part in key),
                    until=until,
                )

    def lift(self, zone: str, id: str) -> bool:
        """End a mitigation; False when there is none of that id."""
        for rule in self._deployed.zone(zone).rules.get(RATE_LIMIT, ()):
            counters = self.counters(zone, rule)
            for key, _ in list(counters.mitigations()):
                if _id(zone, rule, key) == id:
                    counters.reset(key)
                    return True
        return False

    def _keep(self, zone: str, rules: tuple[Rule, ...]) -> None:
        known = {rule.identity for rule in rules}
        self._counters = {
            (of, identity): counters
            for (of, identity), counters in self._counters.items()
            if of != zone or identity in known
        }
        self._zones[zone] = rules


def key_of(rule: Rule, fields: Fields) -> Key:
    """Return what the rule counts a request under."""
    assert rule.limit is not None  # noqa: S101  (rate limiting rules have one)
    return tuple(read(fields) for read in rule.limit.key)


def _id(zone: str, rule: Rule, key: Key) -> str:
    return hashlib.sha256(f"{zone} {rule.identity} {key!r}".encode()).hexdigest()[:16]

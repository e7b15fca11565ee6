"""What the engine says of one request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SCORES: Final[Mapping[str, int]] = {"critical": 5, "error": 4, "warning": 3, "notice": 2}
"""What a matched rule adds, by its severity: the core ruleset's own weights (its rules 901140 to
901143), which Cloudflare's example of an evaluation shows as well (owasp-core-ruleset/example)."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """A rule that matched. `variable` says where, such as `ARGS:q`; what matched is not kept."""

    id: int
    message: str
    severity: str
    level: int
    """The rule's paranoia level, 1 to 4; 0 for what belongs to no level and adds no score."""
    tags: tuple[str, ...]
    variable: str

    @property
    def score(self) -> int:
        """What it adds to a request's score."""
        return SCORES.get(self.severity, 0) if self.level else 0

    def __str__(self) -> str:
        return f"{self.id} {self.message} ({self.variable})" if self.variable else str(self.id)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Every rule that matched, in the order of the rules, each once."""

    matches: tuple[Match, ...]
    microseconds: int = 0
    """How long the rules took in the engine."""

    def scores(self) -> dict[int, int]:
        """Return the score by paranoia level, without those of other levels."""
        return {
            level: sum(match.score for match in self.matches if match.level == level)
            for level in (1, 2, 3, 4)
        }


def read(payload: bytes) -> Verdict:
    """Read an answer of the engine. Raises ValueError where it reports that it could not judge."""
    found = json.loads(payload)
    if found.get("error"):
        raise ValueError(str(found["error"]))
    matches: dict[int, Match] = {}
    for rule in found["rules"]:
        matches.setdefault(
            rule["id"],
            Match(
                id=rule["id"],
                message=rule["message"],
                severity=rule["severity"],
                level=rule["level"],
                tags=tuple(rule["tags"] or ()),
                variable=rule["variable"],
            ),
        )
    return Verdict(matches=tuple(matches.values()), microseconds=found["microseconds"])

"""The engine's versions: what is built or fetched, and what an installed one may be.

Raising the engine: change `ENGINE` and `SUMS`, set the version in cli/go.mod and run `go mod tidy`
there. The language host stays where it is: newer ones are not published as Go modules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, order=True)
class Version:
    """A release's number; what follows a dash (`-alpha.1`, `-dev`) is dropped."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """The first `1.2.3` or `1.2` in a text, or None."""
        match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
        return cls(*(int(part or 0) for part in match.groups())) if match else None


ENGINE: Final = Version(3, 259, 0)
LANGUAGE_SDK: Final = Version(3, 79, 0)  # the last SDK module that holds the Python language host
GO: Final = Version(1, 25, 11)  # what cli/go.mod asks for

# 3.257.0 is the oldest that previews what protection would stop (`--ignore-protect`), which the
# report needs; a new major version may change the event stream that is read here.
OLDEST: Final = Version(3, 257, 0)
BELOW: Final = Version(4, 0, 0)

# SHA-256 of the official archives, once known; a version without an entry is checked against the
# release's own list, fetched over TLS, and against nothing else.
SUMS: Final[dict[str, str]] = {}


def is_tested(version: Version) -> bool:
    """Whether an installed engine of this version is used."""
    return OLDEST <= version < BELOW


def tested_range() -> str:
    """The range in words."""
    return f"{OLDEST} or newer, below {BELOW}"

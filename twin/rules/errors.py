"""What is wrong with an expression, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RuleError(ValueError):
    """An expression that Cloudflare would refuse.

    `message` says what is wrong, `position` where (characters from the start of `source`), `length`
    how much of it. As text it is what the API answers: the line, and a caret under the place.
    """

    def __init__(
        self, message: str, position: int = 0, *, length: int = 1, source: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.length = length
        self.source = source

    @property
    def line(self) -> int:
        """The line of the place, from 1."""
        return self.source.count("\n", 0, self.position) + 1

    @property
    def column(self) -> int:
        """The column of the place in its line, from 1."""
        return self.position - (self.source.rfind("\n", 0, self.position) + 1) + 1

    def at(self, source: str) -> RuleError:
        """The same error, told about `source`."""
        return RuleError(self.message, self.position, length=self.length, source=source)

    def __str__(self) -> str:
        start = self.source.rfind("\n", 0, self.position) + 1
        end = self.source.find("\n", start)
        shown = self.source[start : len(self.source) if end < 0 else end]
        carets = max(1, min(self.length, len(shown) - (self.position - start)))
        return (
            f"Filter parsing error ({self.line}:{self.column}):\n{shown}\n"
            f"{' ' * (self.column - 1)}{'^' * carets} {self.message}"
        )


def near(name: str, known: Iterable[str]) -> str:
    """`; did you mean "http.host"?`, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f'; did you mean "{found[0]}"?' if found else ""

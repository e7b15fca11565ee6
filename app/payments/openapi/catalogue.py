"""Every error that the service answers with, read from the classes themselves."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from payments.errors import ProblemError


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One kind of error: `code` is stable and what programs compare with."""

    code: str
    status: int
    title: str
    meaning: str


def catalogue() -> list[Entry]:
    """Return every kind of error, by status and code.

    Raises ValueError where two classes use one code for different statuses: a program that reads
    the code could not tell them apart.
    """
    found: dict[str, Entry] = {}
    for problem in _all(ProblemError):
        entry = Entry(
            code=problem.code,
            status=problem.status,
            title=problem.title,
            meaning=" ".join((inspect.getdoc(problem) or "").split()),
        )
        known = found.setdefault(entry.code, entry)
        if known.status != entry.status:
            raise ValueError(f"{entry.code} is {known.status} and {entry.status}")
    return sorted(found.values(), key=lambda entry: (entry.status, entry.code))


def _all(problem: type[ProblemError]) -> list[type[ProblemError]]:
    """Return a class and every one below it that has a code of its own, those of tests left out."""
    found = [problem] if problem.__module__.startswith("payments.") else []
    for below in problem.__subclasses__():
        found += _all(below)
    return found

"""What the plan made of the wishes, as text for a terminal: shown at every preview."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from components.edge.fitting import Finding
from components.edge.rules import PHASES, Rule
from components.edge.whole import Fitted

WIDTH: Final = 100
COUNTING: Final = (
    "Rate limits count per data centre of Cloudflare and lag some seconds on every plan; the "
    "service counts all of them exactly, once for all replicas."
)


def report(fitted: Fitted) -> str:
    """The rules of every phase, then what is weaker than wanted and who makes up for it."""
    lines = [f"The edge on Cloudflare's plan {fitted.plan.title}", ""]
    rows = [
        (name if first else "", rule.ref, said(rule))
        for phase, name in PHASES.items()
        for first, rule in _marked(fitted.rules[phase])
    ]
    rows += [
        ("" if index else "bots", name.replace("_", "-"), _set(value))
        for index, (name, value) in enumerate(fitted.bots.items())
    ]
    lines += _table(("phase", "rule", "does"), rows)
    joined = [it for it in fitted.findings if it.outcome == "joined"]
    if joined:
        lines += ["", "Joined, nothing lost:"]
        lines += _wrapped(f"{it.phase}/{it.ref}: {'; '.join(it.changes)}" for it in joined)
    lines += ["", "Weaker than wanted:" if fitted.lost else "Nothing is weaker than wanted."]
    lines += _wrapped(sentence(it) for it in fitted.lost)
    lines += ["", *textwrap.wrap(COUNTING, WIDTH)]
    return "\n".join(lines)


def sentence(finding: Finding) -> str:
    """One finding in words."""
    what = f"{finding.phase}/{finding.ref} is {finding.outcome}: {'; '.join(finding.changes)}."
    return f"{what} Instead: {finding.otherwise}." if finding.otherwise else what


def said(rule: Rule) -> str:
    """What a rule does, in a few words."""
    if rule.rate is None:
        return rule.action.replace("_", " ")
    rate = rule.rate
    action = rule.action.replace("_", " ")
    after = f"{action} for {rate.timeout} s" if rate.timeout else action
    return f"{rate.requests} in {rate.period} s, then {after}"


def _set(value: str | bool) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return value.replace("_", " ")


def _marked(rules: Sequence[Rule]) -> list[tuple[bool, Rule]]:
    return [(index == 0, rule) for index, rule in enumerate(rules)]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    every = [head, *rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    ]


def _wrapped(texts: Iterable[str]) -> list[str]:
    return [
        line
        for text in texts
        for line in textwrap.wrap(text, WIDTH, initial_indent="- ", subsequent_indent="  ")
    ]

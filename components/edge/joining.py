"""Several rules of the firewall as one, where a plan has too few places: pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from components.edge.plans import MAX_EXPRESSION
from components.edge.rules import Rule


def join(rules: Sequence[Rule], room: int) -> tuple[list[Rule], dict[str, str]]:
    """Join neighbours that do the same, as many as one rule can hold, until all fit.

    Returns the rules, and who went where. One that is too long to be joined stands by itself.
    """
    current, joined = list(rules), {}
    names: Counter[str] = Counter()
    while len(current) > room:
        groups = [list(group) for _, group in groupby(current, key=_alike)]
        able = [group for group in groups if group[0].joins and len(_together(group)) > 1]
        if not able:
            break
        group = max(able, key=lambda it: len(_together(it)))
        inside = _together(group)
        outside = [rule for rule in group if rule not in inside]
        names[group[0].joins] += 1
        nth = names[group[0].joins]
        name = group[0].joins if nth == 1 else f"{group[0].joins}-{nth}"
        one = replace(
            inside[0],
            ref=name,
            joins="",
            description=", ".join(rule.ref for rule in inside)[:500],
            expression=_any_of(inside),
            rank=min(rule.rank for rule in inside),
            otherwise=" ".join(dict.fromkeys(r.otherwise for r in inside if r.otherwise)),
        )
        start = current.index(group[0])
        # What they do is the same, so it does not matter which of them does it first.
        current[start : start + len(group)] = [one, *outside]
        joined.update({rule.ref: name for rule in inside})
    return current, joined


def _together(group: Sequence[Rule]) -> list[Rule]:
    """As many of some rules as one expression has room for, in their order."""
    found: list[Rule] = []
    for rule in sorted(group, key=lambda it: len(it.expression)):
        if len(_any_of([*found, rule])) > MAX_EXPRESSION:
            break
        found.append(rule)
    return [rule for rule in group if rule in found]


def _alike(rule: Rule) -> tuple[str, str, str, str]:
    alone = "" if rule.joins else rule.ref
    return rule.joins, alone, rule.action, repr(rule.parameters)


def _any_of(group: Iterable[Rule]) -> str:
    return " or ".join(f"({rule.expression})" for rule in group)

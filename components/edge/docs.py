"""`docs/edge.md`, made from the tables: `python -m components.edge.docs` writes it anew.

A test fails while the file differs from what the tables say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from components.edge import plans, whole
from components.edge.fitting import SERVICE, Finding
from components.edge.limits import LIMITS, Limit
from components.edge.plans import PLANS, ROWS, Plan
from components.edge.report import COUNTING, said
from components.edge.rules import PHASES, Rule

FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "edge.md"

EXAMPLE: Final = whole.Wishes(
    hostname="pay.example.com",
    access_hosts=("ssh.example.com",),
    redirected=("www.example.com",),
    admin_cidrs=("198.51.100.7/32",),
    log_export=True,
    has=frozenset({"tunnel", "access", "client certificate"}),
)
"""An installation that wants everything, so that every rule and every loss is shown."""


def render() -> str:
    """The whole file."""
    fitted = {name: whole.fit(EXAMPLE, plan) for name, plan in PLANS.items()}
    parts = [
        "# The edge: what is enforced, and what each plan makes of it",
        "Made by `python -m components.edge.docs` from the tables in `components/edge`; do not "
        "edit. What the seeds ask and where it is tested stands in [seed-rules.md](seed-rules.md).",
        "`make preview STACK=prod PLAN=free` shows the same for a stack of yours on any plan.",
        "## Request limits",
        f"The service enforces every limit exactly. {COUNTING} A limit that a plan cannot say is "
        "never replaced by a stricter one.",
        _limits(fitted),
        "## Rules",
        "In the order in which the edge runs them. The wishes are those of an installation with "
        "Access, a list of admins, a name that redirects and log export.",
        _rules(fitted["enterprise"]),
        "## What is weaker than wanted, and who makes up for it",
        _lost(fitted),
        "## What the plans take",
        "Sources are pages of developers.cloudflare.com.",
        _plans(),
    ]
    return "\n\n".join(parts) + "\n"


def write() -> None:
    """Write the file."""
    FILE.write_text(render(), encoding="utf-8")


def _limits(fitted: dict[plans.PlanName, whole.Fitted]) -> str:
    rows = []
    for limit in LIMITS:
        row = [f"`{limit.name}`", _covers(limit), _wanted(limit)]
        for found in fitted.values():
            rules = {rule.ref: rule for rule in found.rules["http_ratelimit"]}
            row.append(said(rules[limit.name]) if limit.name in rules else "service only")
        rows.append(row)
    titles = [plan.title for plan in PLANS.values()]
    return _table(["limit", "covers", "wanted, and what the service enforces", *titles], rows)


def _covers(limit: Limit) -> str:
    method = "/".join(limit.methods) if limit.methods else "any method"
    below = [f"`{prefix}…`" for prefix in limit.prefixes]
    return f"{method} " + ", ".join([f"`{path}`" for path in limit.paths] + below)


def _wanted(limit: Limit) -> str:
    action = limit.action.replace("_", " ")
    after = f"{action} for {limit.block} s" if limit.block else action
    return f"{limit.requests} in {limit.period} s, then {after}"


def _rules(found: whole.Fitted) -> str:
    rows = [
        [phase if index == 0 else "", f"`{rule.ref}`", _does(rule), rule.description]
        for name, phase in PHASES.items()
        for index, rule in enumerate(found.rules[name])
    ]
    return _table(["phase", "rule", "does", "what it is about"], rows)


def _does(rule: Rule) -> str:
    return said(rule) if rule.rate else rule.action.replace("_", " ")


def _lost(fitted: dict[plans.PlanName, whole.Fitted]) -> str:
    kept: dict[tuple[str, str], dict[plans.PlanName, Finding]] = {}
    for name, found in fitted.items():
        for finding in found.lost:
            kept.setdefault((finding.phase, finding.ref), {})[name] = finding
    rows = []
    for (phase, ref), by_plan in kept.items():
        instead = dict.fromkeys(it.otherwise for it in by_plan.values())
        cells = [_change(by_plan.get(name)) for name in PLANS]
        rows.append([phase, f"`{ref}`", *cells, "; ".join(instead).replace(SERVICE, "the service")])
    titles = [plan.title for plan in PLANS.values()]
    return _table(["phase", "rule", *titles, "instead"], rows)


def _change(finding: Finding | None) -> str:
    if finding is None:
        return "as wanted"
    return f"{finding.outcome}: {'; '.join(finding.changes)}"


def _plans() -> str:
    names = [field.name for field in fields(Plan) if field.name != "name"]
    rows = []
    for name in names:
        title, source = ROWS[name]
        rows.append([title, *(_value(getattr(p, name)) for p in PLANS.values()), source])
    return _table(["", *(plan.title for plan in PLANS.values()), "source"], rows)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    items = sorted(value) if isinstance(value, frozenset) else list(value)
    if items and all(isinstance(item, int) for item in items):
        return f"{items[0]} to {items[-1]}" if len(items) > 1 else f"{items[0]}"
    named = {plans.CLOUDFLARE_MANAGED: "Cloudflare Managed", plans.OWASP: "OWASP"}
    return ", ".join(named.get(item, f"`{item}`") for item in items) or "none"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    write()

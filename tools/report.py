"""`make report`: a preview as a table, for a terminal and for a pull request's comment.

What needs attention comes first: what is deleted or replaced and holds data, an address or a
secret. Exit codes: 0 the report was made, whatever it says; 1 the preview failed (the Markdown says
so too).
"""

from __future__ import annotations

import re
from pathlib import Path

from rich.table import Table
from rich.text import Text

from tools.changes import Change, changes
from tools.console import Ui
from tools.errors import ToolError
from tools.preview import digest, prepared

# Two stacks share one comment, and a comment ends at 65,536 characters.
LIMIT = 32_000
_STYLES = {"delete": "red", "replace": "bold red", "update": "yellow", "create": "green"}
_MORE = "| | … and {} more | |\n"


def report(ui: Ui, stack: str, base: str, markdown: str) -> int:
    """Show the table, and write it where `markdown` says; returns the exit code."""
    try:
        with prepared(ui, stack, base) as ready:
            with ui.phase("Preview") as phase:
                found = changes(digest(ready, phase))
                phase.done(headline(stack, found, bold=False))
            notes, compared = ready.notes, ready.base
    except ToolError as error:
        if markdown:
            _write(markdown, failure(stack, error))
        raise
    _show(ui, stack, found, notes)
    if markdown:
        _write(markdown, render(stack, found, notes, compared))
    return 0


def headline(stack: str, found: list[Change], *, bold: bool = True) -> str:
    """`prod: 3 to create, 1 to update, **1 to replace**, 0 to delete`."""
    parts = []
    for action in ("create", "update", "replace", "delete"):
        count = sum(it.action == action for it in found)
        loud = bold and count and action in {"replace", "delete"}
        parts.append(f"**{count} to {action}**" if loud else f"{count} to {action}")
    return f"{stack}: {', '.join(parts)}" if found else f"{stack}: no changes"


def render(stack: str, found: list[Change], notes: list[str], base: str) -> str:
    """The Markdown, at most LIMIT characters, beginning with a hidden marker."""
    head = [f"<!-- payments-platform: report {stack} -->", f"### {headline(stack, found)}", ""]
    head.append(f"Compared with {_code(base)}, both deployed on paper." if base else
                "Compared with nothing: everything is new.")  # fmt: skip
    head += ["", *(f"> {_text(note)}" for note in notes)]
    attention = [it for it in found if it.attention]
    if attention:
        head += ["", "**Needs attention**", ""]
        head += [f"- {it.action} {_code(it.label)}: {_text(it.attention)}" for it in attention]
    body = ""
    loud = [it for it in found if it.action != "create"]
    if loud:
        body += "\n| | resource | because of |\n| --- | --- | --- |\n"
        body += _rows(loud, LIMIT - len("\n".join(head)) - 2_000)
    new = [it for it in found if it.action == "create"]
    text = "\n".join(head) + "\n" + body
    if new:
        opening = f"\n<details><summary>{len(new)} to create</summary>\n\n"
        opening += "| | resource | |\n| --- | --- | --- |\n"
        text += opening + _rows(new, LIMIT - len(text) - len(opening) - 100) + "\n</details>\n"
    return text[:LIMIT]


def failure(stack: str, error: ToolError) -> str:
    """The Markdown of a preview that failed."""
    details = error.details.replace("```", "'''")[: LIMIT - 2_000]
    return (
        f"<!-- payments-platform: report {stack} -->\n### {stack}: the preview failed\n\n"
        f"{_text(error.message)}\n\n```text\n{details}\n```\n"
    )


def _rows(found: list[Change], room: int) -> str:
    text = ""
    for index, change in enumerate(found):
        causes = "<br>".join(_code(cause) for cause in change.causes)
        loud = change.action in {"replace", "delete"}
        action = f"**{change.action}**" if loud else change.action
        row = f"| {action} | {_code(change.label)} | {causes} |\n"
        if len(text) + len(row) + len(_MORE) + 8 > room:
            return text + _MORE.format(len(found) - index)
        text += row
    return text


def _code(text: str) -> str:
    """A code span in a table: nothing in it is Markdown, a mention, a link or a cell's end."""
    plain = " ".join(text.replace("`", "'").replace("|", "¦").split())
    return f"`{plain}`" if plain else ""


def _text(text: str) -> str:
    """Running text that stays text."""
    plain = re.sub(r"([\\`*_\[\]|#~])", r"\\\1", " ".join(text.split()))
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("@", "&#64;")


def _show(ui: Ui, stack: str, found: list[Change], notes: list[str]) -> None:
    for note in notes:
        ui.warn(note)
    ui.say(headline(stack, found, bold=False), "bold")
    table = Table(box=None)
    for title in ("", "resource", "because of"):
        table.add_column(title, overflow="fold")
    for change in found:
        action = Text(change.action, style=_STYLES.get(change.action, ""))
        # Text, not mark-up: a property may hold brackets and colons.
        table.add_row(action, Text(change.label), Text("\n".join(change.causes)))
    if found:
        ui.console.print(table)
    for change in found:
        if change.attention:
            ui.warn(f"{change.action} {change.label}: {change.attention}")


def _write(path: str, text: str) -> None:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")

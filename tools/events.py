"""The engine's event stream (`pulumi up --json`): what is being done, what failed and why."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tools.errors import explain

# What a person calls the operations, in the order of the summary.
_WORDS = {
    "create": "created",
    "create-replacement": "created anew",
    "update": "updated",
    "replace": "replaced",
    "delete": "deleted",
    "delete-replaced": "deleted, replaced",
    "read": "read",
    "refresh": "refreshed",
    "import": "imported",
}
_QUIET = {"same", "read", "refresh", "read-replacement", "discard", "discard-replaced", "replace"}
_NOISE = re.compile(
    r"^(error: )?((update|preview|destroy|refresh) failed$"
    r"|an unhandled error occurred: program exited)|resource monitor shut down",
    re.I,
)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A resource that could not be brought to where it should be, or the program itself."""

    resource: str
    reason: str


@dataclass
class Running:
    """An operation under way."""

    label: str
    operation: str
    started: float = field(default_factory=time.monotonic)


class Follower:
    """Reads the stream line by line; `on_done` is told each finished change in words.

    After the end, `changes` counts operations, `failures` holds every reason once, `warnings` what
    the program said, and `unreadable` the lines that are no events (a crash says its last words
    so).
    """

    def __init__(self, on_done: Callable[[str], None]) -> None:
        self.running: dict[str, Running] = {}
        self.changes: dict[str, int] = {}
        self.warnings: list[str] = []
        self.unreadable: list[str] = []
        self.outputs: dict[str, Any] = {}
        self.finished = False
        self._on_done = on_done
        self._errors: dict[str, list[str]] = {}

    def line(self, text: str) -> None:
        """Take one line of the stream."""
        try:
            event = json.loads(text)
        except ValueError:
            if text.strip():
                self.unreadable.append(text)
            return
        for kind, handler in (
            ("resourcePreEvent", self._begun),
            ("resOutputsEvent", self._ended),
            ("resOpFailedEvent", self._failed),
            ("diagnosticEvent", self._diagnostic),
            ("summaryEvent", self._summary),
        ):
            if kind in event:
                handler(event[kind])

    def busy(self) -> str:
        """What is under way, the longest first, in one line."""
        now = time.monotonic()
        oldest = sorted(self.running.values(), key=lambda it: it.started)
        shown = [f"{it.label} {now - it.started:.0f} s" for it in oldest[:3]]
        more = f" and {len(oldest) - 3} more" if len(oldest) > 3 else ""
        return ", ".join(shown) + more

    @property
    def failures(self) -> list[Failure]:
        """What failed, each reason once, and never the engine's echo of it."""
        found = []
        for urn, reasons in self._errors.items():
            telling = [reason for reason in dict.fromkeys(reasons) if not _NOISE.search(reason)]
            found += [Failure(resource=label(urn) if urn else "", reason=it) for it in telling]
        return found

    def changed(self) -> int:
        """How many resources were changed."""
        return sum(n for operation, n in self.changes.items() if operation not in {"same", "read"})

    def summary(self) -> str:
        """`3 created, 1 updated, 12 unchanged`."""
        parts = [
            f"{self.changes[op]} {word}" for op, word in _WORDS.items() if self.changes.get(op)
        ]
        if self.changes.get("same"):
            parts.append(f"{self.changes['same']} unchanged")
        return ", ".join(parts) or "nothing to do"

    def _begun(self, event: dict[str, Any]) -> None:
        data = event["metadata"]
        if data["op"] not in _QUIET and not _is_logical(data["urn"]):
            self.running[data["urn"]] = Running(label=label(data["urn"]), operation=data["op"])

    def _ended(self, event: dict[str, Any]) -> None:
        data = event["metadata"]
        if "pulumi:pulumi:Stack::" in data["urn"]:
            self.outputs = (data.get("new") or {}).get("outputs") or {}
        begun = self.running.pop(data["urn"], None)
        if begun:
            seconds = time.monotonic() - begun.started
            word = _WORDS.get(data["op"], data["op"])
            self._on_done(f"{word:<13} {begun.label}  {seconds:.1f} s")

    def _failed(self, event: dict[str, Any]) -> None:
        data = event["metadata"]
        begun = self.running.pop(data["urn"], None)
        self._errors.setdefault(data["urn"], [])
        self._on_done(f"{'FAILED':<13} {begun.label if begun else label(data['urn'])}")

    def _diagnostic(self, event: dict[str, Any]) -> None:
        text = re.sub(r"<\{%[^%]*%\}>", "", str(event.get("message", ""))).strip()
        severity = event.get("severity", "")
        if severity == "error" and text:
            self._errors.setdefault(event.get("urn", ""), []).append(_plain(text))
        elif severity == "warning" and text:
            self.warnings.append(_plain(text))

    def _summary(self, event: dict[str, Any]) -> None:
        self.finished = True
        self.changes = {str(k): int(v) for k, v in (event.get("resourceChanges") or {}).items()}


def label(urn: str) -> str:
    """`digitalocean Droplet payments-local-1` for a URN."""
    parts = urn.split("::")
    if len(parts) < 4:
        return urn
    token = parts[2].split("$")[-1].split(":")
    kind = token[-1]
    package = token[0] if token[0] not in {"pulumi", "payments"} else ""
    return " ".join(filter(None, (package, kind, "::".join(parts[3:]))))


def remedy(reason: str, log: str) -> str:
    """What to do about a failure: the known cause's remedy, and where the whole story stands."""
    known = explain(reason)
    return "\n".join(
        filter(
            None,
            (
                known[1] if known else "",
                "Run `make up` again: what is done stays, only the rest is tried.",
                f"The whole log: {log}",
            ),
        )
    )


def _is_logical(urn: str) -> bool:
    """Components and the stack itself: they are done when their children are."""
    token = urn.split("::")[2].split("$")[-1] if urn.count("::") >= 3 else ""
    return token.startswith(("payments:", "pulumi:pulumi:", "pulumi:providers:"))


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)

"""`make drift`: would an update of a stack change anything? Asks its clouds, and changes nothing.

What `make preview` does on paper, this does with the accounts: it reads the state from where
`pulumi login` put it, with whatever credentials the environment has. The nightly workflow runs it.

Exit codes: 0 nothing would change; 1 something would, or it could not be told.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from tools import engine, process, stackfile
from tools.bootstrap import environments
from tools.console import Ui
from tools.paths import ROOT

DNSSEC: Final = "cloudflare:index/zoneDnssec:ZoneDnssec"


def drift(ui: Ui, stack: str) -> int:
    """Compare a stack with its clouds; returns the exit code."""
    stackfile.load(ROOT, stack)  # a stack that does not exist ends here, before any work
    with ui.phase("Engine") as phase:
        found = engine.ensure(phase.note)
        phase.done(f"Pulumi {found.version}, {found.origin}")
    with tempfile.TemporaryDirectory(prefix="payments-drift-") as folder:
        log = Path(folder) / "events"
        code = process.run_through(
            [
                *(found.pulumi, "preview", "--stack", stack, "--non-interactive"),
                *("--refresh", "--diff", "--expect-no-changes", "--event-log", log),
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": found.path(environments(ROOT)["infra"].python.parent),
                "PULUMI_DEBUG_COMMANDS": "true",  # offers --event-log
            },
        )
        changes = would_change(log)
    ui.say("")
    if not code:
        ui.say(f"{stack} is as the program says.")
        return 0
    waiting = [change for change in changes if waits_for_registrar(change)]
    if waiting:
        ui.say(
            "DNSSEC is not in force: Cloudflare calls it pending until the zone's registrar "
            f"publishes the DS record that `pulumi stack output dnssec_ds --stack {stack}` shows. "
            "Publish it there; an update changes nothing about it."
        )
    if len(changes) > len(waiting) or not waiting:
        ui.say(
            f"An update of {stack} would change what is shown above. Run `pulumi up --stack "
            f"{stack}`: it undoes what somebody changed by hand, and renews certificates that are "
            "due (docs/runbooks/certificates.md)."
        )
    return 1


def would_change(log: Path) -> list[dict[str, Any]]:
    """The steps of an update, as the engine's log of its preview has them; none without one."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    steps = [json.loads(line).get("resourcePreEvent", {}).get("metadata") for line in lines]
    return [step for step in steps if step and step["op"] not in ("same", "refresh", "read")]


def waits_for_registrar(change: dict[str, Any]) -> bool:
    """Whether a step would ask for nothing but DNSSEC, which was asked for and is not there yet."""
    before = (change.get("old") or {}).get("outputs") or {}
    return change["type"] == DNSSEC and before.get("status") == "pending"

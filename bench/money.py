"""Money under load: what the service's stress tests measure (`make stress` is the same, unkept)."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from tools import process
from tools.bootstrap import environments
from tools.console import Ui
from tools.errors import ToolError
from tools.paths import ROOT

SECONDS: Final = 1800.0
PROMISED: Final[dict[str, Any]] = {
    "webhooks_copies": 10_000,
    "webhooks_effects": 1,
    "posts_posts": 1_000,
    "posts_orders": 1,
    "posts_transfers": 1,
    "refunds_rounds": 50,
    "refunds_most_refunded_percent": 100,
    "transfers_transfers": 50_000,
    "transfers_deadlocks": 0,
    "flows_deadlocks": 0,
    "kills_kills": 50,
}


def measure(ui: Ui) -> dict[str, Any]:
    """Run the stress tests, which fail where something is lost or doubled; return their figures."""
    python = environments(ROOT)["app"].python
    with tempfile.TemporaryDirectory() as folder, ui.phase("Money under load") as phase:
        done = process.run(
            [python, "-m", "pytest", "-q", "tests/app/stress", "-m", "stress", "--timeout=500"],
            cwd=ROOT,
            env={**os.environ, "STRESS_FIGURES": folder},
            check=False,
            timeout=SECONDS,
            what="The stress tests",
        )
        if done.code != 0:
            raise ToolError(
                "The stress tests failed, so there are no figures.",
                "make stress",
                done.text[-2000:],
            )
        figures = collect(Path(folder))
        phase.done(f"{len(figures)} figures")
    return figures


def collect(folder: Path) -> dict[str, Any]:
    """Return every figure of the tests' files, named after them, with what is promised."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        for figure, value in json.loads(path.read_text(encoding="utf-8")).items():
            name = f"{path.stem}_{figure}"
            found[name] = value
            if name in PROMISED:
                found[f"{name}_promised"] = PROMISED[name]
    return found

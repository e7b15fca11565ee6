"""A preview of prod against an empty program that imports the same provider packages.

Both run under the same engine against the same twin on paper, in turn.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tools.console import Ui
from tools.paths import ROOT
from tools.preview import prepared
from tools.runner import Runner
from tools.stackfile import write_project

EMPTY_PROGRAM = """\
import pulumi_cloudflare
import pulumi_command
import pulumi_digitalocean
import pulumi_docker
import pulumi_random
"""


def measure(ui: Ui, stack: str = "prod", rounds: int = 5) -> dict[str, Any]:
    """Median seconds of both previews and of their ratio, after one run of each to warm up."""
    with (
        tempfile.TemporaryDirectory(prefix="payments-bench-") as folder,
        prepared(ui, stack, "") as ready,
        ui.phase("Previews") as phase,
    ):
        empty = _empty(Path(folder), ready.runner)
        _seconds(ready.runner), _seconds(empty)
        pairs = []
        for done in range(rounds):
            phase.note(f"pair {done + 1} of {rounds}")
            pairs.append((_seconds(ready.runner), _seconds(empty)))
        phase.done(f"{rounds} pairs")
    return {
        "stack": stack,
        "pairs": rounds,
        "program_seconds": round(statistics.median(a for a, _ in pairs), 2),
        "empty_program_seconds": round(statistics.median(b for _, b in pairs), 2),
        "ratio": round(statistics.median(a / b for a, b in pairs), 2),
        "ratio_promised": 2.0,
    }


def _empty(folder: Path, like: Runner) -> Runner:
    program = folder / "program"
    program.mkdir()
    (program / "__main__.py").write_text(EMPTY_PROGRAM, encoding="utf-8")
    (program / "Pulumi.yaml").write_text(
        yaml.safe_dump({"name": "empty", "runtime": "python"}), encoding="utf-8"
    )
    write_project(folder, program, ROOT / ".venv")
    runner = replace(like, folder=folder)
    runner.init()
    return runner


def _seconds(runner: Runner) -> float:
    started = time.monotonic()
    runner.call("preview", "--stack", runner.stack, "--json", what="A preview", timeout=300)
    return time.monotonic() - started

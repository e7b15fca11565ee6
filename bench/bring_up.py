"""`make up` with engine and images at hand, again unchanged, and `make down`."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tools.console import Ui
from tools.errors import ToolError, tail
from tools.paths import ROOT
from twin.ports import first_free

HOME = ROOT / ".local-bench"


def measure(ui: Ui) -> dict[str, Any]:
    """Seconds of each, and of the first run's phases."""
    environment = {**os.environ, "PAYMENTS_HOME": str(HOME)}
    port = f"PORT={first_free(20_000)}"
    try:
        first = make(ui, environment, "up", port)
        times = json.loads((HOME / "logs" / "up-times.json").read_text(encoding="utf-8"))
        second = make(ui, environment, "up", port)
    finally:
        down = make(ui, environment, "down")
    return {
        "up_seconds": first,
        "up_seconds_promised": 120,
        "phases": times["phases"],
        "unchanged_up_seconds": second,
        "unchanged_up_seconds_promised": 15,
        "down_seconds": down,
    }


def make(ui: Ui, environment: dict[str, str], *arguments: str, folder: Path = ROOT) -> float:
    """Run a target; its seconds. Raises ToolError with its last words."""
    with ui.phase(f"make {arguments[0]}") as phase:
        started = time.monotonic()
        done = subprocess.run(  # noqa: S603
            ["make", *arguments],  # noqa: S607
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = round(time.monotonic() - started, 1)
        if done.returncode != 0:
            raise ToolError(f"make {arguments[0]} failed.", details=tail(done.stdout + done.stderr))
        phase.done(f"{seconds} s")
    return seconds

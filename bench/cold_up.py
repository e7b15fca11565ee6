"""`make up` from a fresh clone with nothing cached: no environment, engine, module or image.

It removes every image of the Docker engine that no container uses, hence the explicit flag.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.bring_up import make
from tools import docker
from tools.console import Ui
from tools.paths import ROOT
from twin.ports import first_free

# Where each tool would keep what it fetched or built.
_CACHES = ("XDG_CACHE_HOME", "GOMODCACHE", "GOCACHE", "UV_CACHE_DIR", "PIP_CACHE_DIR")


def measure(ui: Ui) -> dict[str, Any]:
    """Seconds of the whole, and of its phases; the clone and the caches are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="payments-cold-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)  # noqa: S603, S607
        environment = {
            **os.environ,
            **{name: str(Path(folder) / name.lower()) for name in _CACHES},
            "GOFLAGS": "-modcacherw",  # or the modules could not be removed
        }
        with ui.phase("Images") as phase:
            docker.ensure(phase).images.prune(filters={"dangling": False})
            phase.done("removed")
        started = time.monotonic()
        make(ui, environment, "up", f"PORT={first_free(20_000)}", folder=clone)
        seconds = round(time.monotonic() - started, 1)
        times = (clone / ".local" / "logs" / "up-times.json").read_text(encoding="utf-8")
        make(ui, environment, "down", folder=clone)
    return {
        "up_seconds": seconds,
        "up_seconds_promised": 900,
        "phases": json.loads(times)["phases"],
    }

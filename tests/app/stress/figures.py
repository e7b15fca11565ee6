"""Where the stress tests put what they measure, for `bench/money.py` to keep."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

FOLDER = "STRESS_FIGURES"
"""Names a folder that takes one JSON file per figure; without it they are only printed."""


def keep(name: str, figures: Mapping[str, object]) -> None:
    """Print figures, and write them where they are collected."""
    sys.stdout.write(f"\n{name}: {json.dumps(figures)}\n")
    folder = os.environ.get(FOLDER)
    if folder:
        path = Path(folder) / f"{name}.json"
        path.write_text(json.dumps(dict(figures)) + "\n", encoding="utf-8")

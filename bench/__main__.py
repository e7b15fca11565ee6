"""`python -m bench [NAME …]`: measure, show, and keep the figures as data."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from bench import bring_up, cold_up, edge, edge_rules, firewall, money, preview, service
from tools.console import Ui
from tools.errors import ToolError

RESULTS: Final = Path(__file__).parent / "results"
BENCHMARKS: Final[dict[str, Callable[[Ui], dict[str, Any]]]] = {
    "preview": preview.measure,
    "bring-up": bring_up.measure,
    "service": service.measure,
    "edge": edge.measure,
    "edge-rules": edge_rules.measure,
    "managed-rules": firewall.measure,
    "money": money.measure,
}
REMOVES_IMAGES: Final = {"cold-up": cold_up.measure}


def main() -> int:
    """Run the named benchmarks, all without a name; 1 when one could not be measured."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    known = BENCHMARKS | REMOVES_IMAGES
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument(
        "--remove-images", action="store_true", help="allow cold-up to remove all unused images"
    )
    arguments = parser.parse_args()
    names = arguments.names or list(BENCHMARKS)
    unknown = sorted(set(names) - set(known))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    if REMOVES_IMAGES.keys() & set(names) and not arguments.remove_images:
        parser.error("cold-up removes every unused image of this engine: add --remove-images")
    ui = Ui()
    for name in names:
        try:
            figures = known[name](ui)
        except ToolError as error:
            ui.say(f"{name}: {error.message}\n{error.details}\n{error.remedy}", style="red")
            return 1
        _keep(name, figures)
        _show(ui, name, figures)
    return 0


def _keep(name: str, figures: dict[str, Any]) -> None:
    measured = {
        "measured_on": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpus": os.cpu_count(),
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


def _show(ui: Ui, name: str, figures: dict[str, Any]) -> None:
    table = Table("figure", "measured", "promised", title=name)
    for figure, value in figures.items():
        if not figure.endswith("_promised"):
            table.add_row(figure, str(value), str(figures.get(f"{figure}_promised", "")))
    ui.console.print(table)


if __name__ == "__main__":
    sys.exit(main())

"""`make test`, `make e2e`, `make lint`, `make types`: what must hold before a change goes in."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from tools import process, system
from tools.bootstrap import environments
from tools.console import Ui
from tools.errors import EXIT_FAILED, ToolError
from tools.paths import ROOT

_NO_TESTS_COLLECTED = 5
_CHROMIUM = "chromium"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One check: its name and its command."""

    name: str
    argv: Sequence[str | Path]


def test(ui: Ui, rest: Sequence[str]) -> int:
    """The default suite in both environments: no root, no Docker, no network."""
    ours = ["-m", "not e2e and not docker", "--ignore=tests/app"]
    return _run_all(
        ui,
        [
            Step(name="platform", argv=_pytest("infra", *ours, *rest)),
            Step(name="service", argv=_pytest("app", "tests/app", *rest)),
        ],
    )


def e2e(ui: Ui, rest: Sequence[str]) -> int:
    """The tests that need a Docker engine: machines, and the whole platform once through."""
    if not (shutil.which("chromium") or shutil.which("google-chrome") or _playwright_browser()):
        system.require(_CHROMIUM, [_CHROMIUM, "fonts-dejavu-core"], "it pays as a person", ui.say)
    argv = _pytest("infra", "-m", "e2e or docker", "--ignore=tests/app", "--timeout=1800", *rest)
    return _run_all(ui, [Step(name="end to end", argv=argv)])


def lint(ui: Ui) -> int:
    """Style, types, Dockerfiles, shell scripts, workflows."""
    infra = environments(ROOT)["infra"].python.parent
    app = environments(ROOT)["app"].python
    scripts = _scripts()
    steps = [
        Step(name="ruff", argv=[infra / "ruff", "check", "."]),
        Step(name="format", argv=[infra / "ruff", "format", "--check", "."]),
        Step(name="types", argv=[infra / "mypy"]),
        Step(name="types of the service", argv=[app, "-m", "mypy", "app/payments"]),
        Step(name="hadolint", argv=[infra / "hadolint", *_tracked("*Dockerfile")]),
        Step(name="shellcheck", argv=[infra / "shellcheck", *scripts]),
        Step(name="zizmor", argv=[infra / "zizmor", "--offline", "--quiet", ".github"]),
    ]
    actionlint = shutil.which("actionlint")
    if actionlint:
        steps.append(Step(name="actionlint", argv=[actionlint, *_tracked(".github/workflows/*")]))
    return _run_all(ui, steps)


def types(ui: Ui) -> int:
    """Strict types of both environments."""
    infra, app = (environments(ROOT)[name].python for name in ("infra", "app"))
    return _run_all(
        ui,
        [
            Step(name="types", argv=[infra, "-m", "mypy"]),
            Step(name="types of the service", argv=[app, "-m", "mypy", "app/payments"]),
        ],
    )


def _pytest(environment: str, *arguments: str) -> list[str | Path]:
    return [environments(ROOT)[environment].python, "-m", "pytest", "-q", *arguments]


def _run_all(ui: Ui, steps: Sequence[Step]) -> int:
    """Run every step, also after one failed; show a summary; 0 when all are good."""
    table = Table(box=None, show_header=False, pad_edge=False)
    failed = False
    for step in steps:
        ui.say(f"── {step.name}", style="bold")
        started = time.monotonic()
        code = process.run_through(step.argv, cwd=ROOT)
        good = code in (0, _NO_TESTS_COLLECTED)
        failed = failed or not good
        mark = "[green]✓[/]" if good else "[red]✗[/]"
        table.add_row(mark, step.name, f"{time.monotonic() - started:.0f} s")
    ui.console.print(table)
    return EXIT_FAILED if failed else 0


def _tracked(*patterns: str) -> list[str]:
    done = process.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        what="Listing the project's files",
    )
    return [line for line in done.out.splitlines() if (ROOT / line).is_file()]


def _scripts() -> list[str]:
    """Every file that is a shell script, by name or by its first line."""
    found = []
    for name in _tracked():
        path = ROOT / name
        if path.suffix in {"", ".sh"}:
            with path.open("rb") as stream:
                first = stream.readline(80)
            if first.startswith(b"#!") and first.rstrip().endswith((b"/sh", b"bash", b" sh")):
                found.append(name)
    if not found:
        raise ToolError("No shell scripts were found: git ls-files says nothing.")
    return found


def _playwright_browser() -> bool:
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache/ms-playwright"))
    return any(folder.glob("chromium-*"))

"""`make test`, `make e2e`, `make lint`, `make types`: what must hold before a change goes in."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from tools import docker, engine, firewall, images, process, system
from tools.bootstrap import environments
from tools.console import Ui
from tools.engine import Engine
from tools.errors import EXIT_FAILED, ToolError
from tools.go_program import Built
from tools.paths import ROOT
from tools.stripe_mock import STRIPE_MOCK

_NO_TESTS_COLLECTED = 5
_CHROMIUM = "chromium"
_ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"  # in no Python registry


@dataclass(frozen=True, kw_only=True)
class Step:
    """One check: its name and its command."""

    name: str
    argv: Sequence[str | Path]


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a check ended."""

    name: str
    code: int
    seconds: float

    @property
    def good(self) -> bool:
        """Whether it passed; that nothing was selected (ARGS="-k name") is no failure."""
        return self.code in (0, _NO_TESTS_COLLECTED)


def test(ui: Ui, rest: Sequence[str]) -> int:
    """The default suite in both environments: no root, no Docker.

    Three runs beside each other: the twin's tests wait for engines most of the time. The first
    one's output is shown as it comes, the others' when they are done. `rest` goes to each; with a
    path in it only that is run.
    """
    ours = ["-m", "not e2e and not docker"]
    if any((ROOT / it.partition("::")[0]).exists() for it in rest if not it.startswith("-")):
        environment = "app" if any("tests/app" in it for it in rest) else "infra"
        return _run_all(ui, [Step(name="tests", argv=_pytest(environment, *rest))])
    _programs(ui)
    first = Step(name="twin", argv=_pytest("infra", "tests/twin", *ours, *rest))
    others = [
        Step(
            name="program and tools",
            argv=_pytest(
                "infra", "tests", "--ignore=tests/twin", "--ignore=tests/app", *ours, *rest
            ),
        ),
        Step(name="service", argv=_pytest("app", "tests/app", *rest)),
    ]
    with ThreadPoolExecutor(len(others)) as pool:
        running = [pool.submit(_captured, step) for step in others]
        ui.say(f"── {first.name} ({', '.join(it.name for it in others)} beside it)", style="bold")
        done = [_timed(first)]
        for future in running:
            captured, text = future.result()
            ui.say(f"── {captured.name}", style="bold")
            ui.say(text)
            done.append(captured)
    return _summary(ui, done)


def _programs(ui: Ui) -> None:
    """Get what tests hold the project against; those that must do without say that they skip."""
    wanted: Sequence[tuple[str, Callable[[Callable[[str], None]], Engine | Built]]] = (
        ("Engine", engine.ensure),
        ("Firewall", firewall.ensure),
        ("Stripe mock", STRIPE_MOCK.ensure),
    )
    for title, ensure in wanted:
        with ui.phase(title) as phase:
            try:
                phase.done(ensure(phase.note).origin)
            except ToolError as error:
                phase.done("not to be had")
                ui.warn(f"The tests that need it are skipped. {error.message}")


def e2e(ui: Ui, rest: Sequence[str]) -> int:
    """The tests that need a Docker engine: machines, and the whole platform once through."""
    if not (shutil.which("chromium") or shutil.which("google-chrome") or _playwright_browser()):
        system.require(_CHROMIUM, [_CHROMIUM, "fonts-dejavu-core"], "it pays as a person", ui.say)
    with ui.phase("Docker") as phase:
        client = docker.ensure(phase)
        phase.done(docker.describe(client))
    with ui.phase("Images") as phase:
        phase.done(str(images.ensure_bases(client, phase)))
    argv = _pytest("infra", "-m", "e2e or docker", "--ignore=tests/app", "--timeout=1800", *rest)
    with docker.kept():
        code = _run_all(ui, [Step(name="end to end", argv=argv)])
    with ui.phase("Clean up") as phase:
        docker.stop_ours(phase)
        phase.done("the engine is as it was found")
    return code


def stress(ui: Ui, rest: Sequence[str]) -> int:
    """The service's long tests: its processes killed, its network bad, thousands at once."""
    argv = _pytest("app", "tests/app", "-m", "stress", "--timeout=500", *rest)
    return _run_all(ui, [Step(name="stress", argv=argv)])


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
    actionlint = _actionlint()
    if actionlint:
        steps.append(Step(name="actionlint", argv=[*actionlint, *_tracked(".github/workflows/*")]))
    else:
        ui.warn(f"neither actionlint nor Go is here, workflows are not checked: {_ACTIONLINT}")
    return _run_all(ui, steps)


def _actionlint() -> list[str]:
    """The installed actionlint, else the pinned one by way of Go, which keeps what it built."""
    installed, go = shutil.which("actionlint"), shutil.which("go")
    if installed:
        return [installed]
    return [go, "run", _ACTIONLINT] if go else []


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
    done = []
    for step in steps:
        ui.say(f"── {step.name}", style="bold")
        done.append(_timed(step))
    return _summary(ui, done)


def _timed(step: Step) -> Done:
    started = time.monotonic()
    code = process.run_through(step.argv, cwd=ROOT)
    return Done(name=step.name, code=code, seconds=time.monotonic() - started)


def _captured(step: Step) -> tuple[Done, str]:
    started = time.monotonic()
    ran = process.run(step.argv, cwd=ROOT, check=False)
    return Done(name=step.name, code=ran.code, seconds=time.monotonic() - started), ran.text


def _summary(ui: Ui, done: Sequence[Done]) -> int:
    table = Table(box=None, show_header=False, pad_edge=False)
    for it in done:
        mark = "[green]✓[/]" if it.good else "[red]✗[/]"
        table.add_row(mark, it.name, f"{it.seconds:.0f} s")
    ui.console.print(table)
    return 0 if all(it.good for it in done) else EXIT_FAILED


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

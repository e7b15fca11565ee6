from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tools.conftest import Screen
from tools import __main__ as cli
from tools.errors import ToolError
from tools.paths import ROOT


def _tools(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [["up", "--port", "99999"], ["up", "--port", "x"], ["report"], ["fly"], []],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    done = _tools(*arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stack_that_does_not_exist_is_told_before_any_work() -> None:
    done = _tools("report", "--stack", "production")
    assert done.returncode == 1
    assert "There is no stack production" in done.stdout
    assert "local, prod, staging" in done.stdout


def test_nothing_to_take_down_is_no_error(tmp_path: Path) -> None:
    done = _tools("down", PAYMENTS_HOME=str(tmp_path / "none"), DOCKER_HOST="unix:///nonexistent")
    assert (done.returncode, done.stdout.strip()) == (0, "Nothing to take down.")
    assert not (tmp_path / "none").exists()


def test_status_logs_and_open_say_when_there_is_nothing(tmp_path: Path) -> None:
    nowhere = {"PAYMENTS_HOME": str(tmp_path / "none")}
    assert "make up" in _tools("status", **nowhere).stdout
    assert "There is no platform in" in _tools("logs", **nowhere).stdout
    assert "Nothing is deployed here yet" in _tools("open", **nowhere).stdout


def _failing(error: BaseException, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Screen:
    screen = Screen()
    monkeypatch.setattr(cli, "Ui", lambda: screen.ui)
    monkeypatch.setattr(cli.process, "install_signal_handlers", lambda: None)

    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(cli, "_down", fail)
    screen.code = cli.main([*arguments, "down"])  # type: ignore[attr-defined]
    return screen


def test_no_failure_shows_a_stack_trace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    screen = _failing(ZeroDivisionError("division by zero"), monkeypatch)
    assert screen.code == 1  # type: ignore[attr-defined]
    assert "An error in this tool: ZeroDivisionError" in screen.text
    assert "Traceback" not in screen.text
    assert "Traceback" in _failing(ZeroDivisionError(), monkeypatch, "--debug").text


def test_a_failure_shows_cause_details_and_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ToolError("It broke.", "do this\nthen that", "line 1\nline 2")
    text = _failing(error, monkeypatch).text
    assert text.strip() == "It broke.\n    line 1\n    line 2\n  do this\n  then that"


def test_ctrl_c_is_a_message_and_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _failing(KeyboardInterrupt(), monkeypatch)
    assert screen.code == 130  # type: ignore[attr-defined]
    assert "make down goes on from here" in screen.text


def test_a_full_disk_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _failing(OSError(28, "No space left on device", "/var/x"), monkeypatch).text
    assert "The disk is full (writing /var/x)" in text


# --- the console ----------------------------------------------------------------------------------


def test_a_long_phase_shows_life_without_a_terminal(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tools.console._QUIET_SECONDS", 0.3)
    screen.ui.log_to(tmp_path / "up.log")
    with screen.ui.phase("Images") as phase:
        phase.note("pulling   postgres:17")
        time.sleep(0.8)
        phase.done("5 present [ok]")
    assert "Images … 0 s pulling postgres:17" in screen.text
    assert "5 present [ok]" in screen.text, "brackets are text, not mark-up"
    assert screen.ui.finished[0].title == "Images"
    assert "pulling postgres:17" in (tmp_path / "up.log").read_text()


def test_a_phase_that_fails_is_marked(screen: Screen) -> None:
    with pytest.raises(ToolError), screen.ui.phase("Twin"):
        raise ToolError("no")
    assert screen.text.startswith("✗ Twin")


def test_a_log_whose_folder_went_away_is_not_missed(screen: Screen, tmp_path: Path) -> None:
    screen.ui.log_to(tmp_path / "logs" / "up.log")
    shutil.rmtree(tmp_path / "logs")
    screen.ui.say("down")
    assert not (tmp_path / "logs").exists(), "make down must not bring its log back"


# --- the Makefile ---------------------------------------------------------------------------------


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_make_alone_lists_every_command() -> None:
    listed = _make(ROOT).stdout
    for name in ("help", "up", "down", "status", "logs", "open", "test", "e2e", "lint", "format",
                 "stress", "types", "preview", "report", "lock", "bench", "clean"):  # fmt: skip
        assert f"  make {name} " in listed


def test_options_reach_the_tool_as_they_were_given(tmp_path: Path) -> None:
    folder = tmp_path / "a clone"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    dry = _make(folder, "-n", "up", "PORT=9443").stdout
    assert 'tools  up --port "9443"' in dry
    dry = _make(folder, "-n", "report", "STACK=staging", "BASE=HEAD~1", "MARKDOWN=a b.md").stdout
    assert '--stack "staging" --base "HEAD~1"' in dry
    assert '--markdown "a b.md"' in dry
    assert "--debug" in _make(folder, "-n", "down", "DEBUG=1").stdout


def test_the_makefile_works_in_a_path_with_spaces(tmp_path: Path) -> None:
    folder = tmp_path / "a clone of it"
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", folder)
    done = _make(folder, "infra")
    assert done.returncode != 0, "there is no lock in this clone"
    assert "requirements.lock" in done.stderr, "and that is all that is wrong with it"
    assert "Traceback" not in done.stderr

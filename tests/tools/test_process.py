from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools.conftest import Fake
from tools import process
from tools.errors import ToolError
from tools.paths import ROOT


def test_both_streams_are_kept_and_only_output_is_output(fake: Fake) -> None:
    fake("both", "echo out; echo err >&2; exit 3")
    seen: list[str] = []
    done = process.run(["both"], check=False, on_line=seen.append)
    assert (done.code, done.out) == (3, "out")
    assert sorted(seen) == ["err", "out"]


def test_a_failure_says_what_failed_and_its_last_words(fake: Fake) -> None:
    fake("bad", "echo first; echo the reason >&2; exit 7")
    with pytest.raises(ToolError) as caught:
        process.run(["bad"], what="Frobbing")
    assert caught.value.message == "Frobbing failed (exit code 7)."
    assert "the reason" in caught.value.details


def test_a_full_disk_is_named_whoever_meets_it(fake: Fake) -> None:
    fake("full", "echo 'write error: No space left on device' >&2; exit 1")
    with pytest.raises(ToolError) as caught:
        process.run(["full"], what="Building")
    assert caught.value.message == "Building failed: The disk is full."
    assert "df -h" in caught.value.remedy


def test_a_missing_program_is_a_sentence() -> None:
    with pytest.raises(ToolError, match="frobnicate is not installed"):
        process.run(["frobnicate"])


def test_a_secret_goes_by_standard_input(fake: Fake) -> None:
    fake("reader", "cat")
    assert process.run(["reader"], stdin="s3cret").out == "s3cret"


def test_a_program_that_hangs_is_stopped_with_everything_it_started(
    fake: Fake, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    fake("hangs", f"sleep 60 & echo $! > {pid_file}; wait")
    with pytest.raises(ToolError, match="longer than 1 s"):
        process.run(["hangs"], timeout=1)
    child = int(pid_file.read_text())
    assert not process.is_running(child), "a grandchild must not outlive the command"


_INTERRUPTED = """
import signal, sys
from tools import process
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
process.install_signal_handlers()
print("ready", flush=True)
try:
    script, grace, finish = sys.argv[1:]
    process.run(["sh", "-c", script], grace=float(grace), finish_first=finish == "1")
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def _interrupt(script: str, number: int, *, grace: float = 5, finish: bool = False) -> str:
    tool = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, script, str(grace), "1" if finish else "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert tool.stdout
    assert tool.stdout.readline() == "ready\n"
    time.sleep(0.5)  # the child has to stand before it can be told
    tool.send_signal(number)
    return tool.communicate(timeout=20)[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_reaches_the_child_gently_first(tmp_path: Path, number: int) -> None:
    said = tmp_path / "said"
    script = f"trap 'echo gently > {said}; exit 0' INT; while :; do sleep 0.1; done"
    assert "interrupted" in _interrupt(script, number)
    assert said.read_text() == "gently\n", "the engine must be able to finish what it has begun"


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"trap '' INT TERM; echo $$ > {pid_file}; while :; do sleep 0.1; done"
    tool = _interrupt_and_wait(script)
    assert "interrupted" in tool
    assert not process.is_running(int(pid_file.read_text()))


def _interrupt_and_wait(script: str) -> str:
    original = process._GRACE_SECONDS
    code = _INTERRUPTED.replace(
        "process.install", f"process._GRACE_SECONDS = {min(original, 1)}; process.install"
    )
    tool = subprocess.Popen(
        [sys.executable, "-c", code, script, "0.5", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert tool.stdout
    assert tool.stdout.readline() == "ready\n"
    time.sleep(0.5)
    tool.send_signal(signal.SIGINT)
    return tool.communicate(timeout=20)[0]


def test_a_package_manager_is_let_finish(tmp_path: Path) -> None:
    done = tmp_path / "done"
    assert "interrupted" in _interrupt(f"sleep 1.5; echo > {done}", signal.SIGINT, finish=True)
    assert done.exists(), "half-installed packages would break the machine for everyone"


def test_a_daemon_outlives_the_command_and_its_log_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "daemon.log"
    code = (
        "from pathlib import Path; from tools import process; "
        f"print(process.spawn_daemon(['sh', '-c', 'echo here; sleep 30'], Path({str(log)!r})))"
    )
    pid = int(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True))
    try:
        assert process.is_running(pid)
        assert os.getsid(pid) == pid, "a Ctrl-C at our terminal must not reach it"
        deadline = time.monotonic() + 5
        while not log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert log.read_text() == "here\n"
    finally:
        process.terminate(pid, grace=2)
    assert not process.is_running(pid)


def test_our_own_number_runs_and_an_unused_one_does_not() -> None:
    assert process.is_running(os.getpid())
    child = subprocess.Popen(["sleep", "0"])
    child.wait()
    assert not process.is_running(child.pid)
    assert "pytest" in process.command_line(os.getpid())


def test_a_program_with_a_log_survives_our_death(tmp_path: Path) -> None:
    log, done = tmp_path / "log", tmp_path / "done"
    script = f"echo first; sleep 1; echo second && echo > {done}"
    code = (
        "from pathlib import Path; from tools import process; "
        f"process.run(['sh', '-c', {script!r}], log=Path({str(log)!r}))"
    )
    tool = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    _wait_for(lambda: log.exists() and "first" in log.read_text())
    tool.kill()
    tool.wait()
    _wait_for(done.exists)
    assert log.read_text() == "first\nsecond\n", "an engine must not die of our broken pipe"


def test_a_log_is_followed_line_by_line_to_its_end(tmp_path: Path) -> None:
    seen: list[str] = []
    done = process.run(
        ["sh", "-c", "echo one; sleep 0.2; printf 'two\\nlast'"],
        log=tmp_path / "log",
        on_line=seen.append,
    )
    assert seen == ["one", "two", "last"]
    assert done.out == "one\ntwo\nlast"


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()

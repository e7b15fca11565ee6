from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.twin.conftest import StartEngine
from twin.clouds import command
from twin.protocol import values
from twin.protocol.resource import ApiError, Context
from twin.protocol.values import Secret


class _Real:
    """A world that is not on paper; commands need nothing else of it."""

    paper = False


@pytest.fixture
def real(paper_context: Context) -> Context:
    return dataclasses.replace(paper_context, world=_Real())  # type: ignore[arg-type]


def run(ctx: Context, **inputs: Any) -> dict[str, Any]:
    return command.Command().create(ctx, inputs).outputs


def test_a_command_gets_its_folder_environment_and_input(real: Context, tmp_path: Path) -> None:
    outputs = run(
        real,
        create='pwd; echo "$GREETING"; cat; echo aside >&2',
        dir=str(tmp_path),
        environment={"GREETING": "hello"},
        stdin="given",
    )
    assert outputs == {"stdout": f"{tmp_path}\nhello\ngiven", "stderr": "aside"}
    assert run(real, create="print(6 * 7)", interpreter=["python3", "-c"])["stdout"] == "42"


def test_a_failure_says_code_and_last_lines_without_secrets(real: Context) -> None:
    shown: list[str] = []
    secrets = values.to_mask({"environment": Secret({"KEY": "hunter22"})})
    ctx = dataclasses.replace(real, secrets=secrets, say=shown.append)
    script = 'for i in $(seq 40); do echo "line $i"; done; echo "key $KEY" >&2; exit 3'
    with pytest.raises(ApiError) as failed:
        run(ctx, create=script, environment={"KEY": "hunter22"})
    text = str(failed.value)
    assert "exit code 3" in text
    assert "key [secret]" in text
    assert "line 1\n" not in text, "only the last lines are shown"
    assert "hunter22" not in text + "".join(shown)
    assert "line 40" in shown, "output is shown while it runs"
    with pytest.raises(ApiError, match="could not run"):
        run(real, create="x", interpreter=["/no/such/program"])
    with pytest.raises(ApiError, match="does not exist"):
        run(real, create="true", dir="/no/such/folder")


def test_output_is_secret_when_an_input_is(real: Context) -> None:
    ctx = dataclasses.replace(real, secrets=frozenset({"hunter22"}))
    assert run(ctx, create="echo hunter22")["stdout"] == Secret("hunter22")


@pytest.mark.parametrize("by", ["cancel", "timeout"])
def test_a_cancelled_or_late_command_ends_with_its_children(
    real: Context, tmp_path: Path, by: str
) -> None:
    child = tmp_path / "child"
    script = f"sleep 60 & echo $! > {child}; wait"
    ctx = dataclasses.replace(real, timeout=0.5 if by == "timeout" else 0)
    if by == "cancel":
        threading.Timer(0.5, ctx.stop.set).start()
    started = time.monotonic()
    with pytest.raises(ApiError, match="cancelled" if by == "cancel" else r"longer than 0\.5 s"):
        run(ctx, create=script)
    assert time.monotonic() - started < 10
    pid = int(child.read_text())
    _until(lambda: not _alive(pid))


def test_on_paper_nothing_runs(paper_context: Context, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    assert run(paper_context, create=f"touch {mark}") == {"stdout": "", "stderr": ""}
    assert not mark.exists()


def test_a_gate_that_fails_runs_again_and_triggers_replace(
    start_engine: StartEngine, real: Context, tmp_path: Path
) -> None:
    log, ready = tmp_path / "log", tmp_path / "ready"
    program = f"""
        import pulumi, pulumi_command as command
        gate = command.local.Command("gate",
            create="echo created >> {log}; test -e {ready} && echo open",
            update="echo updated $PULUMI_COMMAND_STDOUT >> {log}",
            delete="echo deleted >> {log}",
            environment={{"PLAIN": "MODE"}}, triggers=["TURN"])
        pulumi.export("said", gate.stdout)
    """
    engine = start_engine(command.package(), context=real)
    engine.program(program)
    failed = engine.up()
    assert "exit code 1: running" in failed.output, failed.output
    assert "gate" not in engine.resources(), "a failed step is not recorded, so it runs again"
    ready.touch()
    assert engine.up().code == 0
    assert engine.up("--refresh").steps == {}
    engine.program(program.replace("MODE", "mode2"))
    assert engine.up().steps == {"gate": "update"}
    engine.program(program.replace("TURN", "2"))
    assert engine.up().code == 0
    assert engine.destroy().code == 0
    ran = log.read_text().splitlines()
    assert ran == ["created", "created", "updated open", "created", "deleted", "deleted"]


def test_a_command_ends_when_its_engine_is_interrupted_or_killed(
    start_engine: StartEngine, real: Context, tmp_path: Path
) -> None:
    engine, mark = start_engine(command.package(), context=real), tmp_path / "pid"
    engine.program(f"""
        import pulumi_command as command
        command.local.Command("slow", create="echo $$ > {mark}.new; mv {mark}.new {mark}; sleep 99")
    """)
    for number in (signal.SIGINT, signal.SIGKILL):
        running = engine.start("up", "--yes", "--skip-preview")
        _until(mark.exists)
        pid = int(mark.read_text())
        mark.unlink()
        running.send_signal(number)
        _until(lambda pid=pid: not _alive(pid))  # type: ignore[misc]
        output = running.communicate(timeout=60)[0]
        assert number == signal.SIGKILL or "cancelled: running" in output
        engine.run("cancel", "--yes", check=False)


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    pytest.fail("it did not happen within a minute")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]

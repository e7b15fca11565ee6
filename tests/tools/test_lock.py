from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import lock, process
from tools.errors import ToolError
from tools.paths import ROOT

_HOLDER = """
import subprocess, sys, time
from pathlib import Path
from tools import lock
with lock.hold(Path(sys.argv[1]), "up") as held:
    if sys.argv[2] == "engine":
        engine = subprocess.Popen(
            ["sleep", "30"], pass_fds=[held.descriptor], start_new_session=True
        )
        lock.note(held.descriptor, {**held.holder, "engine": engine.pid})
        print(engine.pid, flush=True)
    print("held", flush=True)
    time.sleep(30)
"""


def _holder(path: Path, kind: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path), kind],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_second_command_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = _holder(path, "alone")
    assert first.stdout
    try:
        assert first.stdout.readline() == "held\n"
        named = rf"`make up` \(process {first.pid}, since "
        with pytest.raises(ToolError, match=named), lock.hold(path, "up"):
            pytest.fail("two commands must not work on one instance")
    finally:
        first.kill()
        first.wait()
    with lock.hold(path, "down"):
        pass  # a killed holder leaves nothing to clean up


def test_an_engine_that_outlived_its_command_keeps_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = _holder(path, "engine")
    assert first.stdout
    engine = int(first.stdout.readline())
    first.stdout.readline()
    first.kill()
    first.wait()
    try:
        with (
            pytest.raises(ToolError, match="was killed, but the engine") as caught,
            lock.hold(path, "up"),
        ):
            pytest.fail("two engines on one state would destroy it")
        assert f"kill -INT {engine}" in caught.value.remedy
    finally:
        process.terminate(engine, grace=2)
    with lock.hold(path, "up"):
        pass


def test_what_outlived_a_killed_engine_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = _holder(path, "engine")
    assert first.stdout
    host = int(first.stdout.readline())  # here: the language host, which inherited the lock
    first.stdout.readline()
    noted = json.loads(path.read_text())
    path.write_text(json.dumps({**noted, "engine": first.pid}))
    first.kill()
    first.wait()
    with lock.hold(path, "up"):
        assert not process.is_running(host)


def test_a_released_lock_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock.hold(path, "up"):
        assert '"command": "up"' in path.read_text()
    assert path.read_text() == ""


def test_a_lock_whose_folder_was_removed_is_not_shared_with_the_past(tmp_path: Path) -> None:
    path = tmp_path / "home" / "lock"
    with contextlib.ExitStack() as held:
        held.enter_context(lock.hold(path, "down"))
        path.unlink()
        path.parent.rmdir()
        held.enter_context(lock.hold(path, "up"))
        assert path.exists(), "the new instance has a lock of its own"


def test_a_damaged_note_still_says_that_somebody_works(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock.hold(path, "up") as held:
        lock.note(held.descriptor, {"half": 1})  # no pid: nobody can be told apart
        started = time.monotonic()
        with pytest.raises(ToolError, match="Another command works"), lock.hold(path, "up"):
            pytest.fail("held")
        assert time.monotonic() - started < 1, "who waits wants to know at once"

"""The engine as a process: what it says; it neither dies for good nor outlives the twin."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.twin.edge.harness import run
from tests.twin.waf.site import engine_program
from twin.waf import engine as module
from twin.waf.engine import Asked, Engine
from twin.waf.line import EngineDown

ROOT = Path(__file__).resolve().parents[3]
HEADERS = ((b"Host", b"pay.test"), (b"User-Agent", b"t"), (b"Accept", b"*/*"))


def asked(target: bytes = b"/", **more: Any) -> Asked:
    return Asked(
        client="192.0.2.1",
        method="GET",
        target=target,
        protocol="HTTP/1.1",
        headers=HEADERS,
        **more,
    )


@contextlib.asynccontextmanager
async def started(program: Path, **options: Any) -> Any:
    engine = Engine(program, **options)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def test_it_says_which_rules_match_and_where_but_not_what(tmp_path: Path) -> None:
    program = engine_program()

    async def scenario() -> None:
        async with started(program) as engine:
            clean = await engine.inspect(asked(b"/payments?page=2"))
            assert sum(clean.scores().values()) == 0
            found = await engine.inspect(asked(b"/?secret=4111111111111111'%20OR%20'1'='1"))
            assert engine.about["engine"].startswith("Coraza v3.")
            assert engine.about["ruleset"].startswith("OWASP CRS v4.")
            (injection,) = [it for it in found.matches if it.id == 942100]
            assert (injection.severity, injection.level) == ("critical", 1)
            assert "attack-sqli" in injection.tags
            assert injection.variable == "ARGS:secret"
            assert "4111" not in repr(found), "matched data may be a card's number"

    run(scenario())


def test_higher_levels_are_evaluated_only_when_asked_for() -> None:
    program = engine_program()

    async def scenario() -> None:
        async with started(program) as engine:
            target = b"/?url=https://elsewhere.test/x"
            first = await engine.inspect(asked(target))
            second = await engine.inspect(asked(target, variables={"blocking_paranoia_level": "2"}))
            assert first.scores()[2] == 0
            assert 931130 in [it.id for it in second.matches]

    run(scenario())


def test_many_at_once_get_their_own_answers() -> None:
    program = engine_program()

    async def scenario() -> None:
        async with started(program) as engine:
            targets = [b"/?q=<script>alert(1)</script>" if n % 3 else b"/" for n in range(90)]
            found = await asyncio.gather(*(engine.inspect(asked(it)) for it in targets))
            assert [any(m.id == 941100 for m in it.matches) for it in found] == [
                len(target) > 1 for target in targets
            ]

    run(scenario())


def test_one_that_was_killed_is_started_again_and_judges_on() -> None:
    program = engine_program()

    async def scenario() -> None:
        async with started(program) as engine:
            await engine.inspect(asked())
            os.kill(engine.pid, signal.SIGKILL)
            deadline = time.monotonic() + 20
            while engine.starts < 2:
                assert time.monotonic() < deadline, "nobody started it again"
                await asyncio.sleep(0.02)
            await engine.inspect(asked())

    run(scenario())


def test_it_ends_when_the_twin_is_killed(tmp_path: Path) -> None:
    program = engine_program()
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from twin.waf.engine import Asked, Engine\n"
        "async def main():\n"
        "    engine = Engine(Path(sys.argv[1]))\n"
        "    await engine.start()\n"
        "    await engine.inspect(Asked(client='', method='GET', target=b'/',\n"
        "        protocol='HTTP/1.1', headers=()))\n"
        "    print(engine.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    twin = subprocess.Popen(
        [sys.executable, "-c", script, str(program)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert twin.stdout is not None
    engine = int(twin.stdout.readline())
    twin.kill()
    twin.wait()
    twin.stdout.close()
    deadline = time.monotonic() + 10
    while _runs(engine):
        assert time.monotonic() < deadline, "an engine was left behind"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # nobody reaps orphans in some containers


@pytest.mark.parametrize("frames", [2**31 - 1, 0], ids=["too long", "too short"])
def test_a_frame_that_cannot_be_is_the_end_of_the_connection(frames: int) -> None:
    program = engine_program()

    async def scenario() -> None:
        async with started(program) as engine:
            await engine.inspect(asked())
            engine._line._transport.write(frames.to_bytes(4) + bytes(4))
            deadline = time.monotonic() + 20
            while engine.starts < 2:
                assert time.monotonic() < deadline, "it went on with a broken connection"
                await asyncio.sleep(0.02)
            await engine.inspect(asked())

    run(scenario())


# --- programs that are not the engine, so that these need no Go -----------------------------------
def _program(folder: Path, text: str) -> Path:
    path = folder / "engine"
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_without_an_answer_there_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.3)
    silent = _program(
        tmp_path,
        "import socket, sys\n"
        "line = socket.socket(fileno=int(sys.argv[1]))\n"
        "line.sendall((4 + 2).to_bytes(4) + bytes(4) + b'{}')\n"
        "while line.recv(4096): pass\n",
    )

    async def scenario() -> None:
        async with started(silent) as engine:
            with pytest.raises(EngineDown, match="no answer within"):
                await engine.inspect(asked())

    run(scenario())


def test_one_that_cannot_start_is_tried_again_and_gives_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 1.0)
    broken = _program(tmp_path, "raise SystemExit(1)\n")

    async def scenario() -> None:
        async with started(broken) as engine:
            with pytest.raises(EngineDown):
                await engine.inspect(asked())
            assert engine.starts >= 2
        async with started(tmp_path / "missing") as engine:
            with pytest.raises(EngineDown):
                await engine.inspect(asked())

    run(scenario())

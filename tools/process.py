"""The one place where other programs are started.

A child runs in a session of its own, so that Ctrl-C at the terminal reaches us alone and we decide
how to stop it: once gently (the engine finishes what it has begun), again at once. Whatever
happens, no child outlives the command that started it, unless it was started with `spawn_daemon`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.errors import ToolError, explain, tail

OnLine = Callable[[str], None]
_GRACE_SECONDS = 10.0
_KEPT_LINES = 4000
_LOOK_SECONDS = 0.05

_children: set[subprocess.Popen[str]] = set()
_children_lock = threading.Lock()


class Interrupted(KeyboardInterrupt):
    """SIGTERM or SIGHUP: the same clean way out as Ctrl-C."""


@dataclass(frozen=True, kw_only=True)
class Completed:
    """How a program ended: its exit code, standard output, and both streams interleaved."""

    code: int
    out: str
    text: str


def install_signal_handlers() -> None:
    """Make SIGTERM and SIGHUP end a command as Ctrl-C does."""

    def interrupt(number: int, _frame: object) -> None:
        raise Interrupted(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    timeout: float | None = None,
    check: bool = True,
    on_line: OnLine | None = None,
    what: str = "",
    grace: float = _GRACE_SECONDS,
    finish_first: bool = False,
    pass_fds: Sequence[int] = (),
    on_start: Callable[[int], None] | None = None,
    on_interrupt: Callable[[], None] | None = None,
    log: Path | None = None,
) -> Completed:
    """Run a program to its end.

    `env` replaces the environment when given; `stdin` is fed to it (never put a secret in `argv`);
    `on_line` sees every line of both streams as it comes. `what` names the step in the error that a
    non-zero exit raises when `check`. On Ctrl-C the child gets SIGINT and `grace` seconds; with
    `finish_first` the first Ctrl-C waits for it (a package manager must not be cut in the middle).
    `on_start` gets its pid; `on_interrupt` is called when a Ctrl-C begins to stop it. With `log`
    both streams go to that file and are read from there: should we be killed, the program goes on
    undisturbed instead of dying of a broken pipe.
    Raises ToolError when the program is missing, fails, or takes longer than `timeout` seconds.
    """
    arguments = [os.fspath(part) for part in argv]
    stream = log.open("wb") if log else subprocess.PIPE
    try:
        child = subprocess.Popen(
            arguments,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    except FileNotFoundError as error:
        raise ToolError(f"{what or arguments[0]}: {arguments[0]} is not installed.") from error
    finally:
        if not isinstance(stream, int):
            stream.close()
    with _children_lock:
        _children.add(child)
    reader = _Reader(child, on_line, log)
    try:
        if on_start:
            on_start(child.pid)
        reader.start(stdin)
        _wait(child, timeout, 0.0 if finish_first else grace, on_interrupt)
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"{what or arguments[0]} took longer than {timeout:.0f} s and was stopped.",
            details=tail(reader.text()),
        ) from error
    finally:
        stop(child, grace=2.0)
        reader.join()
        with _children_lock:
            _children.discard(child)
    done = Completed(code=child.returncode, out="\n".join(reader.out), text=reader.text())
    if check and done.code != 0:
        raise failure(what or shlex.join(arguments[:3]), done)
    return done


def run_through(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> int:
    """Run a program that writes to our own output (a test run); returns its exit code."""
    child = subprocess.Popen(
        [os.fspath(part) for part in argv],
        env=dict(env) if env is not None else None,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    with _children_lock:
        _children.add(child)
    try:
        _wait(child, None, _GRACE_SECONDS, None)
    finally:
        stop(child, grace=2.0)
        with _children_lock:
            _children.discard(child)
    return child.returncode


def failure(what: str, done: Completed) -> ToolError:
    """The error for a program that ended badly, with the cause where its output gives it away."""
    known = explain(done.text)
    if known:
        return ToolError(f"{what} failed: {known[0]}", known[1], tail(done.text, 6))
    return ToolError(f"{what} failed (exit code {done.code}).", details=tail(done.text))


def spawn_daemon(
    argv: Sequence[str | os.PathLike[str]],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> int:
    """Start a program that outlives us, writing to `log`; returns its pid."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        child = subprocess.Popen(
            [os.fspath(part) for part in argv],
            env=dict(env) if env is not None else None,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    # Nobody waits for it here: a thread reaps it should it end while we still run.
    threading.Thread(target=child.wait, daemon=True).start()
    return child.pid


def stop_all() -> None:
    """End every child that still runs, those of worker threads included."""
    with _children_lock:
        running = list(_children)
    for child in running:
        _signal(child, signal.SIGINT)
    for child in running:
        stop(child, grace=_GRACE_SECONDS)


def stop(child: subprocess.Popen[str], *, grace: float) -> None:
    """End a child and its whole group: SIGTERM, `grace` seconds, SIGKILL. Ended already is fine."""
    if child.poll() is None:
        _signal(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace)
    if child.poll() is None:
        _signal(child, signal.SIGKILL)
        child.wait()


def is_running(pid: int) -> bool:
    """Whether a process with this number runs (a zombie does not count)."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state != "Z"


def command_line(pid: int) -> str:
    """A process's command line, or nothing where it cannot be read."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def terminate(pid: int, *, grace: float) -> None:
    """End a process that is not our child: SIGTERM, up to `grace` seconds, SIGKILL."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, _GRACE_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not is_running(pid):
            return


class _Reader:
    """Drains both streams of a child, so that it never blocks on a full pipe."""

    def __init__(
        self, child: subprocess.Popen[str], on_line: OnLine | None, log: Path | None
    ) -> None:
        self.out: list[str] = []
        self._child = child
        self._log = log
        self._on_line = on_line
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self, stdin: str) -> None:
        sources: list[tuple[Iterable[str] | None, list[str] | None]] = (
            [(_grown(self._log, self._child), self.out)]
            if self._log
            else [(self._child.stdout, self.out), (self._child.stderr, None)]
        )
        for stream, keep in sources:
            thread = threading.Thread(target=self._drain, args=(stream, keep), daemon=True)
            thread.start()
            self._threads.append(thread)
        if stdin and self._child.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.write(stdin)
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.close()

    def _drain(self, stream: Iterable[str] | None, keep: list[str] | None) -> None:
        for raw in stream or ():
            line = raw.rstrip("\n")
            with self._lock:
                if keep is not None:
                    keep.append(line)
                self._lines.append(line)
                del self._lines[:-_KEPT_LINES]
                if self._on_line:
                    self._on_line(line)

    def join(self) -> None:
        # A grandchild that escaped may hold the pipe open: what it says later is not waited for.
        for thread in self._threads:
            thread.join(timeout=2.0)

    def text(self) -> str:
        with self._lock:
            return "\n".join(self._lines)


def _grown(log: Path, child: subprocess.Popen[str]) -> Iterator[str]:
    """The lines of a file as a child writes them, until it has ended and all is read."""
    with log.open(encoding="utf-8", errors="replace") as stream:
        part = ""
        while True:
            ended = child.poll() is not None
            while piece := stream.readline():
                part += piece
                if part.endswith("\n"):
                    yield part
                    part = ""
            if ended:
                break
            time.sleep(_LOOK_SECONDS)
        if part:
            yield part


def _wait(
    child: subprocess.Popen[str],
    timeout: float | None,
    grace: float,
    on_interrupt: Callable[[], None] | None,
) -> None:
    """Wait for a child; on Ctrl-C stop it gently, on the next at once. No grace: let it finish."""
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        _poll(child, deadline)
    except KeyboardInterrupt:
        if on_interrupt:
            on_interrupt()
        if not grace:
            _poll(child, deadline)
            raise
        _signal(child, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            _poll(child, time.monotonic() + grace)
        if child.poll() is None:
            _signal(child, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                _poll(child, time.monotonic() + _GRACE_SECONDS)
        raise


def _poll(child: subprocess.Popen[str], deadline: float | None) -> None:
    remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
    child.wait(remaining)


def _signal(child: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)

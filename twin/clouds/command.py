"""The command provider: local.Command really runs its commands, where the twin runs.

Semantics: pulumi/pulumi-command, provider/pkg/provider/local. `create` runs again on an update when
there is no `update`; only `triggers` replace; a failed create records nothing, so the next update
tries again. Beyond the real provider: secrets of the inputs are masked in messages and lines, and a
cancelled update ends the command's whole process group. On paper nothing runs.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO, ClassVar, Final

from twin.protocol.resource import (
    UNKNOWN,
    ApiError,
    Context,
    Created,
    Failure,
    Package,
    Props,
    Resource,
)
from twin.protocol.values import Secret

_SHELL: Final = ("/bin/sh", "-c")
_SHOWN_LINES: Final = 15  # of each stream
_SHOWN_COMMAND: Final = 120
_POLL_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 5.0
_DRAIN_SECONDS: Final = 2.0  # for a child in the background that keeps the pipe open
_FAILED: Final = 1


class Command(Resource):
    """One command of a life cycle, with its output."""

    token: ClassVar[str] = "command:local:Command"
    recorded = False

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        """What the twin does not double is refused, not ignored."""
        for name in ("archivePaths", "assetPaths"):
            if name in inputs:
                yield Failure(name, "is not doubled by the twin")
        if inputs.get("interpreter") == []:
            yield Failure("interpreter", "needs at least the program to run")

    def preview(self, ctx: Context, inputs: Props) -> Props:
        """Output is known when it has run."""
        return {"stdout": UNKNOWN, "stderr": UNKNOWN}

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Run `create`."""
        outputs = _run(ctx, inputs.get("create"), inputs, {})
        return Created(id=f"create{secrets.token_hex(4)}", outputs=outputs)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        """Run `update`, or `create` when there is none."""
        return {**news, **_run(ctx, news.get("update", news.get("create")), news, outputs)}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """Run `delete`, if there is one."""
        _run(ctx, outputs.get("delete"), outputs, outputs)


def package() -> Package:
    """The command provider in the installed SDK's version."""
    return Package(name="command", version=version("pulumi-command"), resources=[Command()])


class CommandError(ApiError):
    """A command failed; `status` is its exit code, which the message names."""

    def __str__(self) -> str:
        return self.message


@dataclass
class _Stream:
    """One of a process's streams: all of it, its last lines, and who watches it."""

    ctx: Context
    pipe: IO[bytes]
    shown: bool
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_SHOWN_LINES))
    text: list[str] = field(default_factory=list)

    def read(self) -> None:
        """Until its end; runs in a thread of its own."""
        for raw in self.pipe:
            line = raw.decode(errors="replace")
            self.text.append(line)
            masked = self.ctx.masked(line.rstrip("\n"))
            self.last.append(masked)
            if self.shown and masked:
                self.ctx.say(masked)

    @property
    def whole(self) -> str:
        """The output less one final line end, as the provider gives it."""
        return "".join(self.text).removesuffix("\n")


def _run(ctx: Context, command: str | None, inputs: Props, before: Props) -> Props:
    """`stdout` and `stderr` of the command; ApiError with its exit code and last lines."""
    if command is None or ctx.world.paper:
        output = {name: before.get(name, "") for name in ("stdout", "stderr")}
    else:
        output = _execute(ctx, command, inputs, before)
    # Every output depends on every input: with one secret among them all output is secret.
    return {n: Secret(v) for n, v in output.items()} if ctx.secrets else dict(output)


def _execute(ctx: Context, command: str, inputs: Props, before: Props) -> dict[str, str]:
    folder = inputs.get("dir")
    if folder is not None and not Path(folder).is_dir():
        raise CommandError(_FAILED, f"the folder {folder} does not exist")
    arguments = [*(inputs.get("interpreter") or _SHELL), command]
    try:
        process = subprocess.Popen(  # noqa: S603  (running it is what the resource is for)
            arguments,
            cwd=folder,
            env=_environment(inputs, before),
            stdin=subprocess.PIPE if inputs.get("stdin") else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(_FAILED, f"could not run {arguments[0]}: {error}") from None
    logging = inputs.get("logging", "stdoutAndStderr")
    assert process.stdout is not None  # noqa: S101  (asked for above)
    assert process.stderr is not None  # noqa: S101
    out = _Stream(ctx, process.stdout, logging in ("stdout", "stdoutAndStderr"))
    err = _Stream(ctx, process.stderr, logging in ("stderr", "stdoutAndStderr"))
    threads = [threading.Thread(target=stream.read, daemon=True) for stream in (out, err)]
    if process.stdin is not None:
        feeding = (process.stdin, inputs["stdin"].encode())
        threads.append(threading.Thread(target=_feed, args=feeding, daemon=True))
    for thread in threads:
        thread.start()
    ended = _wait(ctx, process)
    for thread in threads:
        thread.join(_DRAIN_SECONDS)
    if ended or process.returncode:
        first = command.strip().splitlines()[0] if command.strip() else ""
        raise CommandError(
            process.returncode,
            ctx.masked(
                f"{ended or f'exit code {process.returncode}'}: running {first[:_SHOWN_COMMAND]!r}"
            )
            + "".join(f"\n  {line}" for line in (*out.last, *err.last)),
        )
    return {"stdout": out.whole, "stderr": err.whole}


def _environment(inputs: Props, before: Props) -> dict[str, str]:
    environment = {**os.environ, **inputs.get("environment", {})}
    if inputs.get("addPreviousOutputInEnv", True):
        for name in ("stdout", "stderr"):
            if before.get(name):
                environment[f"PULUMI_COMMAND_{name.upper()}"] = before[name]
    return environment


def _feed(pipe: IO[bytes], text: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), pipe:  # it need not read all of it
        pipe.write(text)


def _wait(ctx: Context, process: subprocess.Popen[bytes]) -> str:
    """Until it ends; why it was ended when the engine cancelled or its time was over."""
    deadline = time.monotonic() + ctx.timeout if ctx.timeout else None
    why = ""
    while not why:
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if ctx.stop.is_set():
                why = "cancelled"
            elif deadline is not None and time.monotonic() > deadline:
                why = f"took longer than {ctx.timeout:g} s"
        else:
            return ""
    _signal(process, signal.SIGTERM)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()
    return why


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # the group has ended
        os.killpg(process.pid, number)

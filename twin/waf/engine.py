"""The engine as a child process: started, asked, started again when it dies, and never orphaned.

Both ends of one socket pair are the whole connection: nothing listens, no file lies about, and the
child ends when the twin does, however the twin ends, because its end is closed by the kernel then.
The frames are described in `engine/main.go`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from twin.edge.logs import note
from twin.waf.line import EngineDown, Line
from twin.waf.verdict import Verdict, read

MEMORY: Final = "160MiB"
"""Above this the engine's collector works harder; read rules take 60 MiB, a request below one."""
START_SECONDS: Final = 20.0
"""What reading the rules may take (0.6 s on an idle core)."""
WAIT_SECONDS: Final = 5.0
"""How long a request waits for an engine that is being started, and for its answer."""
STOP_SECONDS: Final = 3.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request to judge, byte for byte as it came; `variables` are those of the rules (TX)."""

    client: str
    method: str
    target: bytes
    protocol: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes = b""
    variables: Mapping[str, str] = field(default_factory=dict)

    def fields(self, settings: Mapping[str, str]) -> list[bytes]:
        """Return what is sent, in its order; `settings` are variables of every request."""
        return [
            json.dumps({**settings, **self.variables}).encode(),
            self.client.encode(),
            self.method.encode(errors="surrogateescape"),
            self.target,
            self.protocol.encode(),
            self.body,
            *itertools.chain.from_iterable(self.headers),
        ]


class Engine:
    """The program and the connection to it. `start` returns at once; `inspect` waits for it."""

    def __init__(self, program: Path, *, memory: str = MEMORY) -> None:
        self.about: dict[str, Any] = {}
        """What the engine said of itself: `engine`, `ruleset`, `rules`. Empty before it did."""
        self.starts = 0
        self.variables: dict[str, str] = {}
        """Settings of the core ruleset for every request (its `tx` variables)."""
        self.observers: list[Callable[[Asked, Verdict], None]] = []
        """Told of every verdict."""
        self._program = program
        self._environment = {"GOMEMLIMIT": memory, "PATH": os.defpath}
        self._ready = asyncio.Event()
        self._line: Line | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The running process, or None."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    async def start(self) -> None:
        """Start it, and keep it running until `stop`."""
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End it. Twice is fine."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None

    async def inspect(self, asked: Asked) -> Verdict:
        """Return what the rules say of a request. Raises EngineDown where they say nothing."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._ready.wait()
                verdict = read(await self._ask(asked.fields(self.variables)))
        except TimeoutError:
            raise EngineDown(f"no answer within {WAIT_SECONDS:.0f} s") from None
        except ValueError as error:
            raise EngineDown(f"it could not judge the request: {error}") from error
        for observe in self.observers:
            observe(asked, verdict)
        return verdict

    async def _ask(self, fields: Sequence[bytes]) -> bytes:
        if self._line is None:
            raise EngineDown("it is not running")
        return await self._line.ask(fields)

    # --- keeping it running ---------------------------------------------------------------------
    async def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._run_once()
                pause = _FIRST_PAUSE  # it had been ready
                why = "it ended"
            except (OSError, EngineDown, ValueError) as error:
                why = str(error)
                pause = min(pause * 2, _LONGEST_PAUSE)
            note(logging.WARNING, "waf engine starts again", reason=why, pause=f"{pause:.1f} s")
            await asyncio.sleep(pause)

    async def _run_once(self) -> None:
        """Start the process and hand out its answers until it ends."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    self._program,
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=self._environment,
                    start_new_session=True,  # Ctrl-C at the terminal is the twin's to act upon
                )
        except BaseException:
            ours.close()
            raise
        self.starts += 1
        loop = asyncio.get_running_loop()
        _, line = await loop.create_unix_connection(Line, sock=ours)
        try:
            async with asyncio.timeout(START_SECONDS):
                self.about = json.loads(await line.hello)
            self._line = line
            self._ready.set()
            note(logging.INFO, "waf engine is ready", pid=self._process.pid, **self.about)
            await line.ended
        except TimeoutError:
            raise EngineDown(f"it was not ready within {START_SECONDS:.0f} s") from None
        finally:
            await self._end(line)

    async def _end(self, line: Line) -> None:
        self._ready.clear()
        self._line = None
        line.close()  # its end of it: the engine ends by itself
        process = self._process
        if process is None:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

"""The line to the engine: frames out, frames in, and who waits for which (`engine/main.go`)."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Sequence
from typing import Final, cast

_WORD: Final = struct.Struct(">I")
_HEAD: Final = struct.Struct(">II")
_LONGEST: Final = 8 * 1024 * 1024


class EngineDown(Exception):
    """The engine has no answer: it is not running, was too slow, or could not judge."""


class Line(asyncio.Protocol):
    """Our end of the socket. `hello` is the engine's first word, `ended` done once it hung up."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.hello: asyncio.Future[bytes] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._waiting: dict[int, asyncio.Future[bytes]] = {0: self.hello}
        self._ids = itertools.count()
        self._room = asyncio.Event()
        self._room.set()
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    async def ask(self, fields: Sequence[bytes]) -> bytes:
        """Send a request, and return its answer. Raises EngineDown."""
        payload = b"".join(part for text in fields for part in (_WORD.pack(len(text)), text))
        if len(payload) > _LONGEST - _WORD.size:
            raise EngineDown(f"a request of {len(payload)} bytes is longer than it takes")
        if not self._room.is_set():
            await self._room.wait()
        if self._transport is None or self._transport.is_closing():
            raise EngineDown("it is not running")
        id = next(self._ids) % (2**32 - 1) + 1
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[id] = answer
        try:
            self._transport.write(_HEAD.pack(len(payload) + _WORD.size, id) + payload)
            return await answer
        finally:
            self._waiting.pop(id, None)

    def close(self) -> None:
        """Hang up: the engine ends by itself then."""
        if self._transport is not None:
            self._transport.close()

    # --- asyncio's side -------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:  # noqa: D102
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEAD.size:
            length, id = _HEAD.unpack_from(buffer)
            if not _WORD.size <= length <= _LONGEST:
                self._hang_up(f"it sent a frame of {length} bytes")
                return
            end = _WORD.size + length
            if len(buffer) < end:
                return
            waiting = self._waiting.get(id)
            if waiting is not None and not waiting.done():
                waiting.set_result(bytes(buffer[_HEAD.size : end]))
            del buffer[:end]

    def pause_writing(self) -> None:  # noqa: D102
        self._room.clear()

    def resume_writing(self) -> None:  # noqa: D102
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._hang_up("it died while it was asked" if self.hello.done() else "it was never ready")
        self._room.set()
        if not self.ended.done():
            self.ended.set_result(None)

    def _hang_up(self, why: str) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(EngineDown(why))
        if self._transport is not None:
            self._transport.abort()

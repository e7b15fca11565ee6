"""A tunnel's stream as an asyncio transport, so that any protocol can speak through the tunnel."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from twin.edge.connector.wire import BACKLOG_HIGH, Link, Stream

LINGER = 1.0
"""Seconds that an origin has to hang up by itself after the edge has."""


class OriginRefused(ConnectionError):
    """The connector could not reach the origin; `code` is an errno, the text the connector's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class StreamTransport(Stream, asyncio.Transport):
    """The edge's end of a stream. `opened` is done once the origin's connection stands.

    The protocol is told of nothing before that; a failure until then is `opened`'s exception. One
    that may `begin` before is told of a lost connection instead.
    """

    def __init__(self, link: Link, number: int, protocol: asyncio.Protocol) -> None:
        super().__init__(link, number)
        self._protocol = protocol
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._paused_reading = False
        self._paused_writer = False
        self._unread = 0
        self._closing = False
        self._told_lost = False
        self._begun = False

    def begin(self) -> None:
        """Let the protocol speak at once; the other side keeps what comes too early."""
        self._begun = True
        self._protocol.connection_made(self)

    # --- the stream's side ----------------------------------------------------------------------
    def on_opened(self) -> None:  # noqa: D102
        if not self.opened.done():
            if not self._begun:
                self.begin()
            self.opened.set_result(None)

    def on_data(self, data: bytes) -> None:  # noqa: D102
        if self._closing:
            return
        self._protocol.data_received(data)
        if self._paused_reading:
            self._unread += len(data)
        else:
            self.consumed(len(data))

    def on_end(self) -> None:  # noqa: D102
        if not self._closing and not self._protocol.eof_received():
            self.close()

    def on_reset(self, reason: str, code: int) -> None:  # noqa: D102
        if self.opened.done():
            self._lose(ConnectionResetError(code, reason))
        elif self._begun:
            self._lose(OriginRefused(code, reason))
        else:
            self._closing = True
            self.opened.set_exception(OriginRefused(code, reason))

    def on_drained(self) -> None:  # noqa: D102
        if self._paused_writer:
            self._paused_writer = False
            self._protocol.resume_writing()

    # --- asyncio's side -------------------------------------------------------------------------
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send; the protocol is paused while too much waits."""
        super().write(data)
        if self.backlog >= BACKLOG_HIGH and not self._paused_writer:
            self._paused_writer = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send several pieces as one."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Half-closing works."""
        return True

    def write_eof(self) -> None:
        """Send nothing more."""
        self.end()

    def close(self) -> None:
        """Send what waits, then end both directions, the origin's half a moment later."""
        if not self._closing:
            self._closing = True
            self.end()
            loop = asyncio.get_running_loop()
            loop.call_soon(self._lose, None)
            loop.call_later(LINGER, self.reset, "closed by the edge")

    def abort(self) -> None:
        """End both directions at once."""
        self._closing = True
        self.reset("closed by the edge")
        asyncio.get_running_loop().call_soon(self._lose, None)

    def is_closing(self) -> bool:
        """True once closing, or gone."""
        return self._closing or self.gone

    def is_reading(self) -> bool:
        """True while the protocol takes data."""
        return not self._paused_reading

    def pause_reading(self) -> None:
        """Give the origin no more room."""
        self._paused_reading = True

    def resume_reading(self) -> None:
        """Give back the room of what came meanwhile."""
        self._paused_reading = False
        unread, self._unread = self._unread, 0
        self.consumed(unread)

    def get_write_buffer_size(self) -> int:
        """Bytes that wait."""
        return self.backlog

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Keep the limits that the stream has."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Speak to another protocol from now on."""
        assert isinstance(protocol, asyncio.Protocol)  # noqa: S101  (narrowing)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol spoken to."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Nothing is known of the origin's socket."""
        return default

    def _lose(self, error: Exception | None) -> None:
        self._closing = True
        if not self._told_lost:
            self._told_lost = True
            if self._begun:
                self._protocol.connection_lost(error)

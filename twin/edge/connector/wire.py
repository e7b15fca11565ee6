"""The tunnel's protocol: many byte streams over one TLS connection, each with its own flow control.

Spoken by the edge and by the connector alike; the standard library only, because the connector's
image holds nothing else. The real tunnel speaks QUIC or HTTP/2; what matters to the platform is the
same here: the connector dials out, one connection carries many requests, and one slow reader does
not hold up the others.

A frame is a kind (1 byte), a stream (4 bytes, 0 for the link itself) and a length (4 bytes), then
the payload. A sender may have `WINDOW` bytes of a stream on their way; `CREDIT` gives some back.
"""

from __future__ import annotations

import asyncio
import enum
import errno
import json
import struct
from collections import deque
from typing import Any

WINDOW = 256 * 1024
"""Bytes of one stream that may be under way in one direction."""
CHUNK = 64 * 1024
"""The longest payload of one data frame; the longest of any frame is a little more."""
BACKLOG_HIGH = 64 * 1024
"""A stream that has this much waiting asks its source to pause."""
PING_EVERY = 10.0
SILENCE_LIMIT = 30.0
"""Seconds between a connector's pings, and without any frame before a link counts as dead."""

_HEADER = struct.Struct("!BII")
_LONGEST = CHUNK + 4096


class Kind(enum.IntEnum):
    """What a frame says."""

    HELLO = 1  # connector: {"token", "connector", "index", "version"}
    WELCOME = 2  # edge: {"location"}
    REFUSED = 3  # edge: {"reason", "retry"}
    OPEN = 4  # edge: {"host", "port", "tls", "server_name", "verify", "timeout"}
    OPENED = 5  # connector: the origin's connection stands
    DATA = 6
    END = 7  # no more data from this side
    RESET = 8  # {"reason", "errno"}
    CREDIT = 9  # 4 bytes: so many bytes were used up
    PING = 10
    PONG = 11
    DRAIN = 12  # connector: no new streams, please


class ProtocolError(Exception):
    """The other side broke the protocol; the link is closed."""


class Stream:
    """One byte stream of a link. Subclasses override the `on_…` methods.

    `on_data` must in time be followed by `consumed` for as many bytes: that is what lets the other
    side send more. Both sides done, or a reset from either, ends the stream.
    """

    def __init__(self, link: Link, number: int) -> None:
        self.link = link
        self.number = number
        self._credit = WINDOW
        self._waiting: deque[bytes] = deque()
        self._backlog = 0
        self._owed = 0
        self._sent_end = False
        self._ending = False
        self._got_end = False
        self._gone = False
        link.streams[number] = self

    # --- sending --------------------------------------------------------------------------------
    @property
    def backlog(self) -> int:
        """Bytes that were written and not yet sent."""
        return self._backlog

    @property
    def gone(self) -> bool:
        """True once the stream has ended, however it ended."""
        return self._gone

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, now or when the other side has room."""
        if self._gone or self._ending or not data:
            return
        self._waiting.append(bytes(data))
        self._backlog += len(data)
        self.flush()

    def end(self) -> None:
        """Say that nothing more comes, once everything written is sent."""
        if not self._ending:
            self._ending = True
            self.flush()

    def reset(self, reason: str, code: int = errno.ECONNRESET) -> None:
        """Drop the stream at once, telling the other side why."""
        if not self._gone:
            self.link.send_json(Kind.RESET, {"reason": reason, "errno": code}, self.number)
            self._finish()

    def flush(self) -> None:
        """Send what waits, as far as the other side's window and the connection allow."""
        had = self._backlog
        while self._waiting and self._credit and self.link.writable and not self._gone:
            piece = self._waiting.popleft()
            limit = min(self._credit, CHUNK)
            if len(piece) > limit:
                self._waiting.appendleft(piece[limit:])
                piece = piece[:limit]
            self._credit -= len(piece)
            self._backlog -= len(piece)
            self.link.send(Kind.DATA, piece, self.number)
        if self._ending and not self._sent_end and not self._waiting and not self._gone:
            self._sent_end = True
            self.link.send(Kind.END, b"", self.number)
            self._finish_if_done()
        if had >= BACKLOG_HIGH > self._backlog:
            self.on_drained()

    # --- receiving ------------------------------------------------------------------------------
    def consumed(self, size: int) -> None:
        """Give the other side room for `size` bytes more (told in lumps of half a window)."""
        self._owed += size
        if self._owed >= WINDOW // 2 and not self._got_end and not self._gone:
            self.link.send(Kind.CREDIT, self._owed.to_bytes(4, "big"), self.number)
            self._owed = 0

    def received(self, kind: Kind, payload: bytes) -> None:
        """Act on a frame of this stream."""
        if kind is Kind.DATA:
            self.on_data(payload)
        elif kind is Kind.CREDIT:
            self._credit += int.from_bytes(payload, "big")
            self.flush()
        elif kind is Kind.END:
            self._got_end = True
            self.on_end()
            self._finish_if_done()
        elif kind is Kind.RESET:
            told = json.loads(payload)
            self.lost(str(told["reason"]), int(told["errno"]))
        elif kind is Kind.OPENED:
            self.on_opened()
        else:
            raise ProtocolError(f"{kind.name} does not belong to a stream")

    def lost(self, reason: str, code: int) -> None:
        """End the stream because the other side, or the link, did."""
        if not self._gone:
            self._finish()
            self.on_reset(reason, code)

    def _finish_if_done(self) -> None:
        if self._sent_end and self._got_end:
            self._finish()

    def _finish(self) -> None:
        self._gone = True
        self._waiting.clear()
        self._backlog = 0
        self.link.forget(self)

    # --- what a subclass does -------------------------------------------------------------------
    def on_opened(self) -> None:
        """Called when the origin's connection stands (edge side only)."""

    def on_data(self, data: bytes) -> None:
        """Called with bytes that arrived."""
        raise NotImplementedError

    def on_end(self) -> None:
        """Called when the other side has no more to send."""
        raise NotImplementedError

    def on_reset(self, reason: str, code: int) -> None:
        """Called when the stream ended before its time; `code` is an errno."""
        raise NotImplementedError

    def on_drained(self) -> None:
        """Called when the backlog has fallen below `BACKLOG_HIGH`."""


class Link(asyncio.Protocol):
    """One connection between connector and edge: frames in, frames out, and its streams."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.writable = True
        self.heard = 0.0
        """When the last frame came, in the loop's time."""
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    # --- what a subclass does -------------------------------------------------------------------
    def on_frame(self, kind: Kind, stream: int, payload: bytes) -> None:
        """Act on a frame that belongs to no stream that stands (an unknown one may be late)."""
        raise NotImplementedError

    def on_lost(self) -> None:
        """Called once the connection is gone and its streams are ended."""
        raise NotImplementedError

    # --- sending --------------------------------------------------------------------------------
    def send(self, kind: Kind, payload: bytes = b"", stream: int = 0) -> None:
        """Send a frame; without a connection it is dropped."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_HEADER.pack(kind, stream, len(payload)) + payload)

    def send_json(self, kind: Kind, value: dict[str, Any], stream: int = 0) -> None:
        """Send a frame whose payload is a JSON object."""
        self.send(kind, json.dumps(value).encode(), stream)

    def close(self) -> None:
        """Close the connection after what was sent."""
        if self._transport is not None:
            self._transport.close()

    def forget(self, stream: Stream) -> None:
        """Let go of an ended stream."""
        self.streams.pop(stream.number, None)

    # --- asyncio's side -------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (narrowing)
        self._transport = transport
        self.heard = asyncio.get_running_loop().time()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self.heard = asyncio.get_running_loop().time()
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= _HEADER.size:
                kind, stream, length = _HEADER.unpack_from(buffer, at)
                if length > _LONGEST:
                    raise ProtocolError(f"a frame of {length} bytes")
                end = at + _HEADER.size + length
                if len(buffer) < end:
                    break
                payload = bytes(buffer[at + _HEADER.size : end])
                at = end
                self._dispatch(Kind(kind), stream, payload)
        except (ProtocolError, ValueError, KeyError) as error:
            self.on_broken(error)
            if self._transport is not None:
                self._transport.abort()
        del buffer[:at]

    def on_broken(self, error: Exception) -> None:
        """Called before the link is dropped because the other side broke the protocol."""

    def _dispatch(self, kind: Kind, number: int, payload: bytes) -> None:
        stream = self.streams.get(number) if number else None
        if stream is not None:
            stream.received(kind, payload)
        else:
            self.on_frame(kind, number, payload)

    def pause_writing(self) -> None:  # noqa: D102
        self.writable = False

    def resume_writing(self) -> None:  # noqa: D102
        self.writable = True
        for stream in list(self.streams.values()):
            stream.flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._transport = None
        for stream in list(self.streams.values()):
            stream.lost("the tunnel's connection was lost", errno.ECONNRESET)
        self.on_lost()

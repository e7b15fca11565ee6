"""The front's sockets: TLS and plain HTTP on one port, told apart by the first byte.

Both the loopback port and the unix socket that the relay of the twin's internet forwards to. TLS
begins with the context that the asked server name is served with.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twin import ports
from twin.edge import hello, relayed
from twin.edge.logs import note

FIRST_BYTE_TIMEOUT = 30.0
HANDSHAKE_TIMEOUT = 10.0
_TLS_HANDSHAKE = b"\x16"
"""The first byte of a TLS record that starts a handshake (RFC 8446, section 5.1)."""
_BACKLOG = 1024
_HELLO_PAUSE = 0.002
"""Seconds until a hello that has come in part is looked at again."""

ProtocolFactory = Callable[[], asyncio.BaseProtocol]
Contexts = Callable[[str], ssl.SSLContext]
"""The context for a server name; empty where none was asked for."""


class PortTaken(OSError):
    """The HTTPS port is in use; the text names the holder where it can be found out."""


class Listener:
    """Accepts connections and hands each to the protocol it speaks."""

    def __init__(self, tls: Contexts, https: ProtocolFactory, plain: ProtocolFactory) -> None:
        self._tls = tls
        self._https = https
        self._plain = plain
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: list[socket.socket] = []

    def listen_tcp(self, port: int) -> int:
        """Listen on the loopback; returns the port (another one for 0). Raises PortTaken."""
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as error:
            listening.close()
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortTaken(
                errno.EADDRINUSE,
                f"Port {port} on 127.0.0.1 is taken by {ports.holder(port)}. "
                "End it, or choose another port: make up PORT=9443",
            ) from error
        self._serve(listening)
        return int(listening.getsockname()[1])

    def listen_unix(self, path: Path) -> None:
        """Listen on a unix socket for the relay, which says who each connection comes from."""
        path.unlink(missing_ok=True)  # a stale one
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(path))
        path.chmod(0o666)  # the relay's user; the folder around it is 0700
        self._serve(listening)

    async def close(self) -> None:
        """Stop accepting; connections that stand are the protocols' own affair."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()

    def _serve(self, listening: socket.socket) -> None:
        listening.listen(_BACKLOG)
        listening.setblocking(False)
        self._sockets.append(listening)
        self._spawn(self._accept(listening))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:
                note(logging.WARNING, "cannot accept a connection", reason=error)
                await asyncio.sleep(0.1)  # out of file descriptors, most likely
                continue
            connection.setblocking(False)
            if connection.family == socket.AF_INET:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._spawn(self._hand_over(connection))

    async def _hand_over(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(FIRST_BYTE_TIMEOUT):
                if connection.family == socket.AF_UNIX:
                    connection = await relayed.accept(connection)
                first = await _peek(connection)
                name = await _asked_name(connection) if first[:1] == _TLS_HANDSHAKE else None
            if not first:
                connection.close()
            elif name is not None:
                await loop.connect_accepted_socket(
                    self._https,
                    connection,
                    ssl=self._tls(name),
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                )
            else:
                await loop.connect_accepted_socket(self._plain, connection)
        except OSError as error:  # TLS errors and time-outs are OSErrors as well
            note(logging.DEBUG, "connection dropped", reason=error)
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise


async def _asked_name(connection: socket.socket) -> str:
    """Return the server name that the client asks for; its hello stays where it is."""
    seen = 0
    while True:
        data = connection.recv(hello.LONGEST, socket.MSG_PEEK)
        try:
            return hello.server_name(data)
        except hello.Incomplete:
            if len(data) >= hello.LONGEST:
                return ""
            # The socket counts as readable all the time, so that there is no event to wait for.
            await asyncio.sleep(_HELLO_PAUSE if len(data) > seen else _HELLO_PAUSE * 10)
            seen = len(data)


async def _peek(connection: socket.socket) -> bytes:
    """Wait for the first byte and leave it where it is."""
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(BlockingIOError):
            return connection.recv(1, socket.MSG_PEEK)
        readable = loop.create_future()
        loop.add_reader(connection, _settle, readable)
        try:
            await readable
        finally:
            loop.remove_reader(connection)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

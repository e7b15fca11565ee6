"""One configured provider instance: the engine opens a connection of its own for each."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from twin.protocol.resource import Context, Props

_log = logging.getLogger(__name__)
_KEPT: Final = 512  # connections remembered; a run opens one per provider instance


@dataclass
class Session:
    """What one connection has told: its configuration and where its engine listens."""

    config: Props = field(default_factory=dict)
    configured: bool = False
    engine: str = ""
    running: set[threading.Event] = field(default_factory=set)
    _channel: grpc.Channel | None = None

    def say(self, urn: str, line: str) -> None:
        """Show a line in the engine's output; an engine that is gone is no error."""
        if not self.engine:
            return
        if self._channel is None:
            self._channel = grpc.insecure_channel(self.engine)
        request = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=line, urn=urn)
        try:
            engine_pb2_grpc.EngineStub(self._channel).Log(request, timeout=5)
        except grpc.RpcError as error:
            _log.debug("the engine did not take a log line: %s", error)

    def close(self) -> None:
        """Let go of the engine."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class Sessions:
    """The sessions of one provider, by gRPC peer. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_peer: OrderedDict[str, Session] = OrderedDict()

    def of(self, peer: str) -> Session:
        """The session of a connection, made on its first call."""
        with self._lock:
            session = self._by_peer.setdefault(peer, Session())
            self._by_peer.move_to_end(peer)
            while len(self._by_peer) > _KEPT:
                self._by_peer.popitem(last=False)[1].close()
        return session

    def cancel_all(self) -> None:
        """Tell every running call of every session to stop."""
        with self._lock:
            for session in self._by_peer.values():
                for stop in tuple(session.running):
                    stop.set()


def call_context(
    session: Session, base: Context, rpc: grpc.ServicerContext, urn: str, secrets: frozenset[str]
) -> Context:
    """The context of one call: stopped when the engine cancels or its connection ends."""
    stop = threading.Event()
    session.running.add(stop)

    def ended() -> None:
        stop.set()
        session.running.discard(stop)

    if not rpc.add_callback(ended):
        ended()
    say: Callable[[str], None] = lambda line: session.say(urn, line)  # noqa: E731
    fields: dict[str, Any] = {"config": session.config, "stop": stop, "say": say}
    return dataclasses.replace(base, secrets=secrets, **fields)

"""The gateway's TLS before a scanner that others made; as the edge's, not among the default tests.

The gateway says who connects by the PROXY protocol, which no scanner speaks: a relay says it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.components.test_gateway_tls import EDGE, HOST, Stage, stage
from tools.scan import tls

__all__ = ["stage"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@contextlib.contextmanager
def relay(port: int) -> Iterator[int]:
    """Listen, and pass each connection on to `port` as one that the edge has made."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    visitor, _ = listening.accept()
                    origin = socket.create_connection(("127.0.0.1", port), 5)
                    origin.settimeout(None)
                    origin.sendall(f"PROXY TCP4 {EDGE} 192.0.2.1 40000 443\r\n".encode())
                    for source, target in ((visitor, origin), (origin, visitor)):
                        threading.Thread(target=pump, args=(source, target), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield int(listening.getsockname()[1])


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def test_the_gateways_tls_is_what_mozillas_intermediate_profile_asks_for(stage: Stage) -> None:
    with relay(stage.port) as port:
        found = tls.shortcomings("127.0.0.1", port, HOST, stage.folder / "origin-authority.pem")
    assert found == ""

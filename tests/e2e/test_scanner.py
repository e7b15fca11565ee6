"""The port scanner of the end-to-end tests finds what is open, and says when it cannot look."""

from __future__ import annotations

import errno
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from tests.e2e import scanner


@pytest.fixture
def port() -> Iterator[int]:
    """An open port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_an_open_port_is_found_among_closed_ones(port: int) -> None:
    near = range(max(port - 200, 1), min(port + 200, 65536))
    assert port in scanner.scan(["127.0.0.1"], near, at_once=50)["127.0.0.1"]


@pytest.fixture
def starved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lets the scanner go on only when everything has happened."""

    class Starved(scanner.socket.socket):  # type: ignore[name-defined,misc]
        def connect_ex(self, address: tuple[str, int]) -> int:
            said = int(super().connect_ex(address))
            time.sleep(0.05)
            return said

    monkeypatch.setattr(scanner, "SECONDS", 0.0)
    monkeypatch.setattr(scanner.socket, "socket", Starved)


@pytest.mark.usefixtures("starved")
def test_a_port_whose_server_hangs_up_at_once_is_open() -> None:
    def hang_up(server: socket.socket) -> None:
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        threading.Thread(target=hang_up, args=(server,), daemon=True).start()
        assert scanner.scan(["127.0.0.1"], range(number, number + 1)) == {"127.0.0.1": [number]}


@pytest.mark.usefixtures("starved")
def test_a_scanner_that_gets_no_time_is_slow_and_not_blind(port: int) -> None:
    assert scanner.scan(["127.0.0.1"], range(port, port + 1)) == {"127.0.0.1": [port]}


def test_a_scan_without_file_descriptors_fails_instead_of_finding_nothing(port: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (24, hard))
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011  (its number says which)
            scanner.scan(["127.0.0.1"] * 100, range(port, port + 1))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE

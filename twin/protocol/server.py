"""One gRPC server per provider package, on a loopback port."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from twin.protocol.resource import Context, Package, Props
from twin.protocol.servicer import Servicer
from twin.store import Record

# The engine runs as many operations at once as it likes, and a Cancel must find a free worker.
_WORKERS: Final = 128
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", 400 * 1024 * 1024),  # the engine's own limit
    ("grpc.max_send_message_length", 400 * 1024 * 1024),
    ("grpc.so_reuseport", 0),
]


@dataclass(frozen=True, kw_only=True)
class _Served:
    server: grpc.Server
    servicer: Servicer
    port: int


class ProviderServers:
    """Serves packages until `stop`; `ports` is what PULUMI_DEBUG_PROVIDERS needs."""

    def __init__(self, packages: Iterable[Package], base: Context) -> None:
        self._served: dict[str, _Served] = {}
        for package in packages:
            servicer = Servicer(package, base)
            server = grpc.server(
                ThreadPoolExecutor(_WORKERS, thread_name_prefix=package.name), options=_OPTIONS
            )
            provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
            port = server.add_insecure_port("127.0.0.1:0")
            self._served[package.name] = _Served(server=server, servicer=servicer, port=port)

    @property
    def ports(self) -> dict[str, int]:
        """The port of each package."""
        return {name: served.port for name, served in self._served.items()}

    def remove(self, record: Record, config: Props | None = None) -> None:
        """Remove a resource without an engine; KeyError when its package is not served.

        `config` stands in for the provider configuration it was made with.
        """
        self._served[record.token.split(":", 1)[0]].servicer.remove(record, config)

    def forget(self, record: Record) -> None:
        """Forget a resource that has gone with what held it."""
        self._served[record.token.split(":", 1)[0]].servicer.forget(record)

    def collect(self) -> list[str]:
        """Remove what a crash left without a record, package by package."""
        return [said for served in self._served.values() for said in served.servicer.collect()]

    def start(self) -> None:
        """Answer from now on."""
        for served in self._served.values():
            served.server.start()

    def stop(self, grace: float = 10) -> None:
        """Refuse new calls, tell the running ones to stop, wait `grace` seconds for them."""
        stopping = []
        for served in self._served.values():
            stopping.append(served.server.stop(grace))
            served.servicer.stop()
        for stopped in stopping:
            stopped.wait(grace + 1)

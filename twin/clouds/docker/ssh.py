"""The Docker SDK over the system's `ssh`, as the real provider does it: `docker system dial-stdio`.

Every HTTP connection of the SDK is one `ssh` process whose standard input and output are one end of
a socket pair. With ControlMaster in the options they share one login.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final
from urllib.parse import urlsplit

import docker
import requests.adapters
import urllib3.connection
import urllib3.connectionpool
from docker.transport.basehttpadapter import BaseHTTPAdapter

_HOST: Final = re.compile(r"[A-Za-z0-9_.:\[\]-]+")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NOISE: Final = re.compile(r"^(Warning: Permanently added|mux_client|ControlSocket)")
_OLDEST_API: Final = "1.24"  # only to ask for the version, which every engine answers unversioned
_NOWHERE: Final = "http://localhost:80"  # never dialled: the adapter's sockets are ssh's
_SESSIONS: Final = 8  # sshd allows 10 per login (MaxSessions), and gates log in too
_REQUEST_SECONDS: Final = 600  # a pull or a stop may be silent for long


class HostError(ValueError):
    """A host that cannot be dialled; the text says why."""


@dataclass(frozen=True)
class SshHost:
    """`ssh://user@host:port` with the provider's sshOpts."""

    host: str
    user: str | None
    port: int | None
    options: tuple[str, ...] = ()

    @staticmethod
    def parse(url: str, options: Sequence[str] = ()) -> SshHost:
        """HostError for anything that `ssh` could take for something else."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise HostError(f"{url} is no ssh address: {error}") from None
        host = parts.hostname or ""
        if parts.scheme != "ssh" or not _HOST.fullmatch(host) or host.startswith("-"):
            raise HostError(f"{url} is no ssh address; write ssh://user@host")
        if parts.path not in ("", "/"):
            raise HostError(f"{url}: an ssh address takes no path")
        if parts.password or (parts.username and not _USER.fullmatch(parts.username)):
            raise HostError(f"{url}: an ssh address takes a plain user name and no password")
        return SshHost(host, parts.username, port, tuple(options))

    def command(self) -> list[str]:
        """The `ssh` command line that ends in the remote engine."""
        login = ["-l", self.user] if self.user else []
        port = ["-p", str(self.port)] if self.port else []
        dial = ["--", self.host, "docker", "system", "dial-stdio"]
        return ["ssh", *self.options, "-T", *login, *port, *dial]

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"ssh://{user}{self.host}{port}"


@dataclass
class Dialler:
    """Starts `ssh` for one host, and remembers what the last ones complained about."""

    host: SshHost
    _complaints: list[IO[bytes]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def dial(self, timeout: float) -> socket.socket:
        """A socket to the remote engine; what goes wrong shows on its first use."""
        ours, theirs = socket.socketpair()
        complaint = tempfile.TemporaryFile()  # noqa: SIM115  (read when something went wrong)
        with self._lock:
            self._complaints = [*self._complaints[-3:], complaint]
        with theirs:
            subprocess.Popen(  # noqa: S603  (the parts are checked by SshHost.parse)
                self.host.command(),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=complaint,
                start_new_session=True,  # the terminal's Ctrl-C is for the engine, not for ssh
            )
        ours.settimeout(timeout)
        return ours

    def complaint(self) -> str:
        """The last line that `ssh` wrote to its standard error, or nothing."""
        with self._lock:
            files = self._complaints[::-1]
        for file in files:
            with contextlib.suppress(ValueError, OSError):
                file.seek(0)
                lines = file.read().decode(errors="replace").splitlines()
                said = [line.strip() for line in lines if line.strip() and not _NOISE.match(line)]
                if said:
                    return said[-1]
        return ""


class _Connection(urllib3.connection.HTTPConnection):
    def __init__(self, dialler: Dialler, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._dialler, self._seconds = dialler, timeout

    def connect(self) -> None:
        self.sock = self._dialler.dial(self._seconds)


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    def __init__(self, dialler: Dialler, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout, maxsize=_SESSIONS, block=True)
        self._dialler, self._seconds = dialler, timeout

    def _new_conn(self) -> _Connection:
        return _Connection(self._dialler, self._seconds)


class _Adapter(BaseHTTPAdapter):  # type: ignore[misc]  # the SDK is untyped
    def __init__(self, dialler: Dialler, timeout: float) -> None:
        self.pool = _Pool(dialler, timeout)
        super().__init__()

    def get_connection(self, url: str, proxies: Any = None) -> _Pool:
        return self.pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return str(request.path_url)

    def close(self) -> None:
        self.pool.close()
        super().close()


def connect(dialler: Dialler) -> docker.APIClient:
    """A client of the remote engine in its own API version; raises what the SDK raises."""
    asking = _client(dialler, _OLDEST_API)
    try:
        version = asking.version(api_version=False)["ApiVersion"]
    finally:
        asking.close()
    return _client(dialler, version)


def _client(dialler: Dialler, version: str) -> docker.APIClient:
    client = docker.APIClient(base_url=_NOWHERE, version=version, timeout=_REQUEST_SECONDS)
    client.mount("http://", _Adapter(dialler, _REQUEST_SECONDS))
    return client

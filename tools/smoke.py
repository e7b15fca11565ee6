"""Is the site up? One request through the edge, as a browser would make it."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tools.errors import ToolError

_PATIENCE_SECONDS = 60.0
_ANSWER_SECONDS = 10.0


class _Loopback(http.client.HTTPSConnection):
    """HTTPS to a `*.localhost` name, which not every resolver knows, at the loopback address."""

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.sock = self.context.wrap_socket(plain, server_hostname=self.host)

    context: ssl.SSLContext


def get(url: str, ca_file: Path) -> tuple[int, str]:
    """(status, body) of a GET, the certificate verified by the twin's authority."""
    parts = urlsplit(url)
    connection = _Loopback(parts.hostname or "", parts.port or 443, timeout=_ANSWER_SECONDS)
    connection.context = ssl.create_default_context(cafile=str(ca_file))
    try:
        connection.request("GET", parts.path or "/", headers={"User-Agent": "make-up"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def wait_for_site(url: str, ca_file: Path, note: Callable[[str], None]) -> float:
    """Seconds until the site answered. Raises ToolError with its last answer when it does not."""
    started = time.monotonic()
    last = "no answer"
    while time.monotonic() - started < _PATIENCE_SECONDS:
        try:
            status, body = get(f"{url.rstrip('/')}/health", ca_file)
            if status == 200:
                return time.monotonic() - started
            last = f"status {status}: {' '.join(body.split())[:300]}"
        except (OSError, http.client.HTTPException) as error:
            last = str(error)
        note(f"{url}: {last}")
        time.sleep(0.5)
    raise ToolError(
        f"{url} is deployed but does not answer as it should.",
        "make logs shows what the service, the gateway and the twin say.",
        last,
    )

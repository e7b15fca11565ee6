"""The image's health check: one question to the process in the same container.

A worker leaves a heartbeat file; where there is one, its age is the answer. Else the API's
`/readyz` is asked. Only the standard library: the check runs every few seconds.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

HEARTBEAT_FILE: Final = "payments-worker.heartbeat"
HEARTBEAT_MAX_AGE_SECONDS: Final = 45.0
TIMEOUT_SECONDS: Final = 3.0
DEFAULT_RUN_DIR: Final = "/tmp"  # noqa: S108 - the image's only writable place, a tmpfs
DEFAULT_PORT: Final = 8000


def probe(environ: Mapping[str, str]) -> str | None:
    """Return None when the process is well, else what is wrong, as a clause."""
    heartbeat = Path(environ.get("PAYMENTS_RUN_DIR") or DEFAULT_RUN_DIR) / HEARTBEAT_FILE
    if heartbeat.exists():
        age = time.time() - heartbeat.stat().st_mtime
        if age <= HEARTBEAT_MAX_AGE_SECONDS:
            return None
        return f"the worker's last heartbeat is {age:.0f} s old"
    return _ask_api(int(environ.get("PAYMENTS_PORT") or DEFAULT_PORT))


def _ask_api(port: int) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read(500).decode(errors="replace")
    except OSError as error:
        return f"nothing answers on port {port} ({error})"
    finally:
        connection.close()
    return None if response.status == 200 else f"/readyz says {response.status}: {body}"

"""Plain connections for one-shot commands and the job runner: psycopg, which libpq verifies."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from payments.settings import DatabaseSettings

CONNECT_TIMEOUT_SECONDS = 10


@contextmanager
def libpq_parameters(settings: DatabaseSettings, *, name: str) -> Iterator[dict[str, Any]]:
    """Give connection parameters for libpq while the block runs.

    libpq reads an authority from a file only, so the certificate is in one meanwhile.
    """
    parts = settings.parts()
    parameters = {
        "host": parts["host"],
        "port": parts["port"],
        "user": parts["user"],
        "password": parts["password"],
        "dbname": parts["database"],
        "application_name": name,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    }
    if settings.ca is None:
        yield parameters | {"sslmode": "disable"}
        return
    with tempfile.TemporaryDirectory(prefix="payments-ca-") as folder:
        ca = Path(folder) / "ca.pem"
        ca.write_text(settings.ca, encoding="utf-8")
        yield parameters | {"sslmode": "verify-full", "sslrootcert": str(ca)}

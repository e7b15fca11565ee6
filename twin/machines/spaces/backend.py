"""moto's S3 in this process, made to answer a replayed request exactly as it did the first time.

Version ids, upload ids and times come from chance and the clock; here they come from the request's
number and moment. moto keeps its buckets in module state, so there is one storage per process.
"""

from __future__ import annotations

import importlib
import io
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from twin.machines.spaces.journal import Entry

_INNER_KEY = (
    "AWS4-HMAC-SHA256 Credential=twin/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
"""moto reads account and region from it; the gate in front has verified the real one."""

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""


class Backend:
    """An empty storage. Making it imports moto, which costs about a second."""

    def __init__(self) -> None:
        server: Any = importlib.import_module("moto.server")
        core: Any = importlib.import_module("moto.core")
        self._models: Any = importlib.import_module("moto.s3.models")
        self._random: Any = importlib.import_module("moto.moto_api._internal").mock_random
        self._account = core.DEFAULT_ACCOUNT_ID
        self._app = server.DomainDispatcherApplication(server.create_backend_app)
        self._moment: datetime | None = None
        self._models.s3_backends.reset()
        self._models.__dict__["os"] = _Os(self._random)
        utcnow = importlib.import_module("moto.core.utils").utcnow
        self._models.__dict__["utcnow"] = lambda: self._moment or utcnow()

    @contextmanager
    def as_at(self, entry: Entry) -> Iterator[None]:
        """Serve a request as the one of that number, at that moment."""
        self._random.seed(entry.number)
        self._moment = entry.moment.replace(tzinfo=None)
        try:
            yield
        finally:
            self._moment = None
            self._random.seed(random.SystemRandom().getrandbits(64))

    def forgets(self, bucket: str, key: str) -> bool:
        """Whether overwriting or deleting the object leaves nothing of it: no versions, uploads."""
        kept = self._models.s3_backends[self._account]["aws"].buckets.get(bucket)
        if kept is None or kept.versioning_status is not None:
            return False
        return all(upload.key_name != key for upload in kept.multiparts.values())

    def call(self, entry: Entry, body: bytes) -> Answer:
        """Serve a request whose signature was verified."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": entry.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(entry.path).decode("latin-1"),
            "RAW_URI": f"{entry.path}?{entry.query}" if entry.query else entry.path,
            "QUERY_STRING": _without_signature(entry.query),
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": entry.headers.get("content-type", ""),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in entry.headers.items():
            if name not in ("content-length", "content-type", "transfer-encoding"):
                environ["HTTP_" + name.upper().replace("-", "_")] = value
        environ["HTTP_HOST"] = "127.0.0.1"
        environ["HTTP_AUTHORIZATION"] = _INNER_KEY
        seen: list[tuple[int, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            seen.append((int(status.split()[0]), headers))

        answer = b"".join(self._app(environ, start))
        return (*seen[0], answer)


class _Os:
    """The `os` that moto's S3 sees: its random bytes are the request's."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def urandom(self, size: int) -> bytes:
        return bytes(self._source.randbytes(size))


def _without_signature(query: str) -> str:
    """A query without a presigned one's fields, which moto would judge by rules of its own."""
    kept = [
        (name, value)
        for name, value in parse_qsl(query, keep_blank_values=True)
        if not name.startswith("X-Amz-")
    ]
    return "&".join(
        f"{quote(name)}={quote(value)}" if value else quote(name) for name, value in kept
    )

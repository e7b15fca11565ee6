"""The S3 server: moto's, behind a gate that knows keys and grants, with a journal behind it.

What it does as Spaces does: an unknown key is `InvalidAccessKeyId`, a wrong secret
`SignatureDoesNotMatch`; `read` lists and gets, `readwrite` also puts and deletes objects,
`fullaccess` also makes, configures and removes buckets. What it does not: public objects (an
unsigned request is refused), addressing by host name (`bucket.host`): use path style.

One server per process (see `backend`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http.client import responses
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from werkzeug.serving import WSGIRequestHandler, make_server

from twin.machines.spaces.backend import Answer, Backend
from twin.machines.spaces.journal import Entry, Journal
from twin.machines.spaces.signature import Refused, Signed, verify
from twin.store import Store
from twin.world import WorldError

_log = logging.getLogger(__name__)

_REFUSED = 300
_CHANGING = frozenset({"PUT", "POST", "DELETE"})
_NO_SUBRESOURCE = frozenset({"x-id"})
"""Query parameters that SDKs add without meaning: a request with no others is on the object."""
_GRANTS = {"read": 1, "readwrite": 2, "fullaccess": 3}
Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Spaces:
    """The object storage of one instance, on 127.0.0.1 and a port of the system's choosing."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store
        self._lock = threading.Lock()
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self._journal: Journal | None = None
        self._backend: Backend | None = None

    # --- life -----------------------------------------------------------------------------------
    def start(self) -> None:
        """Replay the journal and serve; again changes nothing."""
        with self._lock:
            if self._server is not None:
                return
            self._backend = Backend()
            self._journal = Journal(self._folder / "journal")
            for entry, body in self._journal:
                with self._backend.as_at(entry):
                    status, _, answer = self._backend.call(entry, body)
                if status >= _REFUSED:
                    _log.warning("Replaying %s %s: %s", entry.method, entry.path, answer[:200])
            self._server = make_server("127.0.0.1", 0, self._gate, True, request_handler=_Quiet)
            self._thread = threading.Thread(
                target=self._server.serve_forever, name="spaces", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Serve no longer; what was stored is on disk."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def erase(self) -> None:
        """Stop, and remove every bucket and key."""
        self.stop()
        if self._folder.exists():
            Journal(self._folder / "journal").erase()
        for access_key in self._store.items("machines.spaces_key"):
            self._store.drop("machines.spaces_key", access_key)

    def endpoint(self, region: str) -> str:
        """Where it answers; all regions are one."""
        if self._server is None:
            raise WorldError("The twin's object storage does not stand yet: the twin is starting.")
        return f"http://127.0.0.1:{self._server.server_port}"

    # --- keys -----------------------------------------------------------------------------------
    def set_key(self, access_key: str, secret_key: str, grants: Mapping[str, str]) -> None:
        """See `World.set_spaces_key`."""
        unknown = set(grants.values()) - set(_GRANTS)
        if unknown:
            raise WorldError(f"No such permission on a Spaces key: {', '.join(sorted(unknown))}.")
        self._store.save(
            "machines.spaces_key", access_key, {"secret": secret_key, "grants": dict(grants)}
        )

    def delete_key(self, access_key: str) -> None:
        """See `World.delete_spaces_key`."""
        self._store.drop("machines.spaces_key", access_key)

    def _secret(self, access_key: str) -> str | None:
        kept = self._store.load("machines.spaces_key", access_key)
        return None if kept is None else str(kept["secret"])

    # --- one request ----------------------------------------------------------------------------
    def _gate(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            status, headers, body = self._answer(_request(environ))
        except Refused as refused:
            status, headers, body = _error(refused)
        except Exception:
            _log.exception("The object storage failed")
            status, headers, body = _error(
                Refused("InternalError", "We encountered an internal error.", 500)
            )
        start_response(f"{status} {responses.get(status, 'Unknown')}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, request: Signed) -> Answer:
        now = datetime.now(UTC)
        access_key = verify(request, self._secret, now)
        asked = Entry(
            number=0,
            at=now.isoformat(),
            method=request.method,
            path=request.path,
            query=request.query,
            headers=dict(request.headers),
        )
        self._check_grant(access_key, asked)
        with self._lock:
            if self._journal is None or self._backend is None:
                raise Refused("ServiceUnavailable", "The storage is starting.", 503)
            if request.method not in _CHANGING:
                return self._backend.call(asked, request.body)
            entry = replace(asked, number=self._journal.next_number())
            with self._backend.as_at(entry):
                answer = self._backend.call(entry, request.body)
            if answer[0] < _REFUSED:
                self._keep(self._journal, self._backend, entry, request.body)
            return answer

    def _check_grant(self, access_key: str, asked: Entry) -> None:
        kept = self._store.load("machines.spaces_key", access_key) or {"grants": {}}

        def held(bucket: str) -> int:
            return max(_GRANTS.get(kept["grants"].get(name, ""), 0) for name in (bucket, ""))

        source = asked.source.partition("/")[0]
        if held(asked.bucket) < _needed(asked) or (source and held(source) < _GRANTS["read"]):
            raise Refused("AccessDenied", "Access Denied.")

    def _keep(self, journal: Journal, backend: Backend, entry: Entry, body: bytes) -> None:
        """Journal what was done, and drop what it made void."""
        if not entry.key and entry.method == "DELETE" and _on_itself(entry):
            journal.forget(entry.bucket)
            return
        plain = bool(entry.key) and entry.method in ("PUT", "DELETE") and _on_itself(entry)
        if plain and backend.forgets(entry.bucket, entry.key):
            journal.forget(entry.bucket, entry.key)
        journal.add(entry, body)


class _Quiet(WSGIRequestHandler):
    """Requests go to the debug log, not to the terminal."""

    def log(self, type: str, message: str, *args: Any) -> None:
        _log.debug(message, *args)


def _request(environ: Environ) -> Signed:
    headers = {
        name[5:].lower().replace("_", "-"): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.lower().replace("_", "-")] = str(environ[name])
    path, _, query = str(environ["REQUEST_URI"]).partition("?")
    if "transfer-encoding" in headers:
        environ["wsgi.input_terminated"] = True
        body = environ["wsgi.input"].read()
    else:
        body = environ["wsgi.input"].read(int(headers.get("content-length", "0") or 0))
    return Signed(
        method=environ["REQUEST_METHOD"], path=path, query=query, headers=headers, body=body
    )


def _needed(asked: Entry) -> int:
    """The grant a request needs, as a rank of `_GRANTS`."""
    if asked.method in ("GET", "HEAD"):
        return _GRANTS["read" if asked.bucket else "fullaccess"]
    on_objects = bool(asked.key) or (asked.method == "POST" and "delete" in _names(asked))
    return _GRANTS["readwrite" if on_objects else "fullaccess"]


def _names(entry: Entry) -> set[str]:
    return {name for name, _ in parse_qsl(entry.query, keep_blank_values=True)}


def _on_itself(entry: Entry) -> bool:
    """Whether a request is on the bucket or object as such, not on its ACL, tags, an upload."""
    return all(name in _NO_SUBRESOURCE or name.startswith("X-Amz-") for name in _names(entry))


def _error(refused: Refused) -> Answer:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{refused.code}</Code><Message>{escape(refused.message)}</Message>"
        "<RequestId>twin</RequestId></Error>"
    )
    return refused.status, [("Content-Type", "application/xml")], body.encode()

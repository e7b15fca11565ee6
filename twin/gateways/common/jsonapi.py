"""The way of an API that takes JSON: reading, refusing, remembering, all in one transaction.

What it refuses and in which words is the dialect's: parameters are described by pydantic models
that take nothing they do not know, and a dialect puts what pydantic found into its own error.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from twin.gateways.common.faults import FaultBox, misbehave
from twin.gateways.common.tables import Book, Object

LARGEST_BODY = 1024 * 1024


class Body(BaseModel):
    """A JSON body, or a part of it: exact types, nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Query(BaseModel):
    """A query string: numbers are digits there; nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Nothing(Query):
    """No parameters."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer: `body` is JSON, or nothing."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """An answer that undoes what the call had done so far, unless it is to be `kept`."""

    def __init__(self, status: int, body: Any, *, kept: bool = False, **headers: str) -> None:
        super().__init__(json.dumps(body))
        self.reply = Reply(status=status, body=body, headers=headers)
        self.kept = kept


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of an operation: the ids in its path, its parameters, its headers."""

    ids: Mapping[str, str]
    query: Any
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An endpoint. `keyed` says whether an idempotency key means anything to it."""

    method: str
    path: str
    run: Callable[[Call], Object | Reply]
    body: type[BaseModel] | None = None
    query: type[BaseModel] = Nothing
    keyed: bool = False
    optional: bool = False
    """No body is the same as an empty object."""

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the ids in a path that is this operation's."""
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.path))
        found = re.fullmatch(pattern, path)
        return found.groupdict() if found and method == self.method else None


class JsonApi:
    """Answers one host's API."""

    key_header = ""
    key_life = 24 * 3600.0
    """Seconds that an idempotency key is remembered."""

    def __init__(self, book: Book, faults: FaultBox, operations: Sequence[Operation]) -> None:
        self._book = book
        self._faults = faults
        self._operations = operations
        self._in_use: set[str] = set()

    # --- what a dialect says --------------------------------------------------------------------
    def authenticate(self, request: web.BaseRequest, body: bytes) -> None:
        """Raise Refusal for a caller that is not the account's."""
        raise NotImplementedError

    def unknown(self, request: web.BaseRequest) -> Refusal:
        """Refuse an address or a method that does not exist."""
        raise NotImplementedError

    def malformed(self, why: str, status: int = 400) -> Refusal:
        """Refuse a body that cannot be read."""
        raise NotImplementedError

    def invalid(self, errors: Sequence[ErrorDetails], where: str) -> Refusal:
        """Refuse parameters, in the `body` or the `query`."""
        raise NotImplementedError

    def broken(self) -> Reply:
        """Answer 500."""
        raise NotImplementedError

    def check_key(self, key: str) -> None:
        """Raise Refusal for an idempotency key of a form that is not taken."""

    def key_in_use(self, key: str) -> Refusal:
        """Refuse a key whose first request still runs."""
        raise NotImplementedError

    def key_reused(self, key: str) -> Refusal:
        """Refuse a key that came with another request before."""
        raise NotImplementedError

    def headers(self) -> dict[str, str]:
        """Return headers that every answer has."""
        return {}

    # --- the work -------------------------------------------------------------------------------
    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        try:
            reply = await self._answer(request)
        except Refusal as refusal:
            reply = refusal.reply
        return web.Response(
            status=reply.status,
            text=None if reply.body is None else json.dumps(reply.body),
            content_type=None if reply.body is None else "application/json",
            headers={**self.headers(), **reply.headers},
        )

    async def _answer(self, request: web.BaseRequest) -> Reply:
        sent = await self._read(request)
        self.authenticate(request, sent)
        for operation in self._operations:
            ids = operation.match(request.method, request.path)
            if ids is not None:
                break
        else:
            raise self.unknown(request)
        call = Call(
            ids=ids,
            query=self._query(operation, request),
            body=self._body(operation, request, sent),
            headers=request.headers,
        )
        key = request.headers.get(self.key_header, "") if operation.keyed else ""
        if not key:
            return await self._execute(request, operation, call, None)
        self.check_key(key)
        # A key counts for one kind of call.
        given, key = key, f"{operation.path} {key}"
        if key in self._in_use:
            raise self.key_in_use(given)
        print_of_body = hashlib.sha256(request.path.encode() + b"\n" + sent).hexdigest()
        kept = self._book.tables["idempotency"].get(key)
        if kept is not None and kept["at"] >= time.time() - self.key_life:
            if kept["fingerprint"] != print_of_body:
                raise self.key_reused(given)
            return self.replayed(Reply(status=kept["status"], body=kept["body"]))
        self._in_use.add(key)
        try:
            return await self._execute(request, operation, call, (key, print_of_body))
        finally:
            self._in_use.discard(key)

    def replayed(self, reply: Reply) -> Reply:
        """Return what a key's second request is answered."""
        return reply

    async def _execute(
        self,
        request: web.BaseRequest,
        operation: Operation,
        call: Call,
        place: tuple[str, str] | None,
    ) -> Reply:
        def give_up() -> None:
            if place is not None:
                self._in_use.discard(place[0])

        return await misbehave(
            request,
            self._faults,
            lambda broken: self._perform(operation, call, place, broken),
            writes=request.method not in ("GET", "HEAD"),
            give_up=give_up,
        )

    def _perform(
        self, operation: Operation, call: Call, place: tuple[str, str] | None, broken: bool
    ) -> Reply:
        """Do the work in one transaction, and remember what was done under its key with it."""
        with self._book.transaction():
            try:
                done = operation.run(call)
                reply = done if isinstance(done, Reply) else Reply(body=done)
            except Refusal as refusal:
                if not refusal.kept:
                    raise
                reply = refusal.reply
            shown = self.broken() if broken else reply
            if place is not None and reply.status < 400:
                key, fingerprint = place
                row = {"fingerprint": fingerprint, "status": reply.status, "body": reply.body}
                self._book.tables["idempotency"].put(key, {**row, "at": time.time()})
        return shown

    # --- reading --------------------------------------------------------------------------------
    async def _read(self, request: web.BaseRequest) -> bytes:
        body = b""
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > LARGEST_BODY:
                raise self.malformed("the body is too large", 413)
        return body

    def _query(self, operation: Operation, request: web.BaseRequest) -> Any:
        try:
            pairs = parse_qsl(request.query_string, keep_blank_values=True, max_num_fields=100)
        except ValueError:
            raise self.malformed("the query string cannot be read") from None
        values: dict[str, Any] = {}
        for name, value in pairs:
            if name.endswith("[]"):
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
        try:
            return operation.query.model_validate(values)
        except ValidationError as error:
            raise self.invalid(error.errors(), "query") from None

    def _body(self, operation: Operation, request: web.BaseRequest, sent: bytes) -> Any:
        if operation.body is None:
            # Clients send an empty object where they have nothing to say.
            if sent.strip() not in (b"", b"{}", b"null"):
                raise self.malformed("this endpoint takes no body")
            return None
        if not sent.strip() and operation.optional:
            sent = b"{}"
        elif request.content_type != "application/json":
            raise self.malformed("the content type is not application/json", 415)
        try:
            return operation.body.model_validate_json(sent)
        except ValidationError as error:
            found = error.errors()
            if found[0]["type"] == "json_invalid":
                raise self.malformed("the body is not JSON") from None
            raise self.invalid(found, "body") from None


def prune(book: Book, life: float) -> None:
    """Forget idempotency keys whose time is over."""
    oldest = time.time() - life
    for id, kept in book.tables["idempotency"].items():
        if kept["at"] < oldest:
            book.tables["idempotency"].drop(id)

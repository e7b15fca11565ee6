"""The `Idempotency-Key` header: required on every POST that moves money."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import Header, Request
from fastapi.responses import Response
from pydantic import BaseModel

from payments.db import Database
from payments.errors import BadRequestError, ProblemError
from payments.idempotency.store import Answer, Reservation, reserve
from payments.security import Principal

REPLAYED_HEADER: Final = "Idempotency-Replayed"
_KEY: Final = re.compile(r"^[\x21-\x7e]{1,255}$")


class MissingKeyError(BadRequestError):
    """The header is missing or malformed."""

    code = "idempotency_key_missing"
    title = "Send an Idempotency-Key of 1 to 255 visible ASCII characters."


async def idempotency_key(
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="Any unique text, e.g. a UUID. The same key with the same body returns the"
            " first answer again; with another body it is refused (422); while the first is running"
            " it is refused for the moment (409).",
            examples=["5b0f3f0e-7c0a-4d5a-9a53-0e4f0f6c2f11"],
        ),
    ] = None,
) -> str:
    """Return the header's value; without one the request ends with 400."""
    if key is None or not _KEY.match(key):
        raise MissingKeyError
    return key


def request_hash(payload: BaseModel) -> bytes:
    """Return what tells a repeated request from another one: its meaning, not its spelling."""
    return hashlib.sha256(payload.model_dump_json().encode()).digest()


async def once(
    request: Request,
    *,
    principal: Principal,
    key: str,
    payload: BaseModel,
    run: Callable[[Reservation], Awaitable[Answer]],
) -> Response:
    """Run a request once under its key, or replay its answer.

    `run` stores the answer it returns with `Reservation.finish`. When it raises a `ProblemError`
    below 500, nothing happened and the key is free again; after anything else the next request with
    the key runs at once and looks at what is there.
    """
    database: Database = request.app.state.resources.database
    reserved = await reserve(
        database,
        principal=principal.key,
        key=key,
        operation=f"{request.method} {request.scope['route'].path}",
        request_hash=request_hash(payload),
    )
    if isinstance(reserved, Answer):
        return _response(reserved, replayed=True)
    try:
        answer = await run(reserved)
    except ProblemError as error:
        if error.status < 500:
            await reserved.release(database)
        else:
            await reserved.abandon(database)
        raise
    except Exception:
        await reserved.abandon(database)
        raise
    return _response(answer, replayed=False)


def _response(answer: Answer, *, replayed: bool) -> Response:
    headers = dict(answer.headers)
    if replayed:
        headers[REPLAYED_HEADER] = "true"
    return Response(answer.body, answer.status, headers)

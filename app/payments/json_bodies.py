"""What a JSON body of the API must be beyond JSON: UTF-8, each name once, numbers that exist.

Parsers differ in what they make of `{"amount": 1, "amount": 100}`, `NaN` or half a surrogate pair:
whoever checks a request and whoever carries it out must not read two things (RFC 8259, section 4;
RFC 7493). So what is ambiguous is refused before anything looks at it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from payments.errors import BadRequestError, ProblemError, problem_response

PREFIX: Final = "/api/"
_DEEPEST: Final = 32


class AmbiguousBodyError(BadRequestError):
    """The body is not JSON, or not JSON that everybody reads alike."""

    code, title = "ambiguous_body", "The body is not JSON that can be read in one way only."


class JsonBodies:
    """ASGI middleware: reads the JSON body of a request to the API, and hands it on whole."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with 400 what is ambiguous."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX) or not _is_json(scope):
            await self.app(scope, receive, send)
            return
        try:
            body = await _read(receive)
            check(body)
        except ProblemError as error:
            response = problem_response(
                Request(scope),
                status=error.status,
                code=error.code,
                title=error.title,
                detail=error.detail,
                headers=error.headers,
            )
            await response(scope, receive, send)
            return
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return waiting.pop() if waiting else await receive()

        await self.app(scope, again, send)


def check(body: bytes) -> None:
    """Raise `AmbiguousBodyError` unless `body` is empty or unambiguous JSON."""
    if not body:
        return
    try:
        text = body.decode("utf-8")
        _check_depth(json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant), 0)
    except UnicodeDecodeError as error:
        raise AmbiguousBodyError(f"Byte {error.start} is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise AmbiguousBodyError(f"It is not JSON: {error.msg} at {error.pos}.") from None
    except RecursionError:
        raise AmbiguousBodyError("It is nested too deeply.") from None
    except ValueError:
        # Python's own limit: 4,300 digits.
        raise AmbiguousBodyError("It holds a number with too many digits.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise AmbiguousBodyError("It holds a name twice in one object.")
        found[name] = value
    return found


def _no_constant(name: str) -> None:
    raise AmbiguousBodyError(f"{name} is no number of JSON.")


def _check_depth(value: Any, depth: int) -> None:
    """Refuse nesting that no payload of ours has, and halves of characters."""
    if depth > _DEEPEST:
        raise AmbiguousBodyError("It is nested too deeply.")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, list):
        for item in value:
            _check_depth(item, depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name)
            _check_depth(item, depth + 1)


def _check_text(text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise AmbiguousBodyError("It holds half of a surrogate pair.")


def _is_json(scope: Scope) -> bool:
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)

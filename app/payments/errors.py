"""Errors that a caller may see: a status, a stable code, one sentence, in one shape (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import Match

log = structlog.stdlib.get_logger(__name__)

PROBLEM_JSON = "application/problem+json"

PageOfProblem = Callable[[Request, Mapping[str, Any], Mapping[str, str]], Response | None]
"""Takes the request, the problem's body and its headers; None leaves the answer to JSON."""


class ProblemError(Exception):
    """A refusal with its HTTP status, its stable code and one sentence for a person.

    Subclasses set `status`, `code` and `title`; `detail` says what happened this time.
    """

    status: int = 500
    code: str = "internal_error"
    title: str = "Something went wrong on our side."

    def __init__(
        self,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


class BadRequestError(ProblemError):
    """The request as such makes no sense: a header, a signature, a malformed body."""

    status, code, title = 400, "bad_request", "The request cannot be understood."


class UnauthenticatedError(ProblemError):
    """Nobody is logged in, or the proof of it is no longer valid."""

    status, code, title = 401, "unauthenticated", "Log in first."

    def __init__(
        self,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        # RFC 9110, 15.5.2: the answer names a way to log in.
        told = {"WWW-Authenticate": "Bearer", **(headers or {})}
        super().__init__(detail, headers=told, extra=extra)


class ForbiddenError(ProblemError):
    """Logged in, but not allowed to do this."""

    status, code, title = 403, "forbidden", "This is not allowed."


class NotFoundError(ProblemError):
    """No such thing, or it belongs to someone else: the caller must not be able to tell."""

    status, code, title = 404, "not_found", "There is no such thing."


class MethodNotAllowedError(ProblemError):
    """The address exists, but not for this method; `Allow` names those it exists for."""

    status, code, title = 405, "method_not_allowed", "This address does not take this method."


class ConflictError(ProblemError):
    """The request is right, but not in the state that things are in."""

    status, code, title = 409, "conflict", "This does not fit the current state."


class TooLargeError(ProblemError):
    """The body is larger than this endpoint takes."""

    status, code, title = 413, "too_large", "The body is too large."


class UnprocessableError(ProblemError):
    """The payload is well-formed but refused."""

    status, code, title = 422, "unprocessable", "The payload is refused."


class InvalidPayloadError(UnprocessableError):
    """A field, parameter or header is missing or is not what it must be; `errors` names each."""

    code, title = "invalid_payload", "The payload is invalid."


class TooManyRequestsError(ProblemError):
    """A limit was reached; `Retry-After` says when to come back."""

    status, code, title = 429, "too_many_requests", "Too many requests."


class UnavailableError(ProblemError):
    """Something we need does not answer; the same request may succeed later."""

    status, code, title = 503, "unavailable", "A part of the service does not answer. Try again."


class DatabaseUnavailableError(UnavailableError):
    """The database does not answer in time; nothing was changed."""

    code, title = "database_unavailable", "The database does not answer."


class CacheUnavailableError(UnavailableError):
    """The cache does not answer in time, and without it nobody can be told from anybody."""

    code, title = "cache_unavailable", "The cache does not answer."


class DrainingError(UnavailableError):
    """The replica is stopping; another one takes the same request."""

    code, title = "draining", "This replica is stopping."


class LimitsUnavailableError(UnavailableError):
    """Requests cannot be counted, so none that changes something is taken."""

    code, title = "limits_unavailable", "Requests cannot be counted at the moment."


def problem_response(
    request: Request,
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    """Return the one body shape of every error. `code` is stable; `detail` is for people.

    `app.state.problem_page`, where set, may answer a browser with a page of the same content.
    """
    body = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": request.url.path,
        "request_id": getattr(request.state, "request_id", None),
        **(extra or {}),
    }
    page: PageOfProblem | None = getattr(request.app.state, "problem_page", None)
    if page is not None and (answer := page(request, body, dict(headers or {}))) is not None:
        return answer
    return JSONResponse(body, status, dict(headers or {}), media_type=PROBLEM_JSON)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - what the handler is registered for
    return problem_response(
        request,
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        headers=error.headers,
        extra=error.extra,
    )


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    return problem_response(
        request,
        status=InvalidPayloadError.status,
        code=InvalidPayloadError.code,
        title=InvalidPayloadError.title,
        detail="; ".join(_describe(item) for item in error.errors())[:2000],
        extra={"errors": [_field_error(item) for item in error.errors()]},
    )


def _location(item: Mapping[str, Any]) -> str:
    parts: Sequence[Any] = item.get("loc", ())
    return ".".join(str(part) for part in parts)[:200]


def _describe(item: Mapping[str, Any]) -> str:
    return f"{_location(item)}: {item.get('msg', 'invalid')}"


def _field_error(item: Mapping[str, Any]) -> dict[str, str]:
    """Say where and what; never echo the input, which may be a secret."""
    return {"field": _location(item), "message": str(item.get("msg", "invalid"))}


_BY_STATUS: Mapping[int, type[ProblemError]] = {
    problem.status: problem
    for problem in (
        BadRequestError,
        UnauthenticatedError,
        ForbiddenError,
        NotFoundError,
        MethodNotAllowedError,
        TooLargeError,
    )
}
"""What the framework's own refusals are called."""


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    problem = _BY_STATUS.get(error.status_code, BadRequestError)
    headers = dict(error.headers or {})
    if error.status_code == MethodNotAllowedError.status:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return problem_response(
        request,
        status=error.status_code,
        code=problem.code,
        title=str(error.detail),
        detail=str(error.detail),
        headers=headers,
    )


def _methods(request: Request) -> set[str]:
    """Return every method of the request's path; each of its routes knows only its own."""
    return {
        method
        for route in endpoints(request.app)
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


def endpoints(app: FastAPI) -> Iterator[APIRoute]:
    """Yield every endpoint of the application, those of its features' routers too."""
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            yield context.original_route


async def _on_database(request: Request, error: Exception) -> Response:
    """Answer 503 while the database is away, so that the gateway or the client tries again."""
    if isinstance(error, DBAPIError) and not isinstance(error, OperationalError | InterfaceError):
        return await on_unexpected(request, error)
    log.warning("database.unavailable", error=type(error).__name__)
    return problem_response(
        request,
        status=DatabaseUnavailableError.status,
        code=DatabaseUnavailableError.code,
        title=DatabaseUnavailableError.title,
        detail="The database does not answer in time. Nothing was changed; try again.",
        headers={"Retry-After": "1"},
    )


async def on_unexpected(request: Request, error: Exception) -> Response:
    """Answer 500 and log what happened; the caller learns the request's id only."""
    log.error("request.failed", path=request.url.path, exc_info=error)
    return problem_response(
        request,
        status=500,
        code=ProblemError.code,
        title=ProblemError.title,
        detail="The error is logged under this request's id.",
    )


def install(app: FastAPI) -> None:
    """Register one handler for each family of errors."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(DBAPIError, _on_database)
    app.add_exception_handler(PoolTimeoutError, _on_database)
    app.add_exception_handler(ConnectionError, _on_database)
    app.add_exception_handler(TimeoutError, _on_database)  # no connection in time
    app.add_exception_handler(Exception, on_unexpected)


def retry_after(seconds: float) -> dict[str, str]:
    """Return the header that tells a client when to come back (whole seconds, at least one)."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}

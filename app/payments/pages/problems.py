"""Errors as pages, for browsers; clients of the API keep getting problem details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from payments.errors import PageOfProblem
from payments.pages.render import Renderer

_NOT_FOR_BROWSERS = ("/api/", "/webhooks/", "/static/")

_HEADINGS = {
    400: "This request does not make sense",
    403: "This is not allowed",
    404: "This page does not exist",
    405: "This page does not exist",
    409: "This no longer fits",
    413: "That was too much",
    422: "Something is missing",
    429: "Too many attempts",
    503: "Back in a moment",
}

_MESSAGES = {
    404: "The address may be mistyped, or what was here belongs to somebody else.",
    405: "The address may be mistyped, or the page was reached in an unusual way.",
    500: "The mistake is ours, and it is written down. If you were paying, look at the order in"
    " your overview before you try again.",
}
"""For the rest the problem's own sentence is shown."""

_RETRY = frozenset({429, 500, 503})


def pages(renderer: Renderer) -> PageOfProblem:
    """Return the function that answers a browser's request with a page."""

    def page(
        request: Request, problem: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Response | None:
        if not wants_page(request):
            return None
        status = int(problem["status"])
        if status == 401:
            return RedirectResponse(_log_in(request), 303)
        response: Response = renderer.page_for(
            getattr(request.state, "session", None),
            request,
            "error.html",
            status,
            status=status,
            heading=_HEADINGS.get(status, "Something went wrong"),
            message=_MESSAGES.get(status, str(problem["detail"])),
            home=_home(request),
            retry=status in _RETRY and request.method == "GET",
            request_id=problem["request_id"],
        )
        response.headers.update(headers)
        return response

    return page


def wants_page(request: Request) -> bool:
    """Say whether a person will look at the answer: a page's path, and a browser's `Accept`."""
    if request.url.path.startswith(_NOT_FOR_BROWSERS):
        return False
    return "text/html" in request.headers.get("accept", "")


def _home(request: Request) -> tuple[str, str]:
    """Return where whoever is looking begins, and what that is called."""
    if getattr(request.state, "admin", None):
        return "/admin", "To the administration"
    if getattr(request.state, "session", None):
        return "/dashboard", "To the overview"
    return "/", "To the first page"


def _log_in(request: Request) -> str:
    """Return the log-in page's address, and the way back for a page that was only looked at."""
    if request.method != "GET":
        return "/login"
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"/login?next={quote(path, safe='')}"

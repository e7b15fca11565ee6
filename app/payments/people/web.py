"""People on the web: the session cookie, the CSRF check, and the authenticator of the service."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import Response

from payments.errors import ForbiddenError, UnauthenticatedError
from payments.people import csrf
from payments.people.csrf import Csrf
from payments.people.service import Caller
from payments.people.sessions import ABSOLUTE, COOKIE, Session, Sessions
from payments.people.tokens import Tokens
from payments.security import Principal

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
_PORTS: Final = {"http": 80, "https": 443}
_UNREAD: Final = object()


class CookieAuthenticator:
    """Who a request's session belongs to. `app.state.authenticator` of the service.

    The session is named by a cookie, or by a token for clients of the API (see `tokens`). A token
    is sent by a program on purpose and by no browser by itself, so it needs no CSRF token.
    """

    def __init__(
        self, sessions: Sessions, tokens: Csrf, public_url: str, bearers: Tokens | None = None
    ) -> None:
        self._sessions = sessions
        self._tokens = tokens
        self._origin = public_url
        self._bearers = bearers

    async def __call__(self, request: Request) -> Principal | None:
        """Return the caller; None without a live session.

        Raises 403 for a forged unsafe request, 401 for a token that stands for nothing.
        """
        if (token := _bearer(request)) is not None and self._bearers is not None:
            return await self._by_token(request, token, self._bearers)
        session = await self.session(request)
        if session is None:
            return None
        if request.method not in SAFE_METHODS:
            await self.check(request, session.key)
        return Principal(id=session.user_id, roles=frozenset({session.role}))

    async def _by_token(self, request: Request, token: str, bearers: Tokens) -> Principal:
        key = bearers.session_of(token)
        session = None if key is None else await self._sessions.touch(key)
        if session is None:
            raise UnauthenticatedError(
                "The token has ended or was never one of ours. Log in again.",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        request.state.session = session
        return Principal(id=session.user_id, roles=frozenset({session.role}))

    async def session(self, request: Request) -> Session | None:
        """Return the live session of a request; read once however often it is asked for."""
        if getattr(request.state, "session", _UNREAD) is _UNREAD:
            request.state.session = await self._sessions.read(request.cookies.get(COOKIE))
        session: Session | None = request.state.session
        return session

    def token(self, request: Request, session: Session | None) -> str:
        """Return a token for a form on the page that answers this request."""
        return self._tokens.issue(session.key if session else visitor(request))

    async def check(self, request: Request, binding: str | None) -> None:
        """Raise 403 unless the request comes from a page of ours, made for this binding."""
        self.check_origin(request)
        if not self._tokens.valid(await _sent_token(request), binding):
            raise ForbiddenError(
                "This form is out of date. Load the page again and repeat what you did."
            )

    def check_origin(self, request: Request) -> None:
        """Raise 403 for what another site makes a browser send."""
        if not self.same_origin(request):
            raise ForbiddenError("This request was started by another site.")

    def same_origin(self, request: Request) -> bool:
        """Say whether a page of ours sent the request, by what the browser says.

        Older browsers, and programs, say nothing.
        """
        origin = request.headers.get("origin")
        if origin is not None and not _same(origin, self._origin):
            return False
        return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def visitor(request: Request) -> str:
    """Return the visitor's binding: the cookie's value, or a new one that is yet to be set."""
    if not hasattr(request.state, "visitor"):
        told = request.cookies.get(csrf.VISITOR_COOKIE, "")
        request.state.visitor_is_new = not 40 <= len(told) <= 64
        request.state.visitor = csrf.new_visitor() if request.state.visitor_is_new else told
    value: str = request.state.visitor
    return value


def remember_visitor(request: Request, response: Response) -> None:
    """Set the visitor's cookie if this answer has a form that is bound to a new one."""
    if getattr(request.state, "visitor_is_new", False):
        # Lax: it proves nothing about a person, and a strict one would be replaced, with the open
        # forms of other tabs, at every visit that comes from another site.
        response.set_cookie(
            csrf.VISITOR_COOKIE,
            request.state.visitor,
            path="/",
            secure=True,
            httponly=True,
            samesite="lax",
        )


def set_session_cookie(response: Response, token: str) -> None:
    """Hand a session to the browser."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=ABSOLUTE,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )


def clear_session_cookie(response: Response) -> None:
    """Take the session's cookie away, and what pages of ours the browser may have kept."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    response.headers["clear-site-data"] = '"cache", "storage"'


def caller(request: Request) -> Caller:
    """Return who is at the other end, as decided once by `ops.requests`."""
    return Caller(address=request.state.client_address, agent=request.headers.get("user-agent", ""))


def local_path(target: str | None, default: str) -> str:
    """Return `target` if it is a path on this site, else `default`: no open redirects.

    A second slash or a backslash after the first makes it another host's address to a browser; it
    also drops tabs and line breaks, so a path with any control character is refused.
    """
    if not target or not target.startswith("/") or target[1:2] in ("/", "\\"):
        return default
    if any(ord(c) < 0x21 or ord(c) == 0x7F for c in target):
        return default
    return target


def _bearer(request: Request) -> str | None:
    """Return the JSON web token of the `Authorization` header; None for every other credential."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" and token.startswith("eyJ") else None


async def _sent_token(request: Request) -> str | None:
    if header := request.headers.get(csrf.HEADER):
        return header
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() in _FORM_TYPES:
        value = (await request.form()).get(csrf.FIELD)
        return value if isinstance(value, str) else None
    return None


def _same(origin: str, public_url: str) -> bool:
    return _origin(origin) == _origin(public_url)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of an address; the scheme's own port where none is written."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", None, None

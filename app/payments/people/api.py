"""Accounts over HTTP for clients of the API: register, log in, renew the token, log out.

A log-in sets the session's cookie and returns a token for clients that keep no cookies. The paths
without a version are those that clients of earlier versions use.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from payments.errors import (
    TooManyRequestsError,
    UnauthenticatedError,
    UnprocessableError,
    retry_after,
)
from payments.people import emails, passwords
from payments.people.service import LockedError, People, RefusedError
from payments.people.sessions import COOKIE, Session
from payments.people.tokens import LIFETIME_SECONDS, Tokens
from payments.people.web import (
    CookieAuthenticator,
    caller,
    clear_session_cookie,
    set_session_cookie,
)
from payments.security import CurrentPrincipal

NOBODY = ""
"""The account of whatever is no e-mail address: tried and counted like any, and never found."""

_EXAMPLE: dict[str, JsonValue] = {
    "email": "ada@example.com",
    "password": "four marbles under a hat",
}


class Credentials(BaseModel):
    """An e-mail address and a password."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    email: Annotated[str, Field(max_length=320, pattern=r"^[^\x00]*$")]
    password: Annotated[str, Field(max_length=1024, json_schema_extra={"format": "password"})]


class TokenOut(BaseModel):
    """A token, to be sent as `Authorization: Bearer <access_token>`; seconds until it ends."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIuLi4ifQ.c2ln",
                    "token_type": "Bearer",
                    "expires_in": 900,
                }
            ]
        }
    )

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme's name
    expires_in: int = LIFETIME_SECONDS


class Registered(BaseModel):
    """The same whether or not the address had an account before."""

    status: Literal["accepted"] = "accepted"


class WrongCredentialsError(UnauthenticatedError):
    """The address and the password do not fit together; or there is no such account."""

    code, title = "wrong_credentials", "E-mail address and password do not fit together."


class AccountApi:
    """The endpoints."""

    def __init__(self, people: People, authenticator: CookieAuthenticator, tokens: Tokens) -> None:
        self._people = people
        self._authenticator = authenticator
        self._tokens = tokens
        self.routes = APIRouter(tags=["people"])
        add = self.routes.add_api_route
        for path, listed in (("/api/v1/auth/login", True), ("/api/auth/login", False)):
            add(
                path,
                self.log_in,
                methods=["POST"],
                include_in_schema=listed,
                summary="Log in",
                responses={
                    401: {"description": "Address and password do not fit together."},
                    403: {"description": "Another site made the browser send this."},
                    429: {"description": "Too many attempts: `Retry-After` says how long to wait."},
                },
            )
        for path, listed in (("/api/v1/register", True), ("/api/register", False)):
            add(
                path,
                self.register,
                methods=["POST"],
                status_code=202,
                include_in_schema=listed,
                summary="Open an account",
                responses={
                    403: {"description": "Another site made the browser send this."},
                    422: {"description": "This is no e-mail address, or the password is too weak."},
                },
            )
        add("/api/v1/auth/token", self.renew, methods=["POST"], summary="Renew the token")
        add(
            "/api/v1/auth/logout",
            self.log_out,
            methods=["POST"],
            status_code=204,
            summary="Log out",
        )

    async def register(self, request: Request, wanted: Credentials) -> Registered:
        """Open an account; the answer is the same when there is one already."""
        self._authenticator.check_origin(request)
        key = emails.normalise(wanted.email)
        complaint = passwords.complaint(wanted.password, wanted.email)
        if key is None or complaint:
            raise UnprocessableError(complaint or "This is not an e-mail address.")
        await self._people.register(key, wanted.password, caller(request))
        return Registered()

    async def log_in(
        self, request: Request, response: Response, presented: Credentials
    ) -> TokenOut:
        """Open a session: its cookie for browsers, a token for 15 minutes for everybody else."""
        # Another site would log a stranger in there.
        self._authenticator.check_origin(request)
        try:
            cookie, session = await self._people.log_in(
                emails.normalise(presented.email) or NOBODY,
                presented.password,
                caller(request),
                presented=request.cookies.get(COOKIE),
            )
        except LockedError as locked:
            raise TooManyRequestsError(
                "Too many attempts.", headers=retry_after(locked.seconds)
            ) from None
        except RefusedError:
            raise WrongCredentialsError from None
        set_session_cookie(response, cookie)
        return TokenOut(access_token=self._tokens.issue(session))

    async def renew(self, request: Request, _: CurrentPrincipal) -> TokenOut:
        """Return another token for the session, which must not have ended."""
        return TokenOut(access_token=self._tokens.issue(await self._session(request)))

    async def log_out(self, request: Request, _: CurrentPrincipal) -> Response:
        """End the session, and with it every token that stands for it."""
        await self._people.log_out(await self._session(request))
        response = Response(status_code=204)
        clear_session_cookie(response)
        return response

    async def _session(self, request: Request) -> Session:
        session = await self._authenticator.session(request)
        if session is None:
            raise UnauthenticatedError
        return session

"""Pages of an account: register, log in and out, password, sessions."""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from payments.errors import ForbiddenError, UnauthenticatedError, retry_after
from payments.pages.render import Note, Renderer
from payments.people import csrf, emails, passwords
from payments.people.service import LockedError, People, RefusedError
from payments.people.sessions import COOKIE, Session
from payments.people.web import (
    CookieAuthenticator,
    caller,
    clear_session_cookie,
    local_path,
    set_session_cookie,
)

HOME = "/dashboard"

REGISTERED = Note(
    "good",
    "Thank you. If you are new here, your account is ready: log in with the password you chose."
    " If you had an account before, its password is unchanged.",
)
LOGGED_OUT = Note("good", "You are logged out.")
REFUSED = Note("bad", "E-mail address and password do not fit together.")

NOBODY = ""
"""The account of whatever is no e-mail address: tried and counted like any, and never found."""

Text = Annotated[str, Form()]


async def current_session(request: Request) -> Session:
    """Return the session of whoever is logged in, after the CSRF check of unsafe methods."""
    authenticator: CookieAuthenticator = request.app.state.log_ins
    if await authenticator(request) is None:
        raise UnauthenticatedError
    session = await authenticator.session(request)
    if session is None:
        raise UnauthenticatedError
    return session


CurrentSession = Annotated[Session, Depends(current_session)]


class AccountPages:
    """The pages and what their forms do."""

    def __init__(
        self, renderer: Renderer, people: People, authenticator: CookieAuthenticator
    ) -> None:
        self._renderer = renderer
        self._people = people
        self._authenticator = authenticator
        self.routes = APIRouter(include_in_schema=False)
        add = self.routes.add_api_route
        add("/login", self.login_form, methods=["GET"])
        add("/login", self.log_in, methods=["POST"])
        add("/register", self.register_form, methods=["GET"])
        add("/register", self.register, methods=["POST"])
        add("/logout", self.log_out, methods=["POST"])
        add("/account", self.account, methods=["GET"])
        add("/account/password", self.change_password, methods=["POST"])
        add("/account/sessions/end-others", self.end_others, methods=["POST"])

    async def login_form(self, request: Request, next: str = "", told: str = "") -> Response:
        """Show the form, or the overview to somebody who is logged in."""
        if await self._authenticator.session(request):
            return RedirectResponse(local_path(next, HOME), 303)
        notes = {"registered": REGISTERED, "out": LOGGED_OUT}
        return await self._login_page(request, next=next, note=notes.get(told))

    async def log_in(
        self, request: Request, email: Text = "", password: Text = "", next: Text = ""
    ) -> Response:
        """Open a session and go where the person wanted to go."""
        if note := await self._forged(request):
            return await self._login_page(request, 403, email=email, next=next, note=note)
        try:
            token, _ = await self._people.log_in(
                emails.normalise(email) or NOBODY,
                password,
                caller(request),
                presented=request.cookies.get(COOKIE),
            )
        except LockedError as locked:
            answer = await self._login_page(
                request, 429, email=email, next=next, note=_locked(locked)
            )
            answer.headers.update(retry_after(locked.seconds))
            return answer
        except RefusedError:
            return await self._login_page(request, 401, email=email, next=next, note=REFUSED)
        response = RedirectResponse(local_path(next, HOME), 303)
        set_session_cookie(response, token)
        return response

    async def register_form(self, request: Request) -> Response:
        """Show the form, or the overview to somebody who is logged in."""
        if await self._authenticator.session(request):
            return RedirectResponse(HOME, 303)
        return await self._register_page(request)

    async def register(self, request: Request, email: Text = "", password: Text = "") -> Response:
        """Open an account; the answer is the same when there is one already."""
        if note := await self._forged(request):
            return await self._register_page(request, 403, email=email, note=note)
        key = emails.normalise(email)
        errors = {
            "email": None if key else "This is not an e-mail address.",
            "password": passwords.complaint(password, email),
        }
        if key is None or errors["password"]:
            return await self._register_page(request, 422, email=email, errors=errors)
        await self._people.register(key, password, caller(request))
        return RedirectResponse("/login?told=registered", 303)

    async def log_out(self, request: Request) -> Response:
        """End the session. Somebody whose session is over already is simply logged out.

        With another site's form a browser sends no strict cookie, yet it does what the answer says:
        it would drop the cookie of a session that lives on. So that is asked before anything else.
        """
        self._authenticator.check_origin(request)
        if await self._authenticator.session(request):
            await self._people.log_out(await current_session(request))
        response = RedirectResponse("/login?told=out", 303)
        clear_session_cookie(response)
        return response

    async def account(self, request: Request, session: CurrentSession, told: str = "") -> Response:
        """Show the sessions and the form for a new password."""
        notes = {
            "password": Note("good", "Your password is changed. All other sessions have ended."),
            "ended": Note("good", "All other sessions have ended."),
        }
        return await self._account_page(request, session, note=notes.get(told))

    async def change_password(
        self, request: Request, session: CurrentSession, current: Text = "", password: Text = ""
    ) -> Response:
        """Set another password; this session gets a new id, all others end."""
        if complaint := passwords.complaint(password, session.email):
            return await self._account_page(request, session, 422, password=complaint)
        try:
            token, _ = await self._people.change_password(
                session, current=current, new=password, caller=caller(request)
            )
        except LockedError as locked:
            answer = await self._account_page(request, session, 429, note=_locked(locked))
            answer.headers.update(retry_after(locked.seconds))
            return answer
        except RefusedError:
            return await self._account_page(
                request, session, 422, current="This is not your current password."
            )
        response = RedirectResponse("/account?told=password", 303)
        set_session_cookie(response, token)
        return response

    async def end_others(self, session: CurrentSession) -> Response:
        """End all other sessions of this person."""
        await self._people.log_out_others(session)
        return RedirectResponse("/account?told=ended", 303)

    async def _forged(self, request: Request) -> Note | None:
        """Return what to say when the form was not made for this browser."""
        try:
            await self._authenticator.check(request, request.cookies.get(csrf.VISITOR_COOKIE))
        except ForbiddenError as refusal:
            return Note("bad", refusal.detail)
        return None

    async def _login_page(self, request: Request, status: int = 200, **context: Any) -> Response:
        context = {"email": "", **context}
        return await self._renderer.page(request, "login.html", status, **context)

    async def _register_page(self, request: Request, status: int = 200, **context: Any) -> Response:
        context = {"email": "", "errors": {"email": None, "password": None}, **context}
        return await self._renderer.page(request, "register.html", status, **context)

    async def _account_page(
        self,
        request: Request,
        session: Session,
        status: int = 200,
        *,
        note: Note | None = None,
        **errors: str,
    ) -> Response:
        return await self._renderer.page(
            request,
            "account.html",
            status,
            note=note,
            sessions=await self._people.sessions.of(session.user_id),
            errors={"current": None, "password": None, **errors},
        )


def _locked(locked: LockedError) -> Note:
    minutes = math.ceil(locked.seconds / 60)
    wait = "a minute" if minutes == 1 else f"{minutes} minutes"
    return Note("bad", f"Too many attempts. Try again in {wait}.")

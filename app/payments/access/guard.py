"""The door to `/admin` and `/api/admin`: nothing below these paths is reached without Access.

The check stands before the router and looks at the very path that the router will see, decoded
once by the server: `/%61dmin` and `/api%2fadmin` are the admin's paths here and there, while
`//api/admin`, `/API/Admin` or `/admin.` are nobody's and end as 404. Each route asks once more
(`CurrentAdmin`), so that a path which slipped past the door would still find nobody to serve.

Whoever cannot prove anything gets the answer of a page that does not exist. Whoever Access vouches
for but who is no admin here is told so. What somebody who was let in may do is asked at the route,
which alone says what it takes (`rights`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Request
from fastapi.responses import Response
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from payments.access.assertion import HEADER, Identity, RefusedError, Verifier
from payments.access.config import AccessSettings
from payments.access.keys import KeysUnavailableError
from payments.access.people import Admin, Admins, NotAdmittedError, RightMissingError
from payments.access.revocations import Revocations
from payments.access.rights import Right, Rights, needed_by
from payments.errors import ForbiddenError, UnavailableError, problem_response
from payments.ops.logs import get_logger

log = get_logger(__name__)

PAGES: Final = "/admin"
API: Final = "/api/admin"

Area = Literal["pages", "api"]


@dataclass(frozen=True, kw_only=True)
class Door:
    """What it takes to let somebody in; `app.state.access`."""

    settings: AccessSettings
    verifier: Verifier
    revocations: Revocations
    admins: Admins

    async def enter(self, area: Area, token: str, address: str) -> Admin:
        """Return the admin; raises `RefusedError`, `ForbiddenError`, `KeysUnavailableError`.

        Who comes, and whom we know and refuse, is written down once an hour.
        """
        audience = self.settings.audiences[0 if area == "pages" else 1]
        identity = await self.verifier.verify(token, audience)
        if await self.revocations.revoked(identity):
            raise RefusedError("logged out since")
        if area == "api" and not self.settings.may_call_api(address):
            raise ForbiddenError("The admin API does not answer to your network.")
        try:
            admin = await self._admit(area, identity)
        except NotAdmittedError as error:
            await self._note("admin.refused", error.admin, address, because=error.code)
            raise
        await self._note("admin.entered", admin, address)
        return admin

    async def _admit(self, area: Area, identity: Identity) -> Admin:
        if identity.email is not None and identity.email in self.settings.admins:
            return await self.admins.admit(identity, identity.email)
        if (granted := self._granted(area, identity)) is not None:
            return Admin(identity=identity, user_id=None, rights=granted)
        raise ForbiddenError("You are not on the list of admins.")

    def _granted(self, area: Area, identity: Identity) -> Rights | None:
        """Return what a program may do; None for who is none of ours, and on the pages."""
        if area != "api" or identity.service_token is None:
            return None
        return self.settings.service_tokens.get(identity.service_token)

    async def check(self, admin: Admin, right: Right, address: str) -> None:
        """Raise `RightMissingError` for whoever may not do what a request asks for."""
        if right in admin.rights:
            return
        log.warning("access.right_missing", right=right, actor=admin.actor)
        await self._note("admin.refused", admin, address, because=f"needs {right}")
        raise RightMissingError(
            "Your role is to look only."
            if admin.user_id
            else f"This service token may not do this: it takes the right to {right}."
        )

    async def _note(
        self, action: str, admin: Admin, address: str, *, because: str | None = None
    ) -> None:
        if await self.revocations.first_of_the_hour(admin.identity, because or "entered"):
            await self.admins.note(action, admin, address, because=because)


def area_of(path: str) -> Area | None:
    """Return which of the admin's areas a decoded path is in; None for all other paths."""
    for prefix, area in ((PAGES, "pages"), (API, "api")):
        if path == prefix or path.startswith(f"{prefix}/"):
            return area  # type: ignore[return-value]
    return None


class AdminGuard:
    """ASGI middleware in front of the admin's paths."""

    def __init__(self, app: ASGIApp, *, door: Door | None) -> None:
        self.app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an admin through, with `state.admin` set; answer everybody else."""
        area = area_of(scope["path"]) if scope["type"] in ("http", "websocket") else None
        if area is None:
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        state: dict[str, Any] = scope["state"]
        refusal = await self._ask(area, scope, state)
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    async def _ask(self, area: Area, scope: Scope, state: dict[str, Any]) -> Response | None:
        told = Headers(scope=scope).getlist(HEADER)
        if self._door is None or len(told) != 1:
            return _nothing_here(scope)
        try:
            state["admin"] = await self._door.enter(area, told[0], state["client_address"])
        except RefusedError as error:
            log.warning("access.refused", area=area, reason=str(error))
            return _nothing_here(scope)
        except ForbiddenError as error:
            log.warning("access.forbidden", area=area, reason=error.detail)
            return _problem(scope, type(error), error.detail)
        except (KeysUnavailableError, RedisError, SQLAlchemyError, OSError) as error:
            log.warning("access.unavailable", area=area, error=type(error).__name__)
            return _problem(scope, UnavailableError, "Access cannot be asked. Try again.")
        return None


def _nothing_here(scope: Scope) -> Response:
    """Answer as the router does for a path that it does not know."""
    return problem_response(
        Request(scope), status=404, code="not_found", title="Not Found", detail="Not Found"
    )


def _problem(
    scope: Scope, kind: type[ForbiddenError] | type[UnavailableError], detail: str
) -> Response:
    return problem_response(
        Request(scope), status=kind.status, code=kind.code, title=kind.title, detail=detail
    )


async def current_admin(request: Request) -> Admin:
    """Return whom the door let in, if they may do this; without anybody there is nothing here.

    Raises `RightMissingError`.
    """
    admin = getattr(request.state, "admin", None)
    door: Door | None = request.app.state.access
    if door is None or not isinstance(admin, Admin):
        raise HTTPException(404)
    right = needed_by(request.method, request.scope.get("route"))
    await door.check(admin, right, request.state.client_address)
    return admin


CurrentAdmin = Annotated[Admin, Depends(current_admin)]

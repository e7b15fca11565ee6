"""What the admin's pages of money share: showing a page, and doing what a form asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from payments.access.guard import current_admin
from payments.access.people import Admin
from payments.admin import money_lists as lists
from payments.admin.pages import viewer_of
from payments.admin.tables import View
from payments.errors import NotFoundError, ProblemError
from payments.pages.render import Note, Renderer
from payments.resources import Resources

Typed = Annotated[str, Form(max_length=200)]
KEY_LENGTH: Final = 32


class MoneyDesk:
    """Pages below `/admin`, for whoever came through Access."""

    def __init__(self, renderer: Renderer, resources: Resources) -> None:
        self._renderer = renderer
        self._resources = resources
        self._database = resources.database
        self.routes = APIRouter(
            prefix="/admin", include_in_schema=False, dependencies=[Depends(current_admin)]
        )

    async def _act(
        self,
        request: Request,
        admin: Admin,
        act: Callable[[], Awaitable[str]],
        again: Callable[[int, Note], Awaitable[Response]],
    ) -> Response:
        """Do what a form asks for and go on; where that is refused, show the page with why."""
        await self._check_form(request, admin)
        try:
            return RedirectResponse(await act(), 303)
        except NotFoundError:
            raise
        except ProblemError as error:
            return await again(error.status, Note("bad", error.detail))

    async def _check_form(self, request: Request, admin: Admin) -> None:
        """Raise 403 unless a form of ours, made for this admin, was sent."""
        await request.app.state.log_ins.check(request, viewer_of(admin).key)

    def _show(
        self,
        request: Request,
        admin: Admin,
        view: View,
        *,
        status: int = 200,
        note: Note | None = None,
    ) -> Response:
        if admin.role == "viewer":
            view = replace(view, forms=())
        return self._renderer.page_for(
            viewer_of(admin),
            request,
            "admin/money.html",
            status,
            view=view,
            sections=lists.SECTIONS,
            note=note,
        )

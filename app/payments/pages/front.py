"""The first page."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from payments.money import Money
from payments.pages.render import Renderer
from payments.pages.status import State, order_state
from payments.people.web import CookieAuthenticator


@dataclass(frozen=True)
class Sample:
    """The order that the first page shows as a picture."""

    state: State
    total: Money


class FrontPages:
    """The page for whoever comes first."""

    def __init__(self, renderer: Renderer, authenticator: CookieAuthenticator) -> None:
        self._renderer = renderer
        self._authenticator = authenticator
        self.routes = APIRouter(include_in_schema=False)
        add = self.routes.add_api_route
        add("/", self.landing, methods=["GET", "HEAD"])

    async def landing(self, request: Request) -> Response:
        """Say what this is; somebody who is logged in goes on to the overview."""
        if await self._authenticator.session(request):
            return RedirectResponse("/dashboard", 303)
        sample = Sample(order_state("paid"), Money(4900, "EUR"))
        return await self._renderer.page(request, "landing.html", sample=sample)

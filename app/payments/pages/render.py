"""Templates to answers: who is looking, the form token, the addresses of static files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from payments.pages.assets import Assets
from payments.pages.money import amount_text
from payments.people.sessions import Session
from payments.people.web import CookieAuthenticator, remember_visitor

BRAND = "Pay Ledger"
TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


@dataclass(frozen=True)
class Note:
    """One sentence above a page's content. `kind` chooses its colour and how it is announced."""

    kind: Literal["good", "wait", "bad", "info"]
    message: str


class _Token:
    """Makes the form token when a template asks for it; pages without a form set no cookie."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make

    def __str__(self) -> str:
        return self._make()


class Renderer:
    """Renders a template for a request. One instance serves a replica."""

    def __init__(self, assets: Assets, authenticator: CookieAuthenticator) -> None:
        self._authenticator = authenticator
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(asset=assets.url, brand=BRAND)
        self._environment.filters.update(
            iso=_iso, utc=_utc, moment=_moment, browser=browser, amount=amount_text
        )

    async def page(
        self, request: Request, template: str, status: int = 200, /, **context: Any
    ) -> HTMLResponse:
        """Return a page for whoever is logged in."""
        viewer = await self._authenticator.session(request)
        return self.page_for(viewer, request, template, status, **context)

    def page_for(
        self,
        viewer: Session | None,
        request: Request,
        template: str,
        status: int,
        /,
        **context: Any,
    ) -> HTMLResponse:
        """Return a page for a viewer who is known already; asks neither cache nor database."""
        context = {"note": None, **context}
        text = self._environment.get_template(template).render(
            request=request,
            viewer=viewer,
            csrf=_Token(lambda: self._authenticator.token(request, viewer)),
            **context,
        )
        response = HTMLResponse(text, status)
        remember_visitor(request, response)
        return response


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _utc(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M} UTC"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def browser(agent: str) -> str:
    """Return what a person calls the browser of a user agent, coarsely: `Firefox on Linux`."""
    program = next((name for mark, name in _PROGRAMS if mark in agent), "Another program")
    system = next((name for mark, name in _SYSTEMS if mark in agent), None)
    return f"{program} on {system}" if system else program


# Order matters: every browser's user agent also names the ones it wants to be taken for.
_PROGRAMS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)

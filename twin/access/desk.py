"""What the pages of a team domain have in common: their tools, and the login they belong to."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from twin.access import cookies
from twin.access.deployed import Application, Deployed, Organization
from twin.access.flow import Ways
from twin.access.google import Google
from twin.access.keys import Keys
from twin.access.sessions import Login, Once, Session, Sessions
from twin.access.tokens import Tokens
from twin.access.views import Views
from twin.clock import Clock
from twin.edge.exchange import Exchange
from twin.edge.headers import new_ray
from twin.edge.journal import Journal
from twin.edge.routes import Routes
from twin.edge.visitors import Visitors
from twin.pages.common import body_of


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What the team domain works with."""

    deployed: Deployed
    keys: Keys
    tokens: Tokens
    sessions: Sessions
    logins: Once
    handovers: Once
    google: Google
    ways: Ways
    views: Views
    routes: Routes
    journal: Journal
    visitors: Visitors
    clock: Clock


class Office:
    """One organization's pages."""

    def __init__(self, desk: Desk, account: str) -> None:
        self._desk = desk
        self._account = account

    @property
    def _organization(self) -> Organization:
        found = self._desk.deployed.organization(self._account)
        assert found is not None  # noqa: S101  (the site is found by it)
        return found

    def _under_way(self, request: web.BaseRequest) -> tuple[str, Login, Application] | None:
        """Return the login that a request goes on with: by its state, in its own browser."""
        state = request.query.get("state", "")
        login: Login | None = self._desk.logins.look(state)
        if login is None:
            return None
        browser = cookies.value(request, cookies.TEAM_SESSION)
        app = self._desk.deployed.by_aud(login.aud)
        if app is None or not secrets.compare_digest(browser, login.team_browser):
            return None
        return state, login, app

    def _session(self, request: web.BaseRequest) -> Session | None:
        for token in cookies.values(request, cookies.AUTHORIZATION):
            session = self._desk.tokens.session(self._organization, token, "")
            if session is not None:
                return session
        return None

    def _over(self) -> web.Response:
        return self._message(
            400,
            "This login is over",
            "It took too long, was used before, or began in another browser. Open the page again.",
        )

    def _denied(self, email: str, text: str) -> web.Response:
        text = text or "That account does not have access."
        return self._message(403, "Forbidden", text, email=email)

    def _message(self, status: int, title: str, text: str, email: str = "") -> web.Response:
        link = "/cdn-cgi/access/logout" if email else ""
        return self._desk.views.page(
            "message.html",
            status,
            title=title,
            text=text,
            email=email,
            link=link,
            link_text="Sign out",
        )

    def _record(
        self,
        request: web.BaseRequest,
        login: Login,
        app: Application,
        action: str,
        detail: str,
        rule: str = "",
    ) -> None:
        zone = self._desk.routes.zone(login.host)
        if zone is None:
            return
        address = request.remote or "127.0.0.1"
        exchange = Exchange(
            request=request,
            zone=zone,
            host=login.host,
            visitor=address,
            scheme="https",
            ray=new_ray(),
            country=self._desk.visitors.known(address).country,
        )
        self._desk.journal.record(
            exchange,
            phase="access",
            action=action,
            rule=rule or app.name,
            description=f"Login to {app.name}",
            detail=detail,
        )


async def form(request: web.BaseRequest) -> dict[str, str]:
    """Return a form's fields."""
    return dict(parse_qsl((await body_of(request)).decode(errors="replace")))


def to(location: str) -> web.Response:
    """Lead a browser on, whatever it asked with."""
    return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})

"""The team domain: where people log in and out, and the keys that assertions are verified by.

Reached as `<team>.cloudflareaccess.localhost` from this machine and under its real name from the
droplets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aiohttp import web

from twin.access import cookies
from twin.access.desk import Desk
from twin.access.login import LoginPages
from twin.edge.site import Handler, Site


class TeamSites(Mapping[str, Site]):
    """The hosts of all organizations that are deployed, each with its site."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._made: dict[str, Site] = {}

    def __getitem__(self, host: str) -> Site:
        for organization in self._desk.deployed.organizations():
            if host in (organization.local, organization.domain):
                if host not in self._made:
                    self._made[host] = Team(self._desk, organization.account).site
                return self._made[host]
        raise KeyError(host)

    def __iter__(self) -> Iterator[str]:
        for organization in self._desk.deployed.organizations():
            yield from (organization.local, organization.domain)

    def __len__(self) -> int:
        return 2 * len(self._desk.deployed.organizations())


class Team(LoginPages):
    """One organization's site."""

    def __init__(self, desk: Desk, account: str) -> None:
        super().__init__(desk, account)
        self.site = Site()
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "/cdn-cgi/access/login/{host}", self.login),
            ("GET", "/cdn-cgi/access/choose", self.choose),
            ("POST", "/cdn-cgi/access/choose", self.chosen),
            ("GET", "/cdn-cgi/access/callback", self.callback),
            ("GET", "/cdn-cgi/access/mfa", self.factor),
            ("POST", "/cdn-cgi/access/mfa", self.factor_given),
            ("GET", "/cdn-cgi/access/logout", self._logout),
            ("GET", "/cdn-cgi/access/get-identity", self._identity),
            ("GET", "/cdn-cgi/access/certs", self._certs),
            ("GET", "/", self._launcher),
        ]
        for method, path, handler in routes:
            self.site.route(method, path, handler)

    async def _logout(self, request: web.BaseRequest) -> web.StreamResponse:
        session = self._session(request)
        if session is not None:
            self._desk.sessions.end_all(session.email)
        answer = self._message(200, "You are signed out", "Every session of yours is over.")
        for name in (cookies.AUTHORIZATION, cookies.TEAM_SESSION):
            answer.headers.add("Set-Cookie", cookies.cookie(name, "", seconds=0))
        return answer

    async def _certs(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(
            self._desk.keys.published(self._account),
            headers={"Cache-Control": "public, max-age=0", "Access-Control-Allow-Origin": "*"},
        )

    async def _identity(self, request: web.BaseRequest) -> web.StreamResponse:
        for token in cookies.values(request, cookies.AUTHORIZATION):
            claims = self._desk.keys.verified(self._account, token) or {}
            audience = claims.get("aud") if claims.get("type") == "app" else [""]
            aud = str(audience[0]) if isinstance(audience, list) and audience else ""
            session = self._desk.tokens.session(self._organization, token, aud)
            if session is not None:
                return web.json_response(self._desk.ways.identity(session))
        return web.json_response({"err": "no app token set"}, status=400)

    async def _launcher(self, request: web.BaseRequest) -> web.StreamResponse:
        session = self._session(request)
        return self._message(
            200,
            f"{self._organization.name}: App Launcher",
            "Open an application to sign in; an authenticator is added on the way.",
            email=session.email if session else "",
        )

"""A simulated Google Workspace: its directory, its sign-in page, its OAuth codes.

People and the OAuth client stand in the twin's account file under `google_workspace`: they exist
before the program runs, as in reality. What Google would answer to a wrong client or secret is
answered here too (RFC 6749, section 5.2). Nobody has a password.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp import web

from twin.access.deployed import Deployed
from twin.access.flow import CALLBACK, Ways
from twin.access.sessions import Once
from twin.access.views import Views
from twin.clock import Clock
from twin.edge.site import Site
from twin.pages.common import body_of

CODE_SECONDS: Final = 60.0


class OAuthError(Exception):
    """Google refuses; the text is its error code."""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What Google says of a person; `hosted_domain` is empty for an account of no Workspace."""

    email: str
    hosted_domain: str
    groups: tuple[str, ...]
    posture: tuple[str, ...]
    """Not Google's to say: what the device's client reports, chosen on the same page."""


@dataclass(frozen=True, kw_only=True)
class _Code:
    client_id: str
    redirect_uri: str
    claims: Claims


class Google:
    """The site of `accounts.google.localhost`, and the exchange of codes."""

    def __init__(
        self, account: Mapping[str, Any], deployed: Deployed, ways: Ways, views: Views, clock: Clock
    ) -> None:
        workspace: Mapping[str, Any] = account.get("google_workspace") or {}
        self._domain = str(workspace.get("domain", ""))
        self._client = str(workspace.get("client_id", ""))
        self._secret = str(workspace.get("client_secret", ""))
        self._people = list(workspace.get("people", ()))
        self._deployed = deployed
        self._ways = ways
        self._views = views
        self._codes = Once(clock, CODE_SECONDS)
        self.site = Site()
        self.site.route("GET", "/o/oauth2/v2/auth", self._show)
        self.site.route("POST", "/o/oauth2/v2/auth", self._choose)

    def exchange(self, code: str, client_id: str, client_secret: str, redirect_uri: str) -> Claims:
        """Take a code for what it stands for, once; raises OAuthError."""
        if client_id != self._client or not hmac.compare_digest(client_secret, self._secret):
            raise OAuthError("invalid_client")
        found: _Code | None = self._codes.take(code)
        if found is None or (found.client_id, found.redirect_uri) != (client_id, redirect_uri):
            raise OAuthError("invalid_grant")
        return found.claims

    async def _show(self, request: web.BaseRequest) -> web.StreamResponse:
        return self._refusal(request) or self._page(request)

    async def _choose(self, request: web.BaseRequest) -> web.StreamResponse:
        refused = self._refusal(request)
        if refused is not None:
            return refused
        typed = parse_qsl((await body_of(request)).decode(errors="replace"))
        form = dict(typed)
        email = (form.get("account") or form.get("other", "")).strip().casefold()
        known = next((p for p in self._people if p["email"].casefold() == email), None)
        ours = email.endswith(f"@{self._domain.casefold()}")
        if "@" not in email or (ours and known is None):
            return self._page(request, "Google knows no such account.", email, status=422)
        code = self._codes.put(
            _Code(
                client_id=request.query["client_id"],
                redirect_uri=request.query["redirect_uri"],
                claims=Claims(
                    email=email,
                    hosted_domain=self._domain if known else "",
                    groups=tuple((known or {}).get("groups", ())),
                    posture=tuple(value for name, value in typed if name == "posture"),
                ),
            )
        )
        query = urlencode({"code": code, "state": request.query.get("state", "")})
        location = f"{request.query['redirect_uri']}?{query}"
        return web.Response(status=303, headers={"Location": location})

    def _refusal(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """Return Google's error page: before it shows accounts to the wrong site."""
        query = request.query
        back = urlsplit(query.get("redirect_uri", ""))
        teams = {self._ways.team(each) for each in self._deployed.organizations()}
        problem = ""
        if not self._client or query.get("client_id") != self._client:
            problem = "Error 401: invalid_client. The OAuth client was not found."
        elif back.scheme != "https" or back.netloc not in teams or back.path != CALLBACK:
            problem = "Error 400: redirect_uri_mismatch."
        elif query.get("response_type") != "code":
            problem = "Error 400: unsupported_response_type."
        if not problem:
            return None
        return self._views.page(
            "message.html", 400, title="Access blocked: authorization error", text=problem
        )

    def _page(
        self, request: web.BaseRequest, error: str = "", other: str = "", status: int = 200
    ) -> web.StreamResponse:
        team = urlsplit(request.query["redirect_uri"]).hostname or ""
        return self._views.page(
            "google.html",
            status,
            domain=self._domain,
            team=team,
            people=self._people,
            posture=sorted(self._deployed.posture().items(), key=lambda entry: entry[1]),
            error=error,
            other=other,
        )

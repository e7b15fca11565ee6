"""The edge's stage: nobody reaches what an application covers unless one of its policies lets them.

Order and answers: cloudflare-docs, policies and service-tokens. A program is answered by service
auth alone; a person by a session, whose addresses and device are looked at with every request; a
browser without one is led to the team domain. Whatever is decided goes into the journal.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from multidict import CIMultiDict

from twin.access import cookies
from twin.access.deployed import DAY, Application, Deployed, Organization
from twin.access.flow import Handover, Ways
from twin.access.keys import Keys
from twin.access.paths import Place
from twin.access.rules import MACHINE, PERSON, Policy, Subject
from twin.access.service import CLIENT_ID, CLIENT_SECRET, ServiceTokens, Shown, shown
from twin.access.sessions import LOGIN_SECONDS, Once, Session, Sessions
from twin.access.tokens import Tokens
from twin.access.views import Views
from twin.clock import Clock
from twin.edge.exchange import Exchange, Next, Reply, Result
from twin.edge.journal import Journal

ASSERTION: Final = "Cf-Access-Jwt-Assertion"
EMAIL: Final = "Cf-Access-Authenticated-User-Email"
OWN: Final = "/cdn-cgi/access/"
_BROWSER = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the stage works with."""

    deployed: Deployed
    keys: Keys
    tokens: Tokens
    sessions: Sessions
    service: ServiceTokens
    handovers: Once
    ways: Ways
    views: Views
    journal: Journal
    clock: Clock


class Guard:
    """The stage."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, exchange: Exchange, following: Next) -> Result:
        """Let through, refuse, or lead to the login."""
        deployed = self._parts.deployed
        if exchange.path.lower().startswith(OWN) and deployed.guards(exchange.host):
            return self._own(exchange)
        readings = [exchange.path, exchange.normalised_path, exchange.to_origin.partition("?")[0]]
        found = deployed.application(exchange.host, *filter(None, readings))
        cookies.strip(exchange.headers)
        if found is None:
            return await following(exchange)
        app, place = found
        organization = deployed.organization(app.account)
        if organization is None:
            return self._refused(exchange, app, 403, "block", "the account has no organization")
        if _is_preflight(exchange) and app.on("optionsPreflightBypass"):
            return await following(exchange)
        answer = self._judge(exchange, app, place, organization)
        if answer is not None:
            return answer
        return await following(exchange)

    # --- who comes --------------------------------------------------------------------------------
    def _judge(
        self, exchange: Exchange, app: Application, place: Place, organization: Organization
    ) -> Reply | None:
        """Return the answer that stops a request; None for one that goes on."""
        given = shown(exchange.request, app)
        for name in (CLIENT_ID, CLIENT_SECRET, app.outputs.get("readServiceTokensFromHeader")):
            if name and given is not None:
                exchange.headers.popall(name, None)
        token = ""
        if given is not None:
            token, problem = self._parts.service.authenticated(given)
            if organization.strict and not token:
                return self._refused(exchange, app, 401, "block", problem)
        subject = Subject(address=exchange.visitor, country=exchange.country, service_token=token)
        policy = self._parts.deployed.judge.first(app.policies, MACHINE, subject)
        if policy is not None:
            self._machine(exchange, app, organization, policy, given)
            return None
        if given is not None and organization.strict:
            return self._refused(exchange, app, 403, "block", "no policy lets this token in")
        found = self._session(exchange, app, organization)
        if found is not None:
            return self._person(exchange, app, *found)
        if self._wants_401(exchange, app, given):
            return self._refused(exchange, app, 401, "block", "no service token")
        return self._to_login(exchange, app, organization)

    def _machine(
        self,
        exchange: Exchange,
        app: Application,
        organization: Organization,
        policy: Policy,
        given: Shown | None,
    ) -> None:
        """Let a program through; what bypasses Access is neither told of nor recorded."""
        if policy.decision == "bypass":
            return
        client = given.client_id if given else ""
        exchange.headers[ASSERTION] = self._parts.tokens.of_program(organization, app, client)
        self._record(exchange, app, "non_identity", policy.name, client)

    def _session(
        self, exchange: Exchange, app: Application, organization: Organization
    ) -> tuple[Session, str] | None:
        binding = None
        if app.on("enableBindingCookie"):
            binding = cookies.value(exchange.request, cookies.BINDING)
        for token in cookies.values(exchange.request, cookies.AUTHORIZATION):
            session = self._parts.tokens.session(organization, token, app.aud, binding)
            if session is not None:
                return session, token
        return None

    def _person(
        self, exchange: Exchange, app: Application, session: Session, token: str
    ) -> Reply | None:
        judge = self._parts.deployed.judge
        subject = Subject(address=exchange.visitor, country=exchange.country, person=session.person)
        policy = judge.first(app.policies, PERSON, subject)
        if policy is None:
            # Identity was checked at the login: only the policy that let in has to stand still.
            kept = [p for p in app.policies if p.id == session.policy and p.decision == "allow"]
            policy = next((p for p in kept if judge.means(p, subject, identity_known=True)), None)
        if policy is None or policy.decision == "deny":
            detail = f"{session.email}: {policy.name if policy else 'no policy any more'}"
            return self._refused(exchange, app, 403, "block", detail, email=session.email)
        exchange.headers[ASSERTION] = token
        exchange.headers[EMAIL] = session.email
        self._record(exchange, app, "allow", policy.name, session.email)
        return None

    # --- answers ----------------------------------------------------------------------------------
    def _to_login(self, exchange: Exchange, app: Application, organization: Organization) -> Reply:
        """Lead to the team domain, with a note of where to come back that only we can write."""
        parts = self._parts
        known = cookies.value(exchange.request, cookies.APP_SESSION)
        browser = known if _BROWSER.fullmatch(known) else secrets.token_urlsafe(32)
        meta = parts.keys.sign(
            app.account,
            {
                "type": "meta",
                "aud": app.aud,
                "hostname": exchange.host,
                "authority": _authority(exchange),
                "redirect_url": exchange.target,
                "browser": hashlib.sha256(browser.encode()).hexdigest(),
                "exp": parts.clock.now() + LOGIN_SECONDS,
            },
        )
        query = urlencode({"kid": app.aud, "redirect_url": exchange.target, "meta": meta})
        host = parts.ways.team(organization)
        self._record(exchange, app, "login", app.name, "")
        return Reply(
            status=302,
            headers=CIMultiDict(
                {
                    "Location": f"https://{host}/cdn-cgi/access/login/{exchange.host}?{query}",
                    "Set-Cookie": cookies.cookie(cookies.APP_SESSION, browser, seconds=DAY),
                    "Cache-Control": "private, max-age=0, no-store",
                }
            ),
        )

    def _wants_401(self, exchange: Exchange, app: Application, given: Shown | None) -> bool:
        """Whether `serviceAuth401Redirect` answers instead of the login.

        The documentation says "when blocked by a service auth policy"; here that is a request with
        credentials, or of a client that reads no HTML where a policy for programs stands.
        """
        if not app.on("serviceAuth401Redirect"):
            return False
        programs = any(policy.decision == "non_identity" for policy in app.policies)
        reads_html = "text/html" in exchange.request.headers.get("Accept", "")
        return given is not None or (programs and not reads_html)

    def _refused(
        self,
        exchange: Exchange,
        app: Application,
        status: int,
        action: str,
        detail: str,
        email: str = "",
    ) -> Reply:
        self._record(exchange, app, action, app.name, detail)
        text = app.outputs.get("customDenyMessage") or (
            "That account does not have access."
            if email
            else "This is not open to you from here, or with these credentials."
        )
        return self._parts.views.reply(
            "message.html",
            status,
            title="Forbidden" if status == 403 else "Unauthorized",
            text=text,
            email=email,
            link="/cdn-cgi/access/logout" if email else "",
            link_text="Sign out",
            ray=exchange.ray,
        )

    def _record(
        self, exchange: Exchange, app: Application, action: str, rule: str, detail: str
    ) -> None:
        self._parts.journal.record(
            exchange,
            phase="access",
            action=action,
            rule=rule,
            description=f"Application {app.name}",
            detail=detail,
        )

    # --- Access's own addresses on the host -------------------------------------------------------
    def _own(self, exchange: Exchange) -> Reply:
        name = exchange.path[len(OWN) :].lower()
        if name == "authorized":
            return self._authorized(exchange)
        if name == "logout":
            return self._logout(exchange)
        if name in ("get-identity", "certs"):
            return self._told(exchange, name)
        return self._parts.views.reply(
            "message.html", 404, title="Not found", text="There is nothing here.", ray=exchange.ray
        )

    def _authorized(self, exchange: Exchange) -> Reply:
        """Take the login over from the team domain: once, in the browser that it began in."""
        parts = self._parts
        nonce = parse_qs(exchange.target.partition("?")[2]).get("nonce", [""])[0]
        given: Handover | None = parts.handovers.take(nonce)
        browser = cookies.value(exchange.request, cookies.APP_SESSION)
        digest = hashlib.sha256(browser.encode()).hexdigest()
        known = given is not None and given.hostname == exchange.host
        if given is None or not known or not hmac.compare_digest(digest, given.browser):
            return parts.views.reply(
                "message.html",
                400,
                title="This login is over",
                text="It was used before, took too long, or began in another browser.",
                ray=exchange.ray,
            )
        app = parts.deployed.by_aud(given.aud)
        organization = parts.deployed.organization(app.account) if app else None
        session = parts.sessions.find(given.session)
        if app is None or organization is None or session is None:
            return self._parts.views.reply(
                "message.html", 400, title="This login is over", text="The application is gone."
            )
        reply = Reply(
            status=302,
            headers=CIMultiDict(
                {
                    "Location": f"https://{given.authority}{given.back}",
                    "Cache-Control": "private, max-age=0, no-store",
                }
            ),
        )
        for line in self._cookies(exchange, app, organization, session, given.back):
            reply.headers.add("Set-Cookie", line)
        return reply

    def _cookies(
        self,
        exchange: Exchange,
        app: Application,
        organization: Organization,
        session: Session,
        back: str,
    ) -> list[str]:
        found = self._parts.deployed.application(exchange.host, back)
        path = found[1].prefix if found and app.on("pathCookieAttribute") else "/"
        attributes: dict[str, Any] = {
            "seconds": session.until - self._parts.clock.now(),
            "path": path,
            "same_site": app.outputs.get("sameSiteCookieAttribute") or "none",
        }
        token = self._parts.tokens.of_person(organization, session)
        http_only = app.outputs.get("httpOnlyCookieAttribute", True)
        lines = [cookies.cookie(cookies.AUTHORIZATION, token, http_only=http_only, **attributes)]
        if session.binding:
            lines.append(
                cookies.cookie(
                    cookies.BINDING, session.binding, **{**attributes, "same_site": "none"}
                )
            )
        return lines

    def _logout(self, exchange: Exchange) -> Reply:
        """End the person's sessions everywhere, and go on to the team domain."""
        parts = self._parts
        found = parts.deployed.organizations()
        for organization in found:
            for token in cookies.values(exchange.request, cookies.AUTHORIZATION):
                session = self._any_session(organization, token)
                if session is not None:
                    parts.sessions.end_all(session.email)
        reply = Reply(status=302, headers=CIMultiDict({"Cache-Control": "no-store"}))
        for name in (cookies.AUTHORIZATION, cookies.BINDING, cookies.APP_SESSION):
            for path in self._paths(exchange.host):
                reply.headers.add("Set-Cookie", cookies.cookie(name, "", seconds=0, path=path))
        host = parts.ways.team(found[0]) if found else exchange.host
        reply.headers["Location"] = f"https://{host}/cdn-cgi/access/logout"
        return reply

    def _paths(self, host: str) -> set[str]:
        return {"/", *self._parts.deployed.prefixes(host)}

    def _any_session(self, organization: Organization, token: str) -> Session | None:
        claims = self._parts.keys.verified(organization.account, token) or {}
        audience = claims.get("aud")
        aud = audience[0] if isinstance(audience, list) and audience else ""
        return self._parts.tokens.session(organization, token, str(aud))

    def _told(self, exchange: Exchange, what: str) -> Reply:
        organizations = self._parts.deployed.organizations()
        headers = CIMultiDict({"Content-Type": "application/json", "Cache-Control": "no-store"})
        body: dict[str, Any] = {"err": "no app token set"}
        status = 400
        if what == "certs" and organizations:
            status, body = 200, self._parts.keys.published(organizations[0].account)
        for organization in organizations if what == "get-identity" else ():
            for token in cookies.values(exchange.request, cookies.AUTHORIZATION):
                session = self._any_session(organization, token)
                if session is not None:
                    status, body = 200, self._parts.ways.identity(session)
        return Reply(status=status, headers=headers, body=json.dumps(body).encode())


def _authority(exchange: Exchange) -> str:
    """Return the host as the browser names it, with its port."""
    port = exchange.request.headers["Host"].strip().rpartition(":")[2]
    return f"{exchange.host}:{port}" if port.isascii() and port.isdigit() else exchange.host


def _is_preflight(exchange: Exchange) -> bool:
    headers = exchange.request.headers
    return (
        exchange.request.method == "OPTIONS"
        and "Origin" in headers
        and "Access-Control-Request-Method" in headers
    )

"""A person logs in: identity provider, policies, second factor, and back to the application.

A login is tied to the browser that began it by a cookie on each of the two hosts, and everything
that a URL carries is good for one use.
"""

from __future__ import annotations

import secrets
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from twin.access import cookies, totp
from twin.access.deployed import Application, Mfa
from twin.access.desk import Office, form, to
from twin.access.flow import Handover
from twin.access.google import OAuthError
from twin.access.rules import PERSON, Person, Policy, Subject
from twin.access.sessions import LOGIN_SECONDS, MFA_ATTEMPTS, Login

DEVICE_SECONDS: Final = 30 * 86400.0


class LoginPages(Office):
    """The pages of a login, in their order."""

    async def login(self, request: web.BaseRequest, host: str) -> web.StreamResponse:
        """Begin: the stage's note says for which application, and where to come back."""
        desk = self._desk
        meta = desk.keys.verified(self._account, request.query.get("meta", ""))
        app = desk.deployed.by_aud(str((meta or {}).get("aud", "")))
        if (
            meta is None
            or meta.get("type") != "meta"
            or meta["exp"] <= desk.clock.now()
            or meta["hostname"] != host.lower()
            or app is None
        ):
            return self._over()
        browser = cookies.value(request, cookies.TEAM_SESSION) or secrets.token_urlsafe(32)
        login = Login(
            aud=app.aud,
            back=meta["redirect_url"],
            browser=meta["browser"],
            host=meta["hostname"],
            authority=meta["authority"],
            team_browser=browser,
        )
        state = desk.logins.put(login)
        session = self._session(request)
        if session is not None:
            login.person, login.provider = session.person, session.provider
            answer = self._admit(request, state, login, app)
        elif len(app.allowed) == 1 and app.on("autoRedirectToIdentity"):
            answer = self._to_provider(state, login, app.allowed[0])
        else:
            answer = to(f"/cdn-cgi/access/choose?{urlencode({'state': state})}")
        line = cookies.cookie(cookies.TEAM_SESSION, browser, seconds=LOGIN_SECONDS)
        answer.headers.add("Set-Cookie", line)
        return answer

    async def choose(self, request: web.BaseRequest) -> web.StreamResponse:
        """Offer the identity providers."""
        found = self._under_way(request)
        if found is None:
            return self._over()
        _, _, app = found
        allowed = app.allowed or tuple(each.id for each in self._desk.deployed.providers())
        providers = [self._desk.deployed.provider(id) for id in allowed]
        return self._desk.views.page(
            "choose.html",
            app=app.name,
            team=self._organization.name,
            providers=[each for each in providers if each is not None],
        )

    async def chosen(self, request: web.BaseRequest) -> web.StreamResponse:
        """Go to one of them."""
        found = self._under_way(request)
        if found is None:
            return self._over()
        state, login, app = found
        id = (await form(request)).get("provider", "")
        if app.allowed and id not in app.allowed:
            return self._over()
        return self._to_provider(state, login, id)

    def _to_provider(self, state: str, login: Login, id: str) -> web.Response:
        provider = self._desk.deployed.provider(id)
        if provider is None or provider.kind != "google-apps":
            kind = provider.kind if provider else "no"
            return self._message(
                400,
                "This identity provider is not played",
                f'The twin plays Google Workspace ("google-apps"), and no "{kind}" provider.',
            )
        login.provider = id
        query = urlencode(
            {
                "client_id": provider.config.get("clientId", ""),
                "redirect_uri": self._desk.ways.callback(self._organization),
                "response_type": "code",
                "scope": "openid email profile",
                "hd": provider.config.get("appsDomain", ""),
                "state": state,
            }
        )
        return to(f"https://{self._desk.ways.google()}/o/oauth2/v2/auth?{query}")

    async def callback(self, request: web.BaseRequest) -> web.StreamResponse:
        """Hear from the identity provider who it is."""
        found = self._under_way(request)
        if found is None:
            return self._over()
        state, login, app = found
        provider = self._desk.deployed.provider(login.provider)
        if provider is None:
            return self._over()
        try:
            claims = self._desk.google.exchange(
                request.query.get("code", ""),
                str(provider.config.get("clientId", "")),
                str(provider.config.get("clientSecret", "")),
                self._desk.ways.callback(self._organization),
            )
        except OAuthError as error:
            self._desk.logins.take(state)
            return self._message(
                400, "The identity provider refused", f"Google says: {error}. Begin again."
            )
        domain = str(provider.config.get("appsDomain", "")).casefold()
        if claims.hosted_domain.casefold() != domain:
            self._record(request, login, app, "block", f"{claims.email}: not of {domain}")
            self._desk.logins.take(state)
            return self._denied(claims.email, f"Only accounts of {domain} may sign in here.")
        login.person = Person(
            email=claims.email,
            provider=provider.id,
            groups=frozenset(claims.groups),
            posture=frozenset(claims.posture) & frozenset(self._desk.deployed.posture()),
        )
        return self._admit(request, state, login, app)

    def _admit(
        self, request: web.BaseRequest, state: str, login: Login, app: Application
    ) -> web.Response:
        """Judge a person whom the provider vouches for, and ask for the second factor."""
        policy = self._policy(request, login, app)
        assert login.person is not None  # noqa: S101  (both callers set it)
        email = login.person.email
        if policy is None or policy.decision == "deny":
            why = policy.name if policy else "no policy means them"
            self._record(request, login, app, "block", f"{email}: {why}")
            self._desk.logins.take(state)
            return self._denied(email, str(app.outputs.get("customDenyMessage") or ""))
        mfa = self._desk.deployed.mfa(app, policy)
        if mfa is None or self._has_factor(request, email, mfa):
            return self._finish(request, state, login, app, policy)
        if "totp" not in mfa.authenticators:
            listed = ", ".join(mfa.authenticators)
            return self._message(
                403,
                "No authenticator for that",
                f"{app.name} asks for {listed}. The twin has authenticator applications (totp).",
            )
        return to(f"/cdn-cgi/access/mfa?{urlencode({'state': state})}")

    def _policy(self, request: web.BaseRequest, login: Login, app: Application) -> Policy | None:
        address = request.remote or "127.0.0.1"
        subject = Subject(
            address=address,
            country=self._desk.visitors.known(address).country,
            person=login.person,
        )
        return self._desk.deployed.judge.first(app.policies, PERSON, subject)

    # --- the second factor ------------------------------------------------------------------------
    def _has_factor(self, request: web.BaseRequest, email: str, mfa: Mfa) -> bool:
        device = cookies.value(request, cookies.DEVICE)
        return self._desk.sessions.passed_within(email, device, mfa.session)

    async def factor(self, request: web.BaseRequest) -> web.StreamResponse:
        """Ask for a code, or show how to enrol."""
        found = self._under_way(request)
        if found is None or found[1].person is None:
            return self._over()
        return self._factor_page(found[1], found[2])

    async def factor_given(self, request: web.BaseRequest) -> web.StreamResponse:
        """Check the code."""
        found = self._under_way(request)
        if found is None or found[1].person is None:
            return self._over()
        state, login, app = found
        email = login.person.email if login.person else ""
        code = (await form(request)).get("code", "").replace(" ", "")
        sessions = self._desk.sessions
        if sessions.authenticator(email) is not None:
            right = sessions.check(email, code)
        else:
            right = bool(login.new_key) and sessions.enrol(email, login.new_key, code)
        if not right:
            return self._wrong(request, state, login, app)
        policy = self._policy(request, login, app)
        if policy is None or policy.decision == "deny":
            return self._denied(email, "")
        device = cookies.value(request, cookies.DEVICE) or secrets.token_urlsafe(24)
        sessions.passed(email, device)
        answer = self._finish(request, state, login, app, policy)
        # The documentation says Strict; a browser would not send that on the way back from Google.
        line = cookies.cookie(cookies.DEVICE, device, seconds=DEVICE_SECONDS, same_site="lax")
        answer.headers.add("Set-Cookie", line)
        return answer

    def _wrong(
        self, request: web.BaseRequest, state: str, login: Login, app: Application
    ) -> web.Response:
        login.wrong += 1
        email = login.person.email if login.person else ""
        self._record(request, login, app, "block", f"{email}: wrong code ({login.wrong})")
        if login.wrong < MFA_ATTEMPTS:
            error = "That code is wrong, was used before, or is not valid any more."
            return self._factor_page(login, app, error, status=422)
        self._desk.logins.take(state)
        return self._message(403, "Too many wrong codes", "This login is over. Begin again.")

    def _factor_page(
        self, login: Login, app: Application, error: str = "", status: int = 200
    ) -> web.Response:
        assert login.person is not None  # noqa: S101  (asked before)
        email = login.person.email
        values = {"email": email, "team": self._organization.name, "error": error}
        if self._desk.sessions.authenticator(email) is not None:
            return self._desk.views.page("mfa.html", status, **values)
        launcher = self._desk.deployed.launcher(self._account)
        anywhere = Subject(address="0.0.0.0", country="XX", person=login.person)  # noqa: S104
        judge = self._desk.deployed.judge
        if launcher is None or judge.first(launcher.policies, PERSON, anywhere) is None:
            return self._message(
                403,
                "You have no authenticator",
                "It would be added in the App Launcher, which does not exist or is closed to you.",
            )
        login.new_key = login.new_key or totp.new_key()
        return self._desk.views.page(
            "enrol.html",
            status,
            app=app.name,
            key=login.new_key,
            address=totp.address(login.new_key, email, self._organization.name),
            **values,
        )

    # --- the end ----------------------------------------------------------------------------------
    def _finish(
        self, request: web.BaseRequest, state: str, login: Login, app: Application, policy: Policy
    ) -> web.Response:
        """Begin the sessions, and send the browser back with a word that is good once."""
        desk, person = self._desk, login.person
        assert person is not None  # noqa: S101  (the callers know who it is)
        desk.logins.take(state)
        now, address = desk.clock.now(), request.remote or "127.0.0.1"
        who: dict[str, Any] = {
            "account": self._account,
            "email": person.email,
            "provider": person.provider,
            "groups": tuple(sorted(person.groups)),
            "posture": tuple(sorted(person.posture)),
            "user": desk.sessions.user(self._account, person.email),
            "address": address,
            "country": desk.visitors.known(address).country,
        }
        lasts = app.session if policy.session is None else policy.session
        session = desk.sessions.start(
            **who,
            aud=app.aud,
            policy=policy.id,
            until=now + lasts,
            binding=secrets.token_urlsafe(24) if app.on("enableBindingCookie") else "",
        )
        nonce = desk.handovers.put(
            Handover(
                session=session.nonce,
                aud=app.aud,
                hostname=login.host,
                authority=login.authority,
                back=login.back,
                browser=login.browser,
            )
        )
        self._record(request, login, app, "allow", f"{person.email}: logged in", policy.name)
        query = urlencode({"nonce": nonce})
        answer = to(f"https://{login.authority}/cdn-cgi/access/authorized?{query}")
        if self._session(request) is None:
            lasts = self._organization.session
            whole = desk.sessions.start(**who, aud="", policy="", until=now + lasts)
            token = desk.tokens.of_person(self._organization, whole)
            line = cookies.cookie(cookies.AUTHORIZATION, token, seconds=lasts)
            answer.headers.add("Set-Cookie", line)
        return answer

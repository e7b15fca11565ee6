"""A deployed team in front of a site: people, applications, browsers, an authenticator."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from yarl import URL

from tests.twin.clouds.accounts import ACCOUNT, ACCOUNT_ID, CF_CONFIG
from tests.twin.clouds.handlers import Handlers
from tests.twin.edge import harness
from tests.twin.edge.harness import SITE, Loopback
from twin.access import totp
from twin.clouds import cloudflare
from twin.paper import PaperWorld
from twin.protocol.resource import Context

DOMAIN = "payments.localhost"
ADA, CHARLES, VISITOR = (f"{name}@{DOMAIN}" for name in ("ada", "charles", "visitor"))
TEAM = "team.cloudflareaccess.localhost"
ISSUER = "https://team.cloudflareaccess.com"
HERE = "127.0.0.1/32"
WORKSPACE = {
    "google_workspace": {
        "domain": DOMAIN,
        "client_id": "client",
        "client_secret": "secret",
        "people": [
            {"email": ADA, "name": "Ada", "groups": [f"admins@{DOMAIN}"]},
            {"email": CHARLES, "name": "Charles"},
            {"email": VISITOR, "name": "Visitor"},
        ],
    }
}


@dataclass
class Team:
    """The edge with everything that a stack of ours deploys, and handles on what a test changes."""

    site: harness.Site
    handlers: Handlers
    seen: list[Mapping[str, str]] = field(default_factory=list)
    """The headers of every request that reached the origin."""
    ids: dict[str, str] = field(default_factory=dict)
    auds: dict[str, str] = field(default_factory=dict)
    token: Mapping[str, Any] = field(default_factory=dict)

    def advance(self, hours: float) -> None:
        self.site.edge.clock.advance(hours * 3600)

    def browser(self) -> Browser:
        return Browser(self)

    async def get(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        """Ask as a program does: no cookies kept, no redirect followed."""
        async with self.browser() as alone:
            url = URL(self.site.url(path), encoded=True)
            return await alone.client.get(url, headers=headers, allow_redirects=False)

    def with_token(self, secret: str | None = None) -> dict[str, str]:
        return {
            "CF-Access-Client-Id": self.token["clientId"],
            "CF-Access-Client-Secret": secret or self.token["clientSecret"],
        }

    def decisions(self) -> list[tuple[str, str]]:
        found = self.site.edge.journal.decisions
        return [(each.action, each.detail) for each in found if each.phase == "access"]

    def change(self, kind: str, name: str, **given: Any) -> None:
        """Deploy a resource again with some of its inputs changed; None takes one out."""
        resource = self.handlers.resource(kind)
        record = self.handlers.ctx.store.get(resource.token, self.ids[name])
        assert record is not None
        inputs = {**record.inputs, **given}
        self.handlers.update(
            kind, record.id, {key: value for key, value in inputs.items() if value is not None}
        )


class Browser:
    """Keeps cookies, follows redirects, fills in forms."""

    def __init__(self, team: Team) -> None:
        self.team = team
        tls = ssl.create_default_context(cafile=str(team.site.home / "ca.pem"))
        connector = aiohttp.TCPConnector(resolver=Loopback(), ssl=tls)
        self.client = aiohttp.ClientSession(connector=connector, headers={"Accept": "text/html"})
        self.page = ""
        self.url = URL()
        self.status = 0

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def open(self, path: str, *, follow: bool = True, **headers: str) -> int:
        url = path if path.startswith("https:") else self.team.site.url(path)
        return await self._done(
            await self.client.get(
                URL(url, encoded=True), allow_redirects=follow, headers=headers or None
            )
        )

    async def post(self, form: list[tuple[str, str]] | dict[str, str]) -> int:
        return await self._done(await self.client.post(self.url, data=form))

    async def _done(self, answer: aiohttp.ClientResponse) -> int:
        self.page, self.url, self.status = await answer.text(), answer.url, answer.status
        self.location = answer.headers.get("Location", "")
        return answer.status

    async def choose(self, email: str, *, posture: bool = True) -> int:
        """On Google's page: an account, and whether the device passes every check."""
        assert "accounts.google" in str(self.url), (self.url, self.page)
        passes = re.findall(r'name="posture" value="([^"]+)"', self.page) if posture else []
        return await self.post([("account", email), *[("posture", id) for id in passes]])

    async def enrol(self) -> str:
        """On the page that shows a key: take it, and show the first code."""
        found = re.search(r'id="key">([A-Z2-7]+)<', self.page)
        assert found, self.page
        await self.post({"code": self.code(found[1])})
        return found[1]

    def code(self, key: str, steps: int = 0) -> str:
        return totp.code(key, int(self.team.site.edge.clock.now() // totp.STEP) + steps)

    async def log_in(self, email: str = ADA, path: str = "/admin") -> str:
        """Come all the way in for the first time; returns the authenticator's key."""
        await self.open(path)
        await self.choose(email)
        return await self.enrol()

    def cookie(self, name: str, path: str = "/", host: str = SITE) -> str:
        for each in self.client.cookie_jar:
            if (each.key, each["path"], each["domain"]) == (name, path, host):
                return each.value
        return ""


@contextlib.asynccontextmanager
async def deployed(home: Path, **organization: Any) -> AsyncIterator[Team]:
    """A team whose applications are ours; the origin answers with its request's headers."""
    async with harness.running(home, beside=WORKSPACE) as site:
        account = {**ACCOUNT, "cloudflare": {**ACCOUNT["cloudflare"]}}
        if organization.get("strictServiceTokenAuth") is False:
            account["cloudflare"]["organization_created"] = "2025-01-01"
        ctx = Context(
            config=CF_CONFIG, store=site.store, world=PaperWorld(site.store), account=account
        )
        team = Team(site, Handlers(cloudflare.package(), ctx))

        async def origin(request: web.BaseRequest) -> web.StreamResponse:
            team.seen.append(dict(request.headers))
            return web.json_response({"path": request.raw_path, "headers": dict(request.headers)})

        await site.origin(origin)
        await site.connector()
        _deploy(team, organization)
        yield team


def _deploy(team: Team, organization: dict[str, Any]) -> None:
    def make(kind: str, name: str, /, **inputs: Any) -> str:
        made = team.handlers.create(kind, {"accountId": ACCOUNT_ID, **inputs})
        team.ids[name] = made.id
        if kind.endswith("Application"):
            team.auds[name] = made.outputs["aud"]
        if kind.endswith("ServiceToken"):
            team.token = made.outputs
        return made.id

    mfa = {"allowedAuthenticators": ["totp"], "sessionDuration": "12h"}
    make(
        "ZeroTrustOrganization",
        "organization",
        name="team",
        authDomain="team.cloudflareaccess.com",
        sessionDuration="24h",
        mfaConfig=mfa,
        mfaRequiredForAllApps=True,
        **organization,
    )
    google = make(
        "ZeroTrustAccessIdentityProvider",
        "google",
        name="Google",
        type="google-apps",
        config={"clientId": "client", "clientSecret": "secret", "appsDomain": DOMAIN},
    )
    addresses = make(
        "ZeroTrustList", "addresses", name="admins", type="IP", items=[{"value": HERE}]
    )
    posture = make("ZeroTrustDevicePostureRule", "posture", name="enrolled", type="gateway")
    make("ZeroTrustAccessServiceToken", "token", name="ci")
    people = [{"email": {"email": ADA}}, {"email": {"email": CHARLES}}]
    device = {"devicePosture": {"integrationUid": posture}}
    login = {"loginMethod": {"id": google}}
    admins = make(
        "ZeroTrustAccessPolicy",
        "admins",
        name="admins",
        decision="allow",
        includes=people,
        requires=[login, device],
        sessionDuration="8h",
    )
    from_home = make(
        "ZeroTrustAccessPolicy",
        "from-home",
        name="from-home",
        decision="allow",
        includes=people,
        requires=[login, device, {"ipList": {"id": addresses}}],
        sessionDuration="8h",
    )
    programs = make(
        "ZeroTrustAccessPolicy",
        "programs",
        name="programs",
        decision="non_identity",
        includes=[{"serviceToken": {"tokenId": team.ids["token"]}}],
    )

    def app(name: str, kind: str, policies: list[str], **given: Any) -> None:
        make(
            "ZeroTrustAccessApplication",
            name,
            name=name,
            type=kind,
            allowedIdps=[google],
            autoRedirectToIdentity=True,
            policies=[{"id": id} for id in policies],
            **given,
        )

    web_app = {"sameSiteCookieAttribute": "lax", "pathCookieAttribute": True}
    app("launcher", "app_launcher", [admins])
    app("pages", "self_hosted", [admins], domain=f"{SITE}/admin", **web_app)
    app(
        "api",
        "self_hosted",
        [from_home, programs],
        domain=f"{SITE}/api/admin",
        serviceAuth401Redirect=True,
        **web_app,
    )


async def public_keys(team: Team, host: str = TEAM) -> dict[str, rsa.RSAPublicKey]:
    """What the team publishes, by key id."""
    url = f"https://{host}:{team.site.edge.port}/cdn-cgi/access/certs"
    async with team.site.client.get(url) as answer:
        published = json.loads(await answer.read())
    assert {"keys", "public_cert", "public_certs"} <= set(published)

    def number(text: str) -> int:
        return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")

    return {
        key["kid"]: rsa.RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key()
        for key in published["keys"]
    }


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """A token's header, claims, signed text and signature, nothing verified."""
    head, body, signature = token.split(".")
    header, claims = (json.loads(base64.urlsafe_b64decode(text + "==")) for text in (head, body))
    return header, claims, f"{head}.{body}".encode(), base64.urlsafe_b64decode(signature + "==")


async def verified(team: Team, token: str) -> dict[str, Any]:
    """A token's claims as a service verifies them: by the published keys."""
    header, claims, signed, signature = parts(token)
    assert header["alg"] == "RS256"
    key = (await public_keys(team))[header["kid"]]
    key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    return claims


def query(url: str, name: str) -> str:
    return parse_qs(urlsplit(url).query)[name][0]


def run(work: Any) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(90):
            return await work

    return asyncio.run(bounded())

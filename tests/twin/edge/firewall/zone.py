"""A zone with rules put straight into the store, as a deployment leaves them, and its visitors."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.twin.edge.harness import SITE, ZONE, Loopback, Site, deploy, running
from twin.edge.firewall.deployed import BOT_MANAGEMENT, CUSTOM, RATE_LIMIT, RULESET, ZONE_SETTING

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36"


@contextlib.asynccontextmanager
async def zone(
    home: Path, *rules: dict[str, Any], phase: str = CUSTOM, **ingress: str
) -> AsyncIterator[Site]:
    """An edge with these rules, whose origin answers 204, or by path: `bad="http_status:401"`."""
    async with running(home) as site:
        paths = [
            {"hostname": SITE, "path": f"^/{path}", "service": service}
            for path, service in ingress.items()
        ]
        deploy(site.store, [*paths, {"service": "http_status:204"}])
        put(site, phase, *rules)
        yield site


def put(site: Site, phase: str, *rules: dict[str, Any]) -> None:
    content = {"kind": "zone", "zoneId": ZONE["id"], "phase": phase, "name": "tests"}
    site.store.put(RULESET, f"ruleset-{phase}", {}, {**content, "rules": list(rules)})


def setting(site: Site, name: str, value: object) -> None:
    outputs = {"zoneId": ZONE["id"], "settingId": name, "value": value}
    site.store.put(ZONE_SETTING, name, {}, outputs)


def bot_settings(site: Site, **settings: object) -> None:
    site.store.put(BOT_MANAGEMENT, "bots", {}, {"zoneId": ZONE["id"], **settings})


def rule(expression: str, action: str, **more: Any) -> dict[str, Any]:
    parameters = {"actionParameters": more.pop("parameters")} if "parameters" in more else {}
    name = more.pop("ref", action)
    return {"expression": expression, "action": action, "ref": name, **parameters, **more}


def limit(
    expression: str, requests: int, period: int, action: str = "block", **more: Any
) -> dict[str, Any]:
    """A rate limiting rule; `timeout` and what else `ratelimit` takes."""
    ratelimit: dict[str, Any] = {
        "characteristics": more.pop("characteristics", ["cf.colo.id", "ip.src"]),
        "period": period,
        "requestsPerPeriod": requests,
        "mitigationTimeout": more.pop("timeout", 0),
        **{key: more.pop(key) for key in ("countingExpression", "requestsToOrigin") if key in more},
    }
    return rule(expression, action, ratelimit=ratelimit, **more)


@contextlib.asynccontextmanager
async def visitor(site: Site, address: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A client with an address of its own."""
    tls = ssl.create_default_context(cafile=str(site.home / "ca.pem"))
    connector = aiohttp.TCPConnector(resolver=Loopback(), ssl=tls, local_addr=(address, 0))
    async with aiohttp.ClientSession(connector=connector) as client:
        yield client


async def ask(
    site: Site,
    path: str = "/",
    *,
    method: str = "GET",
    client: aiohttp.ClientSession | None = None,
    **more: Any,
) -> aiohttp.ClientResponse:
    """Send a request and read the answer to its end."""
    more.setdefault("headers", {}).setdefault("User-Agent", BROWSER)
    sender = client or site.client
    sender.cookie_jar.clear()  # a test says itself which cookies are carried
    answer = await sender.request(method, site.url(path), allow_redirects=False, **more)
    await answer.read()
    return answer


async def status(site: Site, path: str = "/", **more: Any) -> int:
    return (await ask(site, path, **more)).status


def decided(site: Site) -> list[tuple[str, str]]:
    """Every decision so far: action and rule."""
    return [(each.action, each.rule) for each in site.edge.journal.decisions]


__all__ = ["BROWSER", "CUSTOM", "RATE_LIMIT", "ask", "bot_settings", "decided", "limit", "put"]
__all__ += ["rule", "setting", "status", "visitor", "zone"]

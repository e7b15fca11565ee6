"""What the twin's edge costs: a request through edge and connector, and the same to the origin.

Side by side: the same client asks each way in turn, one request at a time, on connections that are
kept, so that whatever else the machine does falls on all. Origin, connector and the rules' engine
are processes of their own; client and edge share one. The edge has everything that the program
deploys for the largest plan, where nothing is left out, the managed rules among it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from bench.origin import FILE, PAGE
from components.edge.plans import PLANS
from components.edge.rules import Rule
from components.edge.settings import Hsts, settings
from components.edge.whole import Wishes, fit
from tests.twin.edge.harness import SITE, ZONE, Site, deploy, running
from tools import firewall
from tools.console import Ui
from tools.paths import ROOT
from twin.ca import CertificateAuthority
from twin.edge.delivery.deployed import NORMALISATION, RULESET, ZONE_SETTING
from twin.edge.tls import Certificates, Terms
from twin.edge.tunnel import NAMES, ConnectorLink

WARM: Final = 100
REQUESTS: Final = 1500
PLAN: Final = "enterprise"
BROWSER: Final = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36",
    "Accept": "text/html",
    "Cookie": "session=0123456789abcdef0123456789abcdef",
}

_WORD: Final = re.compile(r"_([a-z])")


def measure(ui: Ui) -> dict[str, Any]:
    """Milliseconds per request, directly and through the edge, and what the edge adds to them.

    Twice: with the managed rules' engine, and without it.
    """
    with ui.phase("Edge") as phase:
        engine = firewall.ensure(phase.note).program
        whole, bare = asyncio.run(_run(engine)), asyncio.run(_run(None))
        phase.done(f"{REQUESTS} requests each way, {whole.rules} rules")
    return {
        "rules": whole.rules,
        "direct_ms_median": _ms(statistics.median(whole.direct)),
        "through_edge_ms_median": _ms(statistics.median(whole.through)),
        "through_edge_ms_p99": _ms(sorted(whole.through)[int(REQUESTS * 0.99)]),
        "overhead_ms_median": _ms(whole.overhead),
        "overhead_ms_median_promised": 3,
        "overhead_without_managed_rules_ms_median": _ms(bare.overhead),
        "cache_hit_ms_median": _ms(statistics.median(whole.kept)),
        "load_average": round(os.getloadavg()[0], 1),
    }


@dataclass(kw_only=True)
class Times:
    """Seconds of each request: to the origin, through the edge, and of a file the edge keeps."""

    rules: int
    direct: list[float] = field(default_factory=list)
    through: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)

    @property
    def overhead(self) -> float:
        """What the edge and its connector add, at the median."""
        return statistics.median(self.through) - statistics.median(self.direct)


async def _run(engine: Path | None) -> Times:
    async with contextlib.AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        site = await stack.enter_async_context(running(home, firewall=engine))
        port = await stack.enter_async_context(_origin())
        service = f"http://127.0.0.1:{port}"
        deploy(site.store, [{"hostname": SITE, "service": service}, {"service": "http_status:404"}])
        times = Times(rules=_deploy(site))
        # The tests' relay is this process too; the real one, HAProxy, costs next to nothing.
        tunnel = await asyncio.get_running_loop().create_server(
            lambda: ConnectorLink(site.edge.tunnels), "127.0.0.1", 0, ssl=_tunnel_tls(site)
        )
        stack.callback(tunnel.close)
        site.relay_port = tunnel.sockets[0].getsockname()[1]
        await site.connector()
        asked = (
            (times.direct, f"{service}/dashboard"),
            (times.through, site.url("/dashboard")),
            (times.kept, site.url(FILE)),
        )
        for number in range(WARM + REQUESTS):
            for measured, url in asked:
                started = time.perf_counter()
                await _ask(site.client, url)
                if number >= WARM:
                    measured.append(time.perf_counter() - started)
        return times


def _tunnel_tls(site: Site) -> ssl.SSLContext:
    authority = CertificateAuthority(site.home)
    return Certificates(authority, site.edge.routes, (), "", lambda _: {}).for_names(NAMES, Terms())


async def _ask(client: aiohttp.ClientSession, url: str) -> None:
    async with client.get(url, headers=BROWSER) as answer:
        body = await answer.read()
        if answer.status != 200 or body != PAGE:
            raise RuntimeError(f"{url} answered {answer.status}")


@contextlib.asynccontextmanager
async def _origin() -> AsyncIterator[int]:
    """An origin in a process of its own; its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.origin", cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None  # noqa: S101  (narrowing)
    assert process.stdout is not None  # noqa: S101  (narrowing)
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


def _deploy(site: Site) -> int:
    """Put everything that the program deploys into the store; returns how many rules that is."""
    for name, value in settings(Hsts(), modern_ciphers=True).items():
        site.store.put(
            ZONE_SETTING, name, {}, {"zoneId": ZONE["id"], "settingId": name, "value": value}
        )
    normal = {"zoneId": ZONE["id"], "type": "cloudflare", "scope": "both"}
    site.store.put(NORMALISATION, "paths", {}, normal)
    count = 0
    for phase, rules in fit(Wishes(hostname=SITE), PLANS[PLAN]).rules.items():
        given = [_given(rule) for rule in rules]
        content = {"zoneId": ZONE["id"], "kind": "zone", "phase": phase, "rules": given}
        site.store.put(RULESET, phase, {}, content)
        count += len(given)
    return count


def _given(rule: Rule) -> dict[str, Any]:
    """Write a rule as the provider does."""
    given: dict[str, Any] = {
        "ref": rule.ref,
        "description": rule.description,
        "expression": rule.expression,
        "action": rule.action,
        "actionParameters": _camel(rule.parameters),
    }
    if rule.rate is not None:
        given["ratelimit"] = {
            "characteristics": list(rule.rate.characteristics),
            "period": rule.rate.period,
            "requestsPerPeriod": rule.rate.requests,
            "mitigationTimeout": rule.rate.timeout,
        }
    return given


def _camel(value: Any) -> Any:
    """Spell the names of parameters as the provider does; names of headers have no underscore."""
    if isinstance(value, Mapping):
        return {_WORD.sub(lambda m: m[1].upper(), str(k)): _camel(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_camel(each) for each in value]
    return value


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)

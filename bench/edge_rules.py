"""The twin's firewall alone: whole rule evaluations per second of one core, and time per request.

One evaluation takes a request through everything that the program deploys: custom rules, browser
check, rate limits, bot settings. The rules are those of the largest plan, where nothing is left
out; the requests are the service's own, from many visitors. Sockets and the origin are not in it.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from components.edge.plans import PLANS
from components.edge.rules import Rule
from components.edge.whole import Wishes, fit
from tools.console import Ui
from twin.clock import Clock
from twin.edge.exchange import Exchange, Reply, Result, pipeline
from twin.edge.fields import FieldSource
from twin.edge.firewall import Firewall
from twin.edge.firewall.deployed import BOT_MANAGEMENT, CUSTOM, RATE_LIMIT, RULESET, ZONE_SETTING
from twin.edge.headers import new_ray
from twin.edge.journal import Journal
from twin.edge.routes import Zone
from twin.store import Store

HOST: Final = "pay.example.com"
PLAN: Final = "enterprise"
ZONE: Final = Zone(id="0" * 32, name="example.com", plan=PLAN)
SECONDS: Final = 5.0
VISITORS: Final = 5000
AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36"
ASKED: Final = (
    ("GET", "/"),
    ("GET", "/static/app.css"),
    ("POST", "/login"),
    ("GET", "/dashboard"),
    ("GET", "/api/v1/transactions?limit=20"),
    ("POST", "/api/v1/payments/create-subscription"),
    ("POST", "/webhooks/stripe"),
    ("GET", "/livez"),
)


def measure(ui: Ui) -> dict[str, Any]:
    """Evaluations per second of processor time, and the median and 99th percentile of a request."""
    store = Store(":memory:")
    rules = _deploy(store)
    with ui.phase("Rules") as phase:
        spent, times, passed = asyncio.run(_run(store))
        phase.done(f"{len(times)} requests through {rules} rules")
    store.close()
    ordered = sorted(times)
    return {
        "rules": rules,
        "evaluations_per_second_per_core": round(len(times) / spent),
        "evaluations_per_second_per_core_promised": 2000,
        "milliseconds_median": round(statistics.median(ordered) * 1000, 3),
        "milliseconds_median_promised": 3,
        "milliseconds_p99": round(ordered[int(len(ordered) * 0.99)] * 1000, 3),
        "passed_share": round(passed / len(times), 3),
    }


async def _run(store: Store) -> tuple[float, list[float], int]:
    clock = Clock()
    firewall = Firewall(store, Journal(clock), FieldSource(store, clock))
    stages = (
        firewall.arrive,
        firewall.custom,
        firewall.settings,
        firewall.rate_limits,
        firewall.bots,
        firewall.rate_limits_to_origin,
    )
    handle = pipeline(stages, _origin)
    times: list[float] = []
    passed = 0
    requests = _requests()
    await handle(next(requests))  # the first one compiles what was deployed
    began, busy = time.monotonic(), 0.0
    while time.monotonic() - began < SECONDS:
        # Made before the watch starts: a request's parsing is not the firewall's.
        for exchange in list(itertools.islice(requests, 200)):
            cpu, wall = time.process_time(), time.perf_counter()
            result = await handle(exchange)
            times.append(time.perf_counter() - wall)
            busy += time.process_time() - cpu
            passed += isinstance(result, Reply) and result.status == 200
    return busy, times, passed


async def _origin(exchange: Exchange) -> Result:
    return Reply(status=200, headers=CIMultiDict())


def _requests() -> Iterator[Exchange]:
    for number in itertools.count():
        method, path = ASKED[number % len(ASKED)]
        headers = {"Host": HOST, "User-Agent": AGENT, "Accept": "*/*", "Cookie": "session=1"}
        request: web.BaseRequest = make_mocked_request(method, path, headers)
        visitor = number // len(ASKED) % VISITORS
        yield Exchange(
            request=request,
            zone=ZONE,
            host=HOST,
            visitor=f"10.0.{visitor // 250}.{visitor % 250 + 1}",
            scheme="https",
            ray=new_ray(),
        )


def _deploy(store: Store) -> int:
    """Put the program's rules into the store, in the provider's names; returns how many."""
    fitted = fit(Wishes(hostname=HOST), PLANS[PLAN])
    number = 0
    for phase in (CUSTOM, RATE_LIMIT):
        rules = [_rule(rule) for rule in fitted.rules[phase]]  # type: ignore[index]
        content = {"kind": "zone", "zoneId": ZONE.id, "phase": phase, "rules": rules}
        store.put(RULESET, phase, {}, content)
        number += len(rules)
    bots = {_camel(name): value for name, value in fitted.bots.items()}
    store.put(BOT_MANAGEMENT, "bots", {}, {"zoneId": ZONE.id, **bots})
    check = {"zoneId": ZONE.id, "settingId": "browser_check", "value": "on"}
    store.put(ZONE_SETTING, "browser_check", {}, check)
    return number


def _rule(rule: Rule) -> dict[str, Any]:
    given: dict[str, Any] = {
        "ref": rule.ref,
        "description": rule.description,
        "expression": rule.expression,
        "action": rule.action,
        "actionParameters": dict(rule.parameters),
    }
    if rule.rate is not None:
        given["ratelimit"] = {
            "characteristics": list(rule.rate.characteristics),
            "period": rule.rate.period,
            "requestsPerPeriod": rule.rate.requests,
            "mitigationTimeout": rule.rate.timeout,
        }
    return given


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)

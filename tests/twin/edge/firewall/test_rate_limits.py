"""Rate limiting rules through a running edge, with time moved, not slept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.edge import plans
from components.edge.fitting import TOO_MANY, fit_limits
from components.edge.limits import LIMITS
from components.edge.rules import Rule
from tests.components.edge.test_against_the_double import sent
from tests.twin.edge.firewall.zone import (
    RATE_LIMIT,
    ask,
    limit,
    put,
    status,
    visitor,
    zone,
)
from tests.twin.edge.harness import Site, run
from twin.clock import Clock
from twin.edge.firewall import counters
from twin.edge.firewall.counters import Counters

PATH = "http.request.uri.path"
MINUTE, HOUR = 60, 3600
SEEDS = [sent(rule) for rule in fit_limits(LIMITS, plans.ENTERPRISE).rules]
"""What the program deploys where a plan can say all of it."""
EXAMPLES = {
    "login": ("POST", "/login"),
    "register": ("POST", "/register"),
    "create-subscription": ("POST", "/api/v1/payments/create-subscription"),
    "transactions": ("GET", "/api/v1/transactions/7"),
    "api": ("GET", "/api/me"),
}
FITTED = [
    (name, rule) for name, plan in plans.PLANS.items() for rule in fit_limits(LIMITS, plan).rules
]


async def many(site: Site, number: int, path: str, **more: object) -> set[int]:
    return {await status(site, path, **more) for _ in range(number)}


@pytest.mark.parametrize(
    ("plan", "fitted"), FITTED, ids=[f"{plan}-{rule.ref}" for plan, rule in FITTED]
)
def test_the_request_after_the_last_allowed_one_meets_what_the_plan_can_do(
    tmp_path: Path, plan: plans.PlanName, fitted: Rule
) -> None:
    rate = fitted.rate
    assert rate is not None
    method, path = EXAMPLES[fitted.ref]
    rules = [sent(rule) for rule in fit_limits(LIMITS, plans.plan(plan)).rules]

    async def scenario() -> None:
        async with zone(tmp_path, *rules, phase=RATE_LIMIT) as site:
            clock = site.edge.clock
            assert await many(site, rate.requests, path, method=method) == {204}
            over = await ask(site, path, method=method)
            decision = site.edge.journal.decisions[0]
            assert (decision.action, decision.rule) == (fitted.action, fitted.ref)
            if fitted.action != "block":
                assert (over.status, over.headers["cf-mitigated"]) == (403, "challenge")
                clock.advance(2 * rate.period)
                assert await status(site, path, method=method) == 204, "the rate has fallen"
                return
            assert over.status == 429
            assert int(over.headers["Retry-After"]) == rate.timeout
            if fitted.parameters:
                assert over.content_type == "application/json"
                assert await over.text() == TOO_MANY
            else:
                assert "1015" in await over.text(), "Cloudflare's own page"
            assert decision.until == pytest.approx(decision.at + rate.timeout, abs=1)
            assert decision.detail == f"{rate.requests + 1} of {rate.requests} in {rate.period} s"
            assert await status(site, "/") == 204, "only what the rule covers"
            clock.advance(rate.timeout / 2)
            again = await ask(site, path, method=method)
            assert again.status == 429
            left = rate.timeout / 2
            assert left - 5 <= int(again.headers["Retry-After"]) <= left
            clock.advance(left)
            assert await many(site, rate.requests, path, method=method) == {204}, "it begins anew"
            assert await status(site, path, method=method) == 429

    run(scenario())


def test_a_form_is_not_counted_when_it_is_fetched_where_the_plan_can_tell(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(tmp_path, *SEEDS, phase=RATE_LIMIT) as site:
            assert await many(site, 30, "/login") == {204}
            assert await many(site, 10, "/login", method="POST") == {204}
            assert await status(site, "/login", method="POST") == 429
            assert await status(site, "/login") == 204

    run(scenario())


def test_visitors_are_counted_apart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            zone(tmp_path, *SEEDS, phase=RATE_LIMIT) as site,
            visitor(site, "127.0.0.2") as other,
        ):
            # An invented address in a header makes nobody another visitor.
            for number in range(11):
                headers = {"X-Forwarded-For": f"192.0.2.{number}", "CF-Connecting-IP": "192.0.2.9"}
                last = await status(site, "/login", method="POST", headers=headers)
            assert last == 429
            assert await status(site, "/login", method="POST", client=other) == 204
            assert await status(site, "/login", method="POST") == 429

    run(scenario())


def test_the_rules_own_response_is_sent_with_retry_after(tmp_path: Path) -> None:
    async def scenario() -> None:
        response = {"statusCode": 420, "contentType": "application/json", "content": '{"code":1}'}
        own = limit("true", 1, 10, timeout=60, parameters={"response": response})
        async with zone(tmp_path, own, phase=RATE_LIMIT) as site:
            assert await status(site) == 204
            refused = await ask(site)
            assert (refused.status, await refused.json()) == (420, {"code": 1})
            assert refused.headers["Retry-After"] == "60"

    run(scenario())


def test_counting_replies_refuses_whoever_guesses_wrong_too_often(tmp_path: Path) -> None:
    async def scenario() -> None:
        wrong = limit(
            f'starts_with({PATH}, "/login")', 2, 60, timeout=600,
            countingExpression=f'starts_with({PATH}, "/login") and http.response.code eq 401',
        )  # fmt: skip
        async with zone(
            tmp_path, wrong, phase=RATE_LIMIT, **{"login/bad": "http_status:401"}
        ) as site:
            assert await many(site, 20, "/login/good") == {204}, "right ones do not count"
            assert [await status(site, "/login/bad") for _ in range(4)] == [401, 401, 401, 429]
            assert await status(site, "/login/good") == 429, "it covers what the rule matches"
            site.edge.clock.advance(600)
            assert await status(site, "/login/good") == 204

    run(scenario())


def test_characteristics_tell_counters_apart(tmp_path: Path) -> None:
    async def scenario() -> None:
        by_key = limit(
            "true", 1, 60, timeout=60,
            characteristics=["cf.colo.id", "ip.src", 'http.request.headers["x-api-key"]'],
        )  # fmt: skip
        async with zone(tmp_path, by_key, phase=RATE_LIMIT) as site:
            for key in ("a", "b", "", None):
                headers = {} if key is None else {"X-API-Key": key}
                answers = [await status(site, headers=dict(headers)) for _ in range(2)]
                assert answers == [204, 429], "an absent header is not an empty one"

    run(scenario())


def test_throttling_lets_by_what_stays_within_the_rate(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(tmp_path, limit("true", 3, 60), phase=RATE_LIMIT) as site:
            assert [await status(site) for _ in range(4)] == [204, 204, 204, 429]
            refused = await ask(site)
            wait = int(refused.headers["Retry-After"])
            site.edge.clock.advance(wait - 3)
            assert await status(site) == 429
            site.edge.clock.advance(120)
            assert await status(site) == 204

    run(scenario())


def test_a_changed_rule_counts_anew_and_an_unchanged_one_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = limit(f'{PATH} eq "/a"', 1, 60, timeout=60, ref="a")
        second = limit(f'{PATH} eq "/b"', 1, 60, timeout=60, ref="b")
        async with zone(tmp_path, first, second, phase=RATE_LIMIT) as site:
            for path in ("/a", "/b"):
                assert [await status(site, path) for _ in range(2)] == [204, 429]
            put(site, RATE_LIMIT, first, limit(f'{PATH} eq "/b"', 2, 60, timeout=60, ref="b"))
            assert await status(site, "/a") == 429
            assert await status(site, "/b") == 204

    run(scenario())


def test_the_rate_slides(tmp_path: Path) -> None:
    clock = Clock()
    counted = Counters(clock, limit=10, period=60, timeout=0)
    for _ in range(10):
        rate = counted.add(("v",))
    assert not counted.exceeded(rate)
    clock.advance(61)
    assert counted.exceeded(counted.add(("v",))), "a new period does not forget the last one"
    clock.advance(29)
    assert counted.rate(("v",)) == pytest.approx(6, abs=0.1)
    clock.advance(120)
    assert counted.rate(("v",)) == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MOST_COUNTERS", 100)
    monkeypatch.setattr(counters, "MOST_MITIGATIONS", 100)
    counted = Counters(Clock(), limit=1, period=60, timeout=60)
    for number in range(1000):
        counted.add((number,))
        counted.mitigate((f"m{number}",))
    assert len(counted) <= 100
    who = [key for key, _ in counted.mitigations()]
    assert len(who) == 100
    assert ("m999",) in who, "the newest stay"


def test_a_mitigation_is_listed_and_can_be_lifted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(tmp_path, *SEEDS, phase=RATE_LIMIT) as site:
            limits, id = site.edge.firewall.limits, site.edge.routes.zone("payments.localhost")
            assert id is not None
            await many(site, 11, "/login", method="POST")
            (found,) = limits.mitigations(id.id)
            assert (found.rule, found.who, found.action) == ("login", "127.0.0.1", "block")
            assert re.fullmatch("[0-9a-f]{16}", found.id)
            assert limits.lift(id.id, found.id)
            assert not limits.lift(id.id, found.id)
            assert await status(site, "/login", method="POST") == 204

    run(scenario())

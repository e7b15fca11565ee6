"""Custom rules through a running edge: every action, their order, what skip rules take out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.twin.edge.firewall.zone import (
    BROWSER,
    RATE_LIMIT,
    ask,
    bot_settings,
    decided,
    limit,
    put,
    rule,
    setting,
    status,
    visitor,
    zone,
)
from tests.twin.edge.harness import ZONE, run
from twin.edge.fields import LEAKED_CREDENTIAL_CHECK, LIST

EVERYTHING = "true"
SECRET = 'starts_with(http.request.uri.path, "/secret")'


def test_block_answers_with_the_edges_page_or_the_rules_own_response(tmp_path: Path) -> None:
    response = {"statusCode": 451, "contentType": "application/json", "content": '{"no":true}'}

    async def scenario() -> None:
        plain = rule(SECRET, "block", ref="plain", description="Nobody may see it")
        own = rule('http.request.uri.path eq "/own"', "block", parameters={"response": response})
        async with zone(tmp_path, plain, own) as site:
            assert await status(site) == 204
            refused = await ask(site, "/secret/1")
            assert refused.status == 403
            assert "1020" in await refused.text()
            assert refused.headers["CF-RAY"]
            answered = await ask(site, "/own")
            assert answered.status == 451
            assert answered.headers["Content-Type"] == "application/json"
            assert await answered.json() == {"no": True}
            decision = site.edge.journal.decisions[0]
            assert (decision.rule, decision.description) == ("plain", "Nobody may see it")
            assert decision.path == "/secret/1"
            assert decision.visitor == "127.0.0.1"

    run(scenario())


@pytest.mark.parametrize("action", ["managed_challenge", "js_challenge", "challenge"])
def test_a_challenge_is_a_page_whatever_was_asked(tmp_path: Path, action: str) -> None:
    async def scenario() -> None:
        async with zone(tmp_path, rule(SECRET, action)) as site:
            for method in ("GET", "POST"):
                asked = await ask(site, "/secret", method=method)
                assert asked.status == 403
                assert asked.headers["cf-mitigated"] == "challenge"
                assert asked.content_type == "text/html"
                assert "no-store" in asked.headers["Cache-Control"]
            assert await status(site) == 204
            assert decided(site) == [(action, action)] * 2

    run(scenario())


def test_the_first_terminating_rule_decides_and_log_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        rules = [
            rule(EVERYTHING, "block", ref="off", enabled=False),
            rule(EVERYTHING, "log", ref="seen"),
            rule(SECRET, "js_challenge", ref="first"),
            rule(SECRET, "block", ref="second"),
        ]
        async with zone(tmp_path, *rules) as site:
            assert (await ask(site, "/secret")).headers["cf-mitigated"] == "challenge"
            assert decided(site) == [("log", "seen"), ("js_challenge", "first")]
            put(site, "http_request_firewall_custom", *rules[::-1])
            assert "cf-mitigated" not in (await ask(site, "/secret")).headers
            assert decided(site)[-1] == ("block", "second"), "a new deployment holds at once"

    run(scenario())


PARTS = {"custom", "browser", "limit", "bots"}
SKIPS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "ruleset": ({"ruleset": "current"}, {"custom"}),
    "phases": ({"phases": ["http_ratelimit", "http_request_sbfm"]}, {"limit", "bots"}),
    "one phase": ({"phases": ["http_ratelimit"]}, {"limit"}),
    "products": ({"products": ["bic"]}, {"browser"}),
    "other products": ({"products": ["securityLevel"]}, set()),
    "case matters": ({"products": ["BIC"]}, set()),
    "a whole ruleset": ({"rulesets": ["ruleset-http_ratelimit"]}, {"limit"}),
    "rules of a ruleset": ({"rules": {"ruleset-http_ratelimit": ["id-of-limit"]}}, {"limit"}),
    "another rule": ({"rules": {"ruleset-http_ratelimit": ["id-of-another"]}}, set()),
    "everything": (
        {
            "ruleset": "current",
            "phases": ["http_ratelimit", "http_request_sbfm"],
            "products": ["bic"],
        },
        {"custom", "browser", "limit", "bots"},
    ),
}


@pytest.mark.parametrize("name", SKIPS)
def test_skip_takes_out_what_it_names_and_nothing_else(tmp_path: Path, name: str) -> None:
    parameters, skipped = SKIPS[name]

    async def scenario() -> None:
        skip = rule('http.request.uri.args["skip"][0] eq "yes"', "skip", parameters=parameters)
        custom = rule('http.request.uri.path eq "/custom"', "block")
        async with zone(tmp_path, skip, custom) as site:
            one = limit('http.request.uri.path eq "/limit"', 1, 60, timeout=60, id="id-of-limit")
            put(site, RATE_LIMIT, one)
            setting(site, "browser_check", "on")
            bot_settings(site, sbfmDefinitelyAutomated="block")
            agents = {"browser": "---", "bots": "curl/8.5"}  # each meets one of the checks only
            stopped = set()
            for part in PARTS:
                headers = {"User-Agent": agents.get(part, BROWSER)}
                for query in ("?skip=yes", ""):
                    for _ in range(2):
                        answer = await status(site, f"/{part}{query}", headers=dict(headers))
                    if query and answer != 204:
                        stopped.add(part)
                assert answer != 204, "without the skip everything is stopped"
            assert stopped == PARTS - skipped

    run(scenario())


def test_lists_countries_and_known_bots_come_from_what_is_known_of_the_address(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        rules = [
            rule("ip.src in $office", "block", ref="office"),
            rule('ip.src.country eq "T1"', "block", ref="tor"),
            rule("ip.src.asnum eq 64500 and not cf.client.bot", "block", ref="network"),
        ]
        async with zone(tmp_path, *rules) as site:
            items = [{"ip": "127.0.0.8/30"}, {"ip": "2001:db8::/32"}]
            site.store.put(LIST, "l1", {}, {"name": "office", "kind": "ip", "items": items})
            site.edge.fields.visitors.assign(
                b'{"127.0.0.3": {"country": "T1"}, "127.0.0.4": {"asn": 64500},'
                b' "127.0.0.5": {"asn": 64500, "bot": true}}'
            )
            expected = {"127.0.0.1": 204, "127.0.0.9": 403, "127.0.0.3": 403}
            expected |= {"127.0.0.4": 403, "127.0.0.5": 204}
            # What a visitor claims changes nothing.
            lies = {"CF-IPCountry": "DE", "CF-Connecting-IP": "192.0.2.1"}
            lies["X-Forwarded-For"] = "192.0.2.1"
            for address, answer in expected.items():
                async with visitor(site, address) as client:
                    assert await status(site, client=client, headers=dict(lies)) == answer, address

    run(scenario())


@pytest.mark.parametrize(
    ("password", "plan", "answer"),
    [
        ("CF_EXPOSED_PASSWORD", "pro", 403),
        ("CF_LEAKED_PASSWORD", "pro", 403),
        ("CF_LEAKED_PASSWORD", "free", 403),
        ("CF_EXPOSED_PASSWORD", "free", 200),
        ("cf_exposed_password", "pro", 200),
    ],
)
def test_the_published_test_passwords_count_as_leaked_and_the_body_arrives_whole(
    tmp_path: Path, password: str, plan: str, answer: int
) -> None:
    from aiohttp import web

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=await request.read())

    async def scenario() -> None:
        leaked = rule("cf.waf.credential_check.password_leaked", "block")
        async with zone(tmp_path, leaked) as site:
            known = site.edge.routes.zone(ZONE["name"])
            assert known is not None
            object.__setattr__(known, "plan", plan)
            await site.origin(echo)
            await site.connector(n=1)
            form = {"email": "ada@example.com", "password": password}
            assert await status(site, "/login", method="POST", data=form) == 200, "it is off"
            outputs = {"zoneId": ZONE["id"], "enabled": True}
            site.store.put(LEAKED_CREDENTIAL_CHECK, "lcc", {}, outputs)
            assert await status(site, "/login", method="POST", data=form) == answer
            assert await status(site, "/login", method="POST", json=form) == answer
            harmless = b"password=" + b"x" * 400_000
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            sent = await ask(site, "/login", method="POST", data=harmless, headers=headers)
            assert await sent.read() == harmless, "looking must not take anything away"

    run(scenario())


def test_a_rule_that_cannot_be_read_is_shown_and_the_others_hold(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(
            tmp_path, rule("no.such.field", "block", ref="odd"), rule(SECRET, "block")
        ) as site:
            assert await status(site, "/secret") == 403
            assert await status(site) == 204
            faults = site.edge.firewall.deployed.zone(ZONE["id"]).faults
            assert len(faults) == 1
            assert "odd" in faults[0]

    run(scenario())


def test_the_origin_is_told_the_country_unless_geolocation_is_off(tmp_path: Path) -> None:
    from aiohttp import web

    async def origin(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=request.headers.get("CF-IPCountry", "not told"))

    async def scenario() -> None:
        async with zone(tmp_path) as site:
            await site.origin(origin)
            await site.connector(n=1)
            site.edge.fields.visitors.assign(b'{"127.0.0.1": {"country": "FR"}}')
            lie = {"CF-IPCountry": "DE"}
            for value, answer in (("on", "FR"), ("off", "not told")):
                setting(site, "ip_geolocation", value)
                assert await (await ask(site, headers=dict(lie))).text() == answer

    run(scenario())

"""The page of the edge: rules and counters, decisions, who is blocked, the clock, visitors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.twin.edge.firewall.zone import CUSTOM, RATE_LIMIT, limit, put, rule, status, zone
from tests.twin.edge.harness import Site, run

HOST = "twin.localhost"
LOGIN = limit('http.request.uri.path eq "/login"', 2, 60, timeout=900, ref="login")
LOGIN["description"] = "Ten a minute <for real>"


async def get(site: Site, path: str) -> Any:
    async with site.client.get(site.url(path, HOST)) as answer:
        assert answer.status == 200, await answer.text()
        return await (answer.json() if path.startswith("/api") else answer.text())


async def send(site: Site, method: str, path: str, **more: Any) -> aiohttp.ClientResponse:
    answer = await site.client.request(method, site.url(path, HOST), allow_redirects=False, **more)
    await answer.read()
    return answer


def test_it_shows_rules_with_their_counters_and_the_newest_decisions(tmp_path: Path) -> None:
    async def scenario() -> None:
        secret = rule('http.request.uri.path eq "/secret"', "block", ref="secret")
        off = rule("true", "block", ref="resting", enabled=False)
        async with zone(tmp_path, secret, off) as site:
            assert "Nobody." in await get(site, "/edge")
            put(site, RATE_LIMIT, LOGIN)
            for path in ("/login", "/login", "/login", "/secret", "/login"):
                await status(site, path)
            text = await get(site, "/edge")
            for shown in ("secret", "resting", "(off)", "Ten a minute &lt;for real&gt;"):
                assert shown in text
            assert "<for real>" not in text, "a description is text"
            told = await get(site, "/api/edge/rules")
            phases = {each["phase"]: each["rules"] for each in told["zones"][0]["phases"]}
            login = phases[RATE_LIMIT][0]
            assert login["decisions"] == {"block": 2}
            assert login["limit"]["mitigated"] == 1
            assert (login["limit"]["requests"], login["limit"]["mitigation_timeout"]) == (2, 900)
            assert phases[CUSTOM][1]["enabled"] is False
            found = (await get(site, "/api/edge/decisions"))["decisions"]
            moments = [each["at"] for each in found]
            assert moments == sorted(moments, reverse=True)
            assert {each["rule"] for each in found} == {"login", "secret"}

    run(scenario())


def test_decisions_can_be_narrowed(tmp_path: Path) -> None:
    async def scenario() -> None:
        rules = [rule("true", "log", ref="seen"), rule("true", "block", ref="stop")]
        async with zone(tmp_path, *rules) as site:
            for _ in range(3):
                await status(site)
            for query, number in (
                ("", 6),
                ("action=log", 3),
                ("rule=stop", 3),
                ("visitor=127.0.0.1", 6),
                ("visitor=192.0.2.1", 0),
                ("action=log&rule=stop", 0),
                ("limit=2", 2),
            ):
                found = await get(site, f"/api/edge/decisions?{query}")
                assert len(found["decisions"]) == number, query
            assert "stop" in await get(site, "/edge?rule=stop")
            assert "None that fits" in await get(site, "/edge?visitor=192.0.2.1")
            assert (await send(site, "GET", "/api/edge/decisions?limit=x")).status == 422

    run(scenario())


def test_what_only_skips_is_shown_when_it_is_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        spares = rule("true", "skip", ref="spares", actionParameters={"ruleset": "current"})
        stops = rule('http.request.uri.path eq "/secret"', "block", ref="stops")
        async with zone(tmp_path, stops, spares) as site:
            await status(site, "/secret")
            for _ in range(30):
                await status(site)
            row = "<td><strong>{}</strong>"
            page = await get(site, "/edge")
            shown = page[page.index('id="decisions"') : page.index('id="rules"')]
            assert row.format("stops") in shown
            assert row.format("spares") not in shown, "thirty of them would hide the block"
            skips = await get(site, "/edge?action=skip")
            shown = skips[skips.index('id="decisions"') : skips.index('id="rules"')]
            assert shown.count(row.format("spares")) == 25
            assert 'href="/edge?action=skip&amp;all=1#decisions"' in shown
            whole = await get(site, "/edge?all=1")
            shown = whole[whole.index('id="decisions"') : whole.index('id="rules"')]
            assert shown.count(row.format("spares")) == 30

    run(scenario())


def test_a_block_ends_by_the_clock_or_by_the_button(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(tmp_path, LOGIN, phase=RATE_LIMIT) as site:
            for _ in range(2):
                assert [await status(site, "/login") for _ in range(3)] == [204, 204, 429]
                (found,) = (await get(site, "/api/edge/mitigations"))["mitigations"]
                assert (found["who"], found["rule"]) == ("127.0.0.1", "login")
                lifted = await send(site, "POST", f"/edge/mitigations/{found['id']}/lift")
                assert (lifted.status, lifted.headers["Location"]) == (303, "/edge#blocked")
            assert [await status(site, "/login") for _ in range(3)] == [204, 204, 429]
            (found,) = (await get(site, "/api/edge/mitigations"))["mitigations"]
            path = f"/api/edge/mitigations/{found['id']}"
            assert (await send(site, "DELETE", path)).status == 204
            assert (await send(site, "DELETE", path)).status == 404
            assert [await status(site, "/login") for _ in range(3)] == [204, 204, 429]
            assert (await send(site, "POST", "/edge/clock", data={"advance": "900"})).status == 303
            assert (await get(site, "/api/edge/mitigations"))["mitigations"] == []
            assert await status(site, "/login") == 204

    run(scenario())


def test_the_clock_moves_ahead_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(tmp_path) as site:
            before = await get(site, "/api/clock")
            moved = await send(site, "POST", "/api/clock", json={"advance": 90.5})
            after = await moved.json()
            assert after["ahead"] == 90.5
            assert 90.5 <= after["now"] - before["now"] < 100
            for wrong in (
                {"advance": -1},
                {"advance": "60"},
                {"advance": True},
                {},
                [],
                {"advance": 1e9},
            ):
                refused = await send(site, "POST", "/api/clock", json=wrong)
                assert refused.status == 422, wrong
                assert "advance" in await refused.text()
            assert (await send(site, "POST", "/api/clock", data=b"{")).status == 422
            assert (await send(site, "POST", "/edge/clock", data={"advance": "-5"})).status == 422
            assert (await get(site, "/api/clock"))["ahead"] == 90.5
            assert "90 s ahead" in await get(site, "/edge")

    run(scenario())


def test_what_is_known_of_an_address_can_be_assigned_and_outlasts_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(tmp_path) as site:
            table = {
                "198.51.100.0/24": {"country": "T1"},
                "198.51.100.7": {"asn": 64501, "bot": True},
            }
            assert (await send(site, "PUT", "/api/edge/visitors", json=table)).status == 200
            form = {"address": "2001:db8::1", "country": "fr", "asn": "", "bot": "true"}
            assert (await send(site, "POST", "/edge/visitors", data=form)).status == 303
            for wrong in (
                {"nobody": {}},
                {"192.0.2.1": {"country": "Germany"}},
                {"192.0.2.1": {"x": 1}},
            ):
                refused = await send(site, "PUT", "/api/edge/visitors", json=wrong)
                assert refused.status == 422
            bad = await send(site, "POST", "/edge/visitors", data={"address": "here"})
            assert bad.status == 422
            assert "here" in await bad.text() or "address" in await bad.text()
        async with zone(tmp_path) as site:
            known = site.edge.fields.visitors.known
            assert known("198.51.100.9").country == "T1"
            assert (known("198.51.100.7").asn, known("198.51.100.7").bot) == (64501, True)
            assert known("2001:db8::1").country == "FR"
            assert known("192.0.2.1").country == "US", "the made-up table holds for the rest"
            assert known("127.0.0.1").country == "XX"
            forget = {"address": "198.51.100.0/24", "forget": "1"}
            assert (await send(site, "POST", "/edge/visitors", data=forget)).status == 303
            assert known("198.51.100.9").country == "DE"

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/clock"),
        ("POST", "/edge/clock"),
        ("PUT", "/api/edge/visitors"),
        ("POST", "/edge/visitors"),
        ("DELETE", "/api/edge/mitigations/0"),
        ("POST", "/edge/mitigations/0/lift"),
    ],
)
def test_other_websites_change_nothing(tmp_path: Path, method: str, path: str) -> None:
    async def scenario() -> None:
        async with zone(tmp_path) as site:
            for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
                sent = {"data": b'{"advance": 60}', "headers": headers}
                assert (await send(site, method, path, **sent)).status == 403
            assert site.edge.clock.ahead == 0

    run(scenario())

"""What passes a challenge and what does not, without a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import aiohttp
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
from tests.twin.edge.harness import Site, run
from twin.edge.firewall.challenge import CHALLENGE_SECONDS, PASSAGE, is_solution

SECRET = 'starts_with(http.request.uri.path, "/secret")'
MANAGED = rule(SECRET, "managed_challenge")


def told(page: str) -> dict[str, object]:
    """What the page tells its script."""
    found = re.search(r'id="told"[^>]*>(.*?)</script>', page)
    assert found is not None
    content: dict[str, object] = json.loads(found[1])
    return content


def solution(nonce: str) -> str:
    return next(str(number) for number in range(10**7) if is_solution(nonce, str(number)))


async def challenged(site: Site, path: str = "/secret", **more: object) -> dict[str, object]:
    return told(await (await ask(site, path, **more)).text())


async def answer(
    site: Site, puzzle: dict[str, object], *, pressed: str = "", **more: object
) -> aiohttp.ClientResponse:
    nonce = str(puzzle["nonce"])
    form = {"nonce": nonce, "answer": solution(nonce), "pressed": pressed}
    return await ask(site, str(puzzle["post"]), method="POST", data=form, **more)


async def clearance(site: Site, path: str = "/secret") -> str:
    """Pass a challenge as a browser does; returns the Cookie header."""
    reply = await answer(site, await challenged(site, path))
    assert reply.status == 200, await reply.text()
    return reply.headers["Set-Cookie"].partition(";")[0]


def test_passing_earns_a_clearance_for_the_zones_passage(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(tmp_path, MANAGED) as site:
            reply = await answer(site, await challenged(site))
            cookie = reply.headers["Set-Cookie"]
            wanted = ("HttpOnly", "Secure", "Path=/", "Domain=payments.localhost")
            assert all(attribute in cookie for attribute in wanted)
            assert f"Max-Age={PASSAGE};" in cookie
            carried = {"Cookie": f"a=b; {cookie.partition(';')[0]}"}
            assert await status(site, "/secret", headers=dict(carried)) == 204
            site.edge.clock.advance(PASSAGE - 1)
            assert await status(site, "/secret", headers=dict(carried)) == 204
            site.edge.clock.advance(2)
            assert await status(site, "/secret", headers=dict(carried)) == 403
            solved = "managed_challenge_non_interactive_solved"
            assert decided(site)[:2] == [
                ("managed_challenge", "managed_challenge"),
                (solved, "managed_challenge"),
            ]
            setting(site, "challenge_ttl", 300)
            shorter = {"Cookie": await clearance(site)}
            site.edge.clock.advance(301)
            assert await status(site, "/secret", headers=shorter) == 403

    run(scenario())


def test_a_clearance_is_good_for_who_earned_it_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(tmp_path, MANAGED) as site, visitor(site, "127.0.0.2") as other:
            cookie = await clearance(site)
            assert await status(site, "/secret", headers={"Cookie": cookie}) == 204
            stolen = await status(site, "/secret", client=other, headers={"Cookie": cookie})
            assert stolen == 403, "another address"
            agent = {"Cookie": cookie, "User-Agent": BROWSER + " x"}
            assert await status(site, "/secret", headers=agent) == 403, "another user agent"
            name, _, value = cookie.partition("=")
            packed, _, signature = value.partition(".")
            forged = [f"{packed}.{'0' * 64}", f"{packed}x.{signature}", packed, ".", "", "é.é"]
            for wrong in forged:
                headers = {"Cookie": f"{name}={wrong}"}
                assert await status(site, "/secret", headers=headers) == 403, wrong

    run(scenario())


@pytest.mark.parametrize(
    ("earned", "asked", "passes"),
    [
        ("js_challenge", "js_challenge", True),
        ("js_challenge", "managed_challenge", False),
        ("managed_challenge", "js_challenge", True),
        ("managed_challenge", "challenge", False),
        ("challenge", "managed_challenge", True),
    ],
)
def test_a_clearance_has_a_level(tmp_path: Path, earned: str, asked: str, *, passes: bool) -> None:
    async def scenario() -> None:
        async with zone(tmp_path, rule(SECRET, earned)) as site:
            reply = await answer(site, await challenged(site), pressed="1")
            cookie = reply.headers["Set-Cookie"].partition(";")[0]
            put(site, "http_request_firewall_custom", rule(SECRET, asked))
            got = await status(site, "/secret", headers={"Cookie": cookie})
            assert (got == 204) == passes

    run(scenario())


def test_an_answer_is_taken_once_in_time_from_who_was_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(tmp_path, MANAGED) as site, visitor(site, "127.0.0.2") as other:
            puzzle = await challenged(site)
            assert (await answer(site, puzzle)).status == 200
            replayed = await answer(site, puzzle)
            assert replayed.status == 403
            assert "used" in await replayed.text()
            assert "Set-Cookie" not in replayed.headers

            assert (await answer(site, await challenged(site), client=other)).status == 403
            agent = {"User-Agent": BROWSER + " x"}
            assert (await answer(site, await challenged(site), headers=agent)).status == 403
            late = await challenged(site)
            site.edge.clock.advance(CHALLENGE_SECONDS + 1)
            assert (await answer(site, late)).status == 403

            post = str(puzzle["post"])
            for form in (
                {},
                {"nonce": "made-up", "answer": solution("made-up")},
                {"nonce": str((await challenged(site))["nonce"]), "answer": "1"},
                {"nonce": str((await challenged(site))["nonce"]), "answer": "²"},
            ):
                assert await status(site, post, method="POST", data=form) == 403, form
            assert await status(site, post) == 405
            assert decided(site).count(("challenge_failed", "")) == 8

    run(scenario())


def test_what_looks_like_a_program_has_to_press(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(tmp_path, MANAGED) as site:
            for agent in ("curl/8.5.0", "Mozilla/5.0 HeadlessChrome/150.0", ""):
                headers = {"User-Agent": agent}
                puzzle = await challenged(site, headers=dict(headers))
                assert puzzle["interactive"] is True
                assert (await answer(site, puzzle, headers=dict(headers))).status == 403
                again = await challenged(site, headers=dict(headers))
                pressed = await answer(site, again, pressed="1", headers=dict(headers))
                assert pressed.status == 200
            assert (await challenged(site))["interactive"] is False

    run(scenario())


def test_passing_a_rate_limits_challenge_sets_its_counter_to_zero(tmp_path: Path) -> None:
    async def scenario() -> None:
        asks = limit("true", 3, 60, "managed_challenge")
        async with zone(tmp_path, asks, phase=RATE_LIMIT) as site:
            assert [await status(site) for _ in range(5)] == [204, 204, 204, 403, 403]
            headers = {"Cookie": await clearance(site, path="/")}
            answers = [await status(site, headers=dict(headers)) for _ in range(4)]
            assert answers == [204, 204, 204, 403], "whoever exceeds it again is asked again"

    run(scenario())


def test_under_attack_asks_everybody_and_the_other_levels_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(tmp_path) as site:
            for level in ("essentially_off", "low", "medium", "high"):
                setting(site, "security_level", level)
                assert await status(site) == 204, "cf.threat_score is not populated any more"
            setting(site, "security_level", "under_attack")
            assert await status(site) == 403
            cookie = await clearance(site, path="/")
            assert await status(site, headers={"Cookie": cookie}) == 204

    run(scenario())


@pytest.mark.parametrize(
    ("agent", "path", "settings", "refused"),
    [
        ("curl/8.5.0", "/", {"sbfmDefinitelyAutomated": "managed_challenge"}, True),
        ("", "/", {"sbfmDefinitelyAutomated": "block"}, True),
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1)",
            "/",
            {"sbfmDefinitelyAutomated": "block"},
            True,
        ),
        (BROWSER, "/", {"sbfmDefinitelyAutomated": "block"}, False),
        ("curl/8.5.0", "/", {"sbfmDefinitelyAutomated": "allow"}, False),
        ("curl/8.5.0", "/app.css", {"sbfmDefinitelyAutomated": "block"}, False),
        (
            "curl/8.5.0",
            "/app.css",
            {"sbfmDefinitelyAutomated": "block", "sbfmStaticResourceProtection": True},
            True,
        ),
        ("curl/8.5.0", "/", {"fightMode": True}, True),
        ("curl/8.5.0", "/", {"fightMode": False}, False),
    ],
)
def test_bot_settings(
    tmp_path: Path, agent: str, path: str, settings: dict[str, object], *, refused: bool
) -> None:
    async def scenario() -> None:
        async with zone(tmp_path) as site:
            bot_settings(site, **settings)
            answered = await status(site, path, headers={"User-Agent": agent})
            assert answered == (403 if refused else 204)

    run(scenario())


def test_verified_bots_are_known_by_address_and_fight_mode_cannot_be_skipped(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        skip = rule("true", "skip", parameters={"phases": ["http_request_sbfm"]})
        async with zone(tmp_path, skip) as site, visitor(site, "127.0.0.2") as crawler:
            site.edge.fields.visitors.assign(b'{"127.0.0.2": {"bot": true}}')
            curl = {"User-Agent": "curl/8.5.0"}
            bot_settings(site, fightMode=True)
            assert await status(site, headers=dict(curl)) == 403
            assert await status(site, headers=dict(curl), client=crawler) == 204
            put(site, "http_request_firewall_custom")
            bot_settings(site, sbfmVerifiedBots="block", sbfmDefinitelyAutomated="block")
            assert await status(site, headers=dict(curl), client=crawler) == 403
            assert decided(site)[-1] == ("block", "sbfm_verified_bots")

    run(scenario())


def test_bytes_that_are_no_text_break_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with zone(tmp_path, rule("true", "managed_challenge")) as site:
            for host in (b"pay", b"p\xffy"):
                request = b"GET /\xff?\xfe HTTP/1.1\r\nHost: " + host + b".payments.localhost\r\n"
                request += b"Cookie: cf_clearance=\xff.\xff\r\nUser-Agent: \xff\r\n"
                answered = await site.raw(request + b"Connection: close\r\n\r\n", whole=False)
                assert answered.split()[1] in (b"400", b"403"), answered
            assert await status(site) == 403
            page = site.url("/edge", "twin.localhost")
            async with site.client.get(page) as shown:
                assert shown.status == 200, await shown.text()

    run(scenario())

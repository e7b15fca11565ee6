"""The cache of a running edge: statuses, ages, conditions, ranges, purging, memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from components.edge import cache as program
from tests.twin.edge.delivery.origin import served
from tests.twin.edge.firewall.zone import put, rule, setting
from tests.twin.edge.harness import Site, run
from twin.edge.delivery.deployed import CACHE

KEEP = {"Cache-Control": "public, max-age=60", "ETag": '"v1"', "Content-Type": "text/css"}


async def get(
    site: Site, path: str = "/a.css", method: str = "GET", **headers: str
) -> tuple[str | None, aiohttp.ClientResponse, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with site.client.request(method, site.url(path), headers=named) as answer:
        return answer.headers.get("CF-Cache-Status"), answer, await answer.read()


async def status(site: Site, path: str = "/a.css", method: str = "GET", **headers: str) -> str:
    return str((await get(site, path, method, **headers))[0])


def keep(site: Site, expression: str = "true", **parameters: Any) -> None:
    put(site, CACHE, rule(expression, "set_cache_settings", parameters=parameters))


def test_a_file_is_fetched_once_then_served_with_its_age(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = KEEP
            first, answer, _ = await get(site)
            assert (first, "Age" in answer.headers) == ("MISS", False)
            site.edge.clock.advance(20)
            second, answer, body = await get(site)
            assert (second, answer.headers["Age"], body) == ("HIT", "20", origin.body)
            assert answer.headers["Content-Type"] == "text/css"
            assert answer.headers["Content-Length"] == "1000"
            assert len(origin.seen) == 1
            # The host's own clock does not count here, only the twin's.
            site.edge.clock.advance(41)
            assert await status(site) == "REVALIDATED"
            assert origin.seen[-1].headers["If-None-Match"] == '"v1"'
            third, answer, body = await get(site)
            assert (third, answer.headers["Age"], body) == ("HIT", "0", origin.body)
            origin.headers, origin.body = {**KEEP, "ETag": '"v2"'}, b"new"
            site.edge.clock.advance(61)
            assert (await get(site))[::2] == ("EXPIRED", b"new")
            assert (await get(site))[::2] == ("HIT", b"new")
            assert site.edge.delivery.cache.counts["HIT"] == 3

    run(scenario())


def test_pages_and_calls_are_dynamic_until_a_rule_keeps_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = KEEP
            assert [await status(site, "/page") for _ in range(2)] == ["DYNAMIC"] * 2
            assert await status(site, "/a.css", "POST") == "DYNAMIC"
            assert await status(site, "/robots.txt") == "MISS"
            keep(site, cache=True)
            assert [await status(site, "/page") for _ in range(2)] == ["MISS", "HIT"]
            keep(site, cache=False)
            assert await status(site, "/a.css") == "DYNAMIC"

    run(scenario())


def test_our_programs_rules_keep_hashed_files_and_nothing_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            names = {"edge_ttl": "edgeTtl", "browser_ttl": "browserTtl", "cache_key": "cacheKey"}
            inner = {"cache_deception_armor": "cacheDeceptionArmor"}
            made = []
            for each in program.rules():
                given = {names.get(k, k): v for k, v in each.parameters.items()}
                if "cacheKey" in given:
                    given["cacheKey"] = {inner[k]: v for k, v in given["cacheKey"].items()}
                made.append(rule(each.expression, each.action, ref=each.ref, parameters=given))
            put(site, CACHE, *made)
            year = "public, max-age=31536000, immutable"
            origin.headers = {"Cache-Control": year, "ETag": '"d"', "Content-Type": "text/css"}
            hashed = "/static/site.0123456789abcdef.css"
            assert await status(site, hashed) == "MISS"
            site.edge.clock.advance(364 * 86400)
            found, answer, _ = await get(site, hashed)
            assert found == "HIT"
            assert answer.headers["Cache-Control"] == year
            assert await status(site, "/logo.png") == "DYNAMIC"
            assert await status(site, "/api/v1/x.js") == "DYNAMIC"
            origin.headers = {"Cache-Control": "no-store"}
            assert [await status(site, "/static/old.css") for _ in range(2)] == ["BYPASS"] * 2

    run(scenario())


def test_conditions_are_answered_at_the_edge(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            modified = "Sat, 21 Nov 2026 04:00:00 GMT"
            origin.headers = {**KEEP, "Last-Modified": modified}
            found, answer, body = await get(site, If_None_Match='"v1"')
            assert (found, answer.status, body) == ("MISS", 304, b"")
            assert "If-None-Match" not in origin.seen[0].headers, "the cache wants the whole"
            for tag in ('"v1"', 'W/"v1"', '"x", "v1"', "*"):
                found, answer, _ = await get(site, If_None_Match=tag)
                assert (found, answer.status, answer.headers["ETag"]) == ("HIT", 304, '"v1"')
            assert (await get(site, If_None_Match='"x"'))[1].status == 200
            assert (await get(site, If_Modified_Since=modified))[1].status == 304
            before = "Sat, 21 Nov 2026 03:00:00 GMT"
            assert (await get(site, If_Modified_Since=before))[1].status == 200
            # A tag decides alone (RFC 9110, section 13.1.3).
            both = {"If_None_Match": '"x"', "If_Modified_Since": modified}
            assert (await get(site, **both))[1].status == 200
            assert len(origin.seen) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("wanted", "status_", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-20", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=3-1", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_parts_are_cut_from_the_kept_whole(
    tmp_path: Path, wanted: str, status_: int, body: bytes, content_range: str | None
) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers, origin.body = KEEP, b"0123456789"
            for expected in ("MISS", "HIT"):
                found, answer, got = await get(site, Range=wanted)
                assert (found, answer.status, got) == (expected, status_, body)
                assert answer.headers.get("Content-Range") == content_range
            assert "Range" not in origin.seen[0].headers
            assert (await get(site, Range="bytes=0-3", If_Range='"other"'))[1].status == 200
            assert len(origin.seen) == 1

    run(scenario())


def test_head_fills_the_cache_by_get_and_sends_no_body(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = KEEP
            for expected in ("MISS", "HIT"):
                found, answer, body = await get(site, method="HEAD")
                assert (found, body, answer.headers["Content-Length"]) == (expected, b"", "1000")
            assert [each.method for each in origin.seen] == ["GET"]
            assert await status(site) == "HIT"

    run(scenario())


def test_what_may_not_be_kept_passes_whole_every_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = {"Cache-Control": "private, max-age=60", "ETag": '"p"'}
            for _ in range(2):
                found, answer, body = await get(site)
                assert (found, body) == ("BYPASS", origin.body)
                assert answer.headers["Cache-Control"] == "private, max-age=60"
            assert (await get(site, If_None_Match='"p"'))[1].status == 304
            found, answer, body = await get(site, method="HEAD")
            assert (found, body, answer.headers["Content-Length"]) == ("BYPASS", b"", "1000")
            origin.headers = {**KEEP, "Cache-Control": "max-age=60"}
            assert await status(site, Authorization="Bearer x") == "BYPASS"
            assert await status(site, "/b.css", Authorization="Bearer x") == "BYPASS"
            assert len(origin.seen) == 6

    run(scenario())


def test_many_who_ask_at_once_cost_the_origin_one_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            release = asyncio.Event()

            async def slow(request: web.BaseRequest) -> web.StreamResponse:
                origin.seen.append(request)
                await release.wait()
                return web.Response(headers=origin.headers, body=b"slow")

            await site.origin(slow)
            origin.headers = KEEP
            asked = [asyncio.create_task(get(site)) for _ in range(20)]
            while not origin.seen:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            release.set()
            found = [await each for each in asked]
            assert sorted(str(each[0]) for each in found) == ["HIT"] * 19 + ["MISS"]
            assert {each[2] for each in found} == {b"slow"}
            assert len(origin.seen) == 1
            # What turns out not to be for sharing is asked for by everybody, at the same time.
            release.clear()
            origin.headers = {"Set-Cookie": "session=1"}
            asked = [asyncio.create_task(get(site, "/own.css")) for _ in range(5)]
            await asyncio.sleep(0.1)
            release.set()
            found = [await each for each in asked]
            assert {each[0] for each in found} == {"BYPASS"}
            assert len(origin.seen) == 6

    run(scenario())


def test_keys_tell_apart_what_origins_tell_apart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = KEEP
            assert await status(site, "/a.css?v=1") == "MISS"
            assert await status(site, "/a.css?v=2") == "MISS"
            assert await status(site, "/a.css?v=1", Origin="https://else.example") == "MISS"
            assert await status(site, "/a.css?v=1", X_Forwarded_Host="evil.example") == "MISS"
            assert await status(site, "/a.css?v=1", Accept_Encoding="br") == "HIT"
            assert await status(site, "/a.css?v=1", Cookie="a=1") == "HIT"
            query = {"queryString": {"exclude": {"lists": ["utm"]}}}
            keep(
                site,
                cache=True,
                cacheKey={"customKey": query, "ignoreQueryStringsOrder": True},
            )
            assert await status(site, "/p?b=2&utm=x&a=1") == "MISS"
            assert await status(site, "/p?a=1&b=2&utm=y") == "HIT"
            keep(
                site,
                cache=True,
                cacheKey={"customKey": {"queryString": {"exclude": {"all": True}}}},
            )
            assert await status(site, "/q?x=1") == "MISS"
            assert await status(site, "/q?x=2") == "HIT"

    run(scenario())


def test_encoded_replies_are_kept_by_what_visitors_accept(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = {**KEEP, "Vary": "Accept-Encoding", "Content-Encoding": "gzip"}
            assert await status(site, Accept_Encoding="gzip, br") == "MISS"
            assert await status(site, Accept_Encoding="br, gzip") == "HIT"
            origin.headers = {**KEEP, "Vary": "Accept-Encoding"}
            assert await status(site, Accept_Encoding="identity") == "MISS", "cannot read gzip"

    run(scenario())


def test_a_failing_origin_is_stood_in_for_as_long_as_it_allowed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = {"Cache-Control": "max-age=60, stale-if-error=100"}
            assert await status(site) == "MISS"
            site.edge.clock.advance(90)
            origin.status = 503
            found, answer, body = await get(site)
            assert (found, answer.status, body) == ("STALE", 200, origin.body)
            assert answer.headers["Age"] == "90"
            site.edge.clock.advance(100)
            assert (await get(site))[1].status == 503

    run(scenario())


def test_development_mode_goes_around_the_cache(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = KEEP
            await status(site)
            setting(site, "development_mode", "on")
            assert await status(site) == "BYPASS"
            setting(site, "development_mode", "off")
            assert await status(site) == "HIT", "nothing was purged"

    run(scenario())

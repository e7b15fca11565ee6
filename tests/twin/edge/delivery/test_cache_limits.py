"""What the cache gives up: purges, what is too large, what broke off, what was not used."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict

from tests.twin.edge.delivery.origin import served
from tests.twin.edge.delivery.test_cache import KEEP, get, status
from tests.twin.edge.harness import SITE, run
from twin.edge.delivery.shelf import LARGEST, Kept, Shelf


def test_purging_takes_out_what_it_names(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = KEEP
            cache = site.edge.delivery.cache

            async def fill() -> None:
                cache.purge(everything=True)
                for path in ("/a.css", "/b.css", "/static/c.css?v=1"):
                    assert await status(site, path) == "MISS"

            await fill()
            assert cache.purge(files=[f"https://{SITE}/a.css"]) == 1
            assert [await status(site, path) for path in ("/a.css", "/b.css")] == ["MISS", "HIT"]
            await fill()
            assert cache.purge(prefixes=[f"{SITE}/static/"]) == 1
            assert cache.purge(zone="another", everything=True) == 0
            assert cache.purge(hosts=[SITE]) == 2
            assert len(cache.shelf) == 0
            assert cache.shelf.bytes == 0

    run(scenario())


def test_the_twins_door_purges_and_tells_what_the_cache_holds(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = KEEP
            assert [await status(site) for _ in range(2)] == ["MISS", "HIT"]
            door = site.url("/api/edge/purge", "twin.localhost")
            for wrong, why in (
                ({}, "give one of"),
                ({"purge_everything": True, "hosts": [SITE]}, "give one of"),
                ({"tags": ["x"]}, "tags: Extra inputs"),
            ):
                async with site.client.post(door, json=wrong) as answer:
                    assert answer.status == 400
                    assert why in (await answer.json())["error"]
            evil = {"Origin": "https://evil.example"}
            everything = {"purge_everything": True}
            async with site.client.post(door, json=everything, headers=evil) as answer:
                assert answer.status == 403
            about = site.url("/api/edge/cache", "twin.localhost")
            async with site.client.get(about) as answer:
                told = await answer.json()
                assert told["entries"] == 1
                assert told["requests"] == {"MISS": 1, "HIT": 1}
            async with site.client.post(door, json={"hosts": [SITE]}) as answer:
                assert await answer.json() == {"purged": 1}
            assert await status(site) == "MISS"

    run(scenario())


def test_what_is_too_large_goes_through_as_it_comes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = KEEP
            origin.body = b"x" * (LARGEST + 1)
            assert [await status(site, "/big.css") for _ in range(2)] == ["MISS", "MISS"]

            async def unannounced(request: web.BaseRequest) -> web.StreamResponse:
                response = web.StreamResponse(headers=KEEP)
                await response.prepare(request)
                for _ in range(LARGEST // 65536 + 2):
                    await response.write(b"y" * 65536)
                return response

            await site.origin(unannounced)
            for _ in range(2):
                found, _, body = await get(site, "/endless.css")
                assert (found, len(body)) == ("MISS", (LARGEST // 65536 + 2) * 65536)

    run(scenario())


def test_a_broken_transfer_is_not_kept_and_shows(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, _):

            async def breaks(request: web.BaseRequest) -> web.StreamResponse:
                response = web.StreamResponse(headers={**KEEP, "Content-Length": "1000"})
                await response.prepare(request)
                await response.write(b"x" * 10)
                assert request.transport is not None
                request.transport.abort()
                return response

            await site.origin(breaks)
            with pytest.raises(aiohttp.ClientPayloadError):
                await get(site)
            assert len(site.edge.delivery.cache.shelf) == 0

    run(scenario())


def kept(size: int) -> Kept:
    return Kept(
        status=200,
        reason=None,
        headers=CIMultiDict(),
        body=b"x" * size,
        stored=0,
        fresh_until=0,
        may_be_stale=0,
        zone="",
        host="",
        url="",
        varies=False,
    )


def test_the_shelf_is_bounded_and_drops_what_was_not_used() -> None:
    shelf = Shelf(most_bytes=10_000, most_entries=4)
    for name in "abcd":
        shelf.put((name,), kept(10))
    assert shelf.get(("a",)) is not None
    shelf.put(("e",), kept(10))
    assert [name for name in "abcde" if shelf.get((name,))] == ["a", "c", "d", "e"]
    shelf.put(("f",), kept(8000))
    assert [name for name in "abcdef" if shelf.get((name,))] == ["f"]
    shelf.put(("f",), kept(1))
    shelf.put(("g",), kept(20_000))
    assert len(shelf) == 0, "what is larger than the shelf takes all out, itself too"
    assert shelf.bytes == 0

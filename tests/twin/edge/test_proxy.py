"""What the edge does to requests and replies on their way."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from aiohttp import web

from tests.twin.edge.harness import SITE, TUNNEL_ID, Site, deploy, run, running
from twin.edge import stages
from twin.edge.routes import CONFIG, RECORD


async def mirror(request: web.BaseRequest) -> web.StreamResponse:
    """Say what arrived."""
    headers = [[name, value] for name, value in request.headers.items()]
    return web.json_response({"path": request.raw_path, "headers": headers})


def arrived(body: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in json.loads(body)["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


def test_the_origin_is_told_who_asks_and_lies_about_it_are_dropped(tmp_path: Path) -> None:
    lies = {
        "CF-Connecting-IP": "6.6.6.6",
        "cf-ipcountry": "KP",
        "CF-Ray": "spoofed",
        "CF-Visitor": '{"scheme":"gopher"}',
        "Cf-Access-Jwt-Assertion": "forged",
        "Cf-Access-Authenticated-User-Email": "root@example.com",
        "X-Forwarded-Proto": "http",
        "CDN-Loop": "cloudflare; loops=9, other",
        "X-Forwarded-For": "6.6.6.6",
    }

    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(mirror)
            await site.connector()
            async with site.client.get(site.url(), headers=lies) as answer:
                headers = arrived(await answer.read())
                ray = answer.headers["CF-RAY"]
            assert headers["cf-connecting-ip"] == ["127.0.0.1"]
            assert headers["cf-ipcountry"] == ["XX"]
            assert headers["cf-ray"] == [ray]
            assert headers["cf-visitor"] == ['{"scheme":"https"}']
            assert headers["x-forwarded-proto"] == ["https"]
            assert headers["cdn-loop"] == ["other, cloudflare; loops=1"]
            assert not [name for name in headers if name.startswith("cf-access")], (
                "an identity that Access did not assert must not reach the origin"
            )
            # Appended to, as the real edge does: the last one is the only one to believe.
            assert headers["x-forwarded-for"] == ["6.6.6.6,127.0.0.1"]
            assert headers["host"] == [f"{SITE}:{site.edge.port}"]

    run(scenario())


def test_hop_by_hop_headers_end_at_the_edge(tmp_path: Path) -> None:
    async def origin(request: web.BaseRequest) -> web.StreamResponse:
        if "keep-alive, x-secret-hop" in str(request.headers).lower():
            return web.Response(status=500)
        response = await mirror(request)
        response.headers["Connection"] = "close, X-Inner"
        response.headers["X-Inner"] = "1"
        response.headers["Keep-Alive"] = "timeout=5"
        response.headers["Proxy-Authenticate"] = "Basic"
        return response

    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(origin)
            await site.connector()
            sent = {"Connection": "keep-alive, X-Secret-Hop", "X-Secret-Hop": "1", "TE": "gzip"}
            async with site.client.get(site.url(), headers=sent) as answer:
                headers = arrived(await answer.read())
                assert "x-secret-hop" not in headers
                assert "te" not in headers
                for name in ("X-Inner", "Keep-Alive", "Proxy-Authenticate"):
                    assert name not in answer.headers

    run(scenario())


@pytest.mark.parametrize(
    "target",
    [
        "//api/admin",
        "/a/%2e%2e/b",
        "/a/../b",
        "/%2Fapi",
        "/API/Admin",
        "/x?q=%2F+%20&&=",
        "/%zz;p",
    ],
)
def test_the_path_arrives_byte_for_byte(tmp_path: Path, target: str) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(mirror)
            await site.connector()
            request = f"GET {target} HTTP/1.1\r\nHost: {SITE}\r\nConnection: close\r\n\r\n"
            answer = await site.raw(request.encode())
            body = answer.partition(b"\r\n\r\n")[2]
            assert json.loads(body)["path"] == target, "path rules are worth nothing otherwise"

    run(scenario())


def test_replies_without_a_body_and_encoded_ones_pass_unchanged(tmp_path: Path) -> None:
    packed = gzip.compress(b"hello" * 100)

    async def origin(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/304":
            return web.Response(status=304, headers={"ETag": '"1"'})
        if request.path == "/204":
            return web.Response(status=204)
        if request.path == "/teapot":
            return web.Response(status=418, reason="I am a teapot")
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
        response = web.Response(body=packed, headers=headers)
        response.headers.add("Set-Cookie", "a=1")
        response.headers.add("Set-Cookie", "b=2")
        return response

    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(origin)
            await site.connector()
            async with site.client.get(site.url()) as answer:
                assert await answer.read() == packed
                assert answer.headers["Content-Encoding"] == "gzip"
                assert answer.headers["Content-Length"] == str(len(packed))
                assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
                assert answer.headers["Server"] == "cloudflare"
            async with site.client.head(site.url()) as answer:
                assert answer.headers["Content-Length"] == str(len(packed))
                assert await answer.read() == b""
            for path, status in (("/304", 304), ("/204", 204)):
                async with site.client.get(site.url(path)) as answer:
                    assert answer.status == status
                    assert await answer.read() == b""
            async with site.client.get(site.url("/teapot")) as answer:
                assert (answer.status, answer.reason) == (418, "I am a teapot")

    run(scenario())


def test_pieces_pass_as_they_come_and_a_break_shows(tmp_path: Path) -> None:
    async def scenario() -> None:
        go_on = asyncio.Event()

        async def origin(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"first")
            await go_on.wait()
            await response.write(b"second")
            if request.path == "/breaks":
                assert request.transport is not None
                request.transport.abort()
            return response

        async with running(tmp_path) as site:
            await site.origin(origin)
            await site.connector()
            async with site.client.get(site.url()) as answer:
                assert await answer.content.readany() == b"first", "server-sent events depend on it"
                go_on.set()
                assert await answer.content.read() == b"second"
            answer_bytes = await site.raw(f"GET /breaks HTTP/1.1\r\nHost: {SITE}\r\n\r\n".encode())
            assert b"first" in answer_bytes
            assert not answer_bytes.endswith(b"0\r\n\r\n"), "half a reply must not look whole"

    run(scenario())


def test_expect_continue_is_answered_so_that_the_body_comes(tmp_path: Path) -> None:
    async def origin(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=(await request.content.read()).decode())

    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(origin)
            await site.connector()
            async with site.client.post(site.url(), data=b"waited", expect100=True) as answer:
                assert await answer.text() == "waited"

    run(scenario())


def test_each_way_of_not_reaching_an_origin_has_its_own_page(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path, origin_timeout=0.3) as site:
            assert await _code(site, SITE) == (530, "1016"), "no record"
            deploy(site.store, [{"service": "http://127.0.0.1:1"}])
            assert await _code(site, SITE) == (530, "1033"), "no connector"
            await site.connector()
            assert await _code(site, SITE) == (502, "502"), "nobody listens"
            deploy(site.store, [{"service": "http_status:404"}])
            async with site.client.get(site.url()) as answer:
                assert answer.status == 404
            site.store.remove(CONFIG, TUNNEL_ID)
            async with site.client.get(site.url()) as answer:
                assert answer.status == 503, "a connector without rules answers 503"

            async def silent(request: web.BaseRequest) -> web.StreamResponse:
                await asyncio.sleep(2)
                return web.Response()

            await site.origin(silent)
            assert await _code(site, SITE) == (524, "524"), "no answer in time"

            async def hangs_up(request: web.BaseRequest) -> web.StreamResponse:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()

            await site.origin(hangs_up)
            assert await _code(site, SITE) == (502, "502"), "no answer at all"
            site.store.remove(RECORD, "r1")
            assert await _code(site, SITE) == (530, "1016"), "records count as soon as they change"

    run(scenario())


def test_a_new_configuration_counts_for_the_next_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            first = await site.origin(lambda request: _say("old"))
            await site.connector()
            await site.origin(lambda request: _say("new"))
            async with site.client.get(site.url()) as answer:
                assert await answer.text() == "new"
            rules = [
                {"hostname": SITE, "path": "^/old", "service": f"http://127.0.0.1:{first}"},
                {"service": "http_status:410"},
            ]
            deploy(site.store, rules)
            async with site.client.get(site.url("/old/page")) as answer:
                assert await answer.text() == "old"
            async with site.client.get(site.url("/elsewhere")) as answer:
                assert answer.status == 410

    run(scenario())


def test_bodies_above_the_plans_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stages.BODY_LIMITS, "pro", 1000)

    async def origin(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=str(len(await request.content.read())))

    async def pieces(count: int) -> object:
        for _ in range(count):
            yield b"x" * 100

    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(origin)
            await site.connector()
            for body in (b"x" * 1000, pieces(10)):
                async with site.client.post(site.url(), data=body) as answer:
                    assert (answer.status, await answer.text()) == (200, "1000")
            for body in (b"x" * 1001, pieces(11)):
                async with site.client.post(site.url(), data=body) as answer:
                    assert answer.status == 413
            announced = f"POST / HTTP/1.1\r\nHost: {SITE}\r\nContent-Length: 1001\r\n\r\n"
            async with asyncio.timeout(2):  # not a byte of the body has to come
                assert b" 413 " in await site.raw(announced.encode(), whole=False)

    run(scenario())


def test_keep_alive_holds_over_many_requests(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(mirror)
            await site.connector()
            one = f"GET /1 HTTP/1.1\r\nHost: {SITE}\r\n\r\n"
            last = f"GET /2 HTTP/1.1\r\nHost: {SITE}\r\nConnection: close\r\n\r\n"
            answers = await site.raw((one * 5 + last).encode())
            assert answers.count(b"HTTP/1.1 200 OK") == 6

    run(scenario())


async def _say(text: str) -> web.StreamResponse:
    return web.Response(text=text)


async def _code(site: Site, host: str) -> tuple[int, str]:
    async with site.client.get(site.url(host=host)) as answer:
        text = await answer.text()
        return answer.status, text.partition("<h1>Error ")[2].partition(" ")[0]

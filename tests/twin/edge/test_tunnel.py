"""The tunnel, with the real connector as a process of its own."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import signal
import ssl
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.twin.edge.harness import TUNNEL_ID, Connector, Site, eventually, run, running, token
from twin.edge.connector.agent import SERVER_NAME
from twin.edge.connector.wire import Kind, Link
from twin.edge.tunnel import TUNNEL

MIB = 1024 * 1024


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    body = await request.content.read()
    return web.json_response(
        {
            "method": request.method,
            "path": request.raw_path,
            "sha": hashlib.sha256(body).hexdigest(),
        }
    )


def test_a_request_reaches_the_origin_and_its_answer_comes_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(echo)
            await site.connector()
            async with site.client.post(site.url("/orders?a=1"), data=b"x") as answer:
                told = await answer.json()
                assert answer.status == 200
            assert told["method"] == "POST"
            assert told["path"] == "/orders?a=1"
            assert told["sha"] == hashlib.sha256(b"x").hexdigest()

    run(scenario())


def test_many_requests_run_at_once_over_one_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        everyone = asyncio.Event()
        seen = 0

        async def together(request: web.BaseRequest) -> web.StreamResponse:
            nonlocal seen
            seen += 1
            if seen == 100:
                everyone.set()
            await everyone.wait()  # none is answered before all have come
            return web.Response(text=request.path)

        async with running(tmp_path) as site:
            await site.origin(together)
            await site.connector(n=1)

            async def one(number: int) -> str:
                async with site.client.get(site.url(f"/{number}")) as answer:
                    return await answer.text()

            answers = await asyncio.gather(*(one(number) for number in range(100)))
            assert answers == [f"/{number}" for number in range(100)], "streams must not mix"

    run(scenario())


def test_large_bodies_pass_whole_in_both_directions(tmp_path: Path) -> None:
    size = 24 * MIB
    block = bytes(range(256)) * 256
    wanted = hashlib.sha256(block * (size // len(block))).hexdigest()

    async def upload() -> object:
        for _ in range(size // len(block)):
            yield block

    async def origin(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            digest = hashlib.sha256()
            async for piece in request.content.iter_any():
                digest.update(piece)
            return web.Response(text=digest.hexdigest())
        response = web.StreamResponse(headers={"Content-Length": str(size)})
        await response.prepare(request)
        for _ in range(size // len(block)):
            await response.write(block)
        return response

    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(origin)
            await site.connector()
            async with site.client.post(site.url(), data=upload()) as answer:
                assert await answer.text() == wanted
            digest = hashlib.sha256()
            async with site.client.get(site.url()) as answer:
                async for piece in answer.content.iter_any():
                    digest.update(piece)
            assert digest.hexdigest() == wanted

    run(scenario())


def test_a_reader_that_stalls_holds_up_nobody_else_and_fills_no_memory(tmp_path: Path) -> None:
    async def scenario() -> None:
        written = 0

        async def origin(request: web.BaseRequest) -> web.StreamResponse:
            nonlocal written
            if request.path == "/quick":
                return web.Response(text="quick")
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(2000):
                await response.write(b"x" * 65536)
                written += 65536
            return response

        async with running(tmp_path) as site:
            await site.origin(origin)
            await site.connector(n=1)
            stalled = await site.client.get(site.url("/endless"))
            await asyncio.sleep(0.5)
            before = written
            for _ in range(20):
                async with site.client.get(site.url("/quick")) as answer:
                    assert await answer.text() == "quick"
            await asyncio.sleep(0.3)
            assert written - before < 2 * MIB, "an unread download must stop, not be buffered"
            assert written < 32 * MIB
            stalled.close()

    run(scenario())


def test_websockets_carry_text_bytes_and_the_close_code(tmp_path: Path) -> None:
    async def origin(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=["chat"])
        await socket.prepare(request)
        async for message in socket:
            if message.data == "bye":
                await socket.close(code=4001, message=b"so long")
            elif message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data + "!")
            else:
                await socket.send_bytes(message.data[::-1])
        return socket

    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(origin)
            await site.connector()
            async with site.client.ws_connect(site.url("/live"), protocols=["chat"]) as socket:
                assert socket.protocol == "chat"
                await socket.send_str("hello")
                assert (await socket.receive()).data == "hello!"
                await socket.send_bytes(b"\x00\x01" * 50_000)
                assert (await socket.receive()).data == b"\x01\x00" * 50_000
                await socket.send_str("bye")
                closing = await socket.receive()
                assert closing.type is aiohttp.WSMsgType.CLOSE
                assert (closing.data, closing.extra) == (4001, "so long")

    run(scenario())


def test_a_refused_websocket_gets_the_origins_status(tmp_path: Path) -> None:
    async def origin(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=401, headers={"X-Why": "log in"})

    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(origin)
            await site.connector()
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await site.client.ws_connect(site.url("/live"))
            assert refusal.value.status == 401
            assert refusal.value.headers is not None
            assert refusal.value.headers["X-Why"] == "log in"

    run(scenario())


def test_a_killed_connector_is_gone_at_once_and_its_successor_serves(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(echo)
            first = await site.connector()
            first.process.kill()

            async def unserved() -> bool:
                async with site.client.get(site.url()) as answer:
                    return answer.status == 530 and "1033" in await answer.text()

            await eventually(unserved, "a dead connector must not be counted on")
            await site.connector()
            async with site.client.get(site.url()) as answer:
                assert answer.status == 200

    run(scenario())


def test_a_connector_comes_back_by_itself_when_the_edge_was_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(echo)
            connector = await site.connector()
            for link in list(site.edge.tunnels._open):
                link.close()

            async def serves() -> bool:
                async with site.client.get(site.url()) as answer:
                    return answer.status == 200

            await eventually(serves, "the connector must dial again")
            assert connector.process.returncode is None

    run(scenario())


def test_of_two_connectors_one_may_die_without_a_failed_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(echo)
            first, _ = await site.connector(), await site.connector()
            assert len(site.edge.tunnels.connectors(TUNNEL_ID)) == 2
            statuses = []

            async def load() -> None:
                for _ in range(60):
                    async with site.client.post(site.url(), data=b"x") as answer:
                        statuses.append(answer.status)
                    await asyncio.sleep(0.005)

            running_load = asyncio.create_task(load())
            await asyncio.sleep(0.15)
            first.process.send_signal(signal.SIGTERM)
            await running_load
            assert await first.process.wait() == 0
            assert statuses == [200] * 60, "a connector that is asked to end must fail nothing"

    run(scenario())


def test_a_connector_that_is_asked_to_end_first_finishes_what_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        begun = asyncio.Event()

        async def slow(request: web.BaseRequest) -> web.StreamResponse:
            begun.set()
            await asyncio.sleep(0.6)
            return web.Response(text="done")

        async with running(tmp_path) as site:
            await site.origin(slow)
            connector = await site.connector()
            asked = asyncio.create_task(_text(site, "/slow"))
            await begun.wait()
            connector.process.send_signal(signal.SIGTERM)
            assert await asked == (200, "done")
            assert await connector.process.wait() == 0
            assert (await _text(site, "/"))[0] == 530

    run(scenario())


def test_a_connector_that_drains_gets_nothing_new(tmp_path: Path) -> None:
    async def scenario() -> None:
        begun, finish = asyncio.Event(), asyncio.Event()

        async def origin(request: web.BaseRequest) -> web.StreamResponse:
            if request.path == "/slow":
                begun.set()
                await finish.wait()
            return web.Response(text="done")

        async with running(tmp_path) as site:
            await site.origin(origin)
            first = await site.connector()
            asked = asyncio.create_task(_text(site, "/slow"))
            await begun.wait()
            await site.connector()
            first.process.send_signal(signal.SIGTERM)
            await eventually(lambda: _is_not_ready(first), "it must say that it ends")
            before = await first.requests()
            for _ in range(20):
                assert await _text(site, "/") == (200, "done")
            assert await first.requests() == before
            finish.set()
            assert await asked == (200, "done")

    run(scenario())


def test_a_wrong_secret_is_refused_and_the_process_says_why(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(echo)
            wrong = await site.connector(token(secret="d3Jvbmc="), ready=False)
            code, told = await wrong.ended()
            assert code == 1
            assert "Invalid tunnel secret" in told
            unknown = await site.connector(token(tunnel="0" * 36), ready=False)
            code, told = await unknown.ended()
            assert code == 1
            assert "Tunnel not found" in told
            assert site.edge.tunnels.connectors(TUNNEL_ID) == []

    run(scenario())


def test_deleting_the_tunnel_ends_its_connectors(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(echo)
            await site.connector()
            site.store.remove(TUNNEL, TUNNEL_ID)

            async def gone() -> bool:
                return site.edge.tunnels.connectors(TUNNEL_ID) == []

            await eventually(gone, "a deleted tunnel must carry nothing")

    run(scenario())


class Mute(Link):
    """A connector that says who it is, and then nothing that is not asked for by a test."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: asyncio.Queue[tuple[Kind, int, bytes]] = asyncio.Queue()

    def on_frame(self, kind: Kind, stream: int, payload: bytes) -> None:
        self.frames.put_nowait((kind, stream, payload))

    def on_lost(self) -> None:
        pass


async def _mute(site: Site) -> Mute:
    tls = ssl.create_default_context(cafile=str(site.home / "ca.pem"))
    _, link = await asyncio.get_running_loop().create_connection(
        Mute, "127.0.0.1", site.relay_port, ssl=tls, server_hostname=SERVER_NAME
    )
    link.send_json(Kind.HELLO, {"token": token(), "connector": "mute", "index": 0, "version": "1"})
    assert (await link.frames.get())[0] is Kind.WELCOME
    return link


def test_only_what_may_be_sent_twice_goes_off_before_the_origin_is_reached(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            await site.origin(echo)
            link = await _mute(site)
            refused = {"reason": "nobody listens", "errno": errno.ECONNREFUSED}
            for method, early in (("GET", True), ("HEAD", True), ("POST", False), ("PUT", False)):
                asked = asyncio.create_task(site.client.request(method, site.url("/")))
                kind, stream, _ = await link.frames.get()
                assert kind is Kind.OPEN
                if early:
                    kind, of, payload = await link.frames.get()
                    assert (kind, of) == (Kind.DATA, stream)
                    assert payload.startswith(f"{method} / HTTP/1.1".encode())
                assert link.frames.empty(), "nothing may be said before the origin is reached"
                link.send_json(Kind.RESET, refused, stream)
                answer = await asked
                assert answer.status == 502
                assert link.frames.empty(), "a refusal is not tried again"
            link.close()

    run(scenario())


async def _is_not_ready(connector: Connector) -> bool:
    return not await connector.ready()


async def _text(site: Site, path: str) -> tuple[int, str]:
    async with site.client.get(site.url(path)) as answer:
        return answer.status, await answer.text()

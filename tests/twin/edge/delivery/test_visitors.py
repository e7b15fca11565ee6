"""Whose request it is: the relay says so on its socket, nobody can on the port."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from pathlib import Path

import pytest

from tests.twin.edge.delivery.origin import headers_of, served
from tests.twin.edge.firewall.zone import setting, visitor
from tests.twin.edge.harness import SITE, Site, proxy_header, run, running

REQUEST = f"GET / HTTP/1.1\r\nHost: {SITE}\r\nConnection: close\r\n\r\n".encode()


async def by_relay(site: Site, address: str, request: bytes = REQUEST) -> bytes:
    tls = ssl.create_default_context(cafile=str(site.home / "ca.pem"))
    reader, writer = await asyncio.open_connection(
        sock=await site.relayed(address), ssl=tls, server_hostname=SITE
    )
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("address", "country"),
    [("203.0.113.8", "IN"), ("2001:db8::7", "NL"), ("10.1.2.3", "XX")],
)
def test_a_visitor_by_the_relay_is_known_by_the_own_address(
    tmp_path: Path, address: str, country: str
) -> None:
    async def scenario() -> None:
        async with served(tmp_path, mirrors=True) as (site, _):
            headers = headers_of(await by_relay(site, address))
            assert headers["cf-connecting-ip"] == address
            assert headers["x-forwarded-for"] == address
            assert headers["cf-ipcountry"] == country
            assert headers["cdn-loop"] == "cloudflare; loops=1"
            assert headers["cf-visitor"] == '{"scheme":"https"}'
            setting(site, "ip_geolocation", "off")
            assert "cf-ipcountry" not in headers_of(await by_relay(site, address))

    run(scenario())


def test_the_relays_socket_takes_nothing_without_an_address(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            broken = proxy_header("203.0.113.8").replace(b"QUIT", b"QUIX")
            unknown = b"\r\n\r\n\0\r\nQUIT\n\x21\x31\x00\x00"  # a unix socket's address
            for opening in (REQUEST, broken + REQUEST, unknown + REQUEST):
                reader, writer = await asyncio.open_unix_connection(str(site.run_dir / "edge.sock"))
                writer.write(opening)
                try:
                    answer = await reader.read()
                except ConnectionResetError:
                    answer = b""
                assert answer == b"", "a visitor without an address would escape every limit"
                writer.close()

    run(scenario())


def test_nobody_gets_another_address_by_a_proxy_header_on_the_port(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, mirrors=True) as (site, origin):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.edge.port)
            writer.write(proxy_header("203.0.113.8") + REQUEST)
            assert (await reader.read()).startswith(b"HTTP/1.0 400")
            assert not origin.seen
            writer.close()

    run(scenario())


def test_on_the_laptop_clients_can_choose_among_loopback_addresses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            served(tmp_path, mirrors=True) as (site, _),
            visitor(site, "127.0.0.2") as client,
            client.get(site.url()) as answer,
        ):
            assert headers_of(await answer.read())["cf-connecting-ip"] == "127.0.0.2"

    run(scenario())


def test_a_header_in_pieces_is_read_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, mirrors=True) as (site, _):
            setting(site, "always_use_https", "off")
            loop = asyncio.get_running_loop()
            with socket.socket(socket.AF_UNIX) as connection:
                connection.setblocking(False)
                await loop.sock_connect(connection, str(site.run_dir / "edge.sock"))
                header = proxy_header("203.0.113.9")
                for byte in header:
                    await loop.sock_sendall(connection, bytes([byte]))
                    await asyncio.sleep(0)
                await loop.sock_sendall(connection, REQUEST)
                answer = b""
                while piece := await loop.sock_recv(connection, 65536):
                    answer += piece
            body = answer.partition(b"\r\n\r\n")[2]
            assert json.loads(body)["path"] == "/"
            headers = headers_of(body)
            assert headers["cf-connecting-ip"] == "203.0.113.9"
            assert headers["cf-visitor"] == '{"scheme":"http"}'
            assert headers["x-forwarded-proto"] == "http"

    run(scenario())

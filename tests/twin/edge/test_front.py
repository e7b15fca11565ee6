"""The front's sockets: certificates, redirects, foreign names, a taken port."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from tests.twin.edge.harness import SITE, free_port, run, running
from twin.edge.listener import PortTaken
from twin.edge.server import Edge
from twin.store import Store


async def handshake(home: Path, port: int, name: str | None) -> dict[str, object]:
    """Return the certificate that a client verified for a name."""
    context = ssl.create_default_context(cafile=str(home / "ca.pem"))
    context.check_hostname = name is not None
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name or ""
    )
    certificate = writer.get_extra_info("peercert")
    writer.close()
    return dict(certificate)


@pytest.mark.parametrize(
    "name",
    [
        SITE,
        "payments.localhost",
        "twin.localhost",
        "checkout.stripe.localhost",
        "api.stripe.test",
        "checkout.razorpay.localhost",
        "api.razorpay.test",
        "www.paypal.localhost",
        "api-m.paypal.test",
        "pay.cryptomus.localhost",
        "api.cryptomus.test",
    ],
)
def test_every_served_name_has_a_certificate_that_verifies(tmp_path: Path, name: str) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            await handshake(tmp_path, site.edge.port, name)

    run(scenario())


def test_names_that_are_not_served_get_no_certificate(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            for name in ("example.com", "a.b.payments.localhost"):
                # asyncio drops the connection before the TLS alert is on its way.
                with pytest.raises((ssl.SSLError, ConnectionResetError)):
                    await handshake(tmp_path, site.edge.port, name)

    run(scenario())


def test_old_tls_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname = False
            old.verify_mode = ssl.CERT_NONE
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                old.minimum_version = ssl.TLSVersion.TLSv1
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            old.set_ciphers("DEFAULT:@SECLEVEL=0")
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await asyncio.open_connection("127.0.0.1", site.edge.port, ssl=old)

    run(scenario())


def test_the_twins_own_names_lead_to_https_with_path_and_method_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            url = f"http://twin.localhost:{site.edge.port}/pay?x=%2F"
            exact = URL(url, encoded=True)
            async with site.client.post(exact, data=b"1", allow_redirects=False) as answer:
                assert answer.status == 308
                assert answer.headers["Location"] == url.replace("http:", "https:")
            foreign = f"http://evil.example:{site.edge.port}/"
            async with site.client.get(foreign, allow_redirects=False) as answer:
                assert answer.status == 404
                assert "Location" not in answer.headers

    run(scenario())


def test_a_foreign_name_that_points_here_reaches_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        reached = False

        async def origin(request: web.BaseRequest) -> web.StreamResponse:
            nonlocal reached
            reached = True
            return web.Response()

        async with running(tmp_path) as site:
            await site.origin(origin)
            await site.connector()
            for host in ("evil.example", "127.0.0.1", f"{SITE}.evil.example", "", "localhost"):
                request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                answer = await site.raw(request.encode())
                assert answer.startswith(b"HTTP/1.1 404"), host
                assert b"1001" in answer
            absolute = f"GET http://{SITE}/ HTTP/1.1\r\nHost: {SITE}\r\nConnection: close\r\n\r\n"
            assert (await site.raw(absolute.encode())).startswith(b"HTTP/1.1 400")
            assert not reached, "DNS rebinding must end at the front"

    run(scenario())


def test_a_taken_port_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            port = holder.getsockname()[1]
            with pytest.raises(PortTaken, match=rf"Port {port} on 127.0.0.1 is taken by .*PORT="):
                async with running(tmp_path, port=port):
                    pass

    run(scenario())


def test_the_relays_socket_serves_the_same(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
            relay = await site.relayed("203.0.113.8")
            reader, writer = await asyncio.open_connection(
                sock=relay, ssl=context, server_hostname="api.stripe.test"
            )
            writer.write(b"GET /v1/balance HTTP/1.1\r\nHost: api.stripe.test\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 401")
            writer.close()

    run(scenario())


def test_the_edge_can_be_stopped_twice_and_started_again_on_its_port(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        for _ in range(2):
            async with running(tmp_path, port=port) as site:
                async with site.client.get(site.url(host="twin.localhost")) as answer:
                    assert answer.status == 200
                await site.edge.stop()

    run(scenario())


def test_stopping_an_edge_that_never_started_is_fine(tmp_path: Path) -> None:
    store = Store(":memory:")
    edge = Edge(tmp_path, store, None, {}, 0, tmp_path)  # type: ignore[arg-type]
    run(edge.stop())
    store.close()


def test_a_silent_client_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            _, writer = await asyncio.open_connection("127.0.0.1", site.edge.port)
            await asyncio.sleep(0.05)
            async with asyncio.timeout(3):
                await site.edge.stop()
            writer.close()

    run(scenario())

"""Path tricks, sent as raw bytes to the real server, directly and through the real gateway.

Whatever a path looks like on the wire: without an assertion nobody sees anything of the admin, and
with one for the pages nobody gets to the API by another spelling.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from fastapi import FastAPI

from components import gateway
from tests.app.access.team import API_AUDIENCE, Team
from tests.app.pages.served import free_port, served

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
HOST = "pay.example.com"
OFFICE, ELSEWHERE = "198.51.100.7", "203.0.113.7"

API = "/api/admin/v1/overview"
SPELLINGS = (
    "/admin",
    "/admin/",
    "/%61dmin",
    "/%61%64%6d%69%6e",
    "/%2561dmin",
    "//admin",
    "/./admin",
    "/x/../admin",
    "/static/../admin",
    "/static/..%2fadmin",
    "/%2e%2e/admin",
    "/admin/..;/",
    "/admin;x=1",
    "/admin/../admin",
    "/..;/admin",
    "/admin.",
    "/admin./",
    "/admin..",
    "/admin%20",
    "/admin%00",
    "/admin%09",
    "/admin%2f",
    "/ADMIN",
    "/Admin",
    "/admi%6E/",
    "/admin\\",
    "/\\admin",
    "/%5cadmin",
    "/admin?x=/login",
    "/admin#/login",
    "/login/../admin",
    "/livez/../admin",
    "/%c0%af/admin",
    "/\uff41dmin",
    API,
    API + "/",
    "//api/admin/v1/overview",
    "/api//admin/v1/overview",
    "/API/Admin/v1/overview",
    "/api/ADMIN/v1/overview",
    "/api%2fadmin%2fv1%2foverview",
    "/api/%61dmin/v1/overview",
    "/api/v1/../admin/v1/overview",
    "/api/v1/..%2fadmin/v1/overview",
    "/api/./admin/v1/overview",
    "/api/admin./v1/overview",
    "/api/admin;/v1/overview",
    "/admin/../api/admin/v1/overview",
    "/admin/..%2fapi%2fadmin%2fv1%2foverview",
    "/webhooks/../api/admin/v1/overview",
    "http://pay.example.com/admin",
    f"http://pay.example.com{API}",
    "http://evil.example/admin",
)
SECRETS = (b"Logged in as", b"payments_today", b"violations")


async def _send(port: int, path: str, *headers: str, method: str = "GET") -> tuple[int, bytes]:
    """Send one request as it stands and read all of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", "Connection: close", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 15)
    writer.close()
    status = int(answer.split(b" ", 2)[1]) if answer else 0
    return status, answer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server_port(site_of_module: FastAPI) -> AsyncIterator[int]:
    port = free_port()
    async with served(site_of_module, port):
        yield port


@pytest.fixture(scope="module")
def gateway_port(server_port: int, tmp_path_factory: pytest.TempPathFactory) -> object:
    if NGINX is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    text = gateway.render(
        hostname=HOST, trusted=["127.0.0.0/8"], port=port, api=f"127.0.0.1:{server_port}"
    )
    for place, here in (("/tmp/", f"{folder}/"), ("/dev/stdout", f"{folder}/log")):  # noqa: S108
        text = text.replace(place, here)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    user = "user root;" if os.geteuid() == 0 else ""
    with (folder / "err").open("w") as errors:
        running = subprocess.Popen(
            [NGINX, "-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", f"daemon off; {user}"],
            stderr=errors,
        )
    try:
        _wait_for(port, folder)
        yield port
    finally:
        running.terminate()
        running.wait(10)


def _wait_for(port: int, folder: Path) -> None:
    import socket
    import time

    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"nginx did not start: {(folder / 'err').read_text()}")


@pytest.fixture(params=["server", "gateway"])
def way(request: pytest.FixtureRequest) -> tuple[int, str]:
    """A port, and the header in which this way in tells the visitor's address."""
    if request.param == "server":
        return request.getfixturevalue("server_port"), "X-Real-IP"
    return request.getfixturevalue("gateway_port"), "CF-Connecting-IP"


async def test_no_spelling_shows_anything_to_who_proves_nothing(
    site: FastAPI, way: tuple[int, str]
) -> None:
    port, address = way
    for path in SPELLINGS:
        for method in ("GET", "POST", "HEAD", "OPTIONS", "PUT"):
            status, answer = await _send(
                port, path, f"{address}: {OFFICE}", "Content-Length: 0", method=method
            )
            assert status in (400, 404, 421) or "#" in path, (method, path, answer[:200])
            assert not [secret for secret in SECRETS if secret in answer], (method, path)


async def test_an_assertion_for_the_pages_is_no_way_to_the_api_by_another_spelling(
    site: FastAPI, team: Team, way: tuple[int, str]
) -> None:
    port, address = way
    told = f"Cf-Access-Jwt-Assertion: {team.assertion()}"
    shown = []
    for path in SPELLINGS:
        status, answer = await _send(port, path, f"{address}: {OFFICE}", told)
        assert b"payments_today" not in answer, path
        if b"Logged in as" in answer:
            assert status == 200
            shown.append(path)
    assert set(shown) <= {
        "/admin",
        "/%61dmin",
        "/%61%64%6d%69%6e",
        "/admin?x=/login",
        "/admin#/login",
        "http://pay.example.com/admin",
        "http://evil.example/admin",
    }, "only what decodes to the very path"
    assert {"/admin", "/%61dmin"} <= set(shown)


async def test_the_visitors_address_is_the_one_that_the_edge_saw(
    site: FastAPI, team: Team, gateway_port: int
) -> None:
    told = f"Cf-Access-Jwt-Assertion: {team.assertion(aud=[API_AUDIENCE])}"
    inside, _ = await _send(gateway_port, API, told, f"CF-Connecting-IP: {OFFICE}")
    assert inside == 200
    for spoofed in (
        f"X-Real-IP: {OFFICE}",
        f"X-Forwarded-For: {OFFICE}",
        f"Forwarded: for={OFFICE}",
        f"True-Client-IP: {OFFICE}",
        f"X-Real_IP: {OFFICE}",
    ):
        outside, _ = await _send(gateway_port, API, told, f"CF-Connecting-IP: {ELSEWHERE}", spoofed)
        assert outside == 403, spoofed
    nameless, _ = await _send(gateway_port, API, told, f"X-Real-IP: {OFFICE}")
    assert nameless == 403, "without the edge's word the visitor is the gateway's neighbour"


async def test_two_requests_in_one_are_two_visitors_of_the_guard(
    site: FastAPI, team: Team, way: tuple[int, str]
) -> None:
    """A pipelined request has to prove itself, however good the one before it was."""
    port, address = way
    first = (
        f"GET /admin HTTP/1.1\r\nHost: {HOST}\r\n{address}: {OFFICE}\r\n"
        f"Cf-Access-Jwt-Assertion: {team.assertion()}\r\n\r\n"
    )
    second = f"GET /admin HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write((first + second).encode())
    answer = await asyncio.wait_for(reader.read(), 15)
    writer.close()
    assert answer.count(b"Logged in as") == 1

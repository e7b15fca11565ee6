"""What visitors of the running platform get: cached files, headers, TLS; and who they are."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.conftest import Platform
from tools import process
from tools.paths import STACK
from tools.scan import headers, tls
from tools.state import State

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOST = "pay.payments.localhost"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def get(platform: Platform, path: str, *, host: str = HOST, secure: bool = True) -> Answer:
    with socket.create_connection(("127.0.0.1", platform.port), 20) as plain:
        connection = plain
        if secure:
            context = ssl.create_default_context(cafile=str(platform.home.path / "ca.pem"))
            connection = context.wrap_socket(plain, server_hostname=host)
        with connection:
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {host}:{platform.port}\r\n"
                f"User-Agent: {BROWSER}\r\nConnection: close\r\n\r\n".encode()
            )
            answer = http.client.HTTPResponse(connection, method="GET")
            answer.begin()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())


def on_droplet(platform: Platform, command: str) -> tuple[str, str]:
    """Run a command on the first droplet; returns the droplet's address and what was written."""
    hosts: Any = State(platform.home.path, STACK).outputs()["hosts"]
    config = platform.home.path / "ssh" / "config"
    done = process.run(["ssh", "-F", config, hosts[0], command], timeout=60, what=command)
    return str(hosts[0]), done.out


def test_a_hashed_file_is_fetched_once_and_served_from_the_edge(platform: Platform) -> None:
    page = get(platform, "/login")
    assert page.status == 200
    assert page.headers["cf-cache-status"] == "DYNAMIC", "a page is somebody's own"
    named = re.search(rb'"(/static/[A-Za-z0-9-]+\.[0-9a-f]{16}\.css)"', page.body)
    assert named, page.body
    path = named[1].decode()
    first, second = get(platform, path), get(platform, path)
    assert first.headers["cf-cache-status"] in ("MISS", "HIT")
    assert second.headers["cf-cache-status"] == "HIT"
    assert second.body == first.body
    assert int(second.headers["age"]) >= 0
    assert second.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert second.headers["content-type"].startswith("text/css")
    other = path.replace(".css", "x.css")
    assert get(platform, other).headers["cf-cache-status"] in ("BYPASS", "MISS")
    assert get(platform, other).headers["cf-cache-status"] != "HIT", "a name that is nobody's"


def test_tls_is_compliant_with_mozillas_intermediate_profile(platform: Platform) -> None:
    ca = platform.home.path / "ca.pem"
    assert tls.shortcomings("127.0.0.1", platform.port, HOST, ca) == ""


def test_headers_get_the_observatorys_top_grade(platform: Platform) -> None:
    if lacking := headers.missing():
        pytest.skip(lacking)
    found = headers.scan(f"{HOST}:{platform.port}", platform.home.path / "ca.pem")
    assert (found.grade, found.failed) == ("A+", {}), found


def test_plain_http_is_sent_to_https(platform: Platform) -> None:
    answer = get(platform, "/login?next=%2Fa", secure=False)
    assert answer.status == 301
    assert answer.headers["location"] == f"{platform.url}/login?next=%2Fa"
    assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/api/v1/nothing", "/static/nothing.css", "//admin"])
def test_every_reply_carries_the_security_headers_once(platform: Platform, path: str) -> None:
    answer = get(platform, path)
    assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "content-security-policy" in answer.headers
    assert answer.headers["server"] == "cloudflare"
    assert "x-powered-by" not in answer.headers


def test_a_visitor_by_the_twins_internet_is_known_by_the_own_address(platform: Platform) -> None:
    """From the droplet to the edge and back: the pop must not hide who asks."""
    mark = f"/livez?visitor={time.time_ns()}"
    visitor, told = on_droplet(
        platform,
        "curl --silent --show-error --max-time 20 --insecure --dump-header - --output /dev/null "
        f"--connect-to ::edge.twin.test: --header 'CF-Connecting-IP: 192.0.2.66' "
        f"'https://{HOST}{mark}'",
    )
    assert " 200" in told.splitlines()[0], told
    ray = re.search(r"(?im)^cf-ray: (\S+)", told)
    assert ray, told
    lines = [
        json.loads(line)
        for line in platform.make("logs", "WHAT=gateway").splitlines()
        if line.startswith("{") and ray[1] in line
    ]
    assert [line["client"] for line in lines] == [visitor], (
        f"limits and lists would count the relay, or whom the visitor named: {lines}"
    )

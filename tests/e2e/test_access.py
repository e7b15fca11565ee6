"""The admin's way in on the running platform: Google, a managed device, a code; and SSH by token.

The service behind verifies every assertion by the keys that the team domain publishes, so that a
page shown here says that the whole chain holds.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e import people
from tests.e2e.conftest import Platform
from tests.e2e.people import Admin, Customer
from twin.access.ssh import TOKEN_ID, TOKEN_SECRET

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

_ADA, _VISITOR = "ada@payments.localhost", "visitor@payments.localhost"
_PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36"
_SSH = "ssh.payments.localhost"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A browser that nobody has logged in with."""
    with people.visit(browser) as opened:
        yield opened


def test_from_the_login_by_the_dashboard_an_admin_comes_in_and_is_known(
    platform: Platform, page: Page
) -> None:
    Customer(page, platform.url, "lovelace@example.com").join()
    page.goto(f"{platform.url}/admin")
    assert "accounts.google.localhost" in page.url, page.url
    Admin(page, platform.url, _ADA).come_in()
    assert page.url == f"{platform.url}/admin"
    cookies = {each["name"]: each for each in page.context.cookies(f"{platform.url}/admin")}
    assert cookies["CF_Authorization"]["httpOnly"]
    assert cookies["CF_Authorization"]["secure"]
    page.goto(f"{platform.url}/dashboard")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    # The team remembers the login; the code is not asked for again.
    page.goto(f"{platform.url}/api/admin")
    assert page.url.startswith(f"{platform.url}/api/admin")


@pytest.mark.parametrize("account", [_VISITOR, "somebody@gmail.com"])
def test_others_do_not(platform: Platform, page: Page, account: str) -> None:
    page.goto(f"{platform.url}/admin")
    known = page.get_by_role("button", name=account)
    if known.count():
        known.click()
    else:
        page.get_by_label("Another account").fill(account)
        page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", name="Forbidden")).to_be_visible()


def test_an_admin_on_a_device_of_their_own_does_not(platform: Platform, page: Page) -> None:
    page.goto(f"{platform.url}/admin")
    for box in page.get_by_role("checkbox").all():
        box.uncheck()
    page.get_by_role("button", name=_ADA).click()
    expect(page.get_by_role("heading", name="Forbidden")).to_be_visible()


def _ask(platform: Platform, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """Ask with exactly this path; returns the status and where the answer leads."""
    host = f"pay.payments.localhost:{platform.port}"
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    tls = ssl.create_default_context(cafile=str(platform.home.path / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", platform.port), timeout=30) as plain,
        tls.wrap_socket(plain, server_hostname="pay.payments.localhost") as joined,
    ):
        joined.sendall("\r\n".join([*lines, "", ""]).encode())
        told = b""
        while b"\r\n\r\n" not in told and (piece := joined.recv(65536)):
            told += piece
    head = told.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    location = [line[10:] for line in head if line.lower().startswith("location: ")]
    return int(head[0].split()[1]), location[0] if location else ""


@pytest.mark.parametrize(
    "path", ["/admin", "//admin", "/ADMIN", "/%61dmin", "/admin%2f", "/x/../admin", "/api/admin"]
)
def test_no_path_and_no_header_leads_around_it(platform: Platform, path: str) -> None:
    forged = {"Cf-Access-Jwt-Assertion": "a.b.c", "Cf-Access-Authenticated-User-Email": _ADA}
    status, location = _ask(
        platform, path, {**forged, "Accept": "text/html", "User-Agent": _PERSON}
    )
    # The firewall may refuse a trick before Access sees it; the service must not answer it.
    assert status in (302, 403), (path, status)
    if status == 302:
        assert "cloudflareaccess" in location


def test_ssh_takes_the_program_s_token_and_nothing_else(platform: Platform) -> None:
    outputs: dict[str, Any] = json.loads(
        platform.engine("stack", "output", "--show-secrets", "--json")
    )
    token = outputs["service_tokens"]["ci"]
    command = ["ssh", "-F", str(platform.home.path / "ssh" / "config"), f"deploy@{_SSH}", "docker"]
    right = {TOKEN_ID: token["client_id"], TOKEN_SECRET: token["client_secret"]}
    for environment, code in ((right, 0), ({}, 255), ({**right, TOKEN_SECRET: "guess"}, 255)):
        done = subprocess.run(
            [*command, "info", "--format", "{{.ServerVersion}}"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr

"""The whole platform, once through: up, pay as a person, nothing changes, recover, down.

The tests run in the order they stand here, on one instance.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.conftest import Platform
from tools import process, smoke, twin

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

_CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_FLAGS = [
    "--no-sandbox",  # a container's root has none of its own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36"
_EMAIL = "ada@example.com"
_PASSWORD = "correct horse battery"
_SECONDS = 30_000  # playwright counts in milliseconds


@pytest.fixture(scope="module")
def page(platform: Platform) -> Iterator[Page]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        # A person clicks the warning away once; that the certificate is right is tested without.
        # By its own name, "HeadlessChrome", it would be challenged as a program at every visit.
        context = browser.new_context(ignore_https_errors=True, user_agent=_PERSON)
        context.set_default_timeout(_SECONDS)
        opened = context.new_page()
        yield opened
        browser.close()


def test_up_ends_with_what_to_do_next(platform: Platform, times: dict[str, Any]) -> None:
    assert platform.url in platform.first_up
    assert "4242 4242 4242 4242" in platform.first_up
    assert "make down" in platform.first_up
    assert set(times["phases"]) >= {"Engine", "Docker", "Images", "Twin", "Deploy", "Check"}


def test_the_certificate_is_the_twin_s_own(platform: Platform) -> None:
    status, body = smoke.get(f"{platform.url}/health", platform.home.path / "ca.pem")
    assert status == 200, body


def test_a_person_registers_and_pays(platform: Platform, page: Page) -> None:
    page.goto(platform.url)
    page.get_by_role("link", name="Open an account").first.click()
    page.get_by_label("E-mail").fill(_EMAIL)
    page.get_by_label("Password", exact=True).fill(_PASSWORD)
    page.get_by_role("button", name="Open account").click()
    page.get_by_label("E-mail").fill(_EMAIL)
    page.get_by_label("Password", exact=True).fill(_PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Overview").wait_for()
    page.goto(f"{platform.url}/payments/new")
    page.get_by_role("button", name="Continue to checkout").click()
    page.get_by_label("Card number").wait_for()
    assert "checkout.stripe" in page.url, "the card is typed on the provider's page, never on ours"
    if page.get_by_label("E-mail").is_editable():
        page.get_by_label("E-mail").fill(_EMAIL)
    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_label("Expiry date").fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("Name on card").fill("Ada Lovelace")
    page.locator("#submit").click()
    expect(page.get_by_text("Paid", exact=True).first).to_be_visible(timeout=_SECONDS)
    assert page.url.startswith(platform.url), "the provider sends the person back"


def test_the_payment_is_in_the_database_and_the_books_balance(platform: Platform) -> None:
    order = platform.psql("SELECT status, amount > 0, paid_at IS NOT NULL FROM payments.orders")
    assert order == "paid|t|t"
    sums = platform.psql(
        "SELECT sum(amount), count(*) >= 2 FROM payments.ledger_entries GROUP BY currency"
    )
    assert sums == "0|t", "every entry has its counterpart"


def test_only_the_webhook_made_it_paid(platform: Platform) -> None:
    order = platform.psql("SELECT id FROM payments.orders")
    events = platform.psql("SELECT event_type FROM payments.webhook_inbox ORDER BY 1").split()
    assert "checkout.session.completed" in events, f"nothing else may say so: {events}"
    moves = platform.psql(
        "SELECT cause FROM payments.status_changes WHERE applied AND entity = 'order' "  # noqa: S608
        f"AND to_status = 'paid' AND entity_id = '{order}'"
    ).splitlines()
    assert len(moves) == 1, f"paid once: {moves}"


def test_the_payment_is_in_the_logs(platform: Platform) -> None:
    text = platform.make("logs", "WHAT=api")
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    routes = {line.get("route") for line in lines if line.get("status") in (200, 204)}
    assert "/webhooks/{gateway_name}" in routes, f"the gateway's call is a line: {routes}"
    assert _PASSWORD not in text
    assert "4242424242424242" not in text.replace(" ", "")


def test_the_twin_s_own_page_shows_it(platform: Platform, page: Page) -> None:
    page.goto(f"https://twin.localhost:{platform.port}/")
    expect(page.locator("body")).to_contain_text("payments")


def test_up_again_changes_nothing(platform: Platform) -> None:
    output = platform.make("up")
    assert re.search(r"Up in \d+ s: no changes\.", output), output


def test_a_refresh_finds_everything_as_it_was_deployed(platform: Platform) -> None:
    said = platform.engine(
        "refresh", "--preview-only", "--expect-no-changes", "--stack", "local", "--diff"
    )
    assert "unchanged" in said


def test_a_second_up_at_once_is_told_who_works(platform: Platform) -> None:
    first = platform.start("up")
    try:
        note = platform.home.path / "lock"
        deadline = time.monotonic() + 20
        while '"command": "up"' not in note.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        said = platform.make("up", check=False)
        assert re.search(r"`make up` \(process \d+, since [\d:]+\) works on this instance", said)
    finally:
        assert "no changes" in first.communicate(timeout=300)[0]


def test_status_says_that_it_answers(platform: Platform) -> None:
    said = platform.make("status")
    assert f"{platform.url}  answers 200" in said
    assert "droplet" in said


def test_a_killed_twin_is_brought_back_with_everything(platform: Platform, page: Page) -> None:
    running = twin.find(platform.home)
    assert running
    os.kill(running.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while process.is_running(running.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "no changes" in platform.make("up")
    page.goto(f"{platform.url}/dashboard")
    expect(page.get_by_text("Paid", exact=True).first).to_be_visible(timeout=_SECONDS)


def test_an_engine_stopped_in_the_middle_is_recovered(platform: Platform) -> None:
    updating = platform.start("up")
    state = platform.home.path / "deploying"
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(1.0)
    _interrupt(platform)
    said = updating.communicate(timeout=300)[0]
    assert "make up goes on from here" in said or "no changes" in said
    assert "Traceback" not in said
    assert "no changes" in platform.make("up")


def _interrupt(platform: Platform) -> None:
    """As Ctrl-C at a terminal would: the tool is told; make waits for it."""
    for line in platform.look().processes:
        pid, _, command = line.partition(" ")
        if "-m tools up" in command:
            os.kill(int(pid), signal.SIGINT)


def test_down_leaves_nothing_behind(platform: Platform) -> None:
    said = platform.make("down")
    assert "Everything is gone" in said
    after = platform.look()
    assert after.containers == platform.before.containers
    assert after.networks == platform.before.networks
    assert after.volumes == platform.before.volumes
    assert after.processes == frozenset()
    assert not platform.home.path.exists()
    assert not platform.home.run_dir.exists()
    assert twin.processes(platform.home) == []


def test_down_again_is_no_error(platform: Platform) -> None:
    assert "Nothing to take down" in platform.make("down")

"""The whole platform, once through: up, pay as a person, nothing changes, recover, down.

The tests run in the order they stand here, on one instance.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e import people
from tests.e2e.conftest import Platform
from tests.e2e.people import Customer
from tools import process, smoke, twin

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

_EMAIL = "ada@example.com"


@pytest.fixture(scope="module")
def page(platform: Platform) -> Iterator[Page]:
    with people.chromium() as browser, people.visit(browser) as opened:
        yield opened


@pytest.fixture(scope="module")
def paid() -> list[str]:
    """The order that was paid, once it is."""
    return []


def test_up_ends_with_what_to_do_next(platform: Platform, times: dict[str, Any]) -> None:
    assert platform.url in platform.first_up
    assert "4242 4242 4242 4242" in platform.first_up
    assert "make down" in platform.first_up
    assert set(times["phases"]) >= {"Engine", "Docker", "Images", "Twin", "Deploy", "Check"}


def test_the_certificate_is_the_twin_s_own(platform: Platform) -> None:
    status, body = smoke.get(f"{platform.url}/health", platform.home.path / "ca.pem")
    assert status == 200, body


def test_a_person_registers_and_pays(platform: Platform, page: Page, paid: list[str]) -> None:
    customer = Customer(page, platform.url, _EMAIL)
    customer.join()
    paid.append(customer.order("Coffee beans", "Card, by Stripe"))
    page.get_by_label("Card number").wait_for()
    assert "checkout.stripe" in page.url, "the card is typed on the provider's page, never on ours"
    people.pay_with_card(page, _EMAIL)
    expect(page.get_by_text("Paid", exact=True).first).to_be_visible(timeout=people.SECONDS)
    assert page.url.startswith(platform.url), "the provider sends the person back"


def test_the_payment_is_in_the_database_and_the_books_balance(
    platform: Platform, paid: list[str]
) -> None:
    order = platform.psql(
        f"SELECT status, amount, paid_at IS NOT NULL FROM payments.orders WHERE id = '{paid[0]}'"  # noqa: S608
    )
    assert order == "paid|2490|t"
    sums = platform.psql(
        "SELECT sum(e.amount), count(*) >= 2 FROM payments.ledger_entries e "  # noqa: S608
        "JOIN payments.ledger_transfers t ON t.id = e.transfer_id "
        f"WHERE t.subject = 'order:{paid[0]}' GROUP BY e.currency"
    )
    assert sums == "0|t", "every entry has its counterpart"


def test_only_the_webhook_made_it_paid(platform: Platform, paid: list[str]) -> None:
    events = platform.psql(
        "SELECT i.event_type FROM payments.webhook_inbox i "  # noqa: S608
        f"JOIN payments.payments p ON p.id = i.payment_id WHERE p.order_id = '{paid[0]}'"
    ).split()
    assert "checkout.session.completed" in events, f"nothing else may say so: {events}"
    moves = platform.psql(
        "SELECT cause FROM payments.status_changes WHERE applied AND entity = 'order' "  # noqa: S608
        f"AND to_status = 'paid' AND entity_id = '{paid[0]}'"
    ).splitlines()
    assert len(moves) == 1, f"paid once: {moves}"


def test_the_payment_is_in_the_logs(platform: Platform) -> None:
    text = platform.make("logs", "WHAT=api")
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    routes = {line.get("route") for line in lines if line.get("status") in (200, 204)}
    assert "/webhooks/{gateway_name}" in routes, f"the gateway's call is a line: {routes}"
    assert people.PASSWORD not in text
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
    expect(page.get_by_text("Paid", exact=True).first).to_be_visible(timeout=people.SECONDS)


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

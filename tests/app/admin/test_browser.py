"""The admin in a real browser: it fits a phone, works by keyboard, and the policy stops nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from fastapi import FastAPI

from payments.app import create_app
from tests.app.access.team import Team
from tests.app.admin.test_admin import PAGES, _park, _pay
from tests.app.admin.test_money import MONEY_PAGES
from tests.app.pages.served import free_port, served
from tests.app.pages.test_browser import CHROMIUM, Window, chromium
from tests.app.people.fixtures import Till

playwright = pytest.importorskip("playwright.async_api", reason="Playwright is not installed")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")

__all__ = ["chromium"]


@pytest_asyncio.fixture
async def office(
    site: FastAPI, team: Team, till: Till, chromium: playwright.Browser
) -> AsyncIterator[Window]:
    """An admin's browser, to whose requests Access adds its assertion."""
    await _pay(site, till)
    await _park(site, f"evt_of_a_browser_{free_port()}")
    port = free_port()
    url = f"http://pay.payments.localhost:{port}"
    held = site.state.resources
    settings = held.settings.model_copy(update={"public_url": url})
    async with served(create_app(replace(held, settings=settings)), port):
        page = await chromium.new_page()
        made = Window(page, url)
        page.on("console", lambda m: made.complaints.append(m.text) if m.type != "log" else None)
        page.on("pageerror", lambda e: made.complaints.append(str(e)))
        await page.set_extra_http_headers({"cf-access-jwt-assertion": team.assertion()})
        yield made
        await page.close()


async def test_every_page_fits_a_phone(office: Window, api: object) -> None:
    payment = "/admin/payments"
    await office.page.set_viewport_size({"width": 360, "height": 740})
    await office.page.goto(office.url + payment)
    link = await office.page.locator("tbody th a").first.get_attribute("href")
    for path in (*PAGES, *MONEY_PAGES, str(link), f"{link}/refund", "/admin/audit?verify=true"):
        await office.page.goto(office.url + path)
        width = await office.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, path
        # A table that is wider than its card would be cut off or scroll by itself.
        cut = await office.page.evaluate(
            "[...document.querySelectorAll('.table')].some(t => t.scrollWidth > t.clientWidth + 1)"
        )
        assert not cut, f"{path}: a table is wider than the phone"
    assert office.complaints == []


async def test_a_stuck_event_is_replayed_by_keyboard_alone(office: Window) -> None:
    page = office.page
    await page.goto(f"{office.url}/admin/webhooks")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
    await page.keyboard.press("Enter")
    for _ in range(30):
        await page.keyboard.press("Tab")
        label = await page.evaluate("document.activeElement.getAttribute('aria-label')")
        if label and label.startswith("Replay charge.refunded"):
            break
    else:
        pytest.fail("the button cannot be reached by keyboard")
    await page.keyboard.press("Enter")
    await page.get_by_role("status").get_by_text("still waits").wait_for()
    assert office.complaints == []

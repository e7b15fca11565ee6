"""Pages say what a status means and what to do next, and ask before what cannot be undone."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from payments.ledger import service as ledger
from payments.resources import Resources
from tests.app.ledger.books import fund
from tests.app.pages.test_browser import CHROMIUM, Window, _join, chromium, window
from tests.app.pages.test_more import me
from tests.app.pages.test_pages import check_page
from tests.app.pages.test_payments import _order
from tests.app.pages.test_subscriptions import HOME, begin, press
from tests.app.people.fixtures import Till
from tests.app.people.site import Browser, Page
from tests.app.stripe_server import intent

__all__ = ["chromium", "window"]

in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")


async def test_an_order_that_was_not_paid_says_so_and_what_to_do(
    browser: Browser, till: Till
) -> None:
    await browser.join()
    failed = await _order(browser)
    await till.tell(browser, "payment_intent.payment_failed", intent(till.last))
    page = await browser.get(failed)
    check_page(page)
    assert "nothing was charged. Pay again" in page.words
    assert f"{failed}/checkout" in page.response.text
    expired = await _order(browser)
    await till.tell(browser, "checkout.session.expired", till.last | {"status": "expired"})
    page = await browser.get(expired)
    check_page(page)
    assert "Nobody paid in time, and nothing was charged" in page.words
    assert f"{expired}/retry" in page.forms


async def test_who_has_money_and_no_orders_sees_the_money(
    browser: Browser, till: Till, site: FastAPI, resources: Resources
) -> None:
    await browser.join()
    owner = ledger.customer(await me(site, browser))
    async with resources.database.transaction() as session:
        await ledger.post(session, [fund(owner, 1_250, key=f"{owner}:given")])
    page = await browser.get("/dashboard")
    check_page(page)
    assert "Nothing here yet" not in page.words
    assert "€12.50" in page.words
    assert "There are no orders" in page.words


async def test_a_dearer_plan_says_its_price_first_and_can_be_paid_where_it_is_shown(
    browser: Browser, till: Till
) -> None:
    await browser.join()
    await begin(browser, "club-month")
    await till.confirm(browser)
    page = await browser.get(HOME)
    check_page(page)
    assert "€19.00 EUR a month instead of €9.00 EUR" in page.words
    offered = [i["value"] for i in page.of("input") if i["type"] == "radio"]
    assert offered == ["club-year"], "what one can change to is no second subscription"
    till.server.declines = True
    try:
        changing = await press(browser, "/change")
    finally:
        till.server.declines = False
    check_page(changing)
    assert "checkout.stripe.test" in changing.words, "the difference is paid there"
    page = await browser.get(HOME)
    assert "Pay the difference" in page.words
    assert "checkout.stripe.test" in (await press(browser, "/pay")).words
    assert "Change to Coffee club with tastings" in (await browser.get("/dashboard")).words


async def test_a_payment_that_is_due_says_what_happens(
    browser: Browser, till: Till, site: FastAPI, resources: Resources
) -> None:
    await browser.join()
    await begin(browser, "club-month")
    assert "It begins when the first payment is confirmed" in (await browser.get(HOME)).words
    await till.confirm(browser)
    async with resources.database.transaction() as session:
        await session.execute(
            text(
                "UPDATE payments.subscriptions SET status = 'past_due' WHERE customer_id ="
                " (SELECT id FROM payments.users WHERE email = :e)"
            ),
            {"e": browser.email},
        )
    page = await browser.get(HOME)
    check_page(page)
    assert "try again over the next 16 days, then it ends" in page.words
    assert "Next payment" not in page.words


@in_chromium
async def test_a_key_is_revoked_only_after_a_second_button_and_times_name_their_zone(
    window: Window, browser: Browser
) -> None:
    page = window.page
    await _join(window, browser.email)
    await page.goto(f"{window.url}/developers")
    await page.get_by_label("Name of a new key").fill("shop")
    await page.get_by_label("orders:read").check()
    await page.get_by_role("button", name="Make a key").click()
    await page.get_by_text("Copy it now").wait_for()
    sure = page.get_by_role("button", name="Revoke it now")
    assert not await sure.is_visible()
    zone = await page.evaluate(
        "new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' }).formatToParts()"
        ".find(part => part.type === 'timeZoneName').value"
    )
    assert (await page.locator("td time").first.inner_text()).endswith(f" {zone}")
    await page.locator("summary").focus()
    await page.keyboard.press("Enter")
    assert await sure.is_visible()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_text("The key is revoked").wait_for()
    assert window.complaints == []


async def test_a_refused_registration_begins_at_the_field_that_is_wrong(browser: Browser) -> None:
    for email, password, wrong in (
        (browser.email, "short", "password"),
        ("no address", "short", "email"),
    ):
        page = Page(await browser.send("/register", email=email, password=password))
        check_page(page)
        assert [i["id"] for i in page.of("input") if "autofocus" in i] == [wrong]

"""Subscriptions on pages: begin, pay, change, pause, resume, cancel; each form acts once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from tests.app.pages.test_pages import check_page
from tests.app.people.fixtures import Till
from tests.app.people.site import Browser, Page, browser_on
from tests.app.subscriptions.test_subscriptions import take_step

HOME = "/subscriptions"


async def begin(browser: Browser, plan: str, currency: str = "EUR") -> httpx.Response:
    page = await browser.get(HOME, params={"currency": currency})
    return await browser.client.post(HOME, data=page.forms[HOME] | {"plan": plan})


async def press(browser: Browser, leaf: str, **fields: str) -> Page:
    """Press the button of the one subscription's form that ends so; follow where it leads."""
    page = await browser.get(HOME)
    (action,) = [form for form in page.forms if form.endswith(leaf)]
    answer = await browser.client.post(action, data=page.forms[action] | fields)
    if answer.status_code == 303:
        return await browser.get(answer.headers["location"])
    return Page(answer)


async def test_a_plan_is_begun_paid_paused_resumed_and_cancelled(
    browser: Browser, till: Till
) -> None:
    await browser.join()
    first = await browser.get(HOME)
    check_page(first)
    assert "after 14 days for nothing" in first.words
    begun = await begin(browser, "club-month")
    location = begun.headers["location"]
    assert location.startswith("/orders/"), begun.text
    assert location.endswith("/checkout")
    waiting = await browser.get(HOME)
    check_page(waiting)
    assert "Waiting for payment" in waiting.words
    due = await press(browser, "/pay")
    assert "checkout.stripe.test" in due.words
    await till.confirm(browser)
    active = await browser.get(HOME)
    assert "Active" in active.words
    assert "Pay what is due" not in active.words
    assert "after 14 days" not in active.words, "a trial is for those who had none"
    assert "Paused" in (await press(browser, "/pause")).words
    assert "renewed again" in (await press(browser, "/resume")).words
    (cancel,) = [a["href"] for a in active.of("a") if a.get("href", "").endswith("/cancel")]
    sure = await browser.get(cancel)
    check_page(sure)
    assert "What is paid can be used until" in sure.words
    assert "Active" in (await browser.get(HOME)).words, "asking ends nothing"
    done = await browser.client.post(cancel, data=sure.forms[cancel] | {"when": "end"})
    assert "Nothing more is charged" in (await browser.get(done.headers["location"])).words
    assert "renewed again" in (await press(browser, "/resume")).words
    now = await browser.get(cancel)
    await browser.client.post(cancel, data=now.forms[cancel] | {"when": "now"})
    assert "Ended" in (await browser.get(HOME)).words


async def test_who_cancels_is_told_of_a_charge_that_is_under_way(
    browser: Browser, site: FastAPI, till: Till
) -> None:
    await browser.join()
    await begin(browser, "club-month")
    await till.confirm(browser)
    page = await browser.get(HOME)
    (cancel,) = [a["href"] for a in page.of("a") if a.get("href", "").endswith("/cancel")]
    assert "is under way" not in (await browser.get(cancel)).words
    till.server.slow = True
    later = datetime.now(UTC) + timedelta(days=32)
    assert await take_step(site.state.resources, later) == ["active"]
    sure = await browser.get(cancel)
    check_page(sure)
    assert "A payment for the next period is under way" in sure.words


async def test_the_same_form_sent_twice_begins_one(
    browser: Browser, site: FastAPI, till: Till
) -> None:
    await browser.join()
    page = await browser.get(HOME)
    fields = page.forms[HOME] | {"plan": "club-month"}
    answers = [await browser.client.post(HOME, data=fields) for _ in range(2)]
    assert answers[0].headers["location"] == answers[1].headers["location"]
    other = await begin(browser, "club-month")
    assert other.status_code == 409
    assert "already" in Page(other).words
    for spoiled in ({"plan": "gold"}, {"currency": "XXX"}, {"idempotency_key": "1"}):
        refused = await browser.client.post(HOME, data=fields | spoiled)
        assert refused.status_code in (409, 422), spoiled
        check_page(Page(refused))


async def test_a_trial_begins_at_once_and_a_plan_is_changed(browser: Browser, till: Till) -> None:
    await browser.join()
    begun = await begin(browser, "club-plus-month")
    assert begun.headers["location"] == f"{HOME}?told=begun"
    page = await browser.get(HOME)
    assert "Trial until" in page.words
    assert "Change to Coffee club, monthly" in page.words
    changed = await press(browser, "/change")
    assert "changed" in changed.words or "difference" in changed.words, changed.words


async def test_somebody_elses_subscription_does_not_exist(
    browser: Browser, site: FastAPI, till: Till
) -> None:
    await browser.join()
    await begin(browser, "club-plus-month")
    async with site.state.resources.database.transaction() as session:
        theirs = await session.scalar(
            text("SELECT id FROM payments.subscriptions ORDER BY created_at DESC LIMIT 1")
        )
    async with browser_on(site) as other:
        await other.join()
        page = await other.get(HOME)
        for subscription in (theirs, uuid4()):
            path = f"{HOME}/{subscription}"
            assert (await other.get(f"{path}/cancel")).response.status_code == 404
            token = {"csrf": page.forms[HOME]["csrf"], "when": "now", "plan": "club-month"}
            for leaf in ("pay", "change", "pause", "resume", "cancel"):
                answer = await other.client.post(f"{path}/{leaf}", data=token)
                assert answer.status_code == 404, leaf
    assert (await browser.client.post(f"{HOME}/{theirs}/pause")).status_code == 403, "no token"


async def test_a_dearer_plan_is_paid_on_a_page_that_is_found_again(
    browser: Browser, till: Till
) -> None:
    await browser.join()
    await begin(browser, "club-month")
    await till.confirm(browser)
    asked = await press(browser, "/change")
    assert "checkout.stripe.test" in asked.words, "it leads there"
    waiting = await browser.get(HOME)
    check_page(waiting)
    assert "when the difference is paid" in waiting.words
    assert "Pay the difference" in waiting.words
    assert "checkout.stripe.test" in (await press(browser, "/pay")).words
    await till.confirm(browser)
    assert "Pay the difference" not in (await browser.get(HOME)).words

"""The whole way in a real browser: register, pay on another site, come back, see it confirmed."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
import pytest_asyncio

from payments.app import create_app
from payments.resources import Resources
from tests.app.pages.served import free_port, served
from tests.app.people.fixtures import Till
from tests.app.people.site import PASSWORD, Browser

playwright = pytest.importorskip("playwright.async_api", reason="Playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""A container has no sandbox of its own to give, and nothing may be fetched in the background."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")

CHECKOUT = """<!doctype html><title>Checkout</title><h1>Checkout</h1>
<a id="pay" href="{success_url}">Pay</a> <a id="back" href="{cancel_url}">Back</a>"""


@dataclass
class Window:
    """A page in a browser, the site's address, and what the browser complained about."""

    page: playwright.Page
    url: str
    complaints: list[str] = field(default_factory=list)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chromium() -> AsyncIterator[playwright.Browser]:
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def window(
    resources: Resources, till: Till, chromium: playwright.Browser
) -> AsyncIterator[Window]:
    port = free_port()
    url = f"http://pay.payments.localhost:{port}"
    settings = resources.settings.model_copy(update={"public_url": url})
    app = create_app(replace(resources, settings=settings))

    async def checkout(route: playwright.Route) -> None:
        await route.fulfill(content_type="text/html", body=CHECKOUT.format(**till.last))

    async with served(app, port):
        page = await chromium.new_page()  # a profile of its own
        made = Window(page, url)
        page.on("console", lambda m: made.complaints.append(m.text) if m.type != "log" else None)
        page.on("pageerror", lambda e: made.complaints.append(str(e)))
        await page.route("https://checkout.stripe.test/**", checkout)
        yield made
        await page.close()


async def _join(window: Window, email: str) -> None:
    page = window.page
    await page.goto(window.url)
    await page.get_by_role("link", name="Open an account").first.click()
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Open account").click()
    await page.get_by_text("your account is ready").wait_for()
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("heading", name="Nothing here yet").wait_for()


async def test_somebody_pays_in_a_browser_and_the_page_changes_by_itself(
    window: Window, browser: Browser, till: Till
) -> None:
    page = window.page
    await _join(window, browser.email)
    sent: dict[str, str] = {}

    async def note(request: playwright.Request) -> None:
        if request.is_navigation_request():
            cookie = (await request.all_headers()).get("cookie", "")
            sent[request.url.removeprefix(window.url).partition("?")[0]] = cookie

    page.on("request", note)
    await page.get_by_role("link", name="Make a payment").click()
    await page.get_by_text("Espresso course").click()
    await page.get_by_role("button", name="Continue to checkout").click()
    await page.wait_for_url("https://checkout.stripe.test/**")

    await page.locator("#pay").click()
    await page.get_by_text("Waiting for confirmation").wait_for()
    order = page.url.removeprefix(window.url).partition("?")[0]
    assert "__Host-session" not in sent["/checkout/return"], "the strict cookie stays at home"
    assert "__Host-session" in sent[order], "and comes along from our own page"
    assert await page.locator(".badge").inner_text() == "Confirming"

    await till.confirm(browser)
    await page.get_by_text("confirmed and in the books").wait_for(timeout=15_000)
    assert await page.locator(".badge").inner_text() == "Paid"
    await page.get_by_role("link", name="← Overview").click()
    await page.get_by_role("cell", name="€129.00 EUR").first.wait_for()
    assert window.complaints == [], "nothing was stopped by the policy and nothing failed"


async def test_leaving_the_checkout_leads_back_to_an_open_order(
    window: Window, browser: Browser
) -> None:
    page = window.page
    await _join(window, browser.email)
    await page.goto(f"{window.url}/payments/new")
    await page.get_by_role("button", name="Continue to checkout").click()
    await page.locator("#back").click()
    await page.get_by_text("You left the checkout without paying").wait_for()
    await page.get_by_role("link", name="Pay now").click()
    await page.wait_for_url("https://checkout.stripe.test/**")
    assert window.complaints == []


async def test_a_password_can_be_looked_at_and_a_form_is_sent_once(
    window: Window, browser: Browser
) -> None:
    page = window.page
    await page.goto(f"{window.url}/login")
    password = page.get_by_label("Password", exact=True)
    await password.fill("something")
    await page.get_by_role("button", name="Show password").click()
    assert await password.get_attribute("type") == "text"
    await page.get_by_label("E-mail").fill(browser.email)
    posts: list[str] = []
    page.on("request", lambda r: posts.append(r.url) if r.method == "POST" else None)
    await page.evaluate(
        "() => { const b = document.querySelector('main form button:not([type=button])');"
        " b.click(); b.click(); b.click(); }"
    )
    await page.get_by_role("alert").wait_for()
    assert len(posts) == 1


async def test_the_first_page_fits_a_phone(window: Window) -> None:
    await window.page.set_viewport_size({"width": 320, "height": 640})
    for path in ("/", "/login", "/register", "/nowhere"):
        await window.page.goto(window.url + path)
        width = await window.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320, path


async def test_the_pages_of_money_fit_a_phone(window: Window, browser: Browser, till: Till) -> None:
    page = window.page
    await _join(window, browser.email)
    await page.goto(f"{window.url}/developers")
    await page.get_by_label("Name of a new key").fill("the backend of a shop")
    await page.get_by_label("orders:read").check()
    await page.get_by_role("button", name="Make a key").click()
    await page.get_by_text("Copy it now").wait_for()
    await page.set_viewport_size({"width": 360, "height": 740})
    wide = await page.evaluate(
        "[...document.querySelectorAll('main *, header *')]"
        ".filter(e => e.getBoundingClientRect().right > 360).map(e => e.outerHTML.slice(0, 90))"
    )
    assert wide == [], "the key is cut off"
    await page.goto(f"{window.url}/subscriptions")
    await page.get_by_text("Coffee club, monthly").click()
    await page.get_by_role("button", name="Subscribe").click()
    await page.wait_for_url("https://checkout.stripe.test/**")
    for path in ("/subscriptions", "/developers", "/dashboard", "/account", "/payments/new"):
        await page.goto(window.url + path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
        cut = await page.evaluate(
            "[...document.querySelectorAll('.table')].some(t => t.scrollWidth > t.clientWidth + 1)"
        )
        assert not cut, f"{path}: a table is wider than the phone"
    assert window.complaints == []

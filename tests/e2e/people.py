"""Who uses the platform in a browser: customers, payers at the gateways, an admin behind Access."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from twin.access import totp

SECONDS: Final = 30_000  # playwright counts in milliseconds
PASSWORD: Final = "correct horse battery"
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
# By its own name, "HeadlessChrome", it would be challenged as a program at every visit.
_PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser. Not for a whole session: its event loop would be in other tests' way."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


@contextmanager
def visit(browser: Browser) -> Iterator[Page]:
    """Open a page in a profile of its own, that nobody has logged in with.

    A person clicks the warning of the laptop's authority away once; that the certificates are right
    is tested without a browser.
    """
    context = browser.new_context(ignore_https_errors=True, user_agent=_PERSON)
    context.set_default_timeout(SECONDS)
    yield context.new_page()
    context.close()


@dataclass(frozen=True)
class Customer:
    """Somebody with an account at the shop at `url`."""

    page: Page
    url: str
    email: str

    def join(self) -> None:
        """Open an account and log in."""
        self.page.goto(self.url)
        self.page.get_by_role("link", name="Open an account").first.click()
        self._type("Open account")
        self.page.get_by_text("your account is ready").wait_for()
        self._type("Log in")
        self.page.get_by_role("heading", name="Overview").wait_for()

    def order(self, product: str, gateway: str) -> str:
        """Choose a product and a way to pay; returns the order's id, at the gateway's checkout."""
        self.page.goto(f"{self.url}/payments/new?currency=EUR")
        self.page.get_by_text(product).click()
        self.page.get_by_text(gateway, exact=True).click()
        with self.page.expect_request(re.compile(r"/orders/[0-9a-f-]{36}/checkout$")) as way:
            self.page.get_by_role("button", name="Continue to checkout").click()
        return str(way.value.url.split("/")[-2])

    def sees(self, order: str, *words: str) -> None:
        """Look at an order's page until it says so; it changes by itself, or is loaded anew."""
        address = f"{self.url}/orders/{order}"
        if not self.page.url.startswith(address):
            self.page.goto(address)
        until(lambda: _says(self.page, words), f"{order}: {words}", self._reload)

    def _reload(self) -> None:
        with suppress(Error):  # the page does so itself, at this very moment
            self.page.reload()

    def _type(self, button: str) -> None:
        self.page.get_by_label("E-mail").fill(self.email)
        self.page.get_by_label("Password", exact=True).fill(PASSWORD)
        self.page.get_by_role("button", name=button).click()


def _says(page: Page, words: tuple[str, ...]) -> bool:
    text = page.locator("main").inner_text()
    return all(word in text for word in words)


def until(done: Callable[[], object], what: str, again: Callable[[], object] | None = None) -> None:
    """Wait until something is so, for a minute at most."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        time.sleep(0.5)
        if again is not None:
            again()


# --- payers: each at the gateway's own page, and back ---------------------------------------------
def pay_with_card(page: Page, email: str = "payer@example.com") -> None:
    """Pay on Stripe's page with the test card that works."""
    page.get_by_label("Card number").wait_for()
    if page.get_by_label("E-mail").is_editable():
        page.get_by_label("E-mail").fill(email)
    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_label("Expiry date").fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("Name on card").fill("Ada Lovelace")
    page.locator("#submit").click()


def pay_by_upi(page: Page) -> None:
    """Pay in the frame that Razorpay's script opens over the shop's page."""
    frame = page.frame_locator("iframe.razorpay-checkout-frame")
    frame.get_by_label("UPI id").fill("success@razorpay")
    frame.locator("#pay-upi").click()


def pay_with_paypal(page: Page) -> None:
    """Log in at PayPal and agree."""
    page.get_by_label("Password").fill("anything")
    page.locator("#login").click()
    page.locator("#pay").click()


def pay_with_coins(page: Page, how: str = "exact") -> None:
    """Send coins on Cryptomus' page, and go back."""
    page.locator(f"#{how}").click()
    page.get_by_role("link", name="Back to the shop").click()


# --- who runs the platform ------------------------------------------------------------------------
def code(key: str) -> str:
    """Return what an authenticator with this key shows now."""
    return totp.code(key, int(time.time()) // totp.STEP)


@dataclass(frozen=True)
class Admin:
    """Somebody on the list of admins, whose authenticator is new."""

    page: Page
    url: str
    email: str

    def come_in(self) -> None:
        """Log in at Google and add an authenticator."""
        self.page.goto(f"{self.url}/admin")
        self.page.get_by_role("button", name=self.email).click()
        key = self.page.locator("#key").inner_text()
        self.page.get_by_label("6 digits").fill(code(key))
        self.page.get_by_role("button", name="Add authenticator").click()
        expect(self.page.get_by_text(self.email).first).to_be_visible()

    def refund(self, payment: str, amount: str) -> None:
        """Give back a part of a payment."""
        self.page.goto(f"{self.url}/admin/payments/{payment}")
        self.page.get_by_role("link", name="Refunds").last.click()
        self.page.get_by_label("Amount in EUR").fill(amount)
        self.page.get_by_label("Why").fill("A broken bag")
        self.page.get_by_role("button", name="Refund", exact=True).click()
        self.page.get_by_text("The refund is on its way").wait_for()

    def reconcile(self, gateway: str) -> None:
        """Start a reconciliation and open its report."""
        self.page.goto(f"{self.url}/admin/reconciliation")
        reports = self.page.locator("tbody tr", has_text=gateway.lower())
        before = reports.count()
        self.page.get_by_role("button", name=gateway, exact=False).click()
        self.page.get_by_text("The worker is at it").wait_for()
        runs = f"{self.url}/admin/reconciliation"
        until(
            lambda: reports.count() > before,
            f"a report of {gateway}",
            lambda: self.page.goto(runs),
        )
        reports.first.get_by_role("link").click()


@dataclass(frozen=True)
class Twin:
    """The page where things befall the simulated gateways."""

    page: Page
    url: str

    def befall(self, gateway: str, action: str, *values: str) -> str:
        """Have something happen at a gateway; `values` for its fields. Returns what it made."""
        self.page.goto(f"{self.url}/gateways")
        section = self.page.locator(f"#{gateway}")
        section.locator("summary", has_text="Make something happen").click()
        form = section.locator(f"form[action='/{gateway}/actions/{action}']")
        for field, value in zip(form.locator("input, select").all(), values, strict=False):
            if field.evaluate("it => it.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        form.get_by_role("button").click()
        return self.page.locator(f"#{gateway} [role=status] code").inner_text()

    @contextmanager
    def losing_events(self, gateway: str) -> Iterator[None]:
        """Have none of a gateway's webhooks arrive meanwhile, nor later."""
        self._drop(gateway, 10_000)
        try:
            yield
        finally:
            self._drop(gateway, 0)  # else whoever pays after a failure would hear of nothing

    def _drop(self, gateway: str, number: int) -> None:
        self.page.goto(f"{self.url}/gateways")
        section = self.page.locator(f"#{gateway}")
        faults = section.locator("details", has_text="Faults")
        if faults.get_attribute("open") is None:
            faults.locator("summary").click()
        self.page.locator(f"#{gateway}-drop_next").fill(str(number))
        section.get_by_role("button", name="Set the faults").click()

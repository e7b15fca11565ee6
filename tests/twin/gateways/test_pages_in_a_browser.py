"""The gateways' pages in a real browser, from a merchant's page with a strict policy of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Page, async_playwright

from tests.twin.edge.harness import SITE, Site, run, running
from twin.gateways.cryptomus.signing import sign

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
KEY, SECRET = "rzp_test_twin", "key-secret"
ACCOUNTS = {
    "razorpay": {"key_id": KEY, "key_secret": SECRET},
    "paypal": {"client_id": "id", "client_secret": "secret"},
    "cryptomus": {"merchant": "m", "api_key": "k"},
}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")

_PAGE = """<!doctype html><title>Shop</title><h1>Shop</h1><p id="told">nothing yet</p>
<button id="pay">Pay</button>
<script src="{script}"></script><script src="/shop.js?{query}"></script>"""
_SHOP = """
const options = new URLSearchParams(document.currentScript.src.split("?")[1]);
const tell = (text) => { document.getElementById("told").textContent = text; };
const checkout = new Razorpay({
  key: options.get("key"), order_id: options.get("order"), name: "Shop",
  prefill: { email: "a@b.co" }, notes: { x: "y" },
  handler: (response) => tell(JSON.stringify(response)),
  modal: { ondismiss: () => tell("dismissed") },
  ...(options.get("redirect") ? { redirect: true, callback_url: location.origin + "/back" } : {}),
});
checkout.on("payment.failed", ({ error }) => tell("failed: " + error.reason));
document.getElementById("pay").addEventListener("click", () => checkout.open());
"""


@contextlib.asynccontextmanager
async def shop(home: Path) -> AsyncIterator[tuple[Site, Page, list[str]]]:
    """A merchant's site behind the edge, and a browser; what the browser complained of is kept."""
    wrong: list[str] = []
    posted: dict[str, Any] = {}

    async def origin(request: web.BaseRequest) -> web.StreamResponse:
        base = f"https://checkout.razorpay.localhost:{site.edge.port}"
        policy = f"default-src 'none'; script-src 'self' {base}; frame-src {base}"
        headers = {"Content-Security-Policy": policy}
        if request.path == "/shop.js":
            return web.Response(text=_SHOP, content_type="text/javascript")
        if request.path == "/back":
            posted.update(parse_qs((await request.read()).decode()))
            text = json.dumps({name: values[0] for name, values in posted.items()})
            return web.Response(text=f"<p id=told>{text}</p>", content_type="text/html")
        if request.path == "/favicon.ico":
            return web.Response(status=404)
        script = f"{base}/v1/checkout.js"
        text = _PAGE.format(script=script, query=request.query_string)
        return web.Response(text=text, content_type="text/html", headers=headers)

    async with (
        running(home, beside=ACCOUNTS) as site,
        async_playwright() as driver,
        await driver.chromium.launch(executable_path=CHROMIUM, args=ARGS) as opened,
    ):
        await site.origin(origin)
        await site.connector(n=1)
        context = await opened.new_context(ignore_https_errors=True)
        context.set_default_timeout(15_000)
        page = await context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda message: (
                wrong.append(message.text) if "Security Policy" in message.text else None
            ),
        )
        yield site, page, wrong


async def order(site: Site) -> str:
    url = site.url("/v1/orders", "api.razorpay.test")
    headers = {"Authorization": aiohttp.encode_basic_auth(KEY, SECRET)}
    body = {"amount": 50000, "currency": "INR"}
    async with site.client.post(url, json=body, headers=headers) as answer:
        return str((await answer.json())["id"])


async def told(page: Page, start: str) -> str:
    place = page.locator("#told")
    async with asyncio.timeout(15):
        while not (text := await place.inner_text()).startswith(start):
            await asyncio.sleep(0.05)
    return text


def signed(answer: dict[str, str]) -> bool:
    text = f"{answer['razorpay_order_id']}|{answer['razorpay_payment_id']}"
    expected = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    return expected == answer["razorpay_signature"]


def test_razorpays_script_opens_a_frame_and_hands_over_what_happened(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop(tmp_path) as (site, page, wrong):
            id = await order(site)
            await page.goto(site.url(f"/?key={KEY}&order={id}"))
            frame = page.frame_locator("iframe.razorpay-checkout-frame")
            await page.click("#pay")
            await frame.locator("#dismiss").click()
            assert await told(page, "dismissed")
            assert await page.locator("iframe").count() == 0
            await page.click("#pay")
            await frame.locator("#vpa").fill("failure@razorpay")
            await frame.locator("#pay-upi").click()
            assert await told(page, "failed") == "failed: payment_failed"
            await frame.locator("#retry").click()
            await frame.locator("#number").fill("4111 1111 1111 1111")
            await frame.locator("#expiry").fill("12 / 34")
            await frame.locator("#cvv").fill("123")
            await frame.locator("#pay-card").click()
            await frame.locator("#success").click()
            answer = json.loads(await told(page, "{"))
            assert answer["razorpay_order_id"] == id
            assert signed(answer)
            assert await page.locator("iframe").count() == 0
            kept = site.edge.gateways.razorpay.ledger.get("order", id)
            assert (kept["status"], kept["attempts"]) == ("paid", 2)
            assert wrong == []

    run(scenario())


def test_razorpays_script_may_lead_away_and_back_with_a_form(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop(tmp_path) as (site, page, wrong):
            id = await order(site)
            await page.goto(site.url(f"/?key={KEY}&order={id}&redirect=1"))
            await page.click("#pay")
            await page.fill("#vpa", "success@razorpay")
            await page.click("#pay-upi")
            await page.wait_for_url(f"https://{SITE}:*/back")
            answer = json.loads(await told(page, "{"))
            assert signed(answer)
            assert wrong == []

    run(scenario())


def test_paypal_is_approved_by_keyboard(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop(tmp_path) as (site, page, wrong):
            api = "api-m.paypal.test"
            login = {"Authorization": aiohttp.encode_basic_auth("id", "secret")}
            form = {"grant_type": "client_credentials"}
            url = site.url("/v1/oauth2/token", api)
            async with site.client.post(url, data=form, headers=login) as answer:
                token = (await answer.json())["access_token"]
            unit = {"amount": {"currency_code": "EUR", "value": "10.00"}}
            context = {"return_url": site.url("/back"), "cancel_url": site.url("/")}
            body = {
                "intent": "CAPTURE", "purchase_units": [unit], "application_context": context
            }  # fmt: skip
            headers = {"Authorization": f"Bearer {token}"}
            url = site.url("/v2/checkout/orders", api)
            async with site.client.post(url, json=body, headers=headers) as answer:
                made = await answer.json()
            (link,) = [each["href"] for each in made["links"] if each["rel"] == "approve"]
            await page.goto(link)
            await page.focus("#password")
            await page.keyboard.type("x")
            await page.keyboard.press("Enter")
            await page.locator("#pay").focus()
            await page.keyboard.press("Enter")
            await page.wait_for_url(f"https://{SITE}:*/back?*")
            query = parse_qs(urlsplit(page.url).query)
            assert query["token"] == [made["id"]]
            assert query["PayerID"]
            assert wrong == []

    run(scenario())


def test_an_invoice_of_cryptomus_is_paid_and_leads_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop(tmp_path) as (site, page, wrong):
            wanted = {"amount": "15", "currency": "EUR", "order_id": "o-1"}
            text = json.dumps({**wanted, "url_return": site.url("/back")})
            headers = {"merchant": "m", "sign": sign(text, "k")}
            headers["Content-Type"] = "application/json"
            url = site.url("/v1/payment", "api.cryptomus.test")
            async with site.client.post(url, data=text, headers=headers) as answer:
                made = (await answer.json())["result"]
            await page.goto(made["url"])
            await page.select_option("#coin", "BTC")
            await page.click("#more")
            assert await page.inner_text("#status") == "paid_over"
            await page.click("#success")
            await page.wait_for_url(f"https://{SITE}:*/back")
            assert wrong == []

    run(scenario())

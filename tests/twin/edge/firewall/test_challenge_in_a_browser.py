"""The challenge's page in a real browser."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright

from tests.twin.edge.firewall.zone import BROWSER, decided, rule, status, zone
from tests.twin.edge.harness import Site, run

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
SECRET = 'starts_with(http.request.uri.path, "/secret")'

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as driver:
        opened = await driver.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield opened
        await opened.close()


@contextlib.asynccontextmanager
async def guarded(home: Path, action: str) -> AsyncIterator[tuple[Site, list[str]]]:
    """A site behind a challenge; what reached its origin is listed."""
    reached: list[str] = []

    async def origin(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/favicon.ico":
            return web.Response(status=404)
        reached.append(
            f"{request.method} {request.path_qs} {(await request.read()).decode()}".strip()
        )
        form = "<form method=post action=/secret/form><button name=a value=b>Send</button></form>"
        return web.Response(text=f"<h1>Welcome</h1>{form}", content_type="text/html")

    async with zone(home, rule(SECRET, action)) as site:
        await site.origin(origin)
        await site.connector(n=1)
        yield site, reached


async def page_of(opened: Browser, agent: str | None = BROWSER) -> Page:
    context = await opened.new_context(ignore_https_errors=True, user_agent=agent)
    context.set_default_timeout(20_000)
    return await context.new_page()


@pytest.mark.parametrize("action", ["managed_challenge", "js_challenge"])
def test_a_browser_passes_by_itself_and_gets_what_it_asked_for(tmp_path: Path, action: str) -> None:
    async def scenario() -> None:
        async with guarded(tmp_path, action) as (site, reached), browser() as opened:
            page = await page_of(opened)
            complaints: list[str] = []
            page.on("pageerror", lambda error: complaints.append(str(error)))
            first = await page.goto(site.url("/secret?q=1"))
            assert first is not None
            assert first.status == 403
            await page.get_by_role("heading", name="Welcome").wait_for()
            assert reached == ["GET /secret?q=1"], "the request is repeated once, and only then"
            assert complaints == []
            again = await page.goto(site.url("/secret/2"))
            assert again is not None
            assert again.status == 200, "the clearance holds"
            assert decided(site)[0][0] == action
            # The browser's cookie, and nothing else of it, does not help a script.
            cookies = await page.context.cookies(site.url())
            (clearance,) = [each for each in cookies if each["name"] == "cf_clearance"]
            assert clearance["httpOnly"]
            stolen = {"Cookie": f"cf_clearance={clearance['value']}", "User-Agent": "curl/8.5"}
            assert await status(site, "/secret", headers=stolen) == 403

    run(scenario())


@pytest.mark.parametrize(("action", "agent"), [("challenge", BROWSER), ("managed_challenge", None)])
def test_a_suspicious_visitor_presses_a_box_with_the_keyboard(
    tmp_path: Path, action: str, agent: str | None
) -> None:
    async def scenario() -> None:
        async with guarded(tmp_path, action) as (site, reached), browser() as opened:
            page = await page_of(opened, agent)  # without one, it says "HeadlessChrome"
            await page.goto(site.url("/secret"))
            box = page.get_by_role("checkbox", name="I am a person")
            await box.wait_for()
            assert reached == []
            await box.focus()
            await page.keyboard.press("Space")
            await page.get_by_role("heading", name="Welcome").wait_for()
            assert reached == ["GET /secret"]

    run(scenario())


def test_what_was_posted_is_not_sent_again_by_the_edge(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with guarded(tmp_path, "managed_challenge") as (site, reached), browser() as opened:
            page = await page_of(opened)
            await page.goto(site.url("/"))
            await page.get_by_role("button", name="Send").click()
            await page.get_by_text("What you sent was not kept").wait_for()
            await page.get_by_role("button", name="Go back").click()
            await page.get_by_role("heading", name="Welcome").wait_for()
            assert [line for line in reached if line.startswith("POST")] == []
            await page.get_by_role("button", name="Send").click()
            await page.wait_for_url("**/secret/form")
            await page.get_by_role("heading", name="Welcome").wait_for()
            assert reached[-1] == "POST /secret/form a=b"

    run(scenario())


def test_without_javascript_the_page_says_what_is_missing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with guarded(tmp_path, "managed_challenge") as (site, reached), browser() as opened:
            context = await opened.new_context(
                ignore_https_errors=True, user_agent=BROWSER, java_script_enabled=False
            )
            page = await context.new_page()
            await page.goto(site.url("/secret"))
            await page.get_by_text("Turn on JavaScript and cookies to continue.").wait_for()
            assert reached == []
            await context.close()

    run(scenario())

"""Pages as such: well-formed, accessible, without anything the policy would stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from payments.pages.render import TEMPLATES
from payments.pages.render import browser as browser_name
from tests.app.people.site import Browser, Page

PUBLIC = ["/", "/login", "/register", "/nowhere", "/checkout/return?order=" + "0" * 32]
PRIVATE = ["/account", "/dashboard", "/payments/new"]


def check_page(page: Page) -> None:
    """Check what every page must be; each line is a thing that hurts somebody when missing."""
    html = page.response.text
    assert html.startswith("<!doctype html>")
    assert page.of("html")[0]["lang"] == "en"
    assert page.of("meta")[1]["name"] == "viewport"
    assert len(page.of("h1")) == 1
    assert len(page.of("main")) == 1
    assert "style" not in {name for tag, attrs in page.tags for name in attrs}, (
        "the policy stops it"
    )
    assert not page.of("style")
    assert all("src" in script for script in page.of("script"))
    assert not [n for _, attrs in page.tags for n in attrs if n.startswith("on")]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    labelled = {label["for"] for label in page.of("label") if "for" in label}
    for field in page.of("input"):
        if field["type"] not in ("hidden", "radio") and "aria-hidden" not in field:
            assert field["id"] in labelled
            assert field["autocomplete"]
        for described in field.get("aria-describedby", "").split():
            assert described in ids
    for svg in page.of("svg"):
        assert svg["aria-hidden"] == "true"


@pytest.mark.parametrize("path", PUBLIC)
async def test_a_public_page_is_sound(browser: Browser, path: str) -> None:
    page = await browser.get(path)
    assert page.response.status_code in (200, 404)
    check_page(page)


@pytest.mark.parametrize("path", PRIVATE)
async def test_a_private_page_is_sound_and_private(browser: Browser, path: str) -> None:
    answer = (await browser.get(path)).response
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/login?next={path.replace('/', '%2F')}",
    )
    await browser.join()
    page = await browser.get(path)
    assert page.response.status_code == 200
    check_page(page)


async def test_a_form_with_mistakes_is_sound_too(browser: Browser) -> None:
    answer = await browser.register("nonsense", "short")
    page = Page(answer)
    check_page(page)
    wrong = [field for field in page.of("input") if field.get("aria-invalid") == "true"]
    assert [field["name"] for field in wrong] == ["email", "password"]


async def test_a_page_without_a_form_sets_no_cookie(browser: Browser) -> None:
    for path in ("/", "/nowhere"):
        assert "set-cookie" not in (await browser.get(path)).response.headers


@pytest.mark.parametrize("order", ["", "1", "javascript:alert(1)", "//evil.example"])
async def test_the_way_back_leads_nowhere_else(browser: Browser, order: str) -> None:
    page = await browser.get("/checkout/return", params={"order": order})
    assert page.response.status_code == 422
    assert not [meta for meta in page.of("meta") if "http-equiv" in meta]


async def test_errors_are_pages_for_people_and_problems_for_clients(browser: Browser) -> None:
    page = await browser.get("/nowhere")
    assert page.response.headers["content-type"].startswith("text/html")
    assert "This page does not exist" in page.words
    for headers in ({"accept": "application/json"}, {"accept": "*/*"}):
        answer = await browser.client.get("/nowhere", headers=headers)
        assert answer.headers["content-type"] == "application/problem+json"
    for path in ("/api/nowhere", "/webhooks/nowhere"):
        answer = await browser.client.get(path)
        assert answer.headers["content-type"] == "application/problem+json", path


async def test_what_somebody_typed_comes_back_escaped(browser: Browser) -> None:
    attack = '"><script>alert(1)</script>'
    page = Page(await browser.send("/login", email=attack, password="x"))
    assert attack not in page.response.text
    assert next(f for f in page.of("input") if f["name"] == "email")["value"] == attack
    page = await browser.get("/login", params={"next": attack})
    assert attack not in page.response.text


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda p: p.name)
def test_no_template_switches_escaping_off(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape" not in text
    assert "<script>" not in text
    assert "<style" not in text


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/2010 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/150 Safari/537.36 Edg/150",
         "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
         "Safari on iPhone"),
        ("curl/8.5.0", "Another program"),
        ("", "Another program"),
    ],
)  # fmt: skip
def test_a_session_is_named_by_its_browser(agent: str, name: str) -> None:
    assert browser_name(agent) == name

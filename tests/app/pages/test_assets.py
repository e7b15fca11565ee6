"""Static files: named by content, kept for ever, and still there in the middle of a release."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from payments.pages.assets import FOLDER, IMMUTABLE, Assets
from tests.app.people.site import Browser


def _folder(path: Path, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        (path / name.replace("_", ".")).write_text(content)
    return path


def test_a_file_s_address_changes_with_its_content(tmp_path: Path) -> None:
    first = Assets(_folder(tmp_path / "one", app_js="1")).url("app.js")
    second = Assets(_folder(tmp_path / "two", app_js="2")).url("app.js")
    assert first != second
    assert re.fullmatch(r"/static/app\.[0-9a-f]{16}\.js", first)


def test_a_style_sheet_s_address_changes_with_what_it_names(tmp_path: Path) -> None:
    sheet = 'a { src: url("mark.svg") }'
    first = Assets(_folder(tmp_path / "one", a_css=sheet, mark_svg="1"))
    second = Assets(_folder(tmp_path / "two", a_css=sheet, mark_svg="2"))
    assert first.url("a.css") != second.url("a.css")
    found = first.find(first.url("a.css").removeprefix("/static/"))
    assert found is not None
    assert first.url("mark.svg") in found[0].content.decode()


def test_a_style_sheet_that_names_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.css names mark\.svg"):
        Assets(_folder(tmp_path / "one", a_css='a { src: url("mark.svg") }'))


async def test_everything_a_page_names_is_there_and_may_be_kept_for_ever(browser: Browser) -> None:
    page = await browser.get("/login")
    named = [a["href"] for a in page.of("link")] + [a["src"] for a in page.of("script")]
    assert len(named) >= 5
    for address in named:
        answer = await browser.client.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["cache-control"] == IMMUTABLE
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = await browser.client.get(address, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_a_page_of_the_next_release_gets_a_file_it_must_not_keep(browser: Browser) -> None:
    answer = await browser.client.get("/static/app.0123456789abcdef.js")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content == (FOLDER / "app.js").read_bytes()


@pytest.mark.parametrize(
    "name",
    ["app.js", "nothing.0123456789abcdef.js", "..%2Fapp.py", "%2e%2e/app.py", "", "app.0123.js"],
)
async def test_nothing_else_is_served(browser: Browser, name: str) -> None:
    answer = await browser.client.get(f"/static/{name}", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_styles_and_scripts_load_nothing_from_elsewhere() -> None:
    for path in FOLDER.iterdir():
        if path.suffix in {".css", ".js"}:
            text = path.read_text(encoding="utf-8")
            assert "http:" not in text, path.name
            assert "https:" not in text, path.name
            assert "@import" not in text, path.name

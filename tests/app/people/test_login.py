"""Registering and logging in, as a browser does it."""

from __future__ import annotations

from tests.app.people.site import Browser


async def test_somebody_registers_logs_in_and_is_known(browser: Browser) -> None:
    answer = await browser.register()
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?told=registered")
    answer = await browser.log_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard")
    page = await browser.get("/account")
    assert page.response.status_code == 200
    assert "ada@example.com" in page.words
    assert "Firefox" in page.words
    assert "198.51.100.7" in page.words

"""Exchange rates: added by an admin, and asked about when one looks like a slip."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI

from tests.app.admin.test_money import V1, ask, send
from tests.app.people.site import Browser


async def test_a_rate_is_added_and_offered(desk: Browser, site: FastAPI) -> None:
    page = await desk.get("/admin/rates")
    done = await send(desk, page, "/admin/rates", base="eur", quote="usd", rate="1.0835")
    assert "holds from now on" in done.words
    for fields, why in (
        ({"base": "EUR", "quote": "EUR", "rate": "1"}, "two currencies"),
        ({"base": "EUR", "quote": "USD", "rate": "0"}, "above zero"),
        ({"base": "EUR", "quote": "USD", "rate": "nan"}, "above zero"),
        ({"base": "EUR", "quote": "USD", "rate": "much"}, "Write a rate"),
        ({"base": "EUR", "quote": "XXZ", "rate": "1"}, "no currency"),
        ({"base": "EUR", "quote": "USD", "rate": "1", "hours": "999"}, "at most 7 days"),
        ({"base": "EUR", "quote": "USD", "rate": "1." + "0" * 12 + "1"}, "twelve decimals"),
    ):
        refused = await send(desk, page, "/admin/rates", **fields)
        assert (refused.response.status_code, why in refused.words) == (422, True), refused.words
    assert await ask(site, "SELECT count(*) FROM payments.exchange_rates") == 1
    assert (
        await ask(
            site, "SELECT count(*) FROM payments.audit_log WHERE action = 'exchange_rate.added'"
        )
        == 1
    )


@pytest.mark.parametrize(
    ("quote", "rate", "far"),
    [
        ("AUD", "1.2", False),
        ("BRL", "0.8", False),
        ("CAD", "1.2001", True),
        ("CHF", "0.7999", True),
        ("CZK", "10", True),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
async def test_a_rate_far_from_the_last_one_is_added_only_by_who_says_that_it_is_meant(
    api: httpx.AsyncClient, site: FastAPI, quote: str, rate: str, far: bool, turned: bool
) -> None:
    pair = {"base": "EUR" if turned else "GBP", "quote": quote}
    first = pair | {"rate": "1", "hours": 1}
    assert (await api.post(f"{V1}/exchange-rates", json=first)).status_code == 201
    if turned:
        pair = {"base": pair["quote"], "quote": pair["base"]}
    asked = pair | {"rate": rate, "hours": 1}
    answer = await api.post(f"{V1}/exchange-rates", json=asked)
    assert (answer.status_code, answer.json().get("code")) == (
        (422, "rate_far_from_last") if far else (201, None)
    )
    added = "SELECT count(*) FROM payments.exchange_rates WHERE base = :base AND quote = :quote"
    before = await ask(site, added, **pair)
    meant = await api.post(f"{V1}/exchange-rates", json=asked | {"far_is_meant": True})
    assert meant.status_code == 201, "whoever means it says so"
    assert await ask(site, added, **pair) == before + 1
    noted = (
        "SELECT count(*) FROM payments.audit_log WHERE detail ? 'far_from' AND subject = :subject"
    )
    assert await ask(site, noted, subject=f"rate:{meant.json()['id']}") == int(far)


async def test_the_page_asks_whether_a_far_rate_is_meant(desk: Browser, site: FastAPI) -> None:
    page = await desk.get("/admin/rates")
    await send(desk, page, "/admin/rates", base="EUR", quote="SEK", rate="11.05")
    asked = await send(desk, page, "/admin/rates", base="EUR", quote="SEK", rate="1.105")
    assert asked.response.status_code == 422
    assert "EUR to SEK at 1.105: is that meant?" in asked.words
    added = "SELECT count(*) FROM payments.exchange_rates WHERE quote = 'SEK'"
    assert await ask(site, added) == 1
    done = await send(desk, asked, "/admin/rates", far="meant")
    assert "holds from now on" in done.words
    assert await ask(site, added) == 2

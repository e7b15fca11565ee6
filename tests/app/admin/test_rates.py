"""Exchange rates: added by an admin, and asked about when one looks like a slip."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from payments.db import one_at_a_time
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
    # One that has ended: it is the last one all the same, and makes no circle with the next.
    await ask(
        site,
        "INSERT INTO payments.exchange_rates (base, quote, rate, source, valid_from, valid_until)"
        " VALUES (:base, :quote, 1, 'tests', now() - interval '2 hours', now() - interval '1 hour')"
        " RETURNING id",
        **pair,
    )
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


async def add(api: httpx.AsyncClient, pair: str, rate: str, hours: int = 1) -> tuple[int, str]:
    """Add a rate, meant however far it is; returns the status, and the code or the detail."""
    base, quote = pair.split("/")
    body = {"base": base, "quote": quote, "rate": rate, "hours": hours, "far_is_meant": True}
    answer = await api.post(f"{V1}/exchange-rates", json=body)
    if answer.status_code == 422:
        assert answer.json()["code"] == "rate_gains_in_circle"
    return answer.status_code, answer.json().get("detail", "")


async def test_no_rate_is_added_by_which_there_and_back_gains(api: httpx.AsyncClient) -> None:
    assert (await add(api, "CAD/MXN", "1.08", 168))[0] == 201
    assert (await add(api, "MXN/CAD", "0.92", 168))[0] == 201
    status, why = await add(api, "MXN/CAD", "0.965", 168)
    assert (status, "MXN to CAD to MXN" in why) == (422, True), why
    assert "At the rate 0.965," in why
    assert "The highest rate that is accepted is 0.925925925925." in why
    assert (await add(api, "MXN/CAD", "0.925925925926"))[0] == 422
    assert (await add(api, "MXN/CAD", "0.925925925925"))[0] == 201
    # The market has moved: as the answer says, first the way back, for at least as long.
    assert (await add(api, "CAD/MXN", "1.03", 24))[0] == 201
    assert (await add(api, "MXN/CAD", "0.965", 24))[0] == 422, "1.08 is back before this one ends"
    assert (await add(api, "MXN/CAD", "0.965", 23))[0] == 201


async def test_no_rate_is_added_by_which_a_longer_circle_gains(api: httpx.AsyncClient) -> None:
    for pair, rate in (("NOK/SGD", "0.5"), ("SGD/THB", "25"), ("THB/ZAR", "0.5")):
        assert (await add(api, pair, rate))[0] == 201
    status, why = await add(api, "ZAR/NOK", "0.161")
    assert (status, "ZAR to NOK to SGD to THB to ZAR" in why) == (422, True), why
    assert (await add(api, "ZAR/NOK", "0.16"))[0] == 201, "what went in comes out, and no more"


async def test_a_rate_is_held_against_what_was_added_while_it_waited(
    api: httpx.AsyncClient, site: FastAPI
) -> None:
    async with site.state.resources.database.transaction() as session:
        await one_at_a_time(session, "exchange-rates")
        waiting = asyncio.create_task(add(api, "HUF/ISK", "1.01"))
        while not await ask(site, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not waiting.done(), "it did not wait"
            await asyncio.sleep(0.01)
        await session.execute(
            text(
                "INSERT INTO payments.exchange_rates"
                " (base, quote, rate, source, valid_from, valid_until) VALUES"
                " ('ISK', 'HUF', 1, 'tests', clock_timestamp(), now() + interval '1 hour')"
            )
        )
    assert (await waiting)[0] == 422


async def test_the_page_says_why_a_rate_that_gains_is_refused(desk: Browser) -> None:
    page = await desk.get("/admin/rates")
    await send(desk, page, "/admin/rates", base="DKK", quote="PLN", rate="0.57")
    refused = await send(desk, page, "/admin/rates", base="PLN", quote="DKK", rate="1.76")
    assert refused.response.status_code == 422
    assert "customers would gain by exchanging PLN to DKK to PLN" in refused.words
    assert "is that meant?" not in refused.words

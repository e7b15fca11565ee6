"""A payment, from the catalogue to the books, as a browser without a screen does it."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from payments.pages.status import ORDER_EVENTS, ORDER_STATES, PAID
from payments.resources import Resources
from tests.app.pages.test_pages import check_page
from tests.app.people.fixtures import Till
from tests.app.people.site import Browser, Page, browser_on


async def _order(browser: Browser, sku: str = "coffee", currency: str = "EUR") -> str:
    """Place an order with the form; return its path."""
    page = await browser.get("/payments/new", params={"currency": currency})
    answer = await browser.client.post(
        "/payments/new", data=page.forms["/payments/new"] | {"sku": sku}
    )
    assert answer.status_code == 303, answer.text
    location = answer.headers["location"]
    assert location.endswith("/checkout")
    return str(location.removesuffix("/checkout"))


def _refresh(page: Page) -> str:
    content = next(m["content"] for m in page.of("meta") if m.get("http-equiv") == "refresh")
    return content.removeprefix("0; url=")


def _path(url: str) -> str:
    assert url.startswith("https://pay.example.com/")
    return url.removeprefix("https://pay.example.com")


async def test_somebody_pays_and_sees_it_confirmed_in_the_books(
    browser: Browser, till: Till
) -> None:
    await browser.join()
    assert "Nothing here yet" in (await browser.get("/dashboard")).words
    path = await _order(browser)

    to_checkout = await browser.get(f"{path}/checkout")
    check_page(to_checkout)
    assert _refresh(to_checkout) == till.last["url"]
    assert "checkout.stripe.test" in to_checkout.words

    back = _refresh(await browser.get(_path(till.last["success_url"])))
    waiting = await browser.get(back)
    check_page(waiting)
    assert "Waiting for confirmation" in waiting.words
    assert "Pay now" not in waiting.words, "nobody should pay twice"
    assert (await browser.client.get(f"{path}/status")).json() == {"status": "pending"}

    await till.confirm(browser)
    assert (await browser.client.get(f"{path}/status")).json() == {"status": "paid"}
    paid = await browser.get(back)
    check_page(paid)
    assert "confirmed and in the books" in paid.words
    order = [
        paid.words.index(word) for word in ("Confirmed by", "Checkout opened", "Order created")
    ]
    assert order == sorted(order), "the latest first"

    overview = await browser.get("/dashboard")
    check_page(overview)
    assert "Coffee beans, 1 kg" in overview.words
    assert "€24.90" in overview.words
    assert overview.words.index("Purchase") < overview.words.index("Payment")
    assert "\N{MINUS SIGN}\N{NARROW NO-BREAK SPACE}€24.90" in overview.response.text


async def test_coming_back_is_not_paying(browser: Browser, till: Till) -> None:
    await browser.join()
    path = await _order(browser)
    for query in ("?returned=paid", "?returned=cancelled", ""):
        page = await browser.get(path + query)
        assert "confirmed and in the books" not in page.words
        badges = [attrs["class"] for tag, attrs in page.tags if "badge" in attrs.get("class", "")]
        assert badges == ["badge wait"], query
    assert "balance" not in (await browser.get("/dashboard")).words


async def test_coming_back_without_the_strict_cookie_goes_on_from_a_page_of_ours(
    site: FastAPI, browser: Browser, till: Till
) -> None:
    await browser.join()
    path = await _order(browser)
    async with browser_on(site) as without_cookie:
        landing = await without_cookie.get(_path(till.last["success_url"]))
        assert landing.response.status_code == 200, "a redirect would not bring the cookie along"
        check_page(landing)
        target = _refresh(landing)
        assert target == f"{path}?returned=paid"
        assert any(link["href"] == target for link in landing.of("a")), "for whom nothing refreshes"
        for secret in ("Coffee", "24.90", "pending"):
            assert secret not in landing.response.text, "nobody is known yet"
        again = (await without_cookie.get(target)).response
        assert again.status_code == 303, "whoever has no cookie now is not logged in"
        assert again.headers["location"].startswith("/login?next=%2Forders%2F")
    assert "Waiting for confirmation" in (await browser.get(target)).words


async def test_a_form_sent_twice_is_one_order(browser: Browser, till: Till) -> None:
    await browser.join()
    page = await browser.get("/payments/new")
    fields = page.forms["/payments/new"]
    first, second = await asyncio.gather(
        *(browser.client.post("/payments/new", data=fields) for _ in range(2))
    )
    assert first.headers["location"] == second.headers["location"]
    assert len(till.server.sessions) == 1
    other = await browser.client.post("/payments/new", data=fields | {"sku": "course"})
    assert other.headers["location"] != first.headers["location"], "another choice, another order"
    fresh = await browser.get("/payments/new")
    assert fresh.forms["/payments/new"]["idempotency_key"] != fields["idempotency_key"]


@pytest.mark.parametrize(
    "fields",
    [
        {"sku": "nothing"},
        {"sku": ""},
        {"currency": "XXX"},
        {"currency": "KWD"},  # sold, but not this one
        {"idempotency_key": ""},
        {"idempotency_key": "x" * 32},
    ],
)
async def test_a_wrong_choice_shows_the_form_again(
    browser: Browser, till: Till, fields: dict[str, str]
) -> None:
    await browser.join()
    page = await browser.get("/payments/new")
    answer = await browser.client.post("/payments/new", data=page.forms["/payments/new"] | fields)
    assert answer.status_code == 422
    check_page(Page(answer))
    assert not till.server.sessions


async def test_nobody_chooses_their_own_price(browser: Browser, till: Till) -> None:
    await browser.join()
    page = await browser.get("/payments/new")
    fields = page.forms["/payments/new"] | {"amount": "1", "price": "1", "quantity": "0"}
    await browser.client.post("/payments/new", data=fields)
    assert till.last["amount_total"] == 2490


@pytest.mark.parametrize(
    ("currency", "shown", "hidden"),
    [("EUR", "€24.90", "KWD 4"), ("JPY", "¥4,200", "€"), ("KWD", "42.500", "€"), ("XXX", "€", "")],
)
async def test_the_catalogue_is_shown_in_a_currency_it_is_sold_in(
    browser: Browser, currency: str, shown: str, hidden: str
) -> None:
    await browser.join()
    page = await browser.get("/payments/new", params={"currency": currency})
    check_page(page)
    assert shown in page.words
    assert not hidden or hidden not in page.words


async def test_leaving_the_checkout_leaves_the_order_open(browser: Browser, till: Till) -> None:
    await browser.join()
    path = await _order(browser)
    page = await browser.get(_refresh(await browser.get(_path(till.last["cancel_url"]))))
    check_page(page)
    assert "without paying" in page.words
    assert any(link["href"] == f"{path}/checkout" for link in page.of("a")), "it can be paid still"


async def test_an_expired_order_cannot_be_paid(browser: Browser, till: Till) -> None:
    await browser.join()
    path = await _order(browser)
    await till.tell(browser, "checkout.session.expired", till.last | {"status": "expired"})
    page = await browser.get(path)
    assert "Nobody paid in time" in page.words
    assert "Pay now" not in page.words
    answer = (await browser.get(f"{path}/checkout")).response
    assert (answer.status_code, answer.headers["location"]) == (303, path)


async def test_a_gateway_that_does_not_answer_leaves_an_order_that_waits(
    browser: Browser, till: Till
) -> None:
    await browser.join()
    till.server.faults.append("fail")
    page = await browser.get("/payments/new")
    answer = await browser.client.post("/payments/new", data=page.forms["/payments/new"])
    assert re.fullmatch(r"/orders/[0-9a-f-]{36}", answer.headers["location"])
    shown = await browser.get(answer.headers["location"])
    assert "has not answered yet" in shown.words
    assert 'data-poll="' in shown.response.text
    assert "Pay now" not in shown.words


async def test_a_gateway_that_refuses_says_that_nothing_was_charged(
    browser: Browser, till: Till
) -> None:
    await browser.join()
    till.server.faults.append("refuse")
    page = await browser.get("/payments/new")
    answer = await browser.client.post("/payments/new", data=page.forms["/payments/new"])
    shown = await browser.get(answer.headers["location"])
    assert "did not accept this order" in shown.words
    assert "data-poll" not in shown.response.text


async def test_somebody_else_s_order_does_not_exist(
    site: FastAPI, browser: Browser, till: Till
) -> None:
    await browser.join()
    path = await _order(browser)
    async with browser_on(site) as other:
        await other.join()
        for leaf in ("", "/checkout", "/status", "?returned=paid"):
            page = await other.get(path + leaf)
            assert page.response.status_code == 404, leaf
            assert "Coffee" not in page.words
        assert "Coffee" not in (await other.get("/dashboard")).words


@pytest.mark.parametrize("path", ["/dashboard", "/payments/new", "/orders/" + "0" * 32])
async def test_pages_of_money_ask_for_a_login_first(browser: Browser, path: str) -> None:
    answer = (await browser.get(path)).response
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=")


async def test_asking_for_a_status_without_a_login_is_an_answer_not_a_page(
    browser: Browser,
) -> None:
    answer: httpx.Response = await browser.client.get(
        "/orders/" + "0" * 32 + "/status", headers={"accept": "application/json"}
    )
    assert answer.status_code == 401


async def test_every_status_there_is_has_its_words(resources: Resources) -> None:
    async with resources.database.transaction() as session:
        rows = await session.execute(text("SELECT entity, to_status FROM payments.status_moves"))
        reachable = {status for entity, status in rows if entity == "order"}
    assert reachable | {"pending"} == ORDER_STATES.keys() == ORDER_EVENTS.keys()
    assert {status for status, state in ORDER_STATES.items() if state.label == "Paid"} <= PAID

"""Receipts, refunds, retries, statements, keys and endpoints on their pages."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from payments.ledger import service as ledger
from payments.money import Money
from payments.refunds import service as refunds
from payments.resources import Resources
from tests.app.ledger.books import fund, move
from tests.app.pages.test_pages import check_page
from tests.app.pages.test_payments import _order
from tests.app.people.fixtures import Till
from tests.app.people.site import Browser, Page, browser_on


async def me(site: FastAPI, browser: Browser) -> UUID:
    async with site.state.resources.database.transaction() as session:
        found: UUID = (
            await session.execute(
                text("SELECT id FROM payments.users WHERE email = :e"), {"e": browser.email}
            )
        ).scalar_one()
        return found


async def test_a_paid_order_has_a_receipt_and_shows_its_refunds(
    browser: Browser, till: Till, resources: Resources, site: FastAPI
) -> None:
    await browser.join()
    path = await _order(browser)
    assert "Receipt" not in (await browser.get(path)).words
    assert (await browser.get(f"{path}/receipt")).response.status_code == 409
    await till.confirm(browser)
    assert f"{path}/receipt" in (await browser.get(path)).response.text
    receipt = await browser.get(f"{path}/receipt")
    check_page(receipt)
    number = re.search(r"Receipt (\d{4}-\d{6})", receipt.words)
    assert number, receipt.words
    assert browser.email in receipt.words
    async with resources.database.transaction() as session:
        payment = await session.scalar(
            text("SELECT id FROM payments.payments WHERE order_id = :o"), {"o": path[8:]}
        )
    await refunds.request(
        resources, payment_id=payment, money=Money(490, "EUR"), reason="secret words",
        requested_by="x", request_key=str(uuid4()),
    )  # fmt: skip
    shown = await browser.get(path)
    check_page(shown)
    assert "Refunded" in shown.words
    assert "secret words" not in shown.words
    later = await browser.get(f"{path}/receipt")
    assert number[1] in later.words
    assert "€20.00" in later.words, "what is left of it"
    async with browser_on(site) as other:
        await other.join()
        assert (await other.get(f"{path}/receipt")).response.status_code == 404


async def test_an_order_that_was_refused_is_tried_again(browser: Browser, till: Till) -> None:
    await browser.join()
    till.server.faults.append("refuse")
    page = await browser.get("/payments/new")
    refused = await browser.client.post("/payments/new", data=page.forms["/payments/new"])
    path = refused.headers["location"]
    shown = await browser.get(path)
    check_page(shown)
    retry = f"{path}/retry"
    again = await browser.client.post(retry, data=shown.forms[retry])
    assert again.headers["location"] == f"{path}/checkout"
    twice = await browser.client.post(retry, data=shown.forms[retry])
    assert twice.headers["location"] == path, "there is a page to pay on already"
    assert len(till.server.sessions) == 1
    await till.confirm(browser)
    paid = await browser.get(path)
    assert "Paid" in paid.words
    assert retry not in paid.forms
    assert (await browser.client.post(retry, data={"csrf": "no"})).status_code == 403


async def test_every_kind_of_balance_is_shown_with_its_statement(
    browser: Browser, till: Till, site: FastAPI, resources: Resources
) -> None:
    await browser.join()
    await _order(browser)
    owner = ledger.customer(await me(site, browser))
    async with resources.database.transaction() as session:
        await ledger.post(
            session,
            [
                *(fund(owner, 100 + n, key=f"{owner}:{n}") for n in range(60)),
                move(
                    f"{owner}:r", 42, currency="PTS",
                    debit=("house", "issued"), credit=(owner, "rewards"),
                ),
            ],
        )  # fmt: skip
    overview = await browser.get("/dashboard")
    check_page(overview)
    assert overview.words.index("Wallet") < overview.words.index("Rewards")
    assert "42 PTS" in overview.words
    first = await browser.get("/accounts/wallet/EUR")
    check_page(first)
    (older,) = [a["href"] for a in first.of("a") if a.get("rel") == "next"]
    second = await browser.get(older)
    rows = [len(page.of("time")) for page in (first, second)]
    assert rows == [50, 10]
    csv = await browser.client.get("/accounts/wallet/EUR/csv")
    assert csv.headers["content-type"].startswith("text/csv")
    assert len(csv.text.splitlines()) == 61
    for path in ("/accounts/wallet/USD", "/accounts/fees/EUR", "/accounts/fees/EUR/csv"):
        assert (await browser.get(path)).response.status_code == 404
    assert (await browser.get(f"{older}x")).response.status_code == 400


async def test_a_key_is_shown_once_works_and_is_revoked(
    browser: Browser, till: Till, site: FastAPI
) -> None:
    await browser.join()
    page = await browser.get("/developers")
    check_page(page)
    path = "/developers/keys"
    made = Page(
        await browser.client.post(
            path,
            data={"csrf": page.forms[path]["csrf"], "name": "shop", "scopes": ["orders:read"]},
        )
    )
    check_page(made)
    assert made.response.status_code == 201
    secret = re.search(r"pk_test_[\w-]{43}", made.words)
    assert secret
    assert made.response.headers["cache-control"] == "no-store"
    assert secret[0] not in (await browser.get("/developers")).response.text
    bearer = {"Authorization": f"Bearer {secret[0]}", "Cookie": ""}
    assert (await browser.client.get("/api/v1/orders", headers=bearer)).status_code == 200
    (revoke,) = [form for form in made.forms if form.endswith("/revoke")]
    (replace,) = [form for form in made.forms if form.endswith("/replace")]
    replaced = Page(await browser.client.post(replace, data=made.forms[replace]))
    assert re.search(r"pk_test_[\w-]{43}", replaced.words)
    gone = await browser.client.post(revoke, data=made.forms[revoke])
    assert gone.headers["location"] == "/developers?told=revoked"
    assert (await browser.client.get("/api/v1/orders", headers=bearer)).status_code == 401
    for fields, why in (
        ({"name": "x"}, "Choose what"),
        ({"name": " ", "scopes": ["orders:read"]}, "Give the key a name"),
        ({"name": "a\0", "scopes": ["orders:read"]}, "Give the key a name"),
        ({"name": "x", "scopes": ["everything"]}, "everything"),
    ):
        refused = Page(
            await browser.client.post(path, data={"csrf": page.forms[path]["csrf"], **fields})
        )
        assert (refused.response.status_code, why in refused.words) == (422, True), refused.words
    async with browser_on(site) as other:
        await other.join()
        theirs = (await other.get("/developers")).forms[path]
        assert (await other.client.post(replace, data=theirs)).status_code == 404


async def test_an_endpoint_is_added_switched_and_given_a_new_secret(
    browser: Browser, till: Till, site: FastAPI
) -> None:
    await browser.join()
    page = await browser.get("/developers")
    path = "/developers/endpoints"
    data = page.forms[path] | {"url": "https://shop.example/hooks"}
    added = Page(await browser.client.post(path, data=data))
    check_page(added)
    first = re.search(r"whsec_\S+", added.words)
    assert first
    (own,) = {a["href"] for a in added.of("a") if a["href"].startswith(path + "/")}
    shown = await browser.get(own)
    check_page(shown)
    assert first[0] not in shown.response.text
    new = Page(await browser.client.post(f"{own}/secret", data=shown.forms[f"{own}/secret"]))
    second = re.search(r"whsec_\S+", new.words)
    assert second
    assert second[0] != first[0]
    off = shown.forms[f"{own}/switch"] | {"enabled": "off"}
    answer = await browser.client.post(f"{own}/switch", data=off)
    assert "told nothing any more" in (await browser.get(answer.headers["location"])).words
    for url in ("http://shop.example/", "no address", "https://a b/", "javascript:alert(1)"):
        refused = await browser.client.post(path, data=data | {"url": url})
        assert refused.status_code == 422, url
    async with browser_on(site) as other:
        await other.join()
        assert (await other.get(own)).response.status_code == 404
        token = (await other.get("/developers")).forms[path]["csrf"]
        for leaf, fields in (
            ("secret", {}), ("switch", {"enabled": "on"}), ("redeliver", {"message": str(uuid4())}),
        ):  # fmt: skip
            theirs = await other.client.post(f"{own}/{leaf}", data={"csrf": token, **fields})
            assert theirs.status_code == 404, leaf


@pytest.mark.parametrize("path", ["/subscriptions", "/developers", "/accounts/wallet/EUR"])
async def test_whoever_is_not_logged_in_is_sent_to_log_in(browser: Browser, path: str) -> None:
    answer = await browser.client.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=")


async def test_where_several_gateways_take_an_order_the_customer_chooses(
    browser: Browser, till: Till, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.join()
    assert "How to pay" not in (await browser.get("/payments/new")).words, "there is no choice"
    able = resources.gateways.able

    class Another:
        name = "paypal"

    monkeypatch.setattr(
        type(resources.gateways), "able", lambda self, *a, **k: [*able(*a, **k), Another()]
    )
    page = await browser.get("/payments/new")
    check_page(page)
    assert "PayPal" in page.words
    monkeypatch.undo()
    form = page.forms["/payments/new"]
    assert form["gateway"] == ""
    refused = await browser.client.post("/payments/new", data=form | {"gateway": "paypal"})
    assert refused.status_code == 422
    assert "not offered" in Page(refused).words
    chosen = await browser.client.post("/payments/new", data=form | {"gateway": "stripe"})
    assert chosen.status_code == 303

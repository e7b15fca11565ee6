"""Placing an order, paying for it, and what the books say afterwards."""

from __future__ import annotations

import httpx

from payments.resources import Resources
from tests.app.fixtures import BOB, USER_HEADER
from tests.app.orders.helpers import books, deliver, only_session, order, scalar
from tests.app.stripe_server import StripeServer, charge, event, intent

COFFEE = 2490
FEE = 72  # 2.9 % of 24.90, rounded down


async def test_an_order_is_paid_by_the_signed_webhook_and_only_by_that(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    created = await order(client)
    assert created.status_code == 201
    view = created.json()
    assert (view["status"], view["amount"], view["currency"]) == ("pending", COFFEE, "EUR")
    session = only_session(stripe_server)
    assert view["checkout_url"] == session["url"]
    assert session["amount_total"] == COFFEE

    stripe_server.pay(session["id"])
    looked = (await client.get(created.headers["location"])).json()
    assert looked["status"] == "pending", "the gateway's page is not what pays an order"
    assert await books(resources) == {}

    body = event("checkout.session.completed", session, key="evt_1")
    delivered = await deliver(client, body)
    assert (delivered.status_code, delivered.json()) == (200, {"status": "applied"})
    paid = (await client.get(created.headers["location"])).json()
    assert paid["status"] == "paid"
    assert paid["paid_at"] is not None
    assert paid["checkout_url"] is None, "it must not be paid twice"
    assert await books(resources) == {
        ("gateway_clearing", "EUR"): -COFFEE,
        ("merchant", "EUR"): COFFEE - FEE,
        ("fees", "EUR"): FEE,
    }


async def test_a_top_up_ends_in_the_customers_wallet(
    client: httpx.AsyncClient, stripe_server: StripeServer
) -> None:
    await order(client, sku="credit-50")
    session = stripe_server.pay(only_session(stripe_server)["id"])
    await deliver(client, event("checkout.session.completed", session, key="evt_1"))
    accounts = (await client.get("/api/v1/ledger/accounts")).json()["data"]
    assert accounts == [
        {"purpose": "wallet", "currency": "EUR", "balance": 5000, "held": 0, "available": 5000}
    ]
    others = await client.get("/api/v1/ledger/accounts", headers={USER_HEADER: str(BOB)})
    assert others.json() == {"data": []}


async def test_a_three_decimal_price_reaches_the_gateway_and_comes_back_as_it_is(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    assert (await order(client, sku="course", currency="KWD")).status_code == 201
    session = stripe_server.pay(only_session(stripe_server)["id"])
    assert session["amount_total"] == 42500, "42.500 KWD, not 4.25 and not 425.00"
    await deliver(client, event("checkout.session.completed", session, key="evt_1"))
    assert (await books(resources))[("gateway_clearing", "KWD")] == -42500


async def test_the_price_is_the_servers(client: httpx.AsyncClient) -> None:
    refused = await order(client, amount=1)
    assert refused.status_code == 422
    assert refused.json()["code"] == "invalid_payload"
    assert (await order(client, key="k2", sku="yacht")).json()["code"] == "unknown_product"
    assert (await order(client, key="k3", currency="CHF")).json()["code"] == "unknown_price"
    assert (await order(client, key="k4", quantity=11)).status_code == 422


async def test_a_wrong_amount_is_not_paid_but_in_suspense(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    created = await order(client)
    session = stripe_server.pay(only_session(stripe_server)["id"]) | {"amount_total": 2489}
    await deliver(client, event("checkout.session.completed", session, key="evt_1"))
    assert (await client.get(created.headers["location"])).json()["status"] == "review"
    assert await books(resources) == {
        ("gateway_clearing", "EUR"): -2489,
        ("suspense", "EUR"): 2489,
    }


async def test_another_currency_is_not_paid_but_in_suspense(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    created = await order(client)
    session = stripe_server.pay(only_session(stripe_server)["id"]) | {"currency": "usd"}
    await deliver(client, event("checkout.session.completed", session, key="evt_1"))
    assert (await client.get(created.headers["location"])).json()["status"] == "review"
    assert ("suspense", "USD") in await books(resources)


async def test_a_second_payment_of_one_order_is_in_suspense(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await order(client)
    session = stripe_server.pay(only_session(stripe_server)["id"])
    await deliver(client, event("checkout.session.completed", session, key="evt_1"))
    twin = session | {"id": "cs_test_other", "payment_intent": "pi_other"}
    await deliver(client, event("checkout.session.completed", twin, key="evt_2"))
    assert (await books(resources))[("suspense", "EUR")] == COFFEE


async def test_partial_refunds_take_the_fee_back_in_proportion_and_never_too_much(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    created = await order(client)
    session = stripe_server.pay(only_session(stripe_server)["id"])
    await deliver(client, event("checkout.session.completed", session, key="evt_1"))
    await deliver(client, event("charge.refunded", charge(session, 830), key="evt_2"))
    view = (await client.get(created.headers["location"])).json()
    assert (view["status"], view["refunded"]) == ("partially_refunded", 830)
    await deliver(client, event("charge.refunded", charge(session, 1660), key="evt_3"))
    await deliver(client, event("charge.refunded", charge(session, COFFEE), key="evt_4"))
    view = (await client.get(created.headers["location"])).json()
    assert (view["status"], view["refunded"]) == ("refunded", COFFEE)
    assert await books(resources) == {}, "three parts must add up to the whole, fee included"

    over = await deliver(client, event("charge.refunded", charge(session, COFFEE + 1), key="evt_5"))
    assert over.json() == {"status": "failed"}
    assert await books(resources) == {}


async def test_a_refunded_credit_that_is_spent_is_owed(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await order(client, sku="credit-50")
    session = stripe_server.pay(only_session(stripe_server)["id"])
    await deliver(client, event("checkout.session.completed", session, key="evt_1"))
    async with resources.database.transaction() as db:
        from payments.ledger import service as ledger
        from tests.app.fixtures import ALICE
        from tests.app.ledger.books import move

        spend = move(
            "spend", 4000, debit=(ledger.customer(ALICE), "wallet"), credit=("m", "merchant")
        )
        await ledger.post(db, [spend])
    await deliver(client, event("charge.refunded", charge(session, 5000), key="evt_2"))
    found = await books(resources)
    assert found[("receivable", "EUR")] == -5000
    assert found[("wallet", "EUR")] == 1000, "what is left is not touched without the customer"


async def test_a_failed_attempt_can_be_tried_again_on_the_same_page(
    client: httpx.AsyncClient, stripe_server: StripeServer
) -> None:
    created = await order(client)
    session = only_session(stripe_server)
    await deliver(client, event("payment_intent.payment_failed", intent(session), key="evt_1"))
    view = (await client.get(created.headers["location"])).json()
    assert (view["status"], view["checkout_url"]) == ("failed", session["url"])
    stripe_server.pay(session["id"])
    await deliver(client, event("checkout.session.completed", session, key="evt_2"))
    assert (await client.get(created.headers["location"])).json()["status"] == "paid"


async def test_a_delayed_method_is_paid_when_it_settles(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    created = await order(client)
    session = stripe_server.pay(only_session(stripe_server)["id"])
    waiting = session | {"payment_status": "unpaid"}
    await deliver(client, event("checkout.session.completed", waiting, key="evt_1"))
    assert (await client.get(created.headers["location"])).json()["status"] == "pending"
    assert await books(resources) == {}
    await deliver(client, event("checkout.session.async_payment_succeeded", session, key="evt_2"))
    assert (await client.get(created.headers["location"])).json()["status"] == "paid"


async def test_a_late_event_does_not_move_a_status_back_and_is_kept(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    created = await order(client)
    session = stripe_server.pay(only_session(stripe_server)["id"])
    await deliver(client, event("checkout.session.completed", session, key="evt_1"))
    late = await deliver(
        client, event("payment_intent.payment_failed", intent(session), key="evt_2")
    )
    assert late.json() == {"status": "refused"}
    assert (await client.get(created.headers["location"])).json()["status"] == "paid"
    kept = "SELECT count(*) FROM payments.status_changes WHERE NOT applied AND cause = 'evt_2'"
    assert await scalar(resources, kept) == 1


async def test_an_order_is_seen_by_its_customer_only(client: httpx.AsyncClient) -> None:
    created = await order(client)
    assert len((await client.get("/api/v1/orders")).json()["data"]) == 1
    bob = {USER_HEADER: str(BOB)}
    assert (await client.get(created.headers["location"], headers=bob)).status_code == 404
    assert (await client.get("/api/v1/orders", headers=bob)).json() == {
        "data": [],
        "next_cursor": None,
    }
    nobody = await client.get("/api/v1/orders", headers={USER_HEADER: ""})
    assert nobody.status_code == 401

"""Money that fits no order: given back in parts, credited again and again, to the cent."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import select

from payments.admin import money_reads
from payments.money import Money
from payments.orders import suspense
from payments.orders.asking import locked
from payments.orders.models import Payment
from payments.resources import Resources
from tests.app.orders.helpers import books, deliver, only_session, order, scalar
from tests.app.refunds.test_refunds import NUMBERS, paid, told
from tests.app.refunds.test_undone import elsewhere
from tests.app.stripe_server import StripeServer, charge, event, intent

COFFEE = 2490
WRONG = 2000


async def unexpected(client: httpx.AsyncClient, stripe: StripeServer) -> dict[str, Any]:
    """Order, and pay another amount."""
    assert (await order(client)).status_code == 201
    session = stripe.pay(only_session(stripe)["id"]) | {"amount_total": WRONG}
    body = event("checkout.session.completed", session, key=f"evt_wrong_{next(NUMBERS)}")
    assert (await deliver(client, body)).json() == {"status": "applied"}
    return session


async def credit(resources: Resources) -> list[Money]:
    async with resources.database.transaction() as session:
        payment_id = (await session.execute(select(Payment.id))).scalar_one()
        order_row, payment = await locked(session, payment_id)
        return await suspense.credit_wallet(session, order_row, payment, by="ada")


async def test_a_gateways_total_is_given_back_part_by_part(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await unexpected(client, stripe_server)
    for total, state, left in (
        (500, "applied", 1500),
        (1200, "applied", 800),
        (1200, "refused", 800),
        (1900, "applied", 100),
        (2100, "refused", 100),
    ):
        assert await told(resources, "charge.refunded", charge(session, total)) == state, total
        found = await books(resources)
        assert (found[("suspense", "EUR")], found[("gateway_clearing", "EUR")]) == (left, -left)


async def test_the_same_amount_is_credited_as_often_as_it_comes(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await unexpected(client, stripe_server)
    assert await credit(resources) == [Money(WRONG, "EUR")]
    again = session | {"id": "cs_test_again", "payment_intent": "pi_again"}
    assert await told(resources, "checkout.session.completed", again) == "applied"
    assert await credit(resources) == [Money(WRONG, "EUR")]
    found = await books(resources)
    assert found == {("wallet", "EUR"): 2 * WRONG, ("gateway_clearing", "EUR"): -2 * WRONG}
    assert await scalar(resources, "SELECT status FROM payments.payments") == "review"


async def test_whoever_ordered_by_the_api_sees_what_became_of_it(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await unexpected(client, stripe_server)
    (mine,) = (await client.get("/api/v1/orders")).json()["data"]
    path = f"/api/v1/orders/{mine['id']}"
    came = [{"amount": WRONG, "currency": "EUR"}]
    nothing: dict[str, list[object]] = {"waiting": [], "credited": [], "given_back": []}
    assert (await client.get(path)).json()["unexpected"] == nothing | {"waiting": came}
    await credit(resources)
    assert (await client.get(path)).json()["unexpected"] == nothing | {"credited": came}
    fine = (await order(client, key="another")).json()
    assert (await client.get(f"/api/v1/orders/{fine['id']}")).json()["unexpected"] is None


async def test_two_events_that_tell_of_one_unexpected_payment_book_it_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    """The session's and its intent's; only the first of them names the page."""
    session = await unexpected(client, stripe_server)
    await told(resources, "payment_intent.succeeded", intent(session))
    assert (await books(resources))[("suspense", "EUR")] == WRONG


async def test_a_second_payment_of_one_page_is_money_that_waits(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    assert (await order(client)).status_code == 201
    session = stripe_server.pay(only_session(stripe_server)["id"])
    await told(resources, "payment_intent.succeeded", intent(session))
    await told(resources, "checkout.session.completed", session)
    assert ("suspense", "EUR") not in await books(resources), "one payment, told twice"
    await told(resources, "payment_intent.succeeded", intent(session) | {"id": "pi_another"})
    assert (await books(resources))[("suspense", "EUR")] == COFFEE


@pytest.mark.parametrize("first", [COFFEE, WRONG])
@pytest.mark.parametrize("second", [COFFEE, WRONG, 100])
async def test_a_second_sum_on_one_page_waits_beside_the_first(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    first: int,
    second: int,
) -> None:
    assert (await order(client)).status_code == 201
    session = stripe_server.pay(only_session(stripe_server)["id"])
    waits = second + (first if first != COFFEE else 0)
    for amount, ref in ((first, "pi_one"), (second, "pi_two")):
        came = session | {"amount_total": amount, "payment_intent": ref}
        assert await told(resources, "checkout.session.completed", came) == "applied"
        # The same payment, told again by another event.
        assert await told(resources, "checkout.session.async_payment_succeeded", came) in (
            "applied",
            "refused",
        )
    found = await books(resources)
    assert found[("suspense", "EUR")] == waits
    assert found[("gateway_clearing", "EUR")] == -(first + second)


async def test_what_was_given_back_of_suspense_and_failed_waits_again(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await unexpected(client, stripe_server)
    gone = elsewhere(session, 1500)
    assert await told(resources, "refund.failed", gone, at=5) == "refused", "it was not booked"
    for _ in range(2):
        await told(resources, "charge.refunded", charge(session, WRONG), at=10)
        assert ("suspense", "EUR") not in await books(resources)
        assert await told(resources, "refund.failed", gone, at=20) == "applied"
        assert (await books(resources))[("suspense", "EUR")] == 1500
        assert await told(resources, "refund.updated", gone, at=20) == "refused", "once"
        gone = elsewhere(session, 1500, ref="re_again")


async def test_a_second_sum_of_a_paid_order_is_listed_and_given_back_apart(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    first = await paid(client, stripe_server)
    second = first | {"payment_intent": "pi_second"}
    assert await told(resources, "checkout.session.completed", second) == "applied"
    assert await scalar(resources, "SELECT status FROM payments.payments") == "paid"
    async with resources.database.transaction() as session:
        (line,) = (await money_reads.reviews(session, cursor=None, limit=10)).data
        found = await suspense.outcome(session, line.order_id)
    assert line.waiting == {"EUR": COFFEE}
    assert (list(found.waiting), found.decided) == ([Money(COFFEE, "EUR")], False)
    assert await told(resources, "charge.refunded", charge(second, COFFEE), at=5) == "applied"
    assert await scalar(resources, "SELECT refunded FROM payments.payments") == 0
    assert ("suspense", "EUR") not in await books(resources)
    async with resources.database.transaction() as session:
        assert (await money_reads.reviews(session, cursor=None, limit=10)).data == []
        found = await suspense.outcome(session, line.order_id)
    assert (list(found.given_back), found.decided) == ([Money(COFFEE, "EUR")], True)
    assert await told(resources, "charge.refunded", charge(first, 500), at=6) == "applied"
    assert await scalar(resources, "SELECT refunded FROM payments.payments") == 500
    await books(resources)


async def test_two_sums_of_one_page_are_given_back_one_by_one(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await unexpected(client, stripe_server)
    second = session | {"payment_intent": "pi_second"}
    assert await told(resources, "checkout.session.completed", second) == "applied"
    for one, left in ((session, WRONG), (second, 0)):
        assert await told(resources, "charge.refunded", charge(one, WRONG), at=5) == "applied"
        assert (await books(resources)).get(("suspense", "EUR"), 0) == left

"""Another payment page for an order whose first one came to nothing, and never two payments."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from payments.errors import ProblemError
from payments.orders import asking, suspense
from payments.orders.models import Order, Payment
from payments.refunds import service as refunds
from payments.resources import Resources
from payments.worker import tasks
from tests.app.orders.helpers import books, deliver, order, scalar
from tests.app.refunds.test_refunds import told
from tests.app.stripe_server import KEY, StripeServer, charge, event


async def retry(client: httpx.AsyncClient, created: httpx.Response, key: str = "again") -> Any:
    path = f"{created.headers['location']}/retry"
    return await client.post(path, headers={"Idempotency-Key": key})


async def pay(client: httpx.AsyncClient, stripe: StripeServer, ref: str) -> str:
    body = event("checkout.session.completed", stripe.pay(ref), key=f"evt_{ref}")
    return str((await deliver(client, body)).json()["status"])


async def test_a_refused_order_gets_another_page_and_is_paid_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    stripe_server.faults = ["refuse"]
    created = await order(client)
    assert (created.status_code, created.json()["status"]) == (502, "remote_failed")
    again = await retry(client, created)
    assert (again.status_code, again.json()["status"]) == (201, "pending")
    assert (await retry(client, created)).json() == again.json(), "the same key, the same page"
    (ref,) = stripe_server.sessions
    assert await pay(client, stripe_server, ref) == "applied"
    assert (await client.get(created.headers["location"])).json()["status"] == "paid"
    assert (await retry(client, created, key="third")).status_code == 409
    await books(resources)


async def killed(
    client: httpx.AsyncClient, stripe: StripeServer, patched: pytest.MonkeyPatch, at: str
) -> httpx.Response:
    """Have an order refused, and the run of its retry die; returns the order's answer."""

    async def crash(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    stripe.faults = ["refuse"]
    created = await order(client)
    with patched.context() as patch:
        patch.setattr(at, crash)
        assert (await retry(client, created)).status_code == 500
    return created


async def repair_all(resources: Resources) -> None:
    """Let the time of every payment's next look come, and look."""
    async with resources.database.transaction() as session:
        await session.execute(text("UPDATE payments.payments SET next_check_at = now()"))
    await tasks.sweep(resources)


@pytest.mark.parametrize("repaired", [True, False])
@pytest.mark.parametrize(
    "at", ["payments.orders.service.ask", "payments.idempotency.store.Reservation.finish"]
)
async def test_a_retry_whose_run_died_goes_on_under_its_key_and_makes_one_page(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
    repaired: bool,
) -> None:
    created = await killed(client, stripe_server, monkeypatch, at)
    if repaired:
        await repair_all(resources)
    assert (await retry(client, created, key="other")).json()["code"] == "not_retryable"
    again = await retry(client, created)
    (page,) = stripe_server.sessions.values()
    assert (again.status_code, again.json().get("checkout_url")) == (201, page["url"])
    assert (await retry(client, created)).json() == again.json()
    assert await scalar(resources, "SELECT count(*) FROM payments.payments") == 2


async def test_a_retry_whose_run_died_waits_until_we_are_let_in_again(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    created = await killed(client, stripe_server, monkeypatch, "payments.orders.service.record")
    stripe_server.key = "sk_test_another"
    await retry(client, created)
    last = "SELECT status FROM payments.payments ORDER BY created_at DESC LIMIT 1"
    assert await scalar(resources, last) == "unknown"
    stripe_server.key = KEY
    await repair_all(resources)
    view = (await client.get(created.headers["location"])).json()
    (page,) = stripe_server.sessions.values()
    assert view["checkout_url"] == page["url"]


async def test_a_key_whose_page_has_expired_meanwhile_makes_no_other(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    created = await killed(client, stripe_server, monkeypatch, "payments.orders.service.ask")
    await repair_all(resources)
    (page,) = stripe_server.sessions.values()
    assert await told(resources, "checkout.session.expired", page) == "applied"
    again = await retry(client, created)
    assert (again.json()["status"], again.json()["checkout_url"]) == ("expired", None)
    assert (await retry(client, created, key="other")).json()["checkout_url"]
    assert len(stripe_server.sessions) == 2


async def test_a_page_that_can_still_be_paid_is_not_replaced(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    created = await order(client)
    refused = await retry(client, created)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_retryable")
    assert await scalar(resources, "SELECT count(*) FROM payments.payments") == 1


async def test_somebody_elses_order_is_not_there(
    client: httpx.AsyncClient, stripe_server: StripeServer
) -> None:
    stripe_server.faults = ["refuse"]
    created = await order(client)
    stranger = {"x-test-user": "00000000-0000-4000-8000-00000000000b", "Idempotency-Key": "k"}
    path = f"{created.headers['location']}/retry"
    assert (await client.post(path, headers=stranger)).status_code == 404


async def _paid_twice(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> tuple[dict[str, Any], dict[str, Any]]:
    created = await order(client)
    (first,) = stripe_server.sessions.values()
    assert await told(resources, "checkout.session.expired", first) == "applied"
    assert (await retry(client, created)).status_code == 201
    second = list(stripe_server.sessions.values())[1]
    assert await pay(client, stripe_server, second["id"]) == "applied"
    # The first page was paid after all: the gateway had expired it too late.
    assert await pay(client, stripe_server, first["id"]) == "applied"
    return first, second


async def test_an_order_that_is_paid_twice_settles_once_and_the_rest_waits_for_a_person(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    first, _ = await _paid_twice(client, stripe_server, resources)
    found = await books(resources)
    assert found[("suspense", "EUR")] == 2490
    assert found[("merchant", "EUR")] + found[("fees", "EUR")] == 2490, "sold once"
    # Given back at the gateway's pages: its event empties the suspense.
    assert await told(resources, "charge.refunded", charge(first, 2490)) == "applied"
    assert ("suspense", "EUR") not in await books(resources)
    assert await told(resources, "charge.refunded", charge(first, 2490)) == "refused"
    await books(resources)


async def test_what_waits_can_become_wallet_credit_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await _paid_twice(client, stripe_server, resources)
    in_review = "SELECT id FROM payments.payments WHERE status = 'review'"
    payment_id = await scalar(resources, in_review)

    async def credit() -> None:
        async with resources.database.transaction() as session:
            row, payment = await asking.locked(session, payment_id)
            assert isinstance(row, Order)
            assert isinstance(payment, Payment)
            await suspense.credit_wallet(session, row, payment, by="ada")

    await credit()
    found = await books(resources)
    assert found[("wallet", "EUR")] == 2490
    assert ("suspense", "EUR") not in found
    with pytest.raises(ProblemError, match="waits for a decision"):
        await credit()


async def test_an_earlier_payments_end_is_not_the_orders(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    stripe_server.faults = ["fail_after_commit"]
    created = await order(client)
    (first,) = stripe_server.sessions.values()
    await told(resources, "checkout.session.expired", first)
    assert (await retry(client, created)).status_code == 201
    await told(resources, "checkout.session.expired", first)
    assert (await client.get(created.headers["location"])).json()["status"] == "pending"


async def test_an_order_whose_first_page_was_paid_after_all_asks_for_nothing_more(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    created = await order(client)
    (first,) = stripe_server.sessions.values()
    await told(resources, "checkout.session.expired", first)
    assert (await retry(client, created)).json()["checkout_url"] is not None
    assert await pay(client, stripe_server, first["id"]) == "applied"
    path = created.headers["location"]
    shown = (await client.get(path)).json()
    assert (shown["status"], shown["checkout_url"]) == ("paid", None)
    (listed,) = (await client.get("/api/v1/orders")).json()["data"]
    assert listed["checkout_url"] is None
    payment_id = await scalar(resources, "SELECT id FROM payments.payments WHERE status = 'paid'")
    await refunds.request(
        resources,
        payment_id=payment_id,
        money=None,
        reason="r",
        requested_by="tests",
        request_key="r",
    )
    shown = (await client.get(path)).json()
    assert (shown["status"], shown["refunded"]) == ("refunded", 2490), "of whichever payment"
    assert (await client.get("/api/v1/orders")).json()["data"][0]["refunded"] == 2490
    assert (await client.get(f"{path}/receipt")).json()["refunded"] == 2490

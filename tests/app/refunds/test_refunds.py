"""Giving money back: never more than came, booked once, repaired when nobody knows."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from payments.errors import ProblemError
from payments.gateways import stripe_events
from payments.idempotency.store import KeyReusedError
from payments.inbox import service as inbox
from payments.ledger.service import InsufficientFundsError
from payments.money import Money
from payments.orders.models import Order, Payment
from payments.refunds import repair, service
from payments.refunds.service import NotRefundableError, RefundTooLargeError, RefundView
from payments.resources import Resources
from payments.worker import tasks
from tests.app.fixtures import WEBHOOK_SECRET
from tests.app.orders.helpers import books, deliver, only_session, order, scalar
from tests.app.stripe_server import StripeServer, charge, event

COFFEE = 2490
NUMBERS = itertools.count()
PAYMENT = "SELECT id FROM payments.payments"
STATUS = "SELECT status FROM payments.refunds"


async def paid(client: httpx.AsyncClient, stripe: StripeServer, **changes: Any) -> dict[str, Any]:
    """Order, and pay with a webhook."""
    assert (await order(client, **changes)).status_code == 201
    session = stripe.pay(only_session(stripe)["id"])
    body = event("checkout.session.completed", session, key=f"evt_paid_{next(NUMBERS)}")
    assert (await deliver(client, body, WEBHOOK_SECRET)).json() == {"status": "applied"}
    return session


async def ask(
    resources: Resources, amount: int | None, key: str = "r1", currency: str = "EUR"
) -> RefundView:
    return await service.request(
        resources,
        payment_id=await scalar(resources, PAYMENT),
        money=None if amount is None else Money(amount, currency),
        reason="damaged",
        requested_by="tests",
        request_key=key,
    )


async def told(resources: Resources, event_type: str, data: dict[str, Any], at: int = 1) -> str:
    """Have an event applied, as the webhook's route does."""
    raw = {
        "id": f"evt_{next(NUMBERS)}",
        "object": "event",
        "type": event_type,
        "created": at,
        "data": {"object": data},
    }
    async with resources.database.transaction() as session:
        return await inbox.receive(session, stripe_events._event(raw, "default"))


async def amounts(resources: Resources) -> tuple[str, int, int]:
    """The payment's status, what is booked as refunded, and what is reserved."""
    async with resources.database.transaction() as session:
        row = (
            await session.execute(
                text("SELECT status, refunded, refund_reserved FROM payments.payments")
            )
        ).one()
    return (row.status, row.refunded, row.refund_reserved)


async def look(resources: Resources, refund_id: UUID) -> str | None:
    """Let the time of the next look come, and look."""
    async with resources.database.transaction() as session:
        await session.execute(text("UPDATE payments.refunds SET next_check_at = now()"))
    return await repair.repair(resources, refund_id)


async def test_a_refund_in_two_parts_gives_everything_back_with_the_fee(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    first = await ask(resources, 1000)
    assert first.status == "succeeded"
    assert await amounts(resources) == ("partially_refunded", 1000, 1000)
    rest = await ask(resources, None, key="r2")
    assert rest.money == Money(COFFEE - 1000, "EUR")
    assert await amounts(resources) == ("refunded", COFFEE, COFFEE)
    assert await books(resources) == {}, "every account is where it was before"
    with pytest.raises(RefundTooLargeError):
        await ask(resources, 1, key="r3")


async def test_one_key_is_one_refund(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    views = [await ask(resources, 500), await ask(resources, 500)]
    assert views[0] == views[1]
    assert len(stripe_server.refunds) == stripe_server.refund_calls == 1
    with pytest.raises(KeyReusedError):
        await ask(resources, 600)


async def test_refunds_at_once_never_give_back_more_than_came(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    results = await asyncio.gather(
        *(ask(resources, 1000, key=f"k{n}") for n in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, RefundView) for result in results) == 2
    assert all(isinstance(r, RefundView | RefundTooLargeError) for r in results), results
    assert stripe_server.refund_calls == 2, "the gateway is not even asked for the others"
    assert await amounts(resources) == ("partially_refunded", 2000, 2000)
    await books(resources)


async def test_what_has_not_come_cannot_be_given_back(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    assert (await order(client)).status_code == 201
    with pytest.raises(NotRefundableError):
        await ask(resources, 1)


@pytest.mark.parametrize("money", [Money(0, "EUR"), Money(-5, "EUR"), Money(5, "USD")])
async def test_an_amount_must_be_above_zero_and_in_the_payments_currency(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, money: Money
) -> None:
    await paid(client, stripe_server)
    with pytest.raises(ProblemError):
        await ask(resources, money.amount, currency=money.currency)
    assert stripe_server.refund_calls == 0


@pytest.mark.parametrize("fault", ["fail", "fail_after_commit"])
async def test_a_lost_answer_is_asked_for_again_under_the_same_key(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, fault: str
) -> None:
    await paid(client, stripe_server)
    stripe_server.faults = [fault]  # type: ignore[list-item]
    view = await ask(resources, 1000)
    assert view.status == "unknown"
    assert await amounts(resources) == ("paid", 0, 1000), "reserved while nobody knows"
    assert await look(resources, view.id) == "succeeded"
    assert len(stripe_server.refunds) == 1, "one refund, however often it is asked for"
    assert await amounts(resources) == ("partially_refunded", 1000, 1000)


async def test_a_lost_answer_is_looked_for_when_its_key_is_too_old(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await paid(client, stripe_server)
    ends = {}
    for fault in ("fail", "fail_after_commit"):
        stripe_server.faults = [fault]
        view = await ask(resources, 100, key=fault)
        with monkeypatch.context() as patched:
            patched.setattr(service, "KEY_LIFETIME", timedelta())
            ends[fault] = await look(resources, view.id)
    assert ends == {"fail": "remote_failed", "fail_after_commit": "succeeded"}
    assert stripe_server.refund_calls == 2, "looked for, not asked again"
    assert await amounts(resources) == ("partially_refunded", 100, 100)


async def test_a_refusal_frees_what_was_reserved(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    stripe_server.faults = ["refuse"]
    assert (await ask(resources, 1000)).status == "remote_failed"
    assert await amounts(resources) == ("paid", 0, 0)
    assert (await ask(resources, COFFEE, key="again")).status == "succeeded"


async def test_a_pending_refund_is_booked_when_it_settles_and_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    stripe_server.refund_status = "pending"
    view = await ask(resources, 1000)
    assert view.status == "pending"
    assert await amounts(resources) == ("paid", 0, 1000)
    (refund,) = stripe_server.refunds.values()
    news = [
        ("refund.updated", refund | {"status": "succeeded"}),
        ("charge.refunded", charge(session, 1000)),
        ("refund.updated", refund | {"status": "succeeded"}),
    ]
    states = [await told(resources, kind, data) for kind, data in news]
    assert states == ["applied", "refused", "refused"]
    assert await amounts(resources) == ("partially_refunded", 1000, 1000)
    await books(resources)


async def test_every_order_of_the_news_of_two_refunds_ends_the_same(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    ends = set()
    for sequence in itertools.permutations(range(4)):
        number = next(NUMBERS)
        stripe_server.sessions.clear()
        stripe_server.refunds.clear()
        stripe_server.refund_status = "pending"
        assert (await order(client, key=f"order-{number}")).status_code == 201
        checkout = stripe_server.pay(only_session(stripe_server)["id"])
        body = event("checkout.session.completed", checkout, key=f"evt_p{number}")
        await deliver(client, body, WEBHOOK_SECRET)
        latest = text("SELECT id FROM payments.payments ORDER BY created_at DESC LIMIT 1")
        async with resources.database.transaction() as transaction:
            payment_id = await transaction.scalar(latest)
        for n, amount in enumerate((1000, 700)):
            await service.request(
                resources,
                payment_id=payment_id,
                money=Money(amount, "EUR"),
                reason="r",
                requested_by="t",
                request_key=f"{number}-{n}",
            )
        one, two = stripe_server.refunds.values()
        news = [
            ("refund.updated", one | {"status": "succeeded"}),
            ("refund.updated", two | {"status": "succeeded"}),
            ("charge.refunded", charge(checkout, 1000)),
            ("charge.refunded", charge(checkout, 1700)),
        ]
        for position in sequence:
            await told(resources, *news[position])
        async with resources.database.transaction() as session:
            payment = await session.get_one(Payment, payment_id)
            order_row = await session.get_one(Order, payment.order_id)
        row = (payment.status, payment.refunded, payment.refund_reserved, order_row.status)
        ends.add(row)
    assert ends == {("partially_refunded", 1700, 1700, "partially_refunded")}
    await books(resources)


async def test_a_refund_that_comes_back_is_the_customers_and_no_late_news_books_it_again(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    await ask(resources, 1000)
    (refund,) = stripe_server.refunds.values()
    assert await told(resources, "refund.failed", refund | {"status": "failed"}, at=1000) == (
        "applied"
    )
    assert await scalar(resources, STATUS) == "returned"
    found = await books(resources)
    assert found[("wallet", "EUR")] == 1000, "they have not got it: it is in their wallet"
    assert await told(resources, "charge.refunded", charge(session, 1000), at=999) == "refused"
    assert await told(resources, "charge.refunded", charge(session, 0), at=1001) == "refused"
    # Another refund later: the gateway counts it alone, we count both.
    assert await told(resources, "charge.refunded", charge(session, 490), at=1002) == "applied"
    assert (await amounts(resources))[1] == 1490
    assert await books(resources)


async def test_a_refund_made_at_the_gateways_own_pages_is_booked_by_the_total(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    foreign = {
        "id": "re_foreign",
        "object": "refund",
        "amount": 600,
        "currency": "eur",
        "payment_intent": session["payment_intent"],
        "status": "succeeded",
        "metadata": {},
    }
    assert await told(resources, "refund.created", foreign) == "ignored"
    assert await told(resources, "charge.refunded", charge(session, 600)) == "applied"
    with pytest.raises(RefundTooLargeError):
        await ask(resources, COFFEE - 599)
    assert (await ask(resources, COFFEE - 600, key="r2")).status == "succeeded"
    await told(resources, "charge.refunded", charge(session, COFFEE))
    assert (await amounts(resources))[:2] == ("refunded", COFFEE)
    assert await books(resources) == {}


async def test_credit_that_was_spent_is_not_given_back(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server, sku="credit-50")
    async with resources.database.transaction() as session:
        await session.execute(
            text(
                "SELECT payments.ledger_hold('h', owner, 'wallet', 'EUR', 4000,"
                " now() + interval '1 hour', NULL)"
                " FROM payments.ledger_accounts WHERE purpose = 'wallet'"
            )
        )
    with pytest.raises(InsufficientFundsError):
        await ask(resources, None)
    assert (await ask(resources, 1000, key="r2")).status == "succeeded"


async def test_the_sweep_finds_refunds_that_no_job_points_to(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    stripe_server.faults = ["fail"]
    await ask(resources, 1000)
    async with resources.database.transaction() as session:
        await session.execute(text("DELETE FROM payments.procrastinate_jobs"))
        await session.execute(
            text("UPDATE payments.refunds SET next_check_at = :at"), {"at": datetime.now(UTC)}
        )
    await tasks.sweep(resources)
    assert await scalar(resources, STATUS) == "succeeded"


async def test_a_refund_asked_for_again_after_a_day_is_not_made_under_a_forgotten_key(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await paid(client, stripe_server)
    stripe_server.faults = ["fail_after_commit"]
    assert (await ask(resources, 1000)).status == "unknown"
    stripe_server.keys.clear()  # as the gateway does
    monkeypatch.setattr(service, "KEY_LIFETIME", timedelta())
    assert (await ask(resources, 1000)).status == "unknown", "it is looked for, not asked again"
    assert len(stripe_server.refunds) == 1

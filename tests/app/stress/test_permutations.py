"""Whatever order the news of refunds and disputes comes in, and however often: one end."""

from __future__ import annotations

import itertools

import httpx
import pytest
from sqlalchemy import text

from payments.resources import Resources
from payments.worker import tasks
from tests.app.disputes.test_disputes import NEWS, dispute
from tests.app.orders.helpers import books, order
from tests.app.refunds.test_refunds import COFFEE, told
from tests.app.stripe_server import StripeServer, charge, intent

REFUNDED = 490


@pytest.mark.parametrize(
    "every",
    [18, pytest.param(1, marks=(pytest.mark.stress, pytest.mark.timeout(900)))],
)
async def test_every_order_of_payment_refund_and_disputes_ends_the_same(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, every: int
) -> None:
    chosen = list(itertools.permutations(range(6)))[::every]
    ends = set()
    number = 0
    for number, sequence in enumerate(chosen, start=1):
        stripe_server.sessions.clear()
        assert (await order(client, key=f"order-{number}")).status_code == 201
        (session,) = stripe_server.sessions.values()
        paid = stripe_server.pay(session["id"])
        rest = paid | {"amount_total": COFFEE - REFUNDED}
        lost = paid | {"amount_total": 100}
        news = [
            ("checkout.session.completed", paid),
            ("charge.refunded", charge(paid, REFUNDED)),
            (NEWS["opened"][0], dispute(rest, "needs_response", f"dp_{number}")),
            (NEWS["won"][0], dispute(rest, "won", f"dp_{number}")),
            (NEWS["lost"][0], dispute(lost, "lost", f"dp_lost_{number}")),
            ("payment_intent.succeeded", intent(paid)),
        ]
        for position in (*sequence, sequence[0]):
            await told(resources, *news[position])
        async with resources.database.transaction() as transaction:
            await transaction.execute(
                text(
                    "UPDATE payments.webhook_inbox SET next_attempt_at = now()"
                    " WHERE next_attempt_at IS NOT NULL"
                )
            )
        await tasks.sweep(resources)
        async with resources.database.transaction() as transaction:
            found = await transaction.execute(
                text(
                    "SELECT p.status, o.status, p.captured, p.refunded, p.disputed,"
                    " (SELECT string_agg(d.status, ',' ORDER BY d.amount) FROM payments.disputes d"
                    "   WHERE d.payment_id = p.id)"
                    " FROM payments.payments p JOIN payments.orders o ON o.id = p.order_id"
                    " ORDER BY p.created_at DESC LIMIT 1"
                )
            )
            ends.add(tuple(found.one()))
    assert ends == {("partially_refunded", "partially_refunded", COFFEE, REFUNDED, 100, "lost,won")}
    left = COFFEE - REFUNDED - 100
    assert (await books(resources))[("gateway_clearing", "EUR")] == -left * number

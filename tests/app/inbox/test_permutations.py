"""Whatever order the events of a payment come in, and however often: one end."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import httpx
import pytest
from hypothesis import given, settings, strategies
from sqlalchemy import text

from payments.gateways import stripe_events
from payments.inbox import service as inbox
from payments.resources import Resources
from payments.worker import tasks
from tests.app.orders.helpers import books, order
from tests.app.stripe_server import StripeServer, charge, intent

COFFEE = 2490
COUNTER = itertools.count()
DECIDING = (0, 2, 4, 5, 6)
"""Of `_events`: failed, paid by the page, paid by the intent, refunded in two parts."""


def _events(stripe: StripeServer) -> list[tuple[str, dict[str, object]]]:
    """Everything that could be said of one payment, delayed, failed and refunded in two parts."""
    (session,) = (s for s in stripe.sessions.values() if s["status"] == "open")
    paid = stripe.pay(session["id"])
    return [
        ("payment_intent.payment_failed", intent(paid)),
        ("checkout.session.completed", paid | {"payment_status": "unpaid"}),
        ("checkout.session.async_payment_succeeded", dict(paid)),
        ("payment_intent.processing", intent(paid)),
        ("payment_intent.succeeded", intent(paid)),
        ("charge.refunded", charge(paid, 830)),
        ("charge.refunded", charge(paid, 1660) | {"metadata": {}}),
    ]


async def _end(resources: Resources) -> tuple[object, ...]:
    async with resources.database.transaction() as session:
        return tuple(
            (
                await session.execute(
                    text(
                        "SELECT p.status, o.status, p.captured, p.refunded"
                        " FROM payments.payments p JOIN payments.orders o ON o.id = p.order_id"
                        " ORDER BY p.created_at DESC LIMIT 1"
                    )
                )
            ).one()
        )


async def _all_end_the_same(
    client: httpx.AsyncClient,
    stripe: StripeServer,
    resources: Resources,
    sequences: Iterable[Sequence[int]],
) -> None:
    """Pay once for each sequence, and tell its events in that order."""
    expected = ("partially_refunded", "partially_refunded", COFFEE, 1660)
    done = 0
    for sequence in sequences:
        number = next(COUNTER)
        assert (await order(client, key=f"order-{number}")).status_code == 201
        events = _events(stripe)
        for position in sequence:
            event_type, data = events[position]
            raw = {
                "id": f"evt_{number}_{position}",
                "object": "event",
                "type": event_type,
                "created": 1,
                "data": {"object": data},
            }
            async with resources.database.transaction() as session:
                await inbox.receive(session, stripe_events._event(raw, "default"))
        async with resources.database.transaction() as session:
            await session.execute(
                text(
                    "UPDATE payments.webhook_inbox SET next_attempt_at = now()"
                    " WHERE next_attempt_at IS NOT NULL"
                )
            )
        await tasks.sweep(resources)
        assert await _end(resources) == expected, sequence
        stripe.sessions.clear()
        done += 1
    found = await books(resources)
    assert found[("gateway_clearing", "EUR")] == -(COFFEE - 1660) * done


async def test_every_order_of_the_events_that_decide_ends_the_same(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    """Those that say no more than that something begins are left out: 120 orders and not 5,040."""
    await _all_end_the_same(client, stripe_server, resources, itertools.permutations(DECIDING))


@pytest.mark.stress
@pytest.mark.timeout(2400)
async def test_every_order_of_all_events_ends_the_same(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await _all_end_the_same(client, stripe_server, resources, itertools.permutations(range(7)))


async def test_orders_of_events_with_duplicates_end_the_same(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    @settings(max_examples=30, deadline=None)
    @given(
        order_of=strategies.permutations(range(7)),
        repeats=strategies.lists(strategies.integers(0, 6), max_size=4),
    )
    def check(order_of: list[int], repeats: list[int]) -> None:
        sequences.append([*order_of, *repeats])

    sequences: list[list[int]] = []
    check()
    await _all_end_the_same(client, stripe_server, resources, sequences)

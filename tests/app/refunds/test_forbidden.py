"""A refund that somebody may have asked for is not called refused because a key has ended."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import text

from payments.refunds.service import RefundTooLargeError
from payments.resources import Resources
from tests.app.orders.helpers import books, scalar
from tests.app.refunds.test_refunds import STATUS, amounts, ask, look, paid
from tests.app.stripe_server import KEY, StripeServer

ENDED = "sk_test_another"


async def test_a_refund_that_took_effect_is_not_made_twice_when_the_key_has_ended(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    stripe_server.faults = ["fail_after_commit"]
    view = await ask(resources, 2000)
    stripe_server.key = ENDED
    for _ in range(2):
        assert await look(resources, view.id) == "unknown"
    assert (await ask(resources, 2000)).status == "unknown", "by the same request, too"
    assert await amounts(resources) == ("paid", 0, 2000)
    why = await scalar(resources, "SELECT last_error FROM payments.refunds")
    assert why == "AuthenticationError"
    stripe_server.key = KEY
    with pytest.raises(RefundTooLargeError):
        await ask(resources, 2000, key="r2")
    assert await look(resources, view.id) == "succeeded"
    assert await amounts(resources) == ("partially_refunded", 2000, 2000)
    assert len(stripe_server.refunds) == 1


@pytest.mark.parametrize("by_repair", [True, False])
async def test_a_refund_whose_asker_died_may_have_been_asked_for(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
    by_repair: bool,
) -> None:
    """As when a release with another key takes the place of one that waits for an answer."""

    async def crash(*_: object) -> None:
        raise RuntimeError("killed")

    await paid(client, stripe_server)
    with monkeypatch.context() as patched:
        patched.setattr("payments.refunds.service.record", crash)
        with pytest.raises(RuntimeError):
            await ask(resources, 2000)
    assert await scalar(resources, STATUS) == "intended"
    refund_id = await scalar(resources, "SELECT id FROM payments.refunds")
    stripe_server.key = ENDED
    if by_repair:
        assert await look(resources, refund_id) == "unknown"
    else:
        assert (await ask(resources, 2000)).status == "unknown"
    stripe_server.key = KEY
    assert await look(resources, refund_id) == "succeeded"
    assert len(stripe_server.refunds) == 1


async def test_a_first_call_that_is_not_let_in_gives_nothing_back(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    stripe_server.key = ENDED
    assert (await ask(resources, 2000)).status == "remote_failed"
    assert await amounts(resources) == ("paid", 0, 0)


async def test_the_credit_of_a_top_up_stays_set_aside_while_nobody_knows(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server, sku="credit-50")
    stripe_server.faults = ["fail_after_commit"]
    view = await ask(resources, None)
    stripe_server.key = ENDED
    assert await look(resources, view.id) == "unknown"
    held = text("SELECT sum(held)::bigint FROM payments.ledger_accounts")
    async with resources.database.transaction() as session:
        assert await session.scalar(held) == view.money.amount
    stripe_server.key = KEY
    assert await look(resources, view.id) == "succeeded"
    assert await books(resources) == {}

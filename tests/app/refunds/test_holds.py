"""Credit whose top-up is being given back is set aside: nobody spends it meanwhile."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import text

from payments.ledger.service import InsufficientFundsError
from payments.resources import Resources
from tests.app.disputes.test_disputes import alice, spend
from tests.app.orders.helpers import books, scalar
from tests.app.refunds.test_refunds import ask, look, paid, told
from tests.app.stripe_server import StripeServer

HELD = "SELECT COALESCE(sum(held), 0)::bigint FROM payments.ledger_accounts"
HOLD = "SELECT state FROM payments.ledger_holds"


async def test_credit_on_its_way_back_cannot_be_spent(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server, sku="credit-50")
    stripe_server.refund_status = "pending"
    assert (await ask(resources, 4000)).status == "pending"
    with pytest.raises(InsufficientFundsError):
        await spend(resources, 1001)
    await spend(resources, 1000)
    with pytest.raises(InsufficientFundsError):
        await ask(resources, None, key="rest")
    (refund,) = stripe_server.refunds.values()
    settled = refund | {"status": "succeeded"}
    assert await told(resources, "refund.updated", settled, at=10) == "applied"
    assert await scalar(resources, HOLD) == "posted"
    assert await scalar(resources, HELD) == 0
    assert await alice(resources) == {}
    await books(resources)


async def test_a_refund_that_fails_or_is_refused_frees_the_credit(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server, sku="credit-50")
    stripe_server.faults = ["refuse"]
    assert (await ask(resources, None, key="a")).status == "remote_failed"
    assert await scalar(resources, HELD) == 0
    stripe_server.refund_status = "pending"
    assert (await ask(resources, None, key="b")).status == "pending"
    assert await scalar(resources, HELD) == 5000
    (refund,) = stripe_server.refunds.values()
    assert await told(resources, "refund.failed", refund | {"status": "failed"}) == "applied"
    assert await scalar(resources, HELD) == 0
    await spend(resources, 5000)
    await books(resources)


async def test_credit_stays_aside_while_nobody_knows(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server, sku="credit-50")
    stripe_server.faults = ["fail_after_commit"]
    view = await ask(resources, None)
    assert view.status == "unknown"
    assert await scalar(resources, HELD) == 5000
    assert await look(resources, view.id) == "succeeded"
    assert await scalar(resources, HELD) == 0
    assert await alice(resources) == {}


async def test_a_refund_whose_hold_ran_out_is_taken_from_the_wallet_or_owed(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server, sku="credit-50")
    stripe_server.refund_status = "pending"
    await ask(resources, None)
    async with resources.database.transaction() as transaction:
        hold_id = await transaction.scalar(text("SELECT id FROM payments.ledger_holds"))
        await transaction.execute(text("SELECT payments.ledger_hold_void(:id)"), {"id": hold_id})
    await spend(resources, 1000)
    (refund,) = stripe_server.refunds.values()
    await told(resources, "refund.updated", refund | {"status": "succeeded"})
    assert await alice(resources) == {"wallet": 4000, "receivable": -5000}
    await books(resources)

"""Disputes: every order of the news ends the same, and the books say who bore what."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from payments.ledger import service as ledger
from payments.ledger.service import Entry, Transfer
from payments.money import Money
from payments.refunds.service import RefundTooLargeError
from payments.resources import Resources
from tests.app.fixtures import ALICE, BOB
from tests.app.orders.helpers import books, order, scalar
from tests.app.refunds.test_refunds import COFFEE, ask, paid, told
from tests.app.stripe_server import StripeServer

NEWS = {
    "opened": ("charge.dispute.created", "needs_response"),
    "withdrawn": ("charge.dispute.funds_withdrawn", "under_review"),
    "won": ("charge.dispute.closed", "won"),
    "reinstated": ("charge.dispute.funds_reinstated", "won"),
    "lost": ("charge.dispute.closed", "lost"),
}


def dispute(session: dict[str, Any], status: str, ref: str = "dp_1") -> dict[str, Any]:
    return {
        "id": ref,
        "object": "dispute",
        "amount": session["amount_total"],
        "currency": session["currency"],
        "payment_intent": session["payment_intent"],
        "status": status,
    }


async def tell(resources: Resources, session: dict[str, Any], what: str, ref: str = "dp_1") -> str:
    kind, status = NEWS[what]
    return await told(resources, kind, dispute(session, status, ref))


async def test_an_open_dispute_holds_the_money_and_a_lost_one_is_the_merchants(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    before = await books(resources)
    assert await tell(resources, session, "opened") == "applied"
    found = await books(resources)
    assert found[("disputed", "EUR")] == -COFFEE
    assert found.get(("gateway_clearing", "EUR"), 0) == 0, "the gateway has taken it back"
    with pytest.raises(RefundTooLargeError):
        await ask(resources, 1)
    assert await tell(resources, session, "lost") == "applied"
    found = await books(resources)
    assert found[("merchant", "EUR")] == before[("merchant", "EUR")] - COFFEE
    assert ("disputed", "EUR") not in found
    with pytest.raises(RefundTooLargeError):
        await ask(resources, 1)


async def test_a_won_dispute_leaves_no_trace_in_the_balances(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    before = await books(resources)
    for what, state in (("opened", "applied"), ("won", "applied"), ("reinstated", "refused")):
        assert await tell(resources, session, what) == state
    assert await books(resources) == before
    assert (await ask(resources, None)).status == "succeeded", "it can be refunded again"


@pytest.mark.parametrize(
    ("news", "end"),
    [
        (("opened", "withdrawn", "won"), "won"),
        (("opened", "withdrawn", "lost"), "lost"),
        (("opened", "lost", "reinstated"), "won"),
    ],
)
async def test_every_order_of_the_news_ends_the_same(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    news: tuple[str, ...],
    end: str,
) -> None:
    ends = []
    for number, sequence in enumerate(itertools.permutations(news)):
        stripe_server.sessions.clear()
        session = await paid(client, stripe_server, key=f"order-{number}")
        for what in (*sequence, sequence[0]):
            await tell(resources, session, what, ref=f"dp_{number}")
        ends.append(await scalar_of(resources, f"dp_{number}"))
    assert set(ends) == {(end, 0 if end == "won" else COFFEE)}
    found = await books(resources)
    assert ("disputed", "EUR") not in found


async def scalar_of(resources: Resources, ref: str) -> tuple[str, int]:
    async with resources.database.transaction() as session:
        row = (
            await session.execute(
                text(
                    "SELECT d.status, p.disputed FROM payments.disputes d"
                    " JOIN payments.payments p ON p.id = d.payment_id WHERE dispute_ref = :ref"
                ),
                {"ref": ref},
            )
        ).one()
    return (row.status, row.disputed)


async def test_an_inquiry_takes_no_money(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    asked = dispute(session, "warning_needs_response")
    assert await told(resources, "charge.dispute.created", asked) == "ignored"
    assert await scalar(resources, "SELECT count(*) FROM payments.disputes") == 0


async def test_a_dispute_before_the_payment_is_parked(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await order(client)
    early = {
        "id": "dp_1",
        "amount": COFFEE,
        "currency": "eur",
        "payment_intent": "pi_unknown",
        "status": "needs_response",
    }
    assert await told(resources, "charge.dispute.created", early) == "parked"


async def test_lost_wallet_credit_that_was_spent_is_owed(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server, sku="credit-50")
    async with resources.database.transaction() as transaction:
        await transaction.execute(
            text(
                "SELECT payments.ledger_hold('h', owner, 'wallet', 'EUR', 4000,"
                " now() + interval '1 hour', NULL)"
                " FROM payments.ledger_accounts WHERE purpose = 'wallet'"
            )
        )
    await tell(resources, session, "lost")
    found = await books(resources)
    assert found[("receivable", "EUR")] == -5000
    assert found[("wallet", "EUR")] == 5000, "untouched: most of it is set aside"


async def spend(resources: Resources, amount: int) -> None:
    """Send credit to somebody else."""
    money = Money(amount, "EUR")
    entries = (
        Entry(ledger.customer(ALICE), "wallet", -money),
        Entry(ledger.customer(BOB), "wallet", money),
    )
    spent = Transfer(key=f"spent-{amount}", kind="transfer", subject=None, entries=entries)
    async with resources.database.transaction() as transaction:
        await ledger.post(transaction, [spent])


async def alice(resources: Resources) -> dict[str, int]:
    """What Alice's accounts hold, the empty ones left out."""
    async with resources.database.transaction() as transaction:
        found = await ledger.balances(transaction, ledger.customer(ALICE))
    return {account.purpose: account.balance for account in found if account.balance}


async def test_a_dispute_that_is_won_after_all_pays_what_its_loss_left_owing(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server, sku="credit-50")
    await spend(resources, 5000)
    await tell(resources, session, "lost")
    assert await alice(resources) == {"receivable": -5000}
    await tell(resources, session, "reinstated")
    assert await alice(resources) == {}, "no credit to spend beside a debt"
    await books(resources)


async def test_new_credit_pays_what_is_owed_first(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server, sku="credit-50")
    await spend(resources, 4000)
    await tell(resources, session, "lost")
    stripe_server.sessions.clear()
    await paid(client, stripe_server, sku="credit-50", key="order-2")
    assert await alice(resources) == {"wallet": 1000}
    stripe_server.sessions.clear()
    await paid(client, stripe_server, key="order-3")
    assert await alice(resources) == {"wallet": 1000}, "a purchase passes through"
    await books(resources)


async def test_a_refund_that_comes_back_pays_what_is_owed_first(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server, sku="credit-50")
    await ask(resources, 1000)
    (refund,) = stripe_server.refunds.values()
    await spend(resources, 4000)
    # Somebody gives back at the gateway's pages what is spent.
    total = {"amount_refunded": 3000, "payment_intent": session["payment_intent"]}
    await told(resources, "charge.refunded", total | {"currency": "eur", "id": "ch"}, at=10)
    assert await alice(resources) == {"receivable": -2000}
    await told(resources, "refund.failed", refund | {"status": "failed"}, at=20)
    assert await alice(resources) == {"receivable": -1000}
    elsewhere = {
        "id": "re_x", "amount": 2000, "metadata": {}, "status": "failed", "created": 5,
    }  # fmt: skip
    await told(resources, "refund.failed", refund | elsewhere, at=30)
    assert await alice(resources) == {"wallet": 1000}
    await books(resources)

"""Payouts: what gateways send us, and what merchants get, each once."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from payments.idempotency.store import KeyReusedError
from payments.ledger.service import InsufficientFundsError
from payments.money import Money
from payments.payouts import service
from payments.payouts.models import Payout
from payments.payouts.service import PayoutMovedError, ProgramAskedError, SamePersonError
from payments.resources import Resources
from tests.app.backends import MIGRATOR, Cluster
from tests.app.orders.helpers import books
from tests.app.refunds.test_refunds import ask, paid, told
from tests.app.stripe_server import StripeServer

ADA, GRACE = UUID(int=1), UUID(int=2)
EARNED = 2490 - 72  # coffee less our fee of 2.9 %


def payout(ref: str = "po_1", amount: int = 2000) -> dict[str, Any]:
    return {"id": ref, "object": "payout", "amount": amount, "currency": "eur"}


async def request(resources: Resources, amount: int, key: str = "p1") -> Payout:
    async with resources.database.transaction() as session:
        return await service.request(
            session,
            merchant="roastery",
            money=Money(amount, "EUR"),
            requested_by=ADA,
            request_key=key,
        )


async def test_what_a_gateway_pays_out_moves_to_the_bank_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    assert await told(resources, "payout.paid", payout()) == "applied"
    assert await told(resources, "payout.paid", payout()) == "refused"
    found = await books(resources)
    assert (found[("bank", "EUR")], found[("gateway_clearing", "EUR")]) == (-2000, -490)
    assert await told(resources, "payout.paid", payout(amount=1)) == "failed"


async def test_what_a_gateway_takes_from_the_bank_moves_back_to_it_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    """After a payout of everything, refunds are more than what the gateway has of ours."""
    await paid(client, stripe_server)
    await told(resources, "payout.paid", payout(amount=2490))
    await ask(resources, 1000)
    assert (await books(resources))[("gateway_clearing", "EUR")] == 1000, "what we owe it"
    withdrawal = payout("po_2", amount=-1000)
    assert await told(resources, "payout.paid", withdrawal) == "applied"
    assert await told(resources, "payout.paid", withdrawal) == "refused"
    found = await books(resources)
    assert found[("bank", "EUR")] == -1490, "what has come to the bank, less what has left it"
    assert ("gateway_clearing", "EUR") not in found
    assert await told(resources, "payout.paid", payout("po_2", amount=1000)) == "failed"
    assert await told(resources, "payout.paid", payout("po_3", amount=0)) == "failed"


@pytest.mark.parametrize("amount", [2000, -2000])
async def test_a_gateways_payout_that_failed_is_back_whatever_came_first(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, amount: int
) -> None:
    await paid(client, stripe_server)
    before = await books(resources)
    for number, sequence in enumerate(itertools.permutations(("payout.paid", "payout.failed"))):
        states = [
            await told(resources, kind, payout(f"po_{number}", amount))
            for kind in (*sequence, *sequence)
        ]
        assert states.count("applied") == (2 if sequence[0] == "payout.paid" else 1)
    assert await books(resources) == before


async def test_a_merchant_is_paid_what_it_earned_when_two_people_agree(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    wanted = await request(resources, EARNED)
    assert (await books(resources))[("payable", "EUR")] == EARNED
    with pytest.raises(SamePersonError):
        async with resources.database.transaction() as session:
            await service.approve(session, wanted.id, by=ADA)
    with pytest.raises(PayoutMovedError):
        async with resources.database.transaction() as session:
            await service.end(session, wanted.id, to="settled", bank_ref="x", by="ada")
    async with resources.database.transaction() as session:
        await service.approve(session, wanted.id, by=GRACE)
    async with resources.database.transaction() as session:
        ended = await service.end(session, wanted.id, to="settled", bank_ref="SEPA-1", by="ada")
    assert (ended.status, ended.approved_by) == ("settled", str(GRACE))
    found = await books(resources)
    assert ("merchant", "EUR") not in found
    assert found[("bank", "EUR")] == EARNED
    with pytest.raises(PayoutMovedError):
        async with resources.database.transaction() as session:
            await service.end(session, wanted.id, to="failed", bank_ref="x", by="ada")


@pytest.mark.parametrize("way", ["declined", "failed"])
async def test_a_payout_that_came_to_nothing_is_the_merchants_again(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources, way: str
) -> None:
    await paid(client, stripe_server)
    before = await books(resources)
    wanted = await request(resources, 1000)
    async with resources.database.transaction() as session:
        if way == "declined":
            await service.decline(session, wanted.id, by="grace")
        else:
            await service.approve(session, wanted.id, by=GRACE)
            await service.end(session, wanted.id, to="failed", bank_ref="R03", by="ada")
    assert await books(resources) == before


async def test_payouts_at_once_never_pay_more_than_was_earned(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    results = await asyncio.gather(
        *(request(resources, 1000, key=f"k{n}") for n in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, Payout) for result in results) == 2
    assert sum(isinstance(result, InsufficientFundsError) for result in results) == 8
    again = await asyncio.gather(*(request(resources, 400, key="same") for _ in range(5)))
    assert len({payout.id for payout in again}) == 1
    with pytest.raises(KeyReusedError):
        await request(resources, 401, key="same")
    await books(resources)


async def test_the_database_itself_wants_two_people(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    wanted = await request(resources, 1000)
    alone = text("UPDATE payments.payouts SET approved_by = requested_by WHERE id = :id")
    with pytest.raises(IntegrityError, match="ck_payouts_two_people"):
        async with resources.database.transaction() as session:
            await session.execute(alone, {"id": wanted.id})


PROGRAM = "service-token:c1d2e3f4.access"


async def test_the_database_itself_wants_people_and_no_program(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    wanted = await request(resources, 1000)
    for statement in (
        "UPDATE payments.payouts SET approved_by = :program WHERE id = :id",
        "INSERT INTO payments.payouts (merchant, request_key, currency, amount, requested_by)"
        " SELECT merchant, 'another', currency, amount, :program FROM payments.payouts"
        " WHERE id = :id",
    ):
        with pytest.raises(IntegrityError, match="people ask and approve"):
            async with resources.database.transaction() as session:
                await session.execute(text(statement), {"program": PROGRAM, "id": wanted.id})


async def test_what_a_program_asked_for_once_is_declined_and_never_approved(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    postgres: Cluster,
    database_name: str,
) -> None:
    """A row from before the rule, as the schema's owner can still write it."""
    await paid(client, stripe_server)
    before = await books(resources)
    wanted = await request(resources, 1000)
    with postgres.connect(MIGRATOR, database_name) as owner:
        owner.execute("ALTER TABLE payments.payouts DISABLE TRIGGER payouts_by_people")
        owner.execute(
            "UPDATE payments.payouts SET requested_by = %s WHERE id = %s", (PROGRAM, wanted.id)
        )
        owner.execute("ALTER TABLE payments.payouts ENABLE TRIGGER payouts_by_people")
        owner.commit()
    with pytest.raises(ProgramAskedError):
        async with resources.database.transaction() as session:
            await service.approve(session, wanted.id, by=GRACE)
    async with resources.database.transaction() as session:
        await service.decline(session, wanted.id, by=str(GRACE))
    assert await books(resources) == before

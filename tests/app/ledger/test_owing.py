"""What comes to a customer who owes us pays the debt first, once, however much comes at once."""

from __future__ import annotations

import asyncio

from payments.ledger import owing, service
from payments.ledger.service import HOUSE, Entry, Transfer
from payments.money import Money
from payments.resources import Resources
from tests.app.fixtures import ALICE

OWNER = service.customer(ALICE)


async def lend(resources: Resources, amount: int) -> None:
    """Have the customer owe us."""
    money = Money(amount, "EUR")
    entries = (Entry(OWNER, "receivable", -money), Entry(HOUSE, "suspense", money))
    async with resources.database.transaction() as session:
        transfer = Transfer(key="debt", kind="test", subject=None, entries=entries)
        await service.post(session, [transfer])


async def give(resources: Resources, amount: int, key: str) -> None:
    money = Money(amount, "EUR")

    def transfers(given: owing.Given) -> list[Transfer]:
        entries = (Entry(HOUSE, "suspense", -money), *given)
        return [Transfer(key=key, kind="test", subject=None, entries=entries)]

    async with resources.database.transaction() as session:
        await owing.post_to(session, ALICE, money, transfers)


async def held(resources: Resources) -> dict[str, int]:
    async with resources.database.transaction() as session:
        return {b.purpose: b.balance for b in await service.balances(session, OWNER)}


async def test_a_debt_is_paid_before_the_wallet_fills(resources: Resources) -> None:
    await give(resources, 100, "before")
    assert await held(resources) == {"wallet": 100}, "who owes nothing gets everything"
    await lend(resources, 700)
    await give(resources, 300, "part")
    assert await held(resources) == {"wallet": 100, "receivable": -400}
    await give(resources, 1000, "rest")
    assert await held(resources) == {"wallet": 700, "receivable": 0}


async def test_a_debt_is_paid_once_by_what_comes_at_the_same_time(resources: Resources) -> None:
    await lend(resources, 500)
    await asyncio.gather(*(give(resources, 300, f"k{n}") for n in range(8)))
    assert await held(resources) == {"wallet": 8 * 300 - 500, "receivable": 0}

"""Giving a customer money, of which they get what is left when their debt to us is paid.

A debt (`receivable`) comes about when a gateway takes back credit that was spent. Without this it
would last, beside a wallet that fills again: whatever comes from a gateway pays it first. What
customers send each other, or exchange, does not: it is theirs already, and only moves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ledger.models import Account
from payments.ledger.service import (
    Entry,
    NothingOwedError,
    Transfer,
    customer,
    post,
    wallet_of,
)
from payments.money import Money

Given = tuple[Entry, ...]


async def post_to(
    session: AsyncSession,
    customer_id: UUID,
    money: Money,
    transfers: Callable[[Given], Sequence[Transfer]],
) -> None:
    """Post what `transfers` makes of the entries that give a customer `money`.

    What is owed is read without a lock (the ledger locks all accounts of a call in one order, and
    this one comes first); the account takes no more than is owed, so whoever comes second asks
    again. Raises as `ledger.post`.
    """
    owner = customer(customer_id)
    while True:
        paid = min(await _owed(session, owner, money.currency), money.amount)
        given = _given(owner, money, paid)
        if not paid:
            await post(session, transfers(given))
            return
        try:
            async with session.begin_nested():
                await post(session, transfers(given))
        except NothingOwedError:
            continue
        return


def _given(owner: str, money: Money, paid: int) -> Given:
    debt = Money(paid, money.currency)
    entries = (
        Entry(owner, "receivable", debt),
        Entry(owner, wallet_of(money.currency), money - debt),
    )
    return tuple(entry for entry in entries if entry.money.amount)


async def _owed(session: AsyncSession, owner: str, currency: str) -> int:
    balance: int | None = await session.scalar(
        select(Account.balance).where(
            Account.owner == owner, Account.purpose == "receivable", Account.currency == currency
        )
    )
    return max(-(balance or 0), 0)

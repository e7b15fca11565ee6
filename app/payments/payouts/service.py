"""Paying out to merchants: asked for by a person, approved by a second one, settled or failed.

Both are people, named by the ids of their accounts: a program has none. Were it to ask or approve,
one person who holds its token would be two.

Asking sets the money aside (merchant to payable), so that nothing is paid out twice; a payout that
was declined or failed gives it back. A person or a file tells the bank; its answer ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.db import one_at_a_time
from payments.errors import ConflictError, ForbiddenError, NotFoundError
from payments.idempotency.store import KeyReusedError
from payments.ledger import service as ledger
from payments.ledger.service import HOUSE, Entry, Transfer
from payments.money import Money
from payments.orders.status import advance
from payments.payouts.models import Payout


class SamePersonError(ForbiddenError):
    """Whoever asked for a payout does not approve it."""

    code, title = "second_person_needed", "Somebody else has to approve this payout."


class ProgramAskedError(ConflictError):
    """A program asked for it, before that was for people alone."""

    code, title = "program_asked", "A program asked for this payout: decline it, and ask yourself."


class PayoutMovedError(ConflictError):
    """The payout is further on, or ended."""

    code, title = "payout_moved", "The payout cannot go there any more."


async def request(
    session: AsyncSession, *, merchant: str, money: Money, requested_by: UUID, request_key: str
) -> Payout:
    """Set a merchant's money aside for a payout; one `request_key` is one payout.

    Raises `InsufficientFundsError` when the merchant has less, and `KeyReusedError`.
    """
    # The merchant's account is in several rows: nobody else counts its money meanwhile.
    await one_at_a_time(session, f"merchant-payout:{merchant}:{money.currency}")
    known = await session.scalar(select(Payout).where(Payout.request_key == request_key))
    if known is not None:
        if (known.merchant, known.money) != (merchant, money):
            raise KeyReusedError
        return known
    owner = ledger.merchant(merchant)
    held = sum(
        account.available
        for account in await ledger.balances(session, owner)
        if account.purpose == "merchant" and account.currency == money.currency
    )
    if money.amount <= 0 or money.amount > held:
        raise ledger.InsufficientFundsError(
            f"{merchant} has {Money(held, money.currency)} to be paid out."
        )
    row = Payout(
        id=uuid4(),
        merchant=merchant,
        request_key=request_key,
        status="requested",
        currency=money.currency,
        amount=money.amount,
        requested_by=str(requested_by),
    )
    session.add(row)
    await session.flush()
    await _book(
        session, row, "requested", Entry(owner, "merchant", -money), Entry(owner, "payable", money)
    )
    return row


async def approve(session: AsyncSession, payout_id: UUID, *, by: UUID) -> Payout:
    """Approve a payout.

    Raises `SamePersonError`, `ProgramAskedError`, `PayoutMovedError`, `NotFoundError`.
    """
    row = await _locked(session, payout_id)
    if str(by) == row.requested_by:
        raise SamePersonError
    if not _person(row.requested_by):
        raise ProgramAskedError
    await _move(session, row, "approved", cause=f"approved by {by}")
    row.approved_by = str(by)
    await session.flush()
    return row


async def decline(session: AsyncSession, payout_id: UUID, *, by: str) -> Payout:
    """Decline a payout that nobody has approved; the merchant has its money again."""
    row = await _locked(session, payout_id)
    await _move(session, row, "declined", cause=f"declined by {by}")
    await _give_back(session, row)
    return row


async def end(
    session: AsyncSession,
    payout_id: UUID,
    *,
    to: Literal["settled", "failed"],
    bank_ref: str,
    by: str,
) -> Payout:
    """Note what the bank says: it was paid, or it came back."""
    row = await _locked(session, payout_id)
    await _move(session, row, to, cause=f"the bank, told by {by}")
    row.bank_ref = bank_ref
    if to == "failed":
        await _give_back(session, row)
        return row
    owner = ledger.merchant(row.merchant)
    paid = Entry(owner, "payable", -row.money)
    await _book(session, row, "settled", paid, Entry(HOUSE, "bank", row.money))
    return row


async def list_payouts(session: AsyncSession, *, limit: int = 50) -> Sequence[Payout]:
    """Return payouts, newest first."""
    found = await session.scalars(
        select(Payout).order_by(Payout.created_at.desc(), Payout.id).limit(limit)
    )
    return found.all()


def _person(actor: str) -> bool:
    try:
        UUID(actor)
    except ValueError:
        return False
    return True


async def _locked(session: AsyncSession, payout_id: UUID) -> Payout:
    row = await session.scalar(
        select(Payout).where(Payout.id == payout_id).with_for_update(key_share=True)
    )
    if row is None:
        raise NotFoundError(f"There is no payout {payout_id}.")
    return row


async def _move(session: AsyncSession, row: Payout, to: str, *, cause: str) -> None:
    if not await advance(session, row, to, cause=cause):
        raise PayoutMovedError(f"The payout is {row.status}.")
    row.updated_at = datetime.now(UTC)


async def _give_back(session: AsyncSession, row: Payout) -> None:
    owner = ledger.merchant(row.merchant)
    back = (Entry(owner, "payable", -row.money), Entry(owner, "merchant", row.money))
    await _book(session, row, "given_back", *back)


async def _book(session: AsyncSession, row: Payout, what: str, *entries: Entry) -> None:
    await session.flush()
    transfer = Transfer(
        key=f"payout:{row.id}:{what}",
        kind=f"payout.{what}",
        subject=f"payout:{row.id}",
        entries=entries,
    )
    await ledger.post(session, [transfer])

"""Sending wallet money to another customer, and exchanging it.

Both are one transfer under a key made of the request's own, posted by the group commit; whoever
runs the same request again finds it there and moves nothing.

Nobody learns here who has an account. What the sender lacks is told before anybody is looked for,
and every reason why a recipient cannot be paid has the same answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.db import Database
from payments.errors import UnprocessableError
from payments.idempotency.store import KeyReusedError
from payments.ledger import exchange as fx
from payments.ledger import service as ledger
from payments.ledger.batch import Batcher
from payments.ledger.models import Account, EntryRow, TransferRow
from payments.ledger.service import Entry, Transfer
from payments.money import Money, MoneyError
from payments.people import emails, repository


class TransferImpossibleError(UnprocessableError):
    """The recipient cannot be paid: unknown, closed or yourself. Which of these is not told."""

    code, title = "transfer_impossible", "This cannot be sent to that recipient."


class RateChangedError(UnprocessableError):
    """The rate that was quoted does not hold any more; nothing was exchanged."""

    code, title = "rate_changed", "The rate has changed. Ask for the rates again."


class NoSuchMoneyError(UnprocessableError):
    """The currency does not exist, or the amount is more than is counted here."""

    code, title = "no_such_money", "There is no such amount of money."


def money_of(amount: int, currency: str) -> Money:
    """Return an amount that somebody sent. Raises `NoSuchMoneyError`."""
    try:
        return Money(amount, currency)
    except MoneyError as error:
        raise NoSuchMoneyError(f"{error}.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A transfer as its sender sees it: `out` left the wallet, `came` reached that of `to`."""

    id: UUID
    out: Money
    came: Money
    to: str
    subject: str | None
    at: datetime


async def send(
    database: Database,
    batcher: Batcher,
    *,
    sender: UUID,
    recipient_email: str,
    money: Money,
    request_key: str,
) -> Moved:
    """Send wallet money to whoever registered that address; one `request_key` sends once.

    Nobody has proved that it is theirs (`people.service`), which the endpoint's description says.
    Raises `InsufficientFundsError`, `TransferImpossibleError`, and `KeyReusedError` for a key that
    has moved something else, however long ago: its answer is forgotten sooner than the transfer.
    """
    key = _key("sent", request_key)
    address = emails.normalise(recipient_email)
    async with database.transaction() as session:
        known = await _found(session, key)
        if known is None:
            await _require(session, sender, money)
        recipient = await repository.by_email(session, address) if address else None
    if known is not None:
        if recipient is None or (known.to, known.out) != (ledger.customer(recipient.id), money):
            raise KeyReusedError
        return known
    if recipient is None or recipient.disabled or recipient.id == sender:
        raise TransferImpossibleError
    wallet = ledger.wallet_of(money.currency)
    transfer = Transfer(
        key=key,
        kind="customer.transfer",
        subject=None,
        entries=(
            Entry(ledger.customer(sender), wallet, -money),
            Entry(ledger.customer(recipient.id), wallet, money),
        ),
    )
    return await _post(database, batcher, transfer)


async def exchange(
    database: Database,
    batcher: Batcher,
    *,
    owner: UUID,
    rate_id: int,
    amount: int,
    request_key: str,
) -> Moved:
    """Exchange `amount` minor units of a rate's base for its quote, at that rate or not at all.

    Raises `RateChangedError`, `NothingLeftError`, `InsufficientFundsError`, and `KeyReusedError` as
    `send` does.
    """
    key = _key("exchanged", request_key)
    async with database.transaction() as session:
        known = await _found(session, key)
        if known is not None:
            if (known.subject, known.out.amount) != (_subject(rate_id), amount):
                raise KeyReusedError
            return known
        rate = await fx.by_id(session, rate_id)
        newest = None if rate is None else await fx.rate(session, rate.base, rate.quote)
    if rate is None or newest is None or newest.id != rate.id:
        raise RateChangedError
    source = money_of(amount, rate.base)
    try:
        target = fx.convert(source, rate.quote, rate.rate)
    except MoneyError as error:
        raise NoSuchMoneyError(f"{error}.") from None
    transfer = fx.exchange(
        key=key,
        owner=ledger.customer(owner),
        source=source,
        target=target,
        subject=_subject(rate.id),
    )
    return await _post(database, batcher, transfer)


def _subject(rate_id: int) -> str:
    return f"rate:{rate_id}"


def _key(what: str, request_key: str) -> str:
    """Return a transfer's key, which has 200 characters at most; a client's alone may have 255."""
    return f"{what}:{hashlib.sha256(request_key.encode()).hexdigest()}"


async def _post(database: Database, batcher: Batcher, transfer: Transfer) -> Moved:
    await batcher.post([transfer])
    async with database.transaction() as session:
        moved = await _found(session, transfer.key)
    assert moved is not None  # noqa: S101 - it was committed on return
    return moved


async def _found(session: AsyncSession, key: str) -> Moved | None:
    """Return what was moved under a key, between customers or within one's wallets."""
    rows = (
        await session.execute(
            select(TransferRow, EntryRow.amount, EntryRow.currency, Account.owner)
            .join(EntryRow, EntryRow.transfer_id == TransferRow.id)
            .join(Account, Account.id == EntryRow.account_id)
            .where(TransferRow.key == key, Account.owner.like("customer:%"))
        )
    ).all()
    if not rows:
        return None
    transfer = rows[0][0]
    out = next(Money(-amount, currency) for _, amount, currency, _ in rows if amount < 0)
    came, to = next((Money(n, currency), owner) for _, n, currency, owner in rows if n > 0)
    return Moved(
        id=transfer.id, out=out, came=came, to=to, subject=transfer.subject, at=transfer.created_at
    )


async def _require(session: AsyncSession, sender: UUID, money: Money) -> None:
    """Refuse what the wallet does not hold, before anybody is looked for.

    The database has the last word: two requests at once may both come as far as this.
    """
    wallet = ledger.wallet_of(money.currency)
    for account in await ledger.balances(session, ledger.customer(sender)):
        if (account.purpose, account.currency) == (wallet, money.currency):
            if account.available >= money.amount:
                return
            break
    raise ledger.InsufficientFundsError(f"Your wallet does not hold {money}.")

"""Moving money. Every call here is one call of a function in the database.

A transaction posts once, with all its transfers: accounts are locked in id order within a call,
and a second call in the same transaction could lock them in another order than somebody else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from payments.errors import ConflictError, UnprocessableError
from payments.ledger.models import Account
from payments.money import CRYPTO, TOKENS, Money

Purpose = Literal[
    "wallet",
    "receivable",
    "token_wallet",
    "crypto_wallet",
    "rewards",
    "issued",
    "merchant",
    "payable",
    "fees",
    "gateway_clearing",
    "gateway_fees",
    "disputed",
    "dispute_losses",
    "bank",
    "exchange",
    "suspense",
]

HOUSE = "house"
"""The owner of what belongs to us: fees, suspense."""


def customer(customer_id: UUID) -> str:
    """Return the owner of a customer's accounts."""
    return f"customer:{customer_id}"


def wallet_of(currency: str) -> Purpose:
    """Return which of a customer's wallets holds a currency: an account takes one kind only."""
    if currency in CRYPTO:
        return "crypto_wallet"
    return "token_wallet" if currency in TOKENS else "wallet"


def gateway(name: str, account: str) -> str:
    """Return the owner of a gateway account's clearing account."""
    return f"gateway:{name}:{account}"


def merchant(name: str) -> str:
    """Return the owner of a merchant's accounts."""
    return f"merchant:{name}"


class InsufficientFundsError(ConflictError):
    """An account would go below what its purpose allows."""

    code, title = "insufficient_funds", "There is not enough money in the account."


class NothingOwedError(ConflictError):
    """More would be paid than is owed: somebody else has paid it meanwhile."""

    code, title = "nothing_owed", "This much is not owed."


class TransferKeyReusedError(ConflictError):
    """The key was used for something else: two operations share a key, which is a mistake."""

    code, title = "transfer_key_reused", "This key belongs to another transfer."


class HoldNotOpenError(ConflictError):
    """The hold was posted, voided or has expired, or is smaller than what is taken from it."""

    code, title = "hold_not_open", "The hold cannot be used."


class NotReversibleError(ConflictError):
    """The transfer does not exist, is a reversal, or was reversed before."""

    code, title = "not_reversible", "The transfer cannot be reversed."


class UnknownAccountError(UnprocessableError):
    """The purpose or the currency does not exist, or the one holds no such money as the other."""

    code, title = "unknown_account", "There is no such kind of account."


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a transfer: positive credits the account, negative debits it."""

    owner: str
    purpose: Purpose
    money: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What is to be moved. The same key with the same content moves it once."""

    key: str
    kind: str
    subject: str | None
    entries: tuple[Entry, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the form that the database's functions take."""
        return {
            "key": self.key,
            "kind": self.kind,
            "subject": self.subject,
            "entries": [
                {
                    "owner": entry.owner,
                    "purpose": entry.purpose,
                    "currency": entry.money.currency,
                    "amount": entry.money.amount,
                }
                for entry in self.entries
            ],
        }


@dataclass(frozen=True, slots=True)
class Posted:
    """A transfer as the books have it; `replayed` when they had it before."""

    key: str
    id: UUID
    replayed: bool


@dataclass(frozen=True, slots=True)
class Balance:
    """An account as its owner sees it: all shards together, in minor units."""

    owner: str
    purpose: str
    currency: str
    balance: int
    held: int

    @property
    def available(self) -> int:
        """What is neither spent nor set aside."""
        return self.balance - self.held


async def post(session: AsyncSession, transfers: Sequence[Transfer]) -> list[Posted]:
    """Post transfers in one step, all or none; earlier ones under the same key are returned.

    Raises `InsufficientFundsError`, `TransferKeyReusedError`, `UnknownAccountError`. Transfers that
    do not balance fail when the transaction commits.
    """
    body = json.dumps([transfer.as_json() for transfer in transfers])
    return await _posted(
        session, "SELECT * FROM payments.ledger_post(CAST(:transfers AS jsonb))", transfers=body
    )


async def reverse(session: AsyncSession, transfer_id: UUID, *, key: str) -> Posted:
    """Post the opposite of a transfer, once. Raises `NotReversibleError`, and as `post`."""
    statement = "SELECT * FROM payments.ledger_reverse(:id, :key)"
    return (await _posted(session, statement, id=transfer_id, key=key))[0]


async def hold(
    session: AsyncSession,
    *,
    key: str,
    owner: str,
    purpose: Purpose,
    money: Money,
    expires_at: datetime,
    subject: str | None = None,
) -> UUID:
    """Set `money` aside until `expires_at`; returns the hold, the earlier one on a replay.

    Raises `InsufficientFundsError`, `TransferKeyReusedError`, `UnknownAccountError`.
    """
    statement = text(
        "SELECT hold_id FROM payments.ledger_hold"
        "(:key, :owner, :purpose, :currency, :amount, :expires_at, :subject)"
    )
    with _translated():
        hold_id: UUID = (
            await session.execute(
                statement,
                {
                    "key": key,
                    "owner": owner,
                    "purpose": purpose,
                    "currency": money.currency,
                    "amount": money.amount,
                    "expires_at": expires_at,
                    "subject": subject,
                },
            )
        ).scalar_one()
    return hold_id


async def post_hold(session: AsyncSession, hold_id: UUID, transfer: Transfer) -> Posted:
    """Post a transfer out of a hold; what it does not take is free again.

    Raises `HoldNotOpenError`, and as `post`.
    """
    statement = "SELECT * FROM payments.ledger_hold_post(:id, CAST(:transfer AS jsonb))"
    body = json.dumps(transfer.as_json())
    return (await _posted(session, statement, id=hold_id, transfer=body))[0]


async def void_hold(session: AsyncSession, hold_id: UUID) -> bool:
    """Free a hold; False when it was free already. Raises `HoldNotOpenError`."""
    with _translated():
        freed: bool = (
            await session.execute(text("SELECT payments.ledger_hold_void(:id)"), {"id": hold_id})
        ).scalar_one()
    return freed


async def expire_holds(session: AsyncSession, *, most: int) -> int:
    """Free holds that ran out; returns how many."""
    freed: int = (
        await session.execute(text("SELECT payments.ledger_expire_holds(:most)"), {"most": most})
    ).scalar_one()
    return freed


async def balances(session: AsyncSession, owner: str) -> list[Balance]:
    """Return every account of an owner, shards summed, by purpose and currency."""
    rows = await session.execute(
        select(
            Account.owner,
            Account.purpose,
            Account.currency,
            func.sum(Account.balance),
            func.sum(Account.held),
        )
        .where(Account.owner == owner)
        .group_by(Account.owner, Account.purpose, Account.currency)
        .order_by(Account.purpose, Account.currency)
    )
    return [Balance(o, p, c, int(balance), int(held)) for o, p, c, balance, held in rows]


async def _posted(session: AsyncSession, statement: str, **parameters: Any) -> list[Posted]:
    with _translated():
        rows = (await session.execute(text(statement), parameters)).all()
    return [Posted(key, transfer_id, replayed) for key, transfer_id, replayed in rows]


_BY_STATE: dict[str, type[ConflictError]] = {
    "PL001": TransferKeyReusedError,
    "PL002": HoldNotOpenError,
    "PL003": NotReversibleError,
}


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the ledger's own SQL states into domain errors; everything else passes as it is."""
    try:
        yield
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        message = str(error.orig)
        if state in _BY_STATE:
            raise _BY_STATE[state](_first_sentence(message)) from error
        if state == "23514" and "ck_ledger_accounts_floor" in message:
            raise InsufficientFundsError from error
        if state == "23514" and "ck_ledger_accounts_ceiling" in message:
            raise NothingOwedError from error
        if (state == "23503" and "fk_ledger_accounts_" in message) or state == "PL007":
            raise UnknownAccountError from error
        raise


def _first_sentence(message: str) -> str:
    """Return our own text out of the driver's `<class>: text`."""
    return message.split(">: ", 1)[-1].splitlines()[0]

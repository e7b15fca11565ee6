"""Statements: what happened in an account, newest first, with what it held after each entry."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.errors import BadRequestError, NotFoundError
from payments.ledger.models import Account, EntryRow, TransferRow
from payments.money import Money


class BadCursorError(BadRequestError):
    """The cursor was not made by us for this list."""

    code, title = "bad_cursor", "This cursor is not one of this list's."


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One entry: what moved, and what was in the account after it."""

    id: int
    transfer_id: UUID
    kind: str
    subject: str | None
    money: Money
    after: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A page of lines. `opening` and `closing` are the balances around the whole period."""

    account: UUID
    opening: Money
    closing: Money
    lines: Sequence[Line]
    next_cursor: str | None


async def statement(
    session: AsyncSession,
    *,
    owner: str,
    purpose: str,
    currency: str,
    since: datetime | None = None,
    until: datetime | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Statement:
    """Return the entries of one account in `[since, until)`, newest first.

    For accounts in one row; those in several belong to the house and have no order of their own.
    Raises `NotFoundError`, `BadCursorError`.
    """
    account = await session.scalar(
        select(Account).where(
            Account.owner == owner,
            Account.purpose == purpose,
            Account.currency == currency,
            Account.shard == 0,
        )
    )
    if account is None:
        raise NotFoundError(f"There is no {purpose} account in {currency}.")
    period: list[ColumnElement[bool]] = [EntryRow.account_id == account.id]
    if since is not None:
        period.append(EntryRow.created_at >= since)
    if until is not None:
        period.append(EntryRow.created_at < until)
    first = await _edge(session, period, newest=False)
    last = await _edge(session, period, newest=True)
    lines = await _lines(session, period, currency, cursor, limit)
    more = len(lines) > limit
    opening = await _before(session, account.id, since) if first is None else first[0] - first[1]
    closing = opening if last is None else last[0]
    return Statement(
        account=account.public_id,
        opening=Money(opening, currency),
        closing=Money(closing, currency),
        lines=lines[:limit],
        next_cursor=_encode(lines[limit - 1].id) if more else None,
    )


async def _edge(
    session: AsyncSession, period: list[ColumnElement[bool]], *, newest: bool
) -> tuple[int, int] | None:
    order = EntryRow.id.desc() if newest else EntryRow.id
    row = (
        await session.execute(
            select(EntryRow.balance_after, EntryRow.amount).where(*period).order_by(order).limit(1)
        )
    ).first()
    return None if row is None else (row.balance_after, row.amount)


async def _before(session: AsyncSession, account_id: int, moment: datetime | None) -> int:
    """Return the balance at the start of a period in which nothing happened."""
    if moment is None:
        return 0
    found: int | None = await session.scalar(
        select(EntryRow.balance_after)
        .where(EntryRow.account_id == account_id, EntryRow.created_at < moment)
        .order_by(EntryRow.id.desc())
        .limit(1)
    )
    return found or 0


async def _lines(
    session: AsyncSession,
    period: list[ColumnElement[bool]],
    currency: str,
    cursor: str | None,
    limit: int,
) -> list[Line]:
    wanted = list(period)
    if cursor is not None:
        wanted.append(EntryRow.id < _decode(cursor))
    rows = await session.execute(
        select(EntryRow, TransferRow)
        .join(TransferRow, TransferRow.id == EntryRow.transfer_id)
        .where(*wanted)
        .order_by(EntryRow.id.desc())
        .limit(limit + 1)
    )
    return [
        Line(
            id=entry.id,
            transfer_id=transfer.id,
            kind=transfer.kind,
            subject=transfer.subject,
            money=Money(entry.amount, currency),
            after=Money(entry.balance_after, currency),
            at=entry.created_at,
        )
        for entry, transfer in rows
    ]


def _encode(entry_id: int) -> str:
    return base64.urlsafe_b64encode(f"e{entry_id}".encode()).decode().rstrip("=")


def _decode(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        entry_id = int(text.removeprefix("e"))
    except (ValueError, binascii.Error):
        raise BadCursorError from None
    if _encode(entry_id) != cursor or not 0 < entry_id < 2**63:
        raise BadCursorError
    return entry_id

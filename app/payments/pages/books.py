"""What the pages read from the books: a customer's balances, entries, and an order's history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ledger import service as ledger
from payments.ledger.models import Account, EntryRow, TransferRow
from payments.money import Money
from payments.orders.models import Order, Payment, StatusChange
from payments.orders.service import OrderView
from payments.pages.status import CREATED, ORDER_EVENTS, PAYMENT_EVENTS, Event

MOST_ENTRIES: Final = 50

_ACCOUNTS: Final = {
    "wallet": "Wallet",
    "token_wallet": "Tokens",
    "crypto_wallet": "Crypto",
    "rewards": "Rewards",
    "receivable": "Owed to us",
}
"""A customer's accounts, in the order in which they are shown."""

_TRANSFERS: Final = {
    "payment.captured": "Payment",
    "order.settled": "Purchase",
    "payment.refunded": "Refund",
    "payment.refund_undone": "Refund that did not go through",
    "refund.returned": "Refund that came back",
    "customer.transfer": "Transfer",
    "exchange": "Exchange",
    "suspense.resolved": "Credited by us",
    "subscription.returned": "Back from a subscription",
}


def account_label(purpose: str) -> str:
    """Return what a customer calls an account."""
    return _ACCOUNTS.get(purpose, purpose.replace("_", " ").capitalize())


def transfer_label(kind: str) -> str:
    """Return what a customer calls a kind of transfer."""
    return _TRANSFERS.get(kind, kind.replace(".", " ").replace("_", " ").capitalize())


@dataclass(frozen=True, kw_only=True)
class BalanceLine:
    """One of the customer's accounts, and where its entries are shown."""

    label: str
    purpose: str
    money: Money

    @property
    def path(self) -> str:
        """The address of its page."""
        return f"/accounts/{self.purpose}/{self.money.currency}"


@dataclass(frozen=True, kw_only=True)
class EntryLine:
    """One entry of the customer's: what moved, and what the account held after it."""

    title: str
    order_id: UUID | None
    about: str | None
    money: Money
    after: Money
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of an order's history."""

    event: Event
    at: datetime


async def balances(session: AsyncSession, customer_id: UUID) -> list[BalanceLine]:
    """Return the customer's accounts of every kind, the wallet first."""
    found = await ledger.balances(session, ledger.customer(customer_id))
    lines = [
        BalanceLine(
            label=account_label(b.purpose),
            purpose=b.purpose,
            money=Money(b.balance, b.currency),
        )
        for b in found
    ]
    order = {purpose: place for place, purpose in enumerate(_ACCOUNTS)}
    return sorted(lines, key=lambda line: (order.get(line.purpose, 99), line.money.currency))


async def entries(
    session: AsyncSession, customer_id: UUID, orders: Sequence[OrderView]
) -> list[EntryLine]:
    """Return the latest entries on the customer's accounts; `orders` give them their words."""
    names = {order.id: order.description for order in orders}
    rows = await session.execute(
        select(EntryRow, TransferRow.kind, TransferRow.subject)
        .join(Account, Account.id == EntryRow.account_id)
        .join(TransferRow, TransferRow.id == EntryRow.transfer_id)
        .where(Account.owner == ledger.customer(customer_id))
        .order_by(EntryRow.id.desc())
        .limit(MOST_ENTRIES)
    )
    return [_line(entry, kind, subject, names) for entry, kind, subject in rows]


async def history(session: AsyncSession, order: OrderView) -> list[Step]:
    """Return what happened to an order, the latest first. Refused moves are not the customer's."""
    payments = select(Payment.id).where(Payment.order_id == order.id)
    rows = await session.scalars(
        select(StatusChange)
        .where(
            or_(StatusChange.entity_id == order.id, StatusChange.entity_id.in_(payments)),
            StatusChange.applied,
        )
        .order_by(StatusChange.id.desc())
    )
    words = {"order": ORDER_EVENTS, "payment": PAYMENT_EVENTS}
    steps = [
        Step(event=words[row.entity][row.to_status], at=row.created_at)
        for row in rows
        if row.to_status in words[row.entity]
    ]
    return [*steps, Step(event=CREATED, at=order.created_at)]


async def status(session: AsyncSession, *, customer_id: UUID, order_id: UUID) -> str | None:
    """Return an order's status; None when it is not this customer's."""
    found: str | None = await session.scalar(
        select(Order.status).where(Order.id == order_id, Order.customer_id == customer_id)
    )
    return found


def _line(entry: EntryRow, kind: str, subject: str | None, names: Mapping[UUID, str]) -> EntryLine:
    order_id = _order_of(subject)
    return EntryLine(
        title=transfer_label(kind),
        order_id=order_id,
        about=names.get(order_id) if order_id else None,
        money=Money(entry.amount, entry.currency),
        after=Money(entry.balance_after, entry.currency),
        at=entry.created_at,
    )


def _order_of(subject: str | None) -> UUID | None:
    kind, _, name = (subject or "").partition(":")
    return UUID(name) if kind == "order" else None

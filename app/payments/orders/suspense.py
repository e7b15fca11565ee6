"""Money that came and fits no order: where it waits, and the two ways out of suspense.

A person decides: it is given back at the gateway (whose event books it), or it becomes the
customer's wallet credit. Both are transfers under keys of their own, and neither takes more than
waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, cast, exists, func, or_, select
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.ext.asyncio import AsyncSession

from payments.errors import ConflictError
from payments.ledger import owing
from payments.ledger import service as ledger
from payments.ledger.models import Account, EntryRow, TransferRow
from payments.ledger.service import HOUSE, Entry, Transfer
from payments.money import Money
from payments.orders.models import Order, Payment


class NothingWaitsError(ConflictError):
    """There is nothing of this payment in suspense (any more)."""

    code, title = "nothing_in_suspense", "Nothing of this payment waits for a decision."


async def waiting(session: AsyncSession, payment: Payment) -> dict[str, int]:
    """Return what waits of a payment, in minor units by currency."""
    rows = await session.execute(
        select(EntryRow.currency, func.sum(EntryRow.amount))
        .join(TransferRow, TransferRow.id == EntryRow.transfer_id)
        .join(Account, Account.id == EntryRow.account_id)
        .where(
            TransferRow.key.like(f"suspense:{payment.id}:%"),
            Account.purpose == "suspense",
        )
        .group_by(EntryRow.currency)
    )
    return {currency: int(amount) for currency, amount in rows if amount > 0}


def of_payments_waiting() -> Select[UUID]:
    """Return a query of the ids of payments of which something waits, whatever their status."""
    payment_id = cast(func.split_part(TransferRow.key, ":", 2), PgUUID(as_uuid=True))
    return (
        select(payment_id)
        .join(EntryRow, EntryRow.transfer_id == TransferRow.id)
        .join(Account, Account.id == EntryRow.account_id)
        .where(Account.purpose == "suspense", TransferRow.key.like("suspense:%"))
        .group_by(payment_id, EntryRow.currency)
        .having(func.sum(EntryRow.amount) > 0)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of money that came for an order and did not fit it."""

    waiting: Sequence[Money]
    credited: Sequence[Money]
    given_back: Sequence[Money]

    @property
    def decided(self) -> bool:
        """Whether there was something, and nothing of it waits any more."""
        return bool(self.credited or self.given_back) and not self.waiting


async def outcome(session: AsyncSession, order_id: UUID) -> Outcome:
    """Return what became of what did not fit an order, whichever payment it came by."""
    rows = await session.execute(
        select(TransferRow.key, EntryRow.currency, EntryRow.amount)
        .join(EntryRow, EntryRow.transfer_id == TransferRow.id)
        .join(Account, Account.id == EntryRow.account_id)
        .where(TransferRow.subject == f"order:{order_id}", Account.purpose == "suspense")
    )
    waits: Counter[str] = Counter()
    out: dict[str, Counter[str]] = {"credited": Counter(), "refunded": Counter()}
    for key, currency, amount in rows:
        waits[currency] += amount
        how = key.split(":")[2]
        if how in ("credited", "refunded", "undone"):
            out["credited" if how == "credited" else "refunded"][currency] -= amount
    return Outcome(
        waiting=_moneys(waits),
        credited=_moneys(out["credited"]),
        given_back=_moneys(out["refunded"]),
    )


def _moneys(amounts: Counter[str]) -> list[Money]:
    return [Money(amount, currency) for currency, amount in amounts.items() if amount > 0]


async def has_come(session: AsyncSession, payment: Payment, ref: str) -> bool:
    """Whether what a gateway calls `ref` came for a payment and did not fit it."""
    key = TransferRow.key == f"suspense:{payment.id}:{ref}"
    return bool(await session.scalar(select(exists().where(key))))


async def given_back(
    session: AsyncSession, payment: Payment, currency: str, ref: str | None
) -> int:
    """Return what was given back of `ref` and did not come to nothing."""
    booked = [
        TransferRow.key.startswith(f"suspense:{payment.id}:{how}:{ref or ''}:", autoescape=True)
        for how in ("refunded", "undone")
    ]
    amount = await session.scalar(
        select(func.coalesce(func.sum(-EntryRow.amount), 0))
        .join(TransferRow, TransferRow.id == EntryRow.transfer_id)
        .join(Account, Account.id == EntryRow.account_id)
        .where(or_(*booked), Account.purpose == "suspense", EntryRow.currency == currency)
    )
    return int(amount or 0)


async def give_back(
    session: AsyncSession, order: Order, payment: Payment, total: Money, *, ref: str | None
) -> bool:
    """Book what the gateway has given back, `total` so far of what it calls `ref`.

    On a locked payment. False when that is booked already, or more than waits: a person looks.
    """
    before = await given_back(session, payment, total.currency, ref)
    part = total - Money(before, total.currency)
    waits = (await waiting(session, payment)).get(total.currency, 0)
    if not 0 < part.amount <= waits:
        return False
    clearing = Entry(ledger.gateway(payment.gateway, payment.account), "gateway_clearing", part)
    number = await _count(session, payment)
    how = f"refunded:{ref or ''}:{total.amount}:{number}"
    await ledger.post(session, [_out(order, payment, how, (clearing,))])
    return True


async def give_back_whole(
    session: AsyncSession, order: Order, payment: Payment, *, ref: str | None
) -> bool:
    """Book that the gateway has given back all that waits; False when nothing does."""
    waits = await waiting(session, payment)
    for currency, amount in waits.items():
        total = await given_back(session, payment, currency, ref) + amount
        await give_back(session, order, payment, Money(total, currency), ref=ref)
    return bool(waits)


async def take_back(
    session: AsyncSession,
    order: Order,
    payment: Payment,
    money: Money,
    *,
    ref: str | None,
    refund_ref: str,
) -> bool:
    """Have what was given back, and came to nothing, wait again; once for each refund.

    False when that much was never booked as given back.
    """
    if money.amount > await given_back(session, payment, money.currency, ref):
        return False
    clearing = Entry(ledger.gateway(payment.gateway, payment.account), "gateway_clearing", -money)
    transfer = Transfer(
        key=f"suspense:{payment.id}:undone:{ref or ''}:{refund_ref}",
        kind="payment.refund_undone",
        subject=f"order:{order.id}",
        entries=(clearing, Entry(HOUSE, "suspense", money)),
    )
    (posted,) = await ledger.post(session, [transfer])
    return not posted.replayed


async def credit_wallet(
    session: AsyncSession, order: Order, payment: Payment, *, by: str
) -> list[Money]:
    """Make what waits the customer's credit, coins as coins; on a locked payment.

    Returns what was credited. Raises `NothingWaitsError`.
    """
    credited = [
        Money(amount, currency) for currency, amount in (await waiting(session, payment)).items()
    ]
    if not credited:
        raise NothingWaitsError
    # Numbered: the same amount may come, and be credited, again.
    number = await _count(session, payment)
    for money in credited:
        how = f"credited:{money.currency}:{number}"
        await _credit(session, order, payment, money, how)
    payment.last_error = f"{', '.join(map(str, credited))} credited to the wallet by {by}"[:200]
    return credited


async def _credit(
    session: AsyncSession, order: Order, payment: Payment, money: Money, how: str
) -> None:
    def resolved(given: owing.Given) -> list[Transfer]:
        return [_out(order, payment, how, given)]

    await owing.post_to(session, order.customer_id, money, resolved)


async def _count(session: AsyncSession, payment: Payment) -> int:
    number = await session.scalar(
        select(func.count())
        .select_from(TransferRow)
        .where(TransferRow.key.like(f"suspense:{payment.id}:%"))
    )
    return int(number or 0)


def _out(order: Order, payment: Payment, how: str, to: tuple[Entry, ...]) -> Transfer:
    money = sum((entry.money for entry in to[1:]), to[0].money)
    return Transfer(
        key=f"suspense:{payment.id}:{how}",
        kind="suspense.resolved",
        subject=f"order:{order.id}",
        entries=(Entry(HOUSE, "suspense", -money), *to),
    )

"""What is booked when money comes or goes. Entries: credit positive, debit negative.

A payment of 24.90 with a fee of 0.72, as two transfers in one step, so that the customer's
statement shows both:

    payment.captured   gateway_clearing (gateway)  -24.90     wallet (customer)    +24.90
    order.settled      wallet (customer)           -24.90     merchant             +24.18
                                                              fees (house)          +0.72

A wallet credit stops after the first, and pays what its customer owes us before (`ledger.owing`). A
refund goes the other way, the fee in proportion; what was refunded so far decides how much of the
fee is back, so that rounding never adds up. Money that fits no order goes to suspense, and a person
decides.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ledger.models import TransferRow
from payments.ledger.service import (
    HOUSE,
    Entry,
    Transfer,
    customer,
    gateway,
    merchant,
)
from payments.money import Money
from payments.orders.models import Order, Payment


def captured(order: Order, payment: Payment, given: tuple[Entry, ...]) -> list[Transfer]:
    """Return the transfers of a payment that came as ordered; `given` is how its customer gets it.

    For a purchase that is the wallet, whatever they owe: it only passes through.
    """
    amount = payment.money
    transfers = [
        _transfer(
            f"payment:{payment.id}:captured",
            "payment.captured",
            order,
            _clearing(payment, -amount),
            *given,
        )
    ]
    if order.kind == "purchase":
        transfers.append(
            _transfer(
                f"payment:{payment.id}:settled",
                "order.settled",
                order,
                wallet(order, -amount),
                *_sellers(order, amount, Money(order.fee, order.currency)),
            )
        )
    return transfers


def wallet(order: Order, money: Money) -> Entry:
    """Return an entry in the wallet of the order's customer."""
    return Entry(customer(order.customer_id), "wallet", money)


async def refunds_booked(session: AsyncSession, order: Order, payment: Payment) -> int:
    """Return how many refunds of a locked payment are booked, those that were undone counted."""
    number = await session.scalar(
        select(func.count()).where(
            TransferRow.subject == _subject(order),
            TransferRow.key.like(f"payment:{payment.id}:refunded:%"),
        )
    )
    return int(number or 0)


def refunded(
    order: Order,
    payment: Payment,
    total: Money,
    number: int,
    *,
    credit: tuple[Entry, ...] = (),
) -> Transfer:
    """Return the transfer that brings what was refunded to `total`: up, or down where it failed.

    Numbered: a refund may fail and be given anew, and then the same total comes again. `credit` is
    where refunded credit is taken from, or goes back to.
    """
    part = total - Money(payment.refunded, payment.currency)
    back = credit
    if order.kind == "purchase":
        fee = _fee_of(order, total.amount) - _fee_of(order, payment.refunded)
        back = _sellers(order, -part, Money(-fee, order.currency))
    return _transfer(
        f"payment:{payment.id}:refunded:{total.amount}:{number}",
        "payment.refunded" if part.amount > 0 else "payment.refund_undone",
        order,
        *back,
        _clearing(payment, part),
    )


def refund_returned(
    order: Order, payment: Payment, refund_id: UUID, money: Money, given: tuple[Entry, ...]
) -> Transfer:
    """Return the transfer of a refund that came back: the customer's, as `given` says."""
    return _transfer(
        f"refund:{refund_id}:returned",
        "refund.returned",
        order,
        _clearing(payment, -money),
        *given,
    )


def unexpected(order: Order, payment: Payment, money: Money, *, ref: str) -> Transfer:
    """Return the transfer of money that came but is not what was ordered."""
    return _transfer(
        f"suspense:{payment.id}:{ref}",
        "payment.unexpected",
        order,
        _clearing(payment, -money),
        Entry(HOUSE, "suspense", money),
    )


def _fee_of(order: Order, amount: int) -> int:
    return order.fee * amount // order.amount


def _sellers(order: Order, amount: Money, fee: Money) -> tuple[Entry, ...]:
    if order.merchant is None:
        raise ValueError(f"order {order.id} is a purchase without a merchant")
    entries = (
        Entry(merchant(order.merchant), "merchant", amount - fee),
        Entry(HOUSE, "fees", fee),
    )
    return tuple(entry for entry in entries if entry.money.amount)


def _clearing(payment: Payment, money: Money) -> Entry:
    return Entry(gateway(payment.gateway, payment.account), "gateway_clearing", money)


def _transfer(key: str, kind: str, order: Order, *entries: Entry) -> Transfer:
    return Transfer(key=key, kind=kind, subject=_subject(order), entries=entries)


def _subject(order: Order) -> str:
    return f"order:{order.id}"

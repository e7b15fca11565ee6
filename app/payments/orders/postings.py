"""What is booked when money comes or goes. Entries: credit positive, debit negative.

A payment of 24.90 with a fee of 0.72, as two transfers in one step, so that the customer's
statement shows both:

    payment.captured   gateway_clearing (gateway)  -24.90     wallet (customer)    +24.90
    order.settled      wallet (customer)           -24.90     merchant             +24.18
                                                              fees (house)          +0.72

A wallet credit stops after the first. A refund goes the other way, the fee in proportion; what was
refunded so far decides how much of the fee is back, so that rounding never adds up. Money that fits
no order goes to suspense, and a person decides.
"""

from __future__ import annotations

from uuid import UUID

from payments.ledger.service import (
    HOUSE,
    Entry,
    Purpose,
    Transfer,
    customer,
    gateway,
    merchant,
)
from payments.money import Money
from payments.orders.models import Order, Payment


def captured(order: Order, payment: Payment) -> list[Transfer]:
    """Return the transfers of a payment that came as ordered."""
    amount = payment.money
    wallet = customer(order.customer_id)
    transfers = [
        _transfer(
            f"payment:{payment.id}:captured",
            "payment.captured",
            order,
            _clearing(payment, -amount),
            Entry(wallet, "wallet", amount),
        )
    ]
    if order.kind == "purchase":
        transfers.append(
            _transfer(
                f"payment:{payment.id}:settled",
                "order.settled",
                order,
                Entry(wallet, "wallet", -amount),
                *_sellers(order, amount, Money(order.fee, order.currency)),
            )
        )
    return transfers


def refunded(
    order: Order, payment: Payment, total: Money, *, source: Purpose = "wallet"
) -> Transfer:
    """Return the transfer that brings what was refunded up to `total`.

    A refunded credit is taken from `source`: the wallet, or what the customer owes us when the
    wallet no longer has it.
    """
    part = total - Money(payment.refunded, payment.currency)
    if order.kind == "purchase":
        fee = _fee_of(order, total.amount) - _fee_of(order, payment.refunded)
        back = _sellers(order, -part, Money(-fee, order.currency))
    else:
        back = (Entry(customer(order.customer_id), source, -part),)
    return _transfer(
        f"payment:{payment.id}:refunded:{total.amount}",
        "payment.refunded",
        order,
        *back,
        _clearing(payment, part),
    )


def refund_returned(order: Order, payment: Payment, refund_id: UUID, money: Money) -> Transfer:
    """Return the transfer of a refund that came back: the customer's, and in their wallet now."""
    return _transfer(
        f"refund:{refund_id}:returned",
        "refund.returned",
        order,
        _clearing(payment, -money),
        Entry(customer(order.customer_id), "wallet", money),
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
    return Transfer(key=key, kind=kind, subject=f"order:{order.id}", entries=entries)

"""Our side: payments as our books have them, found by what a run has to hold against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, cast, func, or_, select, update
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.ext.asyncio import AsyncSession

from payments.db import Database
from payments.disputes.models import Dispute
from payments.gateways.protocol import Gateway, ListedPayment
from payments.ledger.models import TransferRow
from payments.money import Money
from payments.orders import suspense
from payments.orders.models import Order, Payment
from payments.orders.status import TAKEN
from payments.reconcile.compare import OurPayment
from payments.reconcile.theirs import Period
from payments.refunds.amounts import UNDER_WAY, asked_back
from payments.refunds.news import LOST_BY_REFUND

BATCH: Final = 200

WITHOUT_END: Final = ("open", "processing")
"""Statuses that end in another; the worker stops looking some days after the page has closed."""
FORGOTTEN: Final = timedelta(days=90)
"""No method of payment settles later than this."""


class Ours:
    """The payments of one gateway account."""

    def __init__(self, database: Database, gateway: Gateway) -> None:
        self._database = database
        self._here = and_(Payment.gateway == gateway.name, Payment.account == gateway.account)

    async def named_by(self, theirs: Sequence[ListedPayment]) -> list[OurPayment]:
        """Return those that the gateway's rows name."""
        found: dict[UUID, OurPayment] = {}
        for start in range(0, len(theirs), BATCH):
            part = theirs[start : start + BATCH]
            found |= await self._where(
                or_(
                    Payment.id.in_([t.payment_id for t in part if t.payment_id]),
                    Payment.payment_ref.in_([t.payment_ref for t in part]),
                    Payment.checkout_ref.in_([t.checkout_ref for t in part if t.checkout_ref]),
                )
            )
        return list(found.values())

    async def with_refs(self, refs: Sequence[str]) -> list[OurPayment]:
        """Return those with a gateway's ids."""
        found: dict[UUID, OurPayment] = {}
        for start in range(0, len(refs), BATCH):
            found |= await self._where(Payment.payment_ref.in_(refs[start : start + BATCH]))
        return list(found.values())

    async def with_more(self) -> list[OurPayment]:
        """Return those that were paid and of which a second sum waits in suspense."""
        waiting = Payment.id.in_(suspense.of_payments_waiting())
        return list((await self._where(Payment.status.in_(TAKEN), waiting)).values())

    async def moved_in(self, period: Period) -> list[OurPayment]:
        """Return those that were paid, or changed after that, in a period."""
        return list(
            (
                await self._where(
                    Payment.status.in_(TAKEN),
                    Payment.updated_at >= period.since,
                    or_(
                        and_(Order.paid_at >= period.since, Order.paid_at < period.until),
                        Payment.updated_at < period.until,
                    ),
                )
            ).values()
        )

    async def unfinished(self) -> list[OurPayment]:
        """Return those whose page is closed and whose end nobody has told."""
        now = datetime.now(UTC)
        return list(
            (
                await self._where(
                    Payment.status.in_(WITHOUT_END),
                    Payment.created_at >= now - FORGOTTEN,
                    Payment.expires_at < now,
                )
            ).values()
        )

    async def again(self, *ids: UUID) -> list[OurPayment]:
        """Return some as they are now."""
        return list((await self._where(Payment.id.in_(ids))).values()) if ids else []

    async def look_again(self, payment_id: UUID) -> None:
        """Have the worker ask about one that it has given up: how it ended, and note that."""
        async with self._database.transaction() as session:
            await session.execute(
                update(Payment)
                .where(
                    Payment.id == payment_id,
                    Payment.status.in_(WITHOUT_END),
                    Payment.next_check_at.is_(None),
                )
                .values(next_check_at=func.now())
            )

    async def _where(self, *where: ColumnElement[bool]) -> dict[UUID, OurPayment]:
        async with self._database.transaction() as session:
            rows = await session.execute(
                select(
                    Payment,
                    Order.paid_at,
                    asked_back("returned"),
                    asked_back(*UNDER_WAY),
                )
                .join(Order, Order.id == Payment.order_id)
                .where(self._here, *where)
                .order_by(Payment.created_at)
            )
            found = rows.all()
            payments = [payment for payment, *_ in found]
            booked = await _booked(session, payments)
            contested = await _contested(session, payments)
            return {
                payment.id: OurPayment(
                    id=payment.id,
                    payment_ref=payment.payment_ref,
                    checkout_ref=payment.checkout_ref,
                    paid=payment.status in TAKEN,
                    in_review=payment.status == "review",
                    money=payment.money,
                    refunded=Money(payment.refunded - int(back), payment.currency),
                    paid_at=paid_at,
                    under_way=int(under_way),
                    contested=contested.get(payment.id, frozenset()),
                    unexpected={
                        ref: await suspense.given_back(session, payment, payment.currency, ref)
                        for ref in booked[payment.order_id].unexpected.get(payment.id, ())
                    },
                    waits=await _waits(session, payment),
                    version=booked[payment.order_id].transfers,
                )
                for payment, paid_at, back, under_way in found
            }


@dataclass(slots=True)
class _Booked:
    """What is booked of an order: how often, and by the gateway's ids what was not ordered."""

    transfers: int = 0
    unexpected: dict[UUID, list[str]] = field(default_factory=dict)


async def _booked(session: AsyncSession, payments: Sequence[Payment]) -> dict[UUID, _Booked]:
    """Return what is booked, by order."""
    found = {payment.order_id: _Booked() for payment in payments}
    for start in range(0, len(payments), BATCH):
        subjects = {f"order:{payment.order_id}" for payment in payments[start : start + BATCH]}
        order_id = cast(func.split_part(TransferRow.subject, ":", 2), PgUUID(as_uuid=True))
        rows = await session.execute(
            select(order_id, TransferRow.key, TransferRow.kind).where(
                TransferRow.subject.in_(subjects)
            )
        )
        for order, key, kind in rows:
            of_order = found[order]
            of_order.transfers += 1
            if kind == "payment.unexpected":
                _, payment_id, ref = key.split(":", 2)
                of_order.unexpected.setdefault(UUID(payment_id), []).append(ref)
    return found


async def _contested(
    session: AsyncSession, payments: Sequence[Payment]
) -> dict[UUID, frozenset[int]]:
    """Return the sums that a total of refunds may have in it and that disputes have booked."""
    disputed = [payment.id for payment in payments if payment.disputed]
    if not disputed:
        return {}
    sums: dict[UUID, frozenset[int]] = {}
    rows = await session.execute(
        select(Dispute.payment_id, Dispute.amount).where(
            Dispute.payment_id.in_(disputed),
            Dispute.gateway.in_(LOST_BY_REFUND),
            Dispute.status != "won",
        )
    )
    for payment_id, amount in rows:
        before = sums.get(payment_id, frozenset({0}))
        sums[payment_id] = before | {amount + one for one in before}
    return sums


async def _waits(session: AsyncSession, payment: Payment) -> bool:
    return payment.status == "review" and bool(await suspense.waiting(session, payment))

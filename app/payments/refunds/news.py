"""How much of a payment was given back, by everything that was said of it.

What we asked for, we know one by one. What was given back elsewhere (at the gateway's own pages) is
told by totals only, and a total counts our refunds too, also those that are under way and may fail
yet. So each total is kept, and what it says of elsewhere is what is left when everything of ours
that it may count is taken off, and everything that has failed since. News may come in any order:
the answer follows from all of it, not from the last.

Some gateways give a dispute's money back as a refund of the payment, which its total counts. The
dispute has booked it, so it is taken off as well, from its opening until it is won, where a total
is large enough to have it in.

It errs on one side: what a total may count, it counts. Too little is booked then until the next
total comes, never too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from payments.disputes.models import Dispute
from payments.gateways import paypal_events, razorpay_events
from payments.orders.models import Payment
from payments.refunds.models import RefundRow, RefundTotal, RefundUndone

DONE: Final = frozenset({"succeeded", "returned"})
"""It was with the customer, if only for a while."""
NEVER_MADE: Final = "remote_failed"

LOST_BY_REFUND: Final = frozenset({razorpay_events.GATEWAY, paypal_events.GATEWAY})
"""Gateways that give a lost dispute's money back as a refund.

razorpay.com/docs/payments/refunds/auto-refunds: "when you lose a dispute";
developer.paypal.com/docs/disputes/webhooks: to accept a claim refunds it, and a refund tells of a
capture that was reversed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """A refund that we asked for. `made` is our time, `failed_at` the gateway's."""

    amount: int
    status: str
    made: datetime
    failed_at: datetime | None

    def may_be_in(self, total: Total) -> bool:
        """Whether a total may count it."""
        if self.status == NEVER_MADE or self.made > total.received:
            return False
        return self.failed_at is None or self.failed_at >= total.at


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What a gateway said was given back in all: when (its time), and when we heard (ours)."""

    amount: int
    at: datetime
    received: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """A refund made elsewhere that came to nothing: both by the gateway's time."""

    amount: int
    made: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Contested:
    """A dispute, not won, at a gateway that gives a lost one back as a refund; its time."""

    amount: int
    begun: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """All that is known of what was given back of a payment."""

    ours: Sequence[Ours] = ()
    totals: Sequence[Total] = ()
    undone: Sequence[Undone] = ()
    contested: Sequence[Contested] = ()

    @property
    def given_back(self) -> int:
        """What was given back: ours that went through (also what came back), and elsewhere."""
        ours = sum(refund.amount for refund in self.ours if refund.status in DONE)
        return ours + max((self._elsewhere(total) for total in self.totals), default=0)

    @property
    def of_disputes(self) -> int:
        """What would count as given back elsewhere, had no dispute booked it."""
        return replace(self, contested=()).given_back - self.given_back

    def with_total(self, total: Total) -> News:
        """Return the news with one total more."""
        return replace(self, totals=[*self.totals, total])

    def _elsewhere(self, total: Total) -> int:
        ours = sum(refund.amount for refund in self.ours if refund.may_be_in(total))
        undone = sum(one.amount for one in self.undone if one.made <= total.at <= one.at)
        left = max(total.amount - ours - undone, 0)
        for dispute in self.contested:
            if dispute.begun <= total.at and dispute.amount <= left:
                left -= dispute.amount
        return left


async def load(session: AsyncSession, payment: Payment) -> News:
    """Return the news of a locked payment."""
    await session.flush()
    ours = await session.execute(
        select(
            RefundRow.amount,
            RefundRow.status,
            RefundRow.created_at,
            RefundRow.updated_at,
            RefundRow.returned_at,
            RefundRow.failed_at,
        ).where(RefundRow.payment_id == payment.id)
    )
    totals = await session.execute(
        select(RefundTotal.amount, RefundTotal.told_at, RefundTotal.received_at).where(
            RefundTotal.payment_id == payment.id
        )
    )
    undone = await session.execute(
        select(RefundUndone.amount, RefundUndone.made_at, RefundUndone.failed_at).where(
            RefundUndone.payment_id == payment.id
        )
    )
    contested = await session.execute(
        select(Dispute.amount, Dispute.begun_at)
        .where(
            Dispute.payment_id == payment.id,
            Dispute.gateway.in_(LOST_BY_REFUND),
            Dispute.status != "won",
        )
        .order_by(Dispute.begun_at, Dispute.id)
    )
    return News(
        ours=[
            Ours(
                amount=row.amount,
                status=row.status,
                made=row.created_at,
                # An earlier release kept no time of its own for one that failed.
                failed_at=row.returned_at
                or row.failed_at
                or (row.updated_at if row.status == "failed" else None),
            )
            for row in ours
        ],
        totals=[Total(amount=amount, at=at, received=heard) for amount, at, heard in totals],
        undone=[Undone(amount=amount, made=made, at=at) for amount, made, at in undone],
        contested=[Contested(amount=amount, begun=at) for amount, at in contested],
    )


async def keep_total(session: AsyncSession, payment: Payment, total: Total) -> None:
    """Keep a total; said again, it counts as heard the first time."""
    await session.execute(
        insert(RefundTotal)
        .values(
            payment_id=payment.id,
            told_at=total.at,
            amount=total.amount,
            received_at=total.received,
        )
        .on_conflict_do_nothing()
    )


async def keep_undone(session: AsyncSession, payment: Payment, ref: str, undone: Undone) -> bool:
    """Keep that a refund made elsewhere came to nothing; False when that is known."""
    kept = await session.scalar(
        insert(RefundUndone)
        .values(
            payment_id=payment.id,
            refund_ref=ref,
            amount=undone.amount,
            made_at=undone.made,
            failed_at=undone.at,
        )
        .on_conflict_do_nothing()
        .returning(RefundUndone.refund_ref)
    )
    return kept is not None

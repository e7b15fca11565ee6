"""Disputes: what the gateway says of each now, held against ours.

A list of payments does not show them, and a payment of any age may be disputed. Those that began in
the period, or changed where a gateway tells that, are listed; those that are open here are asked
about. What we have not heard of is applied as the event that should have come.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import InstrumentedAttribute

from payments.db import Database
from payments.disputes.models import Dispute
from payments.gateways.protocol import (
    Disputes,
    EventKind,
    Gateway,
    GatewayEvent,
    GatewayUnreadableError,
    ListedDispute,
    Unreadable,
)
from payments.inbox import service as inbox
from payments.orders.models import Payment
from payments.reconcile.report import Line, Report
from payments.reconcile.theirs import Period

Value = TypeVar("Value")

STATUSES: Final[Mapping[EventKind, str]] = {
    "dispute_opened": "open",
    "dispute_won": "won",
    "dispute_lost": "lost",
}


class Contested:
    """The disputes of one gateway account, in one run."""

    def __init__(
        self, database: Database, gateway: Gateway, disputes: Disputes, report: Report
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._disputes = disputes
        self._report = report
        self._changed: set[UUID] = set()

    async def go(self, period: Period, most: int) -> set[UUID]:
        """Hold all against ours; returns the payments of which our books say something new now."""
        seen: set[str] = set()
        heard = self._disputes.changed(period.since, period.until, most=most + 1)
        async for one in heard:
            if len(seen) >= most:
                self._report.complete = False
                break
            if isinstance(one, Unreadable):
                seen.add(one.ref)
                self._report.add_error(one.ref, None, one.why)
            else:
                seen.add(one.dispute_ref)
                await self._hold(one)
        for ref in [ref for ref in await self._open_here() if ref not in seen][:most]:
            await self._ask(ref)
        return self._changed

    async def _open_here(self) -> list[str]:
        async with self._database.transaction() as session:
            found = await session.scalars(
                self._here(Dispute.dispute_ref, Dispute)
                .where(Dispute.status == "open")
                .order_by(Dispute.created_at)
            )
            return list(found)

    async def _ask(self, ref: str) -> None:
        try:
            found = await self._disputes.find(ref)
        except GatewayUnreadableError as error:
            self._report.add_error(ref, None, str(error))
            return
        self._report.asked += 1
        if found is not None:
            await self._hold(found)

    async def _hold(self, theirs: ListedDispute) -> None:
        """Compare, and repair. One on a payment that is none of ours is not our dispute either."""
        said = STATUSES.get(theirs.kind)
        if said is None:
            return
        payment, ours = await self._ours(theirs)
        if payment is None or ours == said:
            return
        now = ours
        try:
            if self._report.repair:
                async with self._database.transaction() as session:
                    await inbox.receive(session, self._event(theirs, payment))
                _, now = await self._ours(theirs)
        except Exception as error:
            self._report.broken(error, theirs.payment_ref, None)
            return
        if now == said:
            self._changed.add(payment)
        self._report.add_line(
            Line(
                kind="dispute",
                payment_ref=theirs.payment_ref or "",
                payment_id=payment,
                ours=f"{theirs.dispute_ref} {ours}" if ours else "no dispute",
                theirs=f"{theirs.dispute_ref} {said}, {theirs.money}",
                repaired=now == said,
            )
        )

    async def _ours(self, theirs: ListedDispute) -> tuple[UUID | None, str | None]:
        """Return the payment, and the status of its dispute."""
        payment = self._here(Payment.id, Payment)
        status = self._here(Dispute.status, Dispute)
        async with self._database.transaction() as session:
            return (
                await session.scalar(payment.where(Payment.payment_ref == theirs.payment_ref)),
                await session.scalar(status.where(Dispute.dispute_ref == theirs.dispute_ref)),
            )

    def _here(
        self, wanted: InstrumentedAttribute[Value], of: type[Payment | Dispute]
    ) -> Select[Value]:
        """Select of what this gateway account has."""
        return select(wanted).where(
            of.gateway == self._gateway.name, of.account == self._gateway.account
        )

    def _event(self, theirs: ListedDispute, payment: UUID) -> GatewayEvent:
        return GatewayEvent(
            gateway=self._gateway.name,
            account=self._gateway.account,
            key=f"reconciled:{theirs.dispute_ref}:{theirs.kind}",
            type=f"reconciled.{theirs.kind}",
            kind=theirs.kind,
            created=datetime.now(UTC),
            payment_id=payment,
            payment_ref=theirs.payment_ref,
            dispute_ref=theirs.dispute_ref,
            money=theirs.money,
            begun=theirs.begun,
        )

"""A reconciliation run: list, compare, repair what can be, book the gateway's fees, keep the rest.

Three steps. First the gateway's list of the period, a slice after the other. Then its disputes
(`disputes`). Then what a list by creation cannot show, asked about one by one: payments of which
something was given back in the period, whenever they were made; those that we have as paid or
changed lately and the list has not; and those whose end nobody has told us.

What is repaired goes through the inbox as the event that should have come, under a key made of what
it says and how our books stood, so that two runs, or a run and a late event, have one effect.
Whether it is repaired is what a second look at our books says, and not whether the event was taken.

A row that cannot be read, compared or repaired is a line of the report and stops nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from payments.gateways.protocol import (
    EventKind,
    Gateway,
    GatewayEvent,
    GatewayRefusedError,
    GatewayUnknownError,
    GatewayUnreadableError,
    ListedPayment,
)
from payments.inbox import service as inbox
from payments.money import Money
from payments.ops.logs import get_logger
from payments.reconcile import fees
from payments.reconcile.compare import Found, OurPayment, compare, unsettled
from payments.reconcile.disputes import Contested
from payments.reconcile.options import DAILY_LIMIT
from payments.reconcile.ours import Ours
from payments.reconcile.report import Report, keep, measure
from payments.reconcile.theirs import Period, hear, listing
from payments.resources import Resources

log = get_logger(__name__)

SLICES: Final = 200
"""How many slices of a list the worker goes through in one run, at most: 100,000 payments."""


async def reconcile(
    resources: Resources,
    gateway: Gateway,
    *,
    since: datetime,
    until: datetime | None = None,
    limit: int = DAILY_LIMIT,
    slices: int = 1,
    repair: bool = True,
) -> Report:
    """Hold a gateway's payments of `[since, until)` against ours, and keep the report.

    At most `limit` payments are listed at once, `slices` times; as many are asked about.
    """
    started = datetime.now(UTC)
    report = Report(
        gateway=gateway.name,
        account=gateway.account,
        since=since,
        until=until or started,
        repair=repair,
    )
    try:
        await _Run(resources, gateway, report).go(limit, slices)
    except (GatewayUnknownError, GatewayRefusedError) as error:
        report.error = f"the gateway does not answer: {error}"
    except Exception as error:
        log.error("reconciliation.broken", gateway=gateway.name, exc_info=error)
        report.error = f"the run broke off ({type(error).__name__})"
    report.complete = report.complete and report.error is None
    await keep(resources.database, report, started)
    await measure(resources.database, report)
    return report


class _Run:
    """One run over one gateway. Its findings go into the report as they are made."""

    def __init__(self, resources: Resources, gateway: Gateway, report: Report) -> None:
        self._database = resources.database
        self._gateway = gateway
        self._listing = listing(gateway)
        self._report = report
        self._ours = Ours(resources.database, gateway)
        self._settled: set[UUID] = set()
        self._doubtful: dict[UUID, OurPayment] = {}

    async def go(self, limit: int, slices: int) -> None:
        """Go through the list, then through what it does not show."""
        whole = Period(self._report.since, self._report.until)
        await self._through_the_list(whole, limit, slices)
        disputed: set[UUID] = set()
        if self._listing.disputes is not None:
            contested = Contested(
                self._database, self._gateway, self._listing.disputes, self._report
            )
            disputed = await contested.go(whole, limit * slices)
        await self._through_the_rest(whole, disputed, limit * slices)

    async def _through_the_list(self, whole: Period, limit: int, slices: int) -> None:
        report, rest, heard_before = self._report, whole, set[ListedPayment]()
        for _ in range(slices):
            heard = await hear(self._listing, rest, most=limit)
            # The second at which a slice was cut is heard twice.
            rows = [row for row in heard.rows if row not in heard_before]
            heard_before = set(heard.rows)
            report.listed += len(rows) + len(heard.unreadable)
            for row in heard.unreadable:
                report.add_error(row.ref, None, row.why)
            ours = await self._ours.named_by(rows)
            unsure = unsettled(rows, ours)
            self._doubtful |= {payment.id: payment for payment in ours if payment.id in unsure}
            self._settled |= {payment.id for payment in ours} - unsure
            await self._hold(rows, ours, unsure)
            if heard.rest is None:
                return
            if heard.rest == rest:
                break  # more in one second than a slice holds
            rest = heard.rest
        report.complete, report.rest = False, rest
        if rest.since == whole.since:
            report.since = rest.until
        else:
            report.until = rest.since

    async def _through_the_rest(self, whole: Period, disputed: set[UUID], most: int) -> None:
        refs = [
            ref
            async for ref in self._listing.list_refunded(whole.since, whole.until, most=most + 1)
        ]
        seen = Period(self._report.since, self._report.until - self._listing.list_lag)
        candidates = [
            *await self._ours.with_refs(refs),
            *self._doubtful.values(),
            *await self._ours.again(*disputed),
            *await self._ours.moved_in(seen),
            *await self._ours.unfinished(),
        ]
        to_ask = {one.id: one for one in candidates if one.id not in self._settled}
        if len(refs) > most or len(to_ask) > most:
            self._report.complete = False
        for payment in list(to_ask.values())[:most]:
            await self._ask(payment)
        given_back = set(refs)
        for payment in await self._ours.with_more():
            for ref in given_back & payment.unexpected.keys():
                await self._ask_about_second(payment, ref)

    async def _ask(self, payment: OurPayment) -> None:
        """Ask the gateway about one payment, and hold its answer against ours."""
        try:
            row = await self._listing.find_payment(
                payment_ref=payment.payment_ref, checkout_ref=payment.checkout_ref
            )
        except GatewayUnreadableError as error:
            self._report.add_error(payment.payment_ref, payment, str(error))
            return
        self._report.asked += 1
        await self._hold([row] if row else [], [payment])
        if self._report.repair and not payment.paid:
            await self._ours.look_again(payment.id)

    async def _ask_about_second(self, payment: OurPayment, ref: str) -> None:
        """Ask about a second sum of a payment, of which something was given back."""
        try:
            row = await self._listing.find_payment(payment_ref=ref, checkout_ref=None)
        except GatewayUnreadableError as error:
            self._report.add_error(ref, payment, str(error))
            return
        self._report.asked += 1
        await self._hold([row] if row else [], [payment], {payment.id})

    async def _hold(
        self,
        rows: Sequence[ListedPayment],
        ours: Sequence[OurPayment],
        unsure: Collection[UUID] = frozenset(),
    ) -> None:
        """Compare, repair and book; but for second sums not what these rows leave unsure."""
        found = compare(rows, ours, unsure)
        repaired = [one.ours.id for one in found if await self._settle(one) and one.ours]
        self._report.agreed += len(rows) - len({one.payment_ref for one in found if one.theirs})
        if repaired:
            # What we did not know to be paid may have been given back meanwhile.
            changed = {payment.id: payment for payment in await self._ours.again(*repaired)}
            for one in compare(rows, changed.values(), unsure):
                if one.kind == "refunded" and one.ours:
                    await self._settle(one)
            ours = [changed.get(payment.id, payment) for payment in ours]
        if self._report.repair:
            await self._book_fees(rows, ours)

    async def _settle(self, found: Found) -> bool:
        try:
            repaired = await self._repair(found)
        except Exception as error:
            self._report.broken(error, found.payment_ref, found.ours)
            return False
        self._report.add(found, repaired=repaired)
        return repaired

    async def _repair(self, found: Found) -> bool:
        """Apply what the gateway says; returns whether our books say the same now."""
        ours, theirs = found.ours, found.theirs
        if not (self._report.repair and found.repairable) or ours is None or theirs is None:
            return False
        async with self._database.transaction() as session:
            await inbox.receive(session, _event(self._gateway, found.kind, ours, theirs))
        now = await self._ours.again(ours.id)
        if found.kind == "unknown_here":
            return all(theirs.payment_ref in payment.unexpected for payment in now)
        return found.kind not in {one.kind for one in compare([theirs], now)}

    async def _book_fees(self, rows: Sequence[ListedPayment], ours: Sequence[OurPayment]) -> None:
        """Book what the gateway keeps of each payment."""
        by_ref = {payment.payment_ref: payment for payment in ours if payment.paid}
        kept: dict[UUID, Money] = {}
        for row in rows:
            payment = by_ref.get(row.payment_ref)
            if payment is None or row.fee is None or row.status != "paid":
                continue
            if row.fee.currency == payment.money.currency and row.fee.amount >= 0:
                kept[payment.id] = row.fee
        for payment_id in await fees.differing(self._database, kept):
            try:
                self._report.fees_booked += await fees.book(
                    self._database, self._gateway, payment_id, kept[payment_id]
                )
            except Exception as error:
                (payment,) = (one for one in ours if one.id == payment_id)
                self._report.broken(error, payment.payment_ref, payment)


def _event(gateway: Gateway, found: str, ours: OurPayment, theirs: ListedPayment) -> GatewayEvent:
    """Return the event that should have come."""
    kind: EventKind = "paid"
    money = theirs.money
    if found == "refunded":
        # What waits in suspense may be in another currency than the gateway's list says.
        kind = "refunded_whole" if ours.in_review else "refunded"
        money = theirs.refunded
    return GatewayEvent(
        gateway=gateway.name,
        account=gateway.account,
        # The same may be given back again when it has failed.
        key=f"reconciled:{theirs.payment_ref}:{kind}:{money.amount}:{ours.version}",
        type=f"reconciled.{kind}",
        kind=kind,
        created=datetime.now(UTC),
        payment_id=ours.id,
        checkout_ref=theirs.checkout_ref,
        payment_ref=theirs.payment_ref,
        money=money,
    )

"""What admins do with money. Each action is in the audit log, in the transaction that makes it.

A refund goes back where its money came from, and no admin says where; a payout goes where somebody
says, so one person asks and another approves (`payouts.service`).
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments import jobs
from payments.access.people import Admin
from payments.admin.money_reads import payout_line, rate_line, review
from payments.admin.money_views import PayoutLine, RateLine, ReviewLine
from payments.db import Database, one_at_a_time
from payments.errors import NotFoundError, UnprocessableError
from payments.gateways.registry import GatewayUnavailableError
from payments.ledger import circles
from payments.ledger import exchange as fx
from payments.ledger.models import ExchangeRate
from payments.money import Money, MoneyError
from payments.orders import suspense
from payments.orders.asking import locked
from payments.orders.models import Payment
from payments.payouts import service as payouts
from payments.people import audit
from payments.refunds import service as refunds
from payments.refunds.models import RefundRow
from payments.refunds.service import RefundView
from payments.resources import Resources
from payments.subscriptions import service as subscriptions
from payments.subscriptions.models import Subscription
from payments.subscriptions.service import SubscriptionView

_AMOUNT: Final = re.compile(r"[0-9]{1,13}(\.[0-9]{1,9})?")
LONGEST_RATE: Final = timedelta(days=7)
FARTHEST_RATE: Final = Decimal("0.2")
"""How much of the last rate a new one may be away from it; no pair of currencies moves so in a day,
and a slip of a digit or of the pair's order does."""


class BadAmountError(UnprocessableError):
    """The amount is no number, or not one of that currency."""

    code, title = "bad_amount", "This is not an amount of that currency."


class BadRateError(UnprocessableError):
    """The rate is none, or is to hold for too long."""

    code, title = "bad_rate", "This is not a rate that can be used."


class FarRateError(BadRateError):
    """The rate is so far from the last one that it may be a slip: every exchange gives money away.

    Whoever means it says so, and it is added.
    """

    code, title = "rate_far_from_last", "This rate is far from the last one of the pair."


class GainfulRateError(BadRateError):
    """With the others that hold, exchanging in a circle would give more than went in, every time.

    Nobody can mean that, so nothing adds it all the same.
    """

    code, title = "rate_gains_in_circle", "Customers would gain by exchanging in a circle."


def money_of(text: str, currency: str) -> Money:
    """Return an amount that a person typed in major units. Raises `BadAmountError`."""
    typed = text.strip()
    if not _AMOUNT.fullmatch(typed):
        raise BadAmountError("Write an amount like 12.50.")
    try:
        money = Money(int(Decimal(typed).scaleb(Money(0, currency).exponent)), currency)
    except MoneyError as error:
        raise BadAmountError(f"{error}.") from None
    if money.amount <= 0 or money.major != Decimal(typed):
        raise BadAmountError(f"{typed} is not an amount of {currency} above zero.")
    return money


def _request_key(admin: Admin, key: str) -> str:
    """Return what an admin's key is kept as; cut to fit instead, two long ones would be one."""
    told = f"{admin.actor}\0{key}"
    return f"admin:{hashlib.sha256(told.encode()).hexdigest()}"


async def refund(
    resources: Resources,
    admin: Admin,
    payment_id: UUID,
    *,
    money: Money | None,
    reason: str,
    key: str,
) -> RefundView:
    """Refund `money` of a payment, all that is left for None; one `key` is one refund.

    Raises as `refunds.service.request`.
    """
    request_key = _request_key(admin, key)
    async with resources.database.transaction() as session:
        if not await session.scalar(select(exists().where(RefundRow.request_key == request_key))):
            await audit.append(
                session,
                action="refund.requested",
                actor=admin.actor,
                subject=f"payment:{payment_id}",
                detail={"amount": str(money) if money else "all that is left"},
            )
    return await refunds.request(
        resources,
        payment_id=payment_id,
        money=money,
        reason=reason,
        requested_by=admin.actor,
        request_key=request_key,
    )


async def request_payout(
    database: Database, admin: Admin, *, merchant: str, money: Money, key: str
) -> PayoutLine:
    """Ask for a payout; another admin approves it.

    Raises as `payouts.service.request`, and `PersonNeededError`.
    """
    async with database.transaction() as session:
        row = await payouts.request(
            session,
            merchant=merchant,
            money=money,
            requested_by=admin.person,
            request_key=_request_key(admin, key),
        )
        return await _audited_payout(session, admin, "payout.requested", payout_line(row))


async def decide_payout(
    database: Database, admin: Admin, payout_id: UUID, decision: Literal["approve", "decline"]
) -> PayoutLine:
    """Approve or decline a payout. Raises as `payouts.service`, and `PersonNeededError`."""
    async with database.transaction() as session:
        if decision == "approve":
            row = await payouts.approve(session, payout_id, by=admin.person)
        else:
            row = await payouts.decline(session, payout_id, by=admin.actor)
        action = "payout.approved" if decision == "approve" else "payout.declined"
        return await _audited_payout(session, admin, action, payout_line(row))


async def end_payout(
    database: Database,
    admin: Admin,
    payout_id: UUID,
    *,
    to: Literal["settled", "failed"],
    bank_ref: str,
) -> PayoutLine:
    """Note what the bank said of a payout. Raises as `payouts.service`."""
    async with database.transaction() as session:
        row = await payouts.end(session, payout_id, to=to, bank_ref=bank_ref, by=admin.actor)
        return await _audited_payout(session, admin, f"payout.{to}", payout_line(row))


async def _audited_payout(
    session: AsyncSession, admin: Admin, action: str, line: PayoutLine
) -> PayoutLine:
    await audit.append(
        session,
        action=action,
        actor=admin.actor,
        subject=f"payout:{line.id}",
        detail={"merchant": line.merchant, "amount": str(line.money)},
    )
    return line


async def credit_review(database: Database, admin: Admin, payment_id: UUID) -> ReviewLine:
    """Make what waits of a payment its customer's credit.

    Raises `NotFoundError`, `suspense.NothingWaitsError`.
    """
    async with database.transaction() as session:
        if await session.scalar(select(Payment.id).where(Payment.id == payment_id)) is None:
            raise NotFoundError("There is no such payment.")
        order, payment = await locked(session, payment_id)
        credited = await suspense.credit_wallet(session, order, payment, by=admin.actor)
        await audit.append(
            session,
            action="review.credited",
            actor=admin.actor,
            subject=f"payment:{payment_id}",
            detail={"amount": ", ".join(map(str, credited))},
        )
        await session.flush()
        return await review(session, payment, order)


async def reconcile_now(resources: Resources, admin: Admin, gateway: str) -> None:
    """Have the worker reconcile one gateway, once. Raises `GatewayUnavailableError`."""
    if resources.gateways.get(gateway) is None:
        raise GatewayUnavailableError(f"There is no gateway {gateway!r} here.")
    async with resources.database.transaction() as session:
        await jobs.enqueue_once(session, jobs.RECONCILE_NOW, {"gateway": gateway}, running=False)
        await audit.append(
            session,
            action="reconciliation.started",
            actor=admin.actor,
            subject=f"gateway:{gateway}",
        )


async def add_rate(
    database: Database,
    admin: Admin,
    *,
    base: str,
    quote: str,
    rate: Decimal,
    hours: int,
    far_is_meant: bool = False,
) -> RateLine:
    """Add an exchange rate that holds from now on.

    Raises `BadRateError`, `GainfulRateError`, and `FarRateError` unless `far_is_meant`.
    """
    lasts = timedelta(hours=hours)
    if base == quote or not rate.is_finite() or not 0 < rate < 10**12:
        raise BadRateError("It is between two currencies, and above zero.")
    if not timedelta() < lasts <= LONGEST_RATE:
        raise BadRateError(f"It holds for at most {LONGEST_RATE.days} days.")
    for code in (base, quote):
        try:
            Money(1, code)
        except MoneyError:
            raise BadRateError(f"There is no currency {code!r}.") from None
    exact = rate.quantize(Decimal(10) ** -12)
    if exact != rate:
        raise BadRateError("It has at most twelve decimals.")
    async with database.transaction() as session:
        # Two that gain only together would not see each other.
        await one_at_a_time(session, "exchange-rates")
        # The transaction's own time may be before that of a rate that this one has waited for.
        now = (await session.scalars(select(func.clock_timestamp()))).one()
        await _require_no_gain(session, base, quote, exact, since=now, until=now + lasts)
        last = await fx.last(session, base, quote, now) or exact
        far = abs(exact - last) > last * FARTHEST_RATE
        if far and not far_is_meant:
            raise FarRateError(f"The last one was {last.normalize():f}. Say so if it is meant.")
        row = ExchangeRate(
            base=base,
            quote=quote,
            rate=exact,
            source=f"admin:{admin.actor}"[:80],
            valid_from=now,
            valid_until=now + lasts,
        )
        session.add(row)
        await session.flush()
        await audit.append(
            session,
            action="exchange_rate.added",
            actor=admin.actor,
            subject=f"rate:{row.id}",
            detail={"pair": f"{base}/{quote}", "rate": f"{rate:f}", "hours": str(hours)}
            | ({"far_from": f"{last:f}"} if far else {}),
        )
        return rate_line(row)


async def _require_no_gain(
    session: AsyncSession,
    base: str,
    quote: str,
    rate: Decimal,
    *,
    since: datetime,
    until: datetime,
) -> None:
    found = await circles.best_way(session, quote, base, since=since, until=until)
    if found is None or Fraction(rate) * found[0].worth <= 1:
        return
    way, moment = found
    back = " to ".join(way.currencies)
    highest = Decimal(10**12 // way.worth).scaleb(-12)
    raise GainfulRateError(
        f"At the rate {rate.normalize():f}, customers would gain by exchanging {base} to {back}"
        f" from {moment:%Y-%m-%d %H:%M} UTC on. The highest rate that is accepted is"
        f" {highest.normalize():f}. For a higher one, first add a lower rate on the way back,"
        f" {back}, that ends no sooner than this one."
    )


async def cancel_subscription(
    database: Database, admin: Admin, subscription_id: UUID, *, now: bool
) -> SubscriptionView:
    """Cancel a customer's subscription, now or at its period's end. Raises `NotFoundError`."""
    async with database.transaction() as session:
        owner = await session.scalar(
            select(Subscription.customer_id).where(Subscription.id == subscription_id)
        )
        if owner is None:
            raise NotFoundError("There is no such subscription.")
        view = await subscriptions.cancel(
            session, customer_id=owner, subscription_id=subscription_id, now=now
        )
        await audit.append(
            session,
            action="subscription.cancelled",
            actor=admin.actor,
            subject=f"subscription:{subscription_id}",
            detail={"now": "yes" if now else "at the end of the period"},
        )
    return view

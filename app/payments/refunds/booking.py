"""What the news of refunds does to a payment and the books, on locked rows.

Two kinds of news tell of one refund: its own (by id) and the payment's total. Either may come
first, or be the only one (somebody refunds at the gateway's own pages). `news` says what follows
from all of them, and the books are brought there: up when more was given back, down when some of it
came to nothing. So each refund is booked once, whatever comes in which order.

A refund of ours that comes back after it went through (the customer's card was closed) is not
undone: the customer still has not got the money, so it goes to their wallet. One that somebody made
elsewhere is undone: whoever made it sees there that it failed, and gives the money back in another
way.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ledger import owing
from payments.ledger import service as ledger
from payments.money import Money
from payments.orders import postings
from payments.orders.models import Order, Payment
from payments.orders.status import advance
from payments.refunds import holds, news
from payments.refunds.models import RefundRow


class TooMuchGivenBackError(Exception):
    """By what the gateway says, more was given back than came: a person looks."""


async def told_total(
    session: AsyncSession, order: Order, payment: Payment, total: Money, *, at: datetime, cause: str
) -> bool:
    """Note a gateway's total, and book what it says of elsewhere; False when that is nothing new.

    Raises `TooMuchGivenBackError`, and notes nothing then.
    """
    received: datetime = (await session.execute(select(func.now()))).scalar_one()
    said = news.Total(amount=total.amount, at=at, received=received)
    given_back = (await news.load(session, payment)).with_total(said).given_back
    if given_back > payment.captured:
        raise TooMuchGivenBackError
    await news.keep_total(session, payment, said)
    return await _bring_to(session, order, payment, max(given_back, payment.refunded), cause=cause)


async def settled(
    session: AsyncSession, order: Order, payment: Payment, row: RefundRow, *, cause: str
) -> bool:
    """Note that a refund of ours went through, and book it."""
    if not await advance(session, row, "succeeded", cause=cause):
        return False
    row.next_check_at = None
    given_back = (await news.load(session, payment)).given_back
    to = min(max(given_back, payment.refunded), payment.captured)
    await _bring_to(session, order, payment, to, cause=cause, row=row)
    await holds.release(session, row)
    return True


async def failed(
    session: AsyncSession,
    order: Order,
    payment: Payment,
    row: RefundRow,
    *,
    at: datetime,
    cause: str,
) -> bool:
    """Note that a refund of ours came to nothing, or came back."""
    row.updated_at = datetime.now(UTC)
    if row.status in ("failed", "returned"):
        await _failed_before(session, order, payment, row, at=at, cause=cause)
        return False
    if row.status == "succeeded":
        await advance(session, row, "returned", cause=cause)
        row.returned_at = at
        await session.flush()
        await owing.post_to(
            session,
            order.customer_id,
            row.money,
            lambda given: [postings.refund_returned(order, payment, row.id, row.money, given)],
        )
        return True
    if not await advance(session, row, "failed", cause=cause):
        return False
    row.failed_at = at
    told = await news.load(session, payment)
    await _follow(session, order, payment, told, down=row.amount, cause=cause)
    await never_made(session, payment, row)
    return True


async def _failed_before(
    session: AsyncSession,
    order: Order,
    payment: Payment,
    row: RefundRow,
    *,
    at: datetime,
    cause: str,
) -> None:
    """Note the better moment: whoever had asked knew only that it had failed, the event says when.

    A total that came between the two did not count it, and may say more of elsewhere now.
    """
    if row.status == "returned" and row.returned_at is not None:
        row.returned_at = min(row.returned_at, at)
    else:
        row.failed_at = min(row.failed_at or at, at)
    told = await news.load(session, payment)
    await _follow(session, order, payment, told, down=0, cause=cause)


async def never_made(session: AsyncSession, payment: Payment, row: RefundRow) -> None:
    """Free what was reserved for a refund of ours that gives nothing back."""
    payment.refund_reserved -= row.amount
    row.next_check_at = None
    await session.flush()
    await holds.release(session, row)


async def failed_elsewhere(
    session: AsyncSession,
    order: Order,
    payment: Payment,
    ref: str,
    money: Money,
    *,
    made: datetime,
    at: datetime,
    cause: str,
) -> bool:
    """Note that a refund that is none of ours came to nothing; False when that is known."""
    undone = news.Undone(amount=money.amount, made=made, at=at)
    if not await news.keep_undone(session, payment, ref, undone):
        return False
    told = await news.load(session, payment)
    await _follow(session, order, payment, told, down=money.amount, cause=cause)
    return True


async def disputed(session: AsyncSession, order: Order, payment: Payment, *, cause: str) -> None:
    """Follow the news of a dispute that opened or was won: what it books is no refund beside it."""
    told = await news.load(session, payment)
    await _follow(session, order, payment, told, down=told.of_disputes, cause=cause)


async def _follow(
    session: AsyncSession,
    order: Order,
    payment: Payment,
    told: news.News,
    *,
    down: int,
    cause: str,
) -> None:
    """Bring the books to what all news say now: down by `down` at most, where that came to nothing.

    What is booked and cannot be told by the news was booked by an earlier release, which kept none.
    """
    to = min(max(told.given_back, payment.refunded - down), payment.captured)
    await _bring_to(session, order, payment, to, cause=cause)


async def _bring_to(
    session: AsyncSession,
    order: Order,
    payment: Payment,
    to: int,
    *,
    cause: str,
    row: RefundRow | None = None,
) -> bool:
    """Book what is between what is refunded by the books and `to`; False when that is nothing.

    A status only moves forward, so it stays where it is when the books come down: what is shown
    follows the amounts (`orders.status.shown`).
    """
    if to == payment.refunded:
        return False
    total = Money(to, payment.currency)
    number = await postings.refunds_booked(session, order, payment)
    if order.kind == "purchase":
        await ledger.post(session, [postings.refunded(order, payment, total, number)])
    elif to < payment.refunded:
        await owing.post_to(
            session,
            order.customer_id,
            Money(payment.refunded - to, payment.currency),
            lambda given: [postings.refunded(order, payment, total, number, credit=given)],
        )
    else:
        await _take_credit(session, order, payment, total, number, row)
    payment.refunded, payment.updated_at = to, datetime.now(UTC)
    if to:
        status = "refunded" if to == payment.captured else "partially_refunded"
        await advance(session, payment, status, cause=cause)
        await advance(session, order, status, cause=cause)
    return True


async def _take_credit(
    session: AsyncSession,
    order: Order,
    payment: Payment,
    total: Money,
    number: int,
    row: RefundRow | None,
) -> None:
    """Take refunded credit: what is held for the refund, else from the wallet, else it is owed."""

    def of(source: ledger.Purpose) -> ledger.Transfer:
        part = Money(payment.refunded, payment.currency) - total
        entry = ledger.Entry(ledger.customer(order.customer_id), source, part)
        return postings.refunded(order, payment, total, number, credit=(entry,))

    if row is not None and await holds.take(session, row, of("wallet")):
        return
    try:
        async with session.begin_nested():
            await ledger.post(session, [of("wallet")])
    except ledger.InsufficientFundsError:
        # The gateway has given back what the customer has spent meanwhile: they owe it to us.
        await ledger.post(session, [of("receivable")])

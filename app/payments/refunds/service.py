"""Asking for a refund, and finding out what became of it.

In three steps, as an order's payment page is made: commit what is about to be asked and under which
key, with the amount reserved on the payment; ask; commit the answer. The reservation is what stops
two refunds at once from giving back more than came (seen in the field with check-then-insert); the
gateway's own check is not relied upon. What was refunded at the gateway's own pages counts, too, as
far as it is known. The credit of a top-up is set aside meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments import jobs
from payments.errors import ConflictError, NotFoundError, UnprocessableError
from payments.gateways.protocol import (
    GatewayForbiddenError,
    GatewayRefusedError,
    GatewayUnknownError,
    Refund,
    Refunding,
    RefundRequest,
)
from payments.idempotency.store import KeyReusedError
from payments.money import Money
from payments.ops import metrics
from payments.orders.asking import locked
from payments.orders.models import Order, Payment
from payments.orders.status import TAKEN, advance
from payments.refunds import amounts, booking, holds
from payments.refunds.models import RefundRow
from payments.resources import Resources

FIRST_CHECK: Final = timedelta(seconds=60)
KEY_LIFETIME: Final = timedelta(hours=23)
"""Gateways keep idempotency keys for 24 h at least; later, the same key could refund again."""
ASKABLE: Final = frozenset({"intended", "unknown"})


class NotRefundableError(ConflictError):
    """Nothing came that could be given back."""

    code, title = "not_refundable", "This payment cannot be refunded."


class RefundTooLargeError(ConflictError):
    """With what is refunded already, or being refunded, it would be more than came."""

    code, title = "refund_too_large", "The refund is larger than what is left of the payment."


class RefundNotOfferedError(UnprocessableError):
    """The gateway gives nothing back by itself, or not this amount."""

    code, title = "refund_not_offered", "The gateway cannot refund this."


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundView:
    """A refund as it is shown. `failed`, `remote_failed` and `returned` gave nothing back."""

    id: UUID
    payment_id: UUID
    order_id: UUID
    money: Money
    status: str
    reason: str
    created_at: datetime


Finish = Callable[[AsyncSession, RefundView], Awaitable[None]]


async def request(
    resources: Resources,
    *,
    payment_id: UUID,
    money: Money | None,
    reason: str,
    requested_by: str,
    request_key: str,
    finish: Finish | None = None,
) -> RefundView:
    """Refund `money` of a payment (all that is left for None); one `request_key` is one refund.

    `finish` runs in the last transaction. Raises `NotFoundError`, `NotRefundableError`,
    `RefundTooLargeError`, `RefundNotOfferedError`, `KeyReusedError`, `InsufficientFundsError` (a
    wallet's top-up that was spent), `GatewayUnavailableError`.
    """
    async with resources.database.transaction() as session:
        row, again = await _existing(session, request_key, payment_id, money), True
        if row is None:
            row, again = await _intend(
                session, resources, payment_id, money, reason, requested_by, request_key
            )
    answer = await ask(resources, row, again=again) if is_askable(row) else None
    async with resources.database.transaction() as session:
        order, payment, row = await locked_refund(session, row.id)
        if answer is not None:
            await record(session, order, payment, row, answer)
        view = _view(order, row)
        if finish is not None:
            await finish(session, view)
    return view


Answer = Refund | GatewayRefusedError | GatewayUnknownError


def is_askable(row: RefundRow) -> bool:
    """Whether the gateway may be asked (again).

    Later its key is forgotten there, and the same request would give the money back a second time.
    """
    return row.status in ASKABLE and datetime.now(UTC) - row.created_at < KEY_LIFETIME


async def ask(resources: Resources, row: RefundRow, *, again: bool) -> Answer:
    """Ask the gateway under the refund's own key. No transaction may be open.

    `again`: somebody may have asked before. Not to be let in says nothing of what came of that.
    """
    asked = request_of(row)
    gateway = resources.gateways.need(row.request["gateway"])
    if not isinstance(gateway, Refunding):
        return GatewayRefusedError("refunds_not_offered")
    with metrics.payment_attempt(gateway.name, "refund") as attempt:
        try:
            refund = await gateway.refund(asked)
        except GatewayRefusedError as error:
            if again and isinstance(error, GatewayForbiddenError):
                return GatewayUnknownError(str(error))
            attempt.outcome = "refused"
            return error
        except GatewayUnknownError as error:
            attempt.outcome = "unknown"
            return error
        attempt.outcome = "succeeded"
        return refund


async def record(
    session: AsyncSession, order: Order, payment: Payment, row: RefundRow, answer: Answer
) -> None:
    """Write down what the gateway answered, on locked rows; an event may have come first."""
    row.updated_at = datetime.now(UTC)
    if isinstance(answer, Refund):
        row.refund_ref = row.refund_ref or answer.ref
        row.last_error = None
        if answer.status == "succeeded":
            await booking.settled(session, order, payment, row, cause="answered by the gateway")
        elif answer.status == "failed":
            await booking.failed(session, order, payment, row, at=row.updated_at, cause="answered")
        else:
            await advance(session, row, "pending", cause="answered by the gateway")
        return
    row.last_error = str(answer)[:200]
    if row.status not in ASKABLE:
        return
    if isinstance(answer, GatewayUnknownError):
        await advance(session, row, "unknown", cause="no answer from the gateway")
    elif await advance(session, row, "remote_failed", cause="refused by the gateway"):
        await booking.never_made(session, payment, row)


async def list_for(session: AsyncSession, payment_id: UUID) -> list[RefundView]:
    """Return a payment's refunds, oldest first."""
    rows = await session.execute(
        select(Order, RefundRow)
        .join(Payment, Payment.id == RefundRow.payment_id)
        .join(Order, Order.id == Payment.order_id)
        .where(RefundRow.payment_id == payment_id)
        .order_by(RefundRow.created_at, RefundRow.id)
    )
    return [_view(order, row) for order, row in rows]


async def list_for_order(session: AsyncSession, order_id: UUID) -> list[RefundView]:
    """Return an order's refunds, oldest first, whichever payment they are of."""
    rows = await session.execute(
        select(Order, RefundRow)
        .join(Payment, Payment.id == RefundRow.payment_id)
        .join(Order, Order.id == Payment.order_id)
        .where(Order.id == order_id)
        .order_by(RefundRow.created_at, RefundRow.id)
    )
    return [_view(order, row) for order, row in rows]


def request_of(row: RefundRow) -> RefundRequest:
    """Return what is asked of the gateway, exactly as it was persisted."""
    return RefundRequest(
        refund_id=row.id,
        payment_id=row.payment_id,
        payment_ref=row.request["payment_ref"],
        checkout_ref=row.request["checkout_ref"],
        key=row.gateway_key,
        money=row.money,
    )


async def _existing(
    session: AsyncSession, request_key: str, payment_id: UUID, money: Money | None
) -> RefundRow | None:
    row: RefundRow | None = await session.scalar(
        select(RefundRow).where(RefundRow.request_key == request_key)
    )
    if row is not None and (row.payment_id != payment_id or money not in (None, row.money)):
        raise KeyReusedError
    return row


async def _intend(
    session: AsyncSession,
    resources: Resources,
    payment_id: UUID,
    money: Money | None,
    reason: str,
    requested_by: str,
    request_key: str,
) -> tuple[RefundRow, bool]:
    """Reserve the amount on the locked payment, and write down what is about to be asked.

    Returns it, and whether another request had written it down before.
    """
    if await session.scalar(select(Payment.id).where(Payment.id == payment_id)) is None:
        raise NotFoundError(f"There is no payment {payment_id}.")
    order, payment = await locked(session, payment_id)
    # Another request with this key may have been first while this one waited for the lock.
    earlier = await _existing(session, request_key, payment_id, money)
    if earlier is not None:
        return earlier, True
    wanted = _allowed(payment, await amounts.under_way(session, payment), money)
    gateway = resources.gateways.need(payment.gateway)
    if not isinstance(gateway, Refunding) or not gateway.takes(wanted):
        raise RefundNotOfferedError(f"{payment.gateway} cannot refund {wanted}.")
    refund_id = uuid4()
    row = RefundRow(
        id=refund_id,
        payment_id=payment_id,
        request_key=request_key,
        requested_by=requested_by,
        reason=reason,
        status="intended",
        gateway_key=f"refund-{refund_id}",
        request={
            "gateway": payment.gateway,
            "payment_ref": payment.payment_ref,
            "checkout_ref": payment.checkout_ref,
        },
        currency=wanted.currency,
        amount=wanted.amount,
        next_check_at=datetime.now(UTC) + FIRST_CHECK,
    )
    payment.refund_reserved += wanted.amount
    session.add(row)
    await session.flush()
    await jobs.enqueue(
        session, jobs.REPAIR_REFUND, {"refund_id": str(refund_id)}, at=row.next_check_at
    )
    if order.kind == "top_up":
        await holds.hold(session, order, row)
    return row, False


def _allowed(payment: Payment, under_way: int, money: Money | None) -> Money:
    """Return what is to be refunded: `money`, or all that nobody has got or asked for yet."""
    if payment.status not in TAKEN or payment.payment_ref is None:
        raise NotRefundableError(f"The payment is {payment.status}.")
    left = max(payment.captured - payment.refunded - under_way - payment.disputed, 0)
    wanted = money or Money(left, payment.currency)
    if wanted.currency != payment.currency:
        raise RefundTooLargeError(f"The payment was in {payment.currency}.")
    if not 0 < wanted.amount <= left:
        raise RefundTooLargeError(f"{Money(left, payment.currency)} of it can still be refunded.")
    return wanted


async def locked_refund(session: AsyncSession, refund_id: UUID) -> tuple[Order, Payment, RefundRow]:
    """Return a refund with its payment and order, locked in everybody's order."""
    row = (await session.execute(select(RefundRow).where(RefundRow.id == refund_id))).scalar_one()
    order, payment = await locked(session, row.payment_id)
    row = (
        await session.execute(
            select(RefundRow)
            .where(RefundRow.id == refund_id)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
    ).scalar_one()
    return order, payment, row


def _view(order: Order, row: RefundRow) -> RefundView:
    return RefundView(
        id=row.id,
        payment_id=row.payment_id,
        order_id=order.id,
        money=row.money,
        status=row.status,
        reason=row.reason,
        created_at=row.created_at,
    )

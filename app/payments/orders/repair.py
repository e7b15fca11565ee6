"""Finding out what became of payments that nobody has told us the end of.

Two kinds: a call whose answer was lost (ask again, same key, same parameters), and a page whose
event has not come (look at it, and apply what it says as the event that it should have been). Each
look is claimed first, so that two workers do not ask at once; claims end by themselves.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.gateways.protocol import (
    Gateway,
    GatewayEvent,
    GatewayRefusedError,
    GatewayUnknownError,
)
from payments.inbox import service as inbox
from payments.ops.logs import get_logger
from payments.orders.asking import UNFINISHED, ask, find, locked, record
from payments.orders.models import Payment
from payments.orders.status import TAKEN
from payments.resources import Resources

log = get_logger(__name__)

KEY_LIFETIME: Final = timedelta(hours=23)
"""Stripe keeps idempotency keys for 24 h at least; later, the same key could charge again."""

FIRST_PAUSE: Final = timedelta(minutes=1)
LAST_PAUSE: Final = timedelta(minutes=30)
GRACE: Final = timedelta(days=3)
"""How long after its expiry a page is still looked at: some methods settle that late."""
LATE_PAUSE: Final = timedelta(hours=6)
"""Between looks at what is `processing` after that, for as long as it is: a bank may take weeks."""


async def repair(resources: Resources, payment_id: UUID) -> str | None:
    """Look at one payment if that is due; returns its status afterwards, None when it was not."""
    async with resources.database.transaction() as session:
        payment = await _claim(session, payment_id)
    if payment is None:
        return None
    gateway = resources.gateways.get(payment.gateway)
    if gateway is None:
        log.error("repair.no_gateway", payment_id=str(payment_id), gateway=payment.gateway)
        return payment.status
    if payment.status in UNFINISHED:
        await _finish_call(resources, gateway, payment)
    elif payment.checkout_ref is not None:
        await _look(resources, gateway, payment.checkout_ref)
    elif payment.payment_ref is not None:
        await _look_for_charge(resources, gateway, payment)
    async with resources.database.transaction() as session:
        _, payment = await locked(session, payment_id)
        if _is_over(payment):
            payment.next_check_at = None
        return payment.status


async def due(session: AsyncSession, *, most: int) -> list[UUID]:
    """Return payments whose next look is due."""
    found = await session.scalars(
        select(Payment.id)
        .where(Payment.next_check_at <= func.now())
        .order_by(Payment.next_check_at)
        .limit(most)
    )
    return list(found)


async def _claim(session: AsyncSession, payment_id: UUID) -> Payment | None:
    payment: Payment | None = await session.scalar(
        select(Payment)
        .where(Payment.id == payment_id, Payment.next_check_at <= func.now())
        .with_for_update(skip_locked=True, key_share=True)
    )
    if payment is None:
        return None
    payment.checks += 1
    now = datetime.now(UTC)
    pause = min(FIRST_PAUSE * 2 ** min(payment.checks - 1, 10), LAST_PAUSE)
    payment.next_check_at = now + (LATE_PAUSE if now > payment.expires_at + GRACE else pause)
    return payment


def _is_over(payment: Payment) -> bool:
    if payment.status in TAKEN | {"review", "expired", "remote_failed"}:
        return True
    if payment.status in UNFINISHED | {"processing"}:
        return False  # somebody may have our customer's money: that is never given up
    return datetime.now(UTC) > payment.expires_at + GRACE


async def _finish_call(resources: Resources, gateway: Gateway, payment: Payment) -> None:
    """Find out whether the call took effect, by making it again while that is safe."""
    if datetime.now(UTC) - payment.created_at < KEY_LIFETIME:
        answer = await ask(gateway, payment, again=True)
    else:
        answer = await find(gateway, payment) or GatewayRefusedError("never_created")
    async with resources.database.transaction() as session:
        order, row = await locked(session, payment.id)
        await record(session, order, row, answer)


async def _look_for_charge(resources: Resources, gateway: Gateway, payment: Payment) -> None:
    answer = await find(gateway, payment)
    if answer is not None:
        async with resources.database.transaction() as session:
            order, row = await locked(session, payment.id)
            await record(session, order, row, answer)


async def _look(resources: Resources, gateway: Gateway, checkout_ref: str) -> None:
    try:
        event: GatewayEvent | None = await gateway.ask(checkout_ref)
    except (GatewayUnknownError, GatewayRefusedError) as error:
        log.warning("repair.no_answer", checkout_ref=checkout_ref, error=str(error))
        return
    if event is None:
        return
    async with resources.database.transaction() as session:
        state = await inbox.receive(session, event)
    if state == "applied":
        # The gateway's own event never came, or is late: worth knowing when it becomes a habit.
        log.warning("repair.applied", checkout_ref=checkout_ref, kind=event.kind)

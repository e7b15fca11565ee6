"""Finding out what became of refunds whose answer was lost, or whose end nobody has told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.gateways.protocol import GatewayRefusedError, GatewayUnknownError, Refunding
from payments.ops.logs import get_logger
from payments.refunds import service
from payments.refunds.models import RefundRow
from payments.refunds.service import ASKABLE, Answer
from payments.resources import Resources

log = get_logger(__name__)

FIRST_PAUSE: Final = timedelta(minutes=1)
LAST_PAUSE: Final = timedelta(hours=6)
"""A bank may take days over a refund."""


async def due(session: AsyncSession, *, most: int) -> list[UUID]:
    """Return refunds whose next look is due."""
    found = await session.scalars(
        select(RefundRow.id)
        .where(RefundRow.next_check_at <= func.now())
        .order_by(RefundRow.next_check_at)
        .limit(most)
    )
    return list(found)


async def repair(resources: Resources, refund_id: UUID) -> str | None:
    """Look at one refund if that is due; returns its status afterwards, None when it was not."""
    async with resources.database.transaction() as session:
        row = await _claim(session, refund_id)
    if row is None:
        return None
    if service.is_askable(row):
        answer: Answer | None = await service.ask(resources, row, again=True)
    else:
        answer = await _find(resources, row)
    async with resources.database.transaction() as session:
        order, payment, row = await service.locked_refund(session, refund_id)
        if answer is not None:
            await service.record(session, order, payment, row, answer)
        return row.status


async def _claim(session: AsyncSession, refund_id: UUID) -> RefundRow | None:
    row: RefundRow | None = await session.scalar(
        select(RefundRow)
        .where(RefundRow.id == refund_id, RefundRow.next_check_at <= func.now())
        .with_for_update(skip_locked=True, key_share=True)
    )
    if row is None:
        return None
    row.checks += 1
    pause = min(FIRST_PAUSE * 2 ** min(row.checks - 1, 10), LAST_PAUSE)
    row.next_check_at = datetime.now(UTC) + pause
    return row


async def _find(resources: Resources, row: RefundRow) -> Answer | None:
    """Look for the refund at the gateway; None when that says nothing new."""
    gateway = resources.gateways.get(row.request["gateway"])
    if gateway is None or not isinstance(gateway, Refunding):
        log.error("refund.no_gateway", refund_id=str(row.id), gateway=row.request["gateway"])
        return None
    try:
        found = await gateway.find_refund(service.request_of(row))
    except (GatewayUnknownError, GatewayRefusedError) as error:
        log.warning("refund.no_answer", refund_id=str(row.id), error=str(error))
        return None
    if found is None and row.status in ASKABLE:
        # Its key is too old to ask again, and the gateway has none: it was never made.
        return GatewayRefusedError("never_created")
    return found

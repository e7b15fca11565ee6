"""Waking events that came before what they belong to."""

from __future__ import annotations

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from payments import jobs
from payments.inbox.models import InboxRow


async def wake(session: AsyncSession, gateway: str, refs: tuple[str | None, ...]) -> None:
    """Make parked events that name one of the gateway's ids due now: their payment is known."""
    known = [ref for ref in refs if ref is not None]
    # Those being tried at this moment are left to that try: it holds the event and waits for the
    # payment, which is ours, so waiting for the event would be a deadlock.
    parked = (
        select(InboxRow.id)
        .where(
            InboxRow.provider == gateway,
            InboxRow.state == "parked",
            or_(
                InboxRow.event["checkout_ref"].astext.in_(known),
                InboxRow.event["payment_ref"].astext.in_(known),
            ),
        )
        .with_for_update(skip_locked=True)
    )
    woken = await session.scalars(
        update(InboxRow)
        .where(InboxRow.id.in_(parked))
        .values(next_attempt_at=func.now())
        .returning(InboxRow.id)
        .execution_options(synchronize_session=False)
    )
    for inbox_id in woken.all():
        await jobs.enqueue(session, jobs.PROCESS_EVENT, {"inbox_id": inbox_id})

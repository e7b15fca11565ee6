"""Keeping an event once, with its effect in the same transaction.

States: `applied` (it had its effect), `refused` (known, but late: a status does not move back),
`ignored` (a kind we do not act on), `parked` (it came before what it belongs to), `failed`
(applying it raised), `abandoned` (still not possible after three days; a person looks). The worker
tries parked and failed ones again, with growing pauses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from payments import jobs
from payments.db import is_away
from payments.errors import ConflictError, NotFoundError
from payments.gateways.protocol import GatewayEvent
from payments.inbox.models import InboxRow
from payments.ops.logs import get_logger
from payments.orders.apply import Outcome, apply

log = get_logger(__name__)

FIRST_RETRY: Final = timedelta(seconds=5)
LAST_RETRY: Final = timedelta(hours=1)
GIVE_UP_AFTER: Final = timedelta(days=3)


REPLAYABLE: Final = frozenset({"parked", "failed", "abandoned"})
"""States in which an event still waits for its effect."""


class NotReplayableError(ConflictError):
    """The event had its effect, or never will: trying it again would change nothing."""

    code, title = "not_replayable", "This event does not wait for anything."


Listener = Callable[[AsyncSession, GatewayEvent], Awaitable[None]]
_LISTENERS: list[Listener] = []


def listen(listener: Listener) -> None:
    """Have `listener` called with every event that had its effect, in the same transaction."""
    if listener not in _LISTENERS:
        _LISTENERS.append(listener)


async def receive(session: AsyncSession, event: GatewayEvent) -> str:
    """Keep an event and apply it; returns its state, or `duplicate`.

    The caller commits before it tells the gateway that the event has arrived. Simultaneous
    deliveries of one event wait here for the first one's commit, then see its row.
    """
    row: InboxRow | None = await session.scalar(
        insert(InboxRow)
        .values(
            provider=event.gateway,
            account=event.account,
            event_key=event.key,
            event_type=event.type,
            event=event.as_json(),
            payment_id=event.payment_id,
            state="ignored",
        )
        .on_conflict_do_nothing(constraint="uq_webhook_inbox_provider_account_event_key")
        .returning(InboxRow)
    )
    if row is None:
        return "duplicate"
    await _handle(session, row, event)
    return row.state


async def process(session: AsyncSession, inbox_id: int) -> str | None:
    """Try a parked or failed event again; None when it is not due or somebody else has it."""
    row: InboxRow | None = await session.scalar(
        select(InboxRow)
        .where(InboxRow.id == inbox_id, InboxRow.next_attempt_at <= func.now())
        .with_for_update(skip_locked=True)
    )
    if row is None:
        return None
    row.attempts += 1
    await _handle(session, row, GatewayEvent.from_json(row.event))
    return row.state


async def replay(session: AsyncSession, inbox_id: int) -> InboxRow:
    """Try an event again now, whenever it is due; waits for whoever is at it.

    Raises `NotFoundError`, `NotReplayableError`.
    """
    row: InboxRow | None = await session.scalar(
        select(InboxRow).where(InboxRow.id == inbox_id).with_for_update()
    )
    if row is None:
        raise NotFoundError("There is no such event.")
    if row.state not in REPLAYABLE:
        raise NotReplayableError(f"The event is {row.state}.")
    row.attempts += 1
    await _handle(session, row, GatewayEvent.from_json(row.event))
    return row


async def due(session: AsyncSession, *, most: int) -> list[int]:
    """Return events whose next attempt is due, oldest first."""
    found = await session.scalars(
        select(InboxRow.id)
        .where(InboxRow.next_attempt_at <= func.now())
        .order_by(InboxRow.next_attempt_at)
        .limit(most)
    )
    return list(found)


async def _handle(session: AsyncSession, row: InboxRow, event: GatewayEvent) -> None:
    """Apply the event in a savepoint: when that raises, the row is kept and says why."""
    try:
        async with session.begin_nested():
            outcome = await apply(session, event)
            if outcome.state == "applied":
                for hear in _LISTENERS:
                    await hear(session, event)
    except Exception as error:
        if is_away(error):
            raise  # nothing can be kept: the gateway shall deliver again
        log.error("webhook.failed", event_key=event.key, event_type=event.type, exc_info=error)
        outcome = Outcome("failed", f"{type(error).__name__}")
    await _settle(session, row, outcome)
    log.info(
        "webhook.handled",
        provider=row.provider,
        event_key=row.event_key,
        event_type=row.event_type,
        state=row.state,
        reason=row.reason,
    )


async def _settle(session: AsyncSession, row: InboxRow, outcome: Outcome) -> None:
    now = datetime.now(UTC)
    row.state, row.reason = outcome.state, outcome.reason
    if outcome.payment_id is not None:
        row.payment_id = outcome.payment_id
    row.handled_at, row.next_attempt_at = now, None
    if row.state in ("parked", "failed"):
        if now - row.received_at > GIVE_UP_AFTER:
            row.state = "abandoned"
            log.error("webhook.abandoned", event_key=row.event_key, event_type=row.event_type)
        else:
            row.handled_at = None
            row.next_attempt_at = now + min(FIRST_RETRY * 2 ** (row.attempts - 1), LAST_RETRY)
            await jobs.enqueue(
                session, jobs.PROCESS_EVENT, {"inbox_id": row.id}, at=row.next_attempt_at
            )
    await session.flush()

"""What admins change. Each is one transaction with its entry in the audit log."""

from __future__ import annotations

from uuid import UUID

from payments.access.people import Admin
from payments.admin.reads import webhook_view
from payments.admin.views import WebhookRow
from payments.db import Database
from payments.errors import ConflictError, NotFoundError
from payments.inbox import service as inbox
from payments.people import audit
from payments.people.service import People


class OwnAccountError(ConflictError):
    """Whoever locks themselves out cannot undo it."""

    code, title = "own_account", "You cannot lock your own account."


async def replay(database: Database, admin: Admin, inbox_id: int) -> WebhookRow:
    """Try an event again, now; raises `NotFoundError`, `inbox.NotReplayableError`."""
    async with database.transaction() as session:
        row = await inbox.replay(session, inbox_id)
        view = webhook_view(row)
        await audit.append(
            session,
            action="webhook.replayed",
            actor=admin.actor,
            subject=f"webhook:{inbox_id}",
            detail={"provider": view.provider, "event": view.event_key, "state": view.state},
        )
    return view


async def set_locked(people: People, admin: Admin, user_id: UUID, *, locked: bool) -> None:
    """Lock a person out, ending their sessions, or let them in again.

    Raises `NotFoundError`, `OwnAccountError`.
    """
    if user_id == admin.user_id:
        raise OwnAccountError
    if not await people.set_locked(user_id, locked=locked, by=admin.actor):
        raise NotFoundError("There is no such person.")

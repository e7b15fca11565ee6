"""What admins change. Each is one transaction with its entry in the audit log."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from payments.access.people import Admin
from payments.admin.reads import webhook_view
from payments.admin.views import WebhookRow
from payments.db import Database
from payments.errors import ConflictError, NotFoundError
from payments.inbox import service as inbox
from payments.people import audit
from payments.people.repository import Role
from payments.people.service import People


class OwnAccountError(ConflictError):
    """Whoever locks themselves out cannot undo it."""

    code, title = "own_account", "You cannot lock your own account or change your own role."


class NotListedError(ConflictError):
    """A role is of use to people on the list of admins alone, whom Access lets through."""

    code, title = "not_listed", "Only people on the list of admins have a role here."


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


async def set_role(
    people: People, admin: Admin, user_id: UUID, role: Role, *, listed: Collection[str]
) -> bool:
    """Give somebody on the list of admins a role or take it away; say whether it changed.

    Raises `NotFoundError`, `OwnAccountError`, `NotListedError`.
    """
    if user_id == admin.user_id:
        raise OwnAccountError
    user = await people.by_id(user_id)
    if user is None:
        raise NotFoundError("There is no such person.")
    if user.email not in listed:
        raise NotListedError
    return await people.change_role(user_id, role, by=admin.actor)

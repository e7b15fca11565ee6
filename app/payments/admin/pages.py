"""The admin's pages: server-rendered, without a script that they need."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from payments.access.guard import CurrentAdmin, Door, current_admin
from payments.access.people import Admin
from payments.admin import actions, reads
from payments.admin.words import (
    NOTES,
    PAYMENT_STATUSES,
    PURPOSES,
    ROLES,
    WAITING_PATHS,
    WEBHOOK_STATES,
    payment_state,
    waiting_label,
    webhook_state,
)
from payments.errors import ConflictError
from payments.pages.render import Note, Renderer
from payments.paging import SIZE, Cursor
from payments.people import audit
from payments.people.repository import Role
from payments.people.service import People
from payments.people.sessions import Session
from payments.resources import Resources

NOBODY: Final = UUID(int=0)
"""Stands for a program's account in a page's view of who looks at it; it has none."""

Text = Annotated[str, Form()]
Told = Annotated[str, Query(max_length=40)]
Filter = Annotated[str, Query(max_length=100)]
InboxId = Annotated[int, Path(ge=1, lt=2**63)]

ACCESS_LOG_OUT: Final = "/cdn-cgi/access/logout"
"""Answered by the edge, for every host name behind Access."""


def viewer_of(admin: Admin) -> Session:
    """Return the admin as pages know a viewer; the key binds forms to who they are made for."""
    return Session(
        key=f"admin:{admin.identity.subject}",
        user_id=admin.user_id or NOBODY,
        email=admin.name,
        role=admin.role,
        address="",
        agent="",
        created=admin.identity.issued,
        seen=admin.identity.issued,
    )


def _listed(request: Request) -> tuple[str, ...]:
    """Return whom Access is told to let through to these pages."""
    door: Door = request.app.state.access
    return door.settings.admins


class AdminPages:
    """The pages and what their forms do."""

    def __init__(self, renderer: Renderer, resources: Resources, people: People) -> None:
        self._renderer = renderer
        self._database = resources.database
        self._people = people
        self.routes = APIRouter(
            prefix="/admin", include_in_schema=False, dependencies=[Depends(current_admin)]
        )
        get, post = ["GET"], ["POST"]
        add = self.routes.add_api_route
        add("", self.overview, methods=get)
        add("/payments", self.payments, methods=get)
        add("/payments/{payment_id}", self.payment, methods=get)
        add("/webhooks", self.webhooks, methods=get)
        add("/webhooks/{inbox_id}/replay", self.replay, methods=post)
        add("/users", self.users, methods=get)
        add("/users/{user_id}/lock", self.lock, methods=post)
        add("/users/{user_id}/unlock", self.unlock, methods=post)
        add("/users/{user_id}/role", self.set_role, methods=post)
        add("/audit", self.audit, methods=get)
        add("/ledger", self.ledger, methods=get)
        add("/logout", self.log_out, methods=post, tags=["read"])

    async def overview(self, request: Request, admin: CurrentAdmin) -> Response:
        """Show how everything is."""
        async with self._database.transaction() as session:
            found = await reads.overview(session)
        return self._page(
            request,
            admin,
            "overview.html",
            overview=found,
            payments=[(count, payment_state(count.status)) for count in found.payments_today],
            webhooks=[(webhook_state(state), n) for state, n in found.webhooks.items()],
            waiting=[
                (waiting_label(name), n, WAITING_PATHS.get(name))
                for name, n in found.waiting.items()
            ],
            violations=[(waiting_label(name), n) for name, n in found.violations.items()],
        )

    async def payments(
        self, request: Request, admin: CurrentAdmin, status: Filter = "", cursor: Cursor = None
    ) -> Response:
        """List payments."""
        async with self._database.transaction() as session:
            page = await reads.payments(session, status=status or None, cursor=cursor, limit=SIZE)
        return self._page(
            request,
            admin,
            "payments.html",
            rows=[(row, payment_state(row.status)) for row in page.data],
            next_cursor=page.next_cursor,
            chosen=status,
            choices=PAYMENT_STATUSES,
        )

    async def payment(
        self, request: Request, admin: CurrentAdmin, payment_id: UUID, told: Told = ""
    ) -> Response:
        """Show one payment with its history, events and entries."""
        async with self._database.transaction() as session:
            found = await reads.payment(session, payment_id)
        return self._page(
            request,
            admin,
            "payment.html",
            note=NOTES.get(told),
            found=found,
            state=payment_state(found.payment.status),
            webhooks=[(row, webhook_state(row.state)) for row in found.webhooks],
        )

    async def webhooks(
        self,
        request: Request,
        admin: CurrentAdmin,
        state: Filter = "stuck",
        cursor: Cursor = None,
        told: Told = "",
    ) -> Response:
        """List the inbox, first what waits for a person."""
        async with self._database.transaction() as session:
            page = await reads.webhooks(
                session, state=None if state == "all" else state, cursor=cursor, limit=SIZE
            )
        return self._page(
            request,
            admin,
            "webhooks.html",
            note=NOTES.get(told),
            rows=[(row, webhook_state(row.state)) for row in page.data],
            next_cursor=page.next_cursor,
            chosen=state,
            choices=WEBHOOK_STATES,
        )

    async def replay(
        self, request: Request, admin: CurrentAdmin, inbox_id: InboxId, state: Text = "stuck"
    ) -> Response:
        """Try an event again, now."""
        await self._check_form(request, admin)
        try:
            row = await actions.replay(self._database, admin, inbox_id)
        except ConflictError:
            told = "replay-late"
        else:
            told = "replay-stuck" if row.replayable else "replay-done"
        chosen = state if state in dict(WEBHOOK_STATES) else "stuck"
        return RedirectResponse(f"/admin/webhooks?state={chosen}&told={told}", 303)

    async def users(
        self,
        request: Request,
        admin: CurrentAdmin,
        email: Filter = "",
        cursor: Cursor = None,
        told: Told = "",
    ) -> Response:
        """List people."""
        async with self._database.transaction() as session:
            page = await reads.users(session, email=email or None, cursor=cursor, limit=SIZE)
        return self._page(
            request,
            admin,
            "users.html",
            note=NOTES.get(told),
            rows=page.data,
            next_cursor=page.next_cursor,
            email=email,
            own=admin.user_id,
            listed=_listed(request),
            roles=ROLES,
        )

    async def lock(self, request: Request, admin: CurrentAdmin, user_id: UUID) -> Response:
        """Lock a person out."""
        return await self._set_locked(request, admin, user_id, locked=True)

    async def unlock(self, request: Request, admin: CurrentAdmin, user_id: UUID) -> Response:
        """Let a person in again."""
        return await self._set_locked(request, admin, user_id, locked=False)

    async def set_role(
        self,
        request: Request,
        admin: CurrentAdmin,
        user_id: UUID,
        role: Annotated[Role, Form()],
    ) -> Response:
        """Give somebody on the list of admins a role, or take it away."""
        await self._check_form(request, admin)
        try:
            changed = await actions.set_role(
                self._people, admin, user_id, role, listed=_listed(request)
            )
            told = "role-changed" if changed else "role-same"
        except actions.OwnAccountError:
            told = "own-account"
        except actions.NotListedError:
            told = "not-listed"
        return RedirectResponse(f"/admin/users?told={told}", 303)

    async def audit(
        self, request: Request, admin: CurrentAdmin, cursor: Cursor = None, verify: bool = False
    ) -> Response:
        """List the audit log; with `verify` walk the whole chain first."""
        async with self._database.transaction() as session:
            page = await reads.audit_log(session, cursor=cursor, limit=SIZE)
            chain = await reads.chain(session) if verify else None
        note = None
        if chain is not None:
            note = (
                NOTES["chain-holds"]
                if chain.holds
                else Note("bad", f"The chain is broken: row {chain.broken_at} {chain.reason}.")
            )
        return self._page(
            request, admin, "audit.html", note=note, rows=page.data, next_cursor=page.next_cursor
        )

    async def ledger(
        self, request: Request, admin: CurrentAdmin, purpose: Filter = "", cursor: Cursor = None
    ) -> Response:
        """List accounts of the ledger."""
        async with self._database.transaction() as session:
            page = await reads.accounts(session, purpose=purpose or None, cursor=cursor, limit=SIZE)
        return self._page(
            request,
            admin,
            "ledger.html",
            rows=page.data,
            next_cursor=page.next_cursor,
            chosen=purpose,
            choices=PURPOSES,
        )

    async def log_out(self, request: Request, admin: CurrentAdmin) -> Response:
        """End what Access signed until now, here, and go on to end it at Access."""
        await self._check_form(request, admin)
        door: Door = request.app.state.access
        await door.revocations.revoke(admin.identity)
        async with self._database.transaction() as session:
            await audit.append(session, action="admin.left", actor=admin.actor)
        return RedirectResponse(ACCESS_LOG_OUT, 303)

    async def _set_locked(
        self, request: Request, admin: Admin, user_id: UUID, *, locked: bool
    ) -> Response:
        await self._check_form(request, admin)
        try:
            await actions.set_locked(self._people, admin, user_id, locked=locked)
            told = "locked" if locked else "unlocked"
        except actions.OwnAccountError:
            told = "own-account"
        return RedirectResponse(f"/admin/users?told={told}", 303)

    async def _check_form(self, request: Request, admin: Admin) -> None:
        """Raise 403 unless a form of ours, made for this admin, was sent."""
        await request.app.state.log_ins.check(request, viewer_of(admin).key)

    def _page(self, request: Request, admin: Admin, template: str, **context: Any) -> Response:
        return self._renderer.page_for(
            viewer_of(admin), request, f"admin/{template}", 200, **context
        )

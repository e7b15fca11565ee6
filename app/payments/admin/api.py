"""The admin's JSON API: the pages' reads, and the replay of a webhook."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request

from payments.access.guard import CurrentAdmin, current_admin
from payments.admin import actions, reads
from payments.admin.views import (
    AccountRow,
    AuditRow,
    Chain,
    Overview,
    PaymentDetail,
    PaymentRow,
    UserRow,
    WebhookRow,
)
from payments.db import RequestSession
from payments.errors import ForbiddenError
from payments.paging import SIZE, Cursor, Limit, Page
from payments.people.web import CookieAuthenticator
from payments.resources import Resources

PREFIX = "/api/admin/v1"

Filter = Annotated[str | None, Query(max_length=100)]
InboxId = Annotated[int, Path(ge=1, lt=2**63)]


class AdminApi:
    """The endpoints; none is in the public description of the API."""

    def __init__(self, resources: Resources, authenticator: CookieAuthenticator) -> None:
        self._resources = resources
        self._authenticator = authenticator
        self.routes = APIRouter(
            prefix=PREFIX, include_in_schema=False, dependencies=[Depends(current_admin)]
        )
        add = self.routes.add_api_route
        add("/overview", self.overview, methods=["GET"])
        add("/payments", self.payments, methods=["GET"])
        add("/payments/{payment_id}", self.payment, methods=["GET"])
        add("/webhooks", self.webhooks, methods=["GET"])
        add("/webhooks/{inbox_id}/replay", self.replay, methods=["POST"], tags=["write"])
        add("/users", self.users, methods=["GET"])
        add("/audit", self.audit, methods=["GET"])
        add("/audit/verification", self.verification, methods=["GET"])
        add("/ledger/accounts", self.accounts, methods=["GET"])

    async def overview(self, session: RequestSession) -> Overview:
        """Say how everything is."""
        return await reads.overview(session)

    async def payments(
        self,
        session: RequestSession,
        status: Filter = None,
        cursor: Cursor = None,
        limit: Limit = SIZE,
    ) -> Page[PaymentRow]:
        """List payments."""
        return await reads.payments(session, status=status, cursor=cursor, limit=limit)

    async def payment(self, session: RequestSession, payment_id: UUID) -> PaymentDetail:
        """Show one payment with its events and entries."""
        return await reads.payment(session, payment_id)

    async def webhooks(
        self,
        session: RequestSession,
        state: Filter = None,
        cursor: Cursor = None,
        limit: Limit = SIZE,
    ) -> Page[WebhookRow]:
        """List the inbox; `state=stuck`: what is parked, failed or abandoned."""
        return await reads.webhooks(session, state=state, cursor=cursor, limit=limit)

    async def replay(self, request: Request, admin: CurrentAdmin, inbox_id: InboxId) -> WebhookRow:
        """Try an event again, now."""
        self._check_origin(request)
        return await actions.replay(self._resources.database, admin, inbox_id)

    async def users(
        self,
        session: RequestSession,
        email: Filter = None,
        cursor: Cursor = None,
        limit: Limit = SIZE,
    ) -> Page[UserRow]:
        """List people."""
        return await reads.users(session, email=email, cursor=cursor, limit=limit)

    async def audit(
        self, session: RequestSession, cursor: Cursor = None, limit: Limit = SIZE
    ) -> Page[AuditRow]:
        """List the audit log."""
        return await reads.audit_log(session, cursor=cursor, limit=limit)

    async def verification(self, session: RequestSession) -> Chain:
        """Walk the audit chain."""
        return await reads.chain(session)

    async def accounts(
        self,
        session: RequestSession,
        purpose: Filter = None,
        cursor: Cursor = None,
        limit: Limit = SIZE,
    ) -> Page[AccountRow]:
        """List accounts of the ledger."""
        return await reads.accounts(session, purpose=purpose, cursor=cursor, limit=limit)

    def _check_origin(self, request: Request) -> None:
        """Refuse what another site makes an admin's browser send.

        The browser adds Access's cookie to it. A form of another site cannot have this content
        type, and a script of another site would have to ask first (CORS), which is not answered.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or not self._authenticator.same_origin(request):
            raise ForbiddenError("Send this as application/json, and not from another site.")

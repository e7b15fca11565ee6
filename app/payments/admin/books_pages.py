"""The admin's pages of the report, reconciliation, rates, subscriptions and deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Form, Request
from fastapi.responses import RedirectResponse, Response

from payments.access.guard import CurrentAdmin
from payments.access.people import Admin
from payments.admin import money_actions as actions
from payments.admin import money_lists as lists
from payments.admin import money_reads as reads
from payments.admin.money_api import decimal
from payments.admin.money_desk import MoneyDesk, Typed
from payments.admin.money_forms import (
    cancel_form,
    far_rate_form,
    rate_form,
    reconcile_forms,
)
from payments.admin.money_report import run_csv
from payments.admin.pages import Filter, Told
from payments.admin.tables import View, amount, at, mono, text
from payments.admin.words import NOTES
from payments.errors import NotFoundError
from payments.pages.render import Note, Renderer
from payments.paging import SIZE, Cursor
from payments.resources import Resources
from payments.subscriptions.models import Subscription


class BooksPages(MoneyDesk):
    """The pages and what their forms do."""

    def __init__(self, renderer: Renderer, resources: Resources) -> None:
        super().__init__(renderer, resources)
        get, post, add = ["GET"], ["POST"], self.routes.add_api_route
        add("/money", self.report, methods=get)
        add("/reconciliation", self.runs, methods=get)
        add("/reconciliation", self.reconcile, methods=post)
        add("/reconciliation/{run_id}", self.run, methods=get)
        add("/reconciliation/{run_id}/csv", self.run_csv, methods=get)
        add("/rates", self.rates, methods=get)
        add("/rates", self.add_rate, methods=post)
        add("/subscriptions", self.subscriptions, methods=get)
        add("/subscriptions/{subscription_id}", self.subscription, methods=get)
        add("/subscriptions/{subscription_id}/cancel", self.cancel, methods=post)
        add("/deliveries", self.deliveries, methods=get)

    async def report(self, request: Request, admin: CurrentAdmin) -> Response:
        """Show how payments go: the last hour, and the week."""
        async with self._database.transaction() as session:
            found = await reads.how_payments_go(session)
        facts = (
            ("Week since", at(found.week_since)),
            ("Paid in the week", amount(*found.volumes)),
            ("Orders that no gateway took", text(str(found.orders_failed))),
            ("Reconciliations", text(f"{found.runs}, {found.runs_failed} of them failed")),
            ("Alert above", text(f"{found.threshold_percent:g} % failed")),
        )
        view = View(title="Money", facts=facts, tables=lists.health(found))
        return self._show(request, admin, view)

    async def runs(
        self, request: Request, admin: CurrentAdmin, cursor: Cursor = None, told: Told = ""
    ) -> Response:
        """List reconciliations, and start one."""
        async with self._database.transaction() as session:
            page = await reads.runs(session, cursor=cursor, limit=SIZE)
        view = View(
            title="Reconciliation",
            forms=reconcile_forms([gateway.name for gateway in self._resources.gateways]),
            tables=[lists.runs(page.data)],
            path="/admin/reconciliation",
            next_cursor=page.next_cursor,
        )
        return self._show(request, admin, view, note=NOTES.get(told))

    async def reconcile(
        self, request: Request, admin: CurrentAdmin, gateway: Typed = ""
    ) -> Response:
        """Have the worker reconcile a gateway."""
        await self._check_form(request, admin)
        await actions.reconcile_now(self._resources, admin, gateway)
        return RedirectResponse("/admin/reconciliation?told=reconciling", 303)

    async def run(self, request: Request, admin: CurrentAdmin, run_id: UUID) -> Response:
        """Show a reconciliation with what it found."""
        async with self._database.transaction() as session:
            found = await reads.run(session, run_id)
        view = View(
            title=f"Reconciliation of {found.run.gateway}",
            back=("/admin/reconciliation", "Reconciliation"),
            facts=(
                ("From", at(found.run.since)),
                ("Until", at(found.run.until)),
                ("Payments listed", text(str(found.run.listed))),
                ("Agree", text(str(found.run.agreed))),
                ("Fees booked", text(str(found.run.fees_booked))),
                ("Error", text(found.run.error)),
            ),
            links=((f"/admin/reconciliation/{run_id}/csv", "Download as CSV"),),
            tables=[lists.differences(found)],
        )
        return self._show(request, admin, view)

    async def run_csv(self, admin: CurrentAdmin, run_id: UUID) -> Response:
        """Send what a reconciliation found as a file."""
        async with self._database.transaction() as session:
            return run_csv(await reads.run(session, run_id))

    async def rates(
        self, request: Request, admin: CurrentAdmin, cursor: Cursor = None, told: Told = ""
    ) -> Response:
        """List exchange rates, and add one."""
        return await self._rates(request, admin, cursor, note=NOTES.get(told))

    async def _rates(
        self,
        request: Request,
        admin: Admin,
        cursor: str | None = None,
        *,
        status: int = 200,
        note: Note | None = None,
        far: Mapping[str, str] | None = None,
    ) -> Response:
        async with self._database.transaction() as session:
            page = await reads.rates(session, cursor=cursor, limit=SIZE)
        view = View(
            title="Exchange rates",
            forms=[rate_form() if far is None else far_rate_form(far)],
            tables=[lists.rates(page.data)],
            path="/admin/rates",
            next_cursor=page.next_cursor,
        )
        return self._show(request, admin, view, status=status, note=note)

    async def add_rate(
        self,
        request: Request,
        admin: CurrentAdmin,
        base: Typed = "",
        quote: Typed = "",
        rate: Typed = "",
        hours: Typed = "",
        far: Typed = "",
    ) -> Response:
        """Add a rate; one that is far from the last one is asked about first."""
        asked: dict[str, str] = {}

        async def act() -> str:
            if not hours.isascii() or not hours.isdigit():
                raise actions.BadRateError("Say for how many hours it holds.")
            try:
                await actions.add_rate(
                    self._database,
                    admin,
                    base=base.strip().upper(),
                    quote=quote.strip().upper(),
                    rate=decimal(rate.strip()),
                    hours=int(hours[:6]),
                    far_is_meant=far == "meant",
                )
            except actions.FarRateError:
                asked.update(base=base, quote=quote, rate=rate, hours=hours)
                raise
            return "/admin/rates?told=rate-added"

        async def again(status: int, note: Note) -> Response:
            return await self._rates(request, admin, status=status, note=note, far=asked or None)

        return await self._act(request, admin, act, again)

    async def subscriptions(
        self, request: Request, admin: CurrentAdmin, status: Filter = "", cursor: Cursor = None
    ) -> Response:
        """List subscriptions."""
        async with self._database.transaction() as session:
            page = await reads.subscriptions(
                session, status=status or None, cursor=cursor, limit=SIZE
            )
        view = View(
            title="Subscriptions",
            tables=[lists.subscriptions(page.data)],
            tabs=lists.SUBSCRIPTION_TABS,
            chosen=status,
            path="/admin/subscriptions",
            next_cursor=page.next_cursor,
        )
        return self._show(request, admin, view)

    async def subscription(
        self, request: Request, admin: CurrentAdmin, subscription_id: UUID, told: Told = ""
    ) -> Response:
        """Show a subscription, and cancel it."""
        async with self._database.transaction() as session:
            row = await session.get(Subscription, subscription_id)
        if row is None:
            raise NotFoundError("There is no such subscription.")
        over = row.status in ("canceled", "expired")
        view = View(
            title=f"Subscription to {row.plan}",
            back=("/admin/subscriptions", "Subscriptions"),
            facts=(
                ("Price", amount(row.money)),
                ("Status", lists.badge(row.status)),
                ("Customer", mono(row.customer_id)),
                ("Period ends", at(row.period_end)),
                ("Ends with its period", text("yes" if row.cancel_at_end else "no")),
                ("Times it could not be charged", text(str(row.attempts))),
            ),
            forms=() if over else [cancel_form(subscription_id)],
        )
        return self._show(request, admin, view, note=NOTES.get(told))

    async def cancel(
        self,
        request: Request,
        admin: CurrentAdmin,
        subscription_id: UUID,
        when: Annotated[Literal["now", "end"], Form()] = "end",
    ) -> Response:
        """Cancel a customer's subscription."""
        await self._check_form(request, admin)
        await actions.cancel_subscription(self._database, admin, subscription_id, now=when == "now")
        return RedirectResponse(f"/admin/subscriptions/{subscription_id}?told=cancelled", 303)

    async def deliveries(
        self, request: Request, admin: CurrentAdmin, status: Filter = "", cursor: Cursor = None
    ) -> Response:
        """List webhooks to customers."""
        async with self._database.transaction() as session:
            page = await reads.deliveries(session, state=status or None, cursor=cursor, limit=SIZE)
        view = View(
            title="Webhook deliveries",
            tables=[lists.deliveries(page.data)],
            tabs=lists.DELIVERY_TABS,
            chosen=status,
            path="/admin/deliveries",
            next_cursor=page.next_cursor,
        )
        return self._show(request, admin, view)

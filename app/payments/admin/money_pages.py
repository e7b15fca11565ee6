"""The admin's pages of refunds, disputes, payouts and payments in review."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID, uuid4

from fastapi import Form, Request
from fastapi.responses import Response

from payments.access.guard import CurrentAdmin
from payments.access.people import Admin
from payments.admin import money_actions as actions
from payments.admin import money_lists as lists
from payments.admin import money_reads as reads
from payments.admin.money_desk import KEY_LENGTH, MoneyDesk, Typed
from payments.admin.money_forms import (
    credit_form,
    payout_end_form,
    payout_form,
    payout_forms,
    refund_form,
)
from payments.admin.pages import Filter, Told
from payments.admin.reads import payment as read_payment
from payments.admin.tables import View, amount, at, mono, text
from payments.admin.words import NOTES, refund_there
from payments.errors import NotFoundError, UnprocessableError
from payments.gateways.protocol import Refunding
from payments.orders.models import Order, Payment
from payments.pages.render import Note, Renderer
from payments.paging import SIZE, Cursor
from payments.payouts.models import Payout
from payments.resources import Resources


class MoneyPages(MoneyDesk):
    """The pages and what their forms do."""

    def __init__(self, renderer: Renderer, resources: Resources) -> None:
        super().__init__(renderer, resources)
        get, post, add = ["GET"], ["POST"], self.routes.add_api_route
        add("/refunds", self.refunds, methods=get)
        add("/payments/{payment_id}/refund", self.refund_page, methods=get)
        add("/payments/{payment_id}/refund", self.refund, methods=post)
        add("/disputes", self.disputes, methods=get)
        add("/payouts", self.payouts, methods=get)
        add("/payouts", self.request_payout, methods=post)
        add("/payouts/{payout_id}", self.payout, methods=get)
        add("/payouts/{payout_id}/decide", self.decide_payout, methods=post)
        add("/payouts/{payout_id}/end", self.end_payout, methods=post)
        add("/reviews", self.reviews, methods=get)
        add("/reviews/{payment_id}", self.review, methods=get)
        add("/reviews/{payment_id}/credit", self.credit, methods=post)

    async def refunds(
        self,
        request: Request,
        admin: CurrentAdmin,
        status: Filter = "",
        cursor: Cursor = None,
    ) -> Response:
        """List refunds."""
        async with self._database.transaction() as session:
            page = await reads.refunds(session, status=status or None, cursor=cursor, limit=SIZE)
        view = View(
            title="Refunds",
            tables=[lists.refunds(page.data)],
            tabs=lists.REFUND_TABS,
            chosen=status,
            path="/admin/refunds",
            next_cursor=page.next_cursor,
        )
        return self._show(request, admin, view)

    async def refund_page(
        self, request: Request, admin: CurrentAdmin, payment_id: UUID, told: Told = ""
    ) -> Response:
        """Show a payment's refunds, and the form for another one."""
        return await self._refund_page(request, admin, payment_id, note=NOTES.get(told))

    async def _refund_page(
        self,
        request: Request,
        admin: Admin,
        payment_id: UUID,
        *,
        status: int = 200,
        note: Note | None = None,
    ) -> Response:
        async with self._database.transaction() as session:
            payment = (await read_payment(session, payment_id)).payment
            found = await reads.refunds_of(session, payment_id)
        left = payment.captured > payment.refunded
        empty = "Nothing of it was refunded." if left else "Nothing was paid that can be refunded."
        asked = isinstance(self._resources.gateways.get(payment.gateway), Refunding)
        if left and not asked and note is None:
            note = refund_there(payment.gateway)
        view = View(
            title=f"Refunds of {payment.description}",
            back=(f"/admin/payments/{payment_id}", "Payment"),
            forms=[refund_form(payment, uuid4().hex)] if left and asked else (),
            tables=[lists.refunds(found, empty=empty)],
        )
        return self._show(request, admin, view, status=status, note=note)

    async def refund(
        self,
        request: Request,
        admin: CurrentAdmin,
        payment_id: UUID,
        amount: Typed = "",
        reason: Typed = "",
        key: Typed = "",
    ) -> Response:
        """Refund a payment; the same form sent twice is one refund."""

        async def act() -> str:
            async with self._database.transaction() as session:
                currency = (await read_payment(session, payment_id)).payment.currency
            if not reason.strip() or len(key) != KEY_LENGTH:
                raise UnprocessableError("Say why.")
            await actions.refund(
                self._resources,
                admin,
                payment_id,
                money=actions.money_of(amount, currency),
                reason=reason.strip(),
                # What is asked is part of the key: another amount is another refund, no mistake.
                key=f"{key}:{amount.strip()}",
            )
            return f"/admin/payments/{payment_id}/refund?told=refunded"

        async def again(status: int, note: Note) -> Response:
            return await self._refund_page(request, admin, payment_id, status=status, note=note)

        return await self._act(request, admin, act, again)

    async def disputes(
        self, request: Request, admin: CurrentAdmin, status: Filter = "", cursor: Cursor = None
    ) -> Response:
        """List disputes."""
        async with self._database.transaction() as session:
            page = await reads.disputes(session, status=status or None, cursor=cursor, limit=SIZE)
        view = View(
            title="Disputes",
            tables=[lists.disputes(page.data)],
            tabs=lists.DISPUTE_TABS,
            chosen=status,
            path="/admin/disputes",
            next_cursor=page.next_cursor,
        )
        return self._show(request, admin, view)

    async def payouts(
        self,
        request: Request,
        admin: CurrentAdmin,
        status: Filter = "",
        cursor: Cursor = None,
        told: Told = "",
    ) -> Response:
        """List payouts, and ask for one."""
        return await self._payouts(request, admin, status, cursor, note=NOTES.get(told))

    async def _payouts(
        self,
        request: Request,
        admin: Admin,
        chosen: str = "",
        cursor: str | None = None,
        *,
        status: int = 200,
        note: Note | None = None,
    ) -> Response:
        async with self._database.transaction() as session:
            page = await reads.payouts(session, status=chosen or None, cursor=cursor, limit=SIZE)
        view = View(
            title="Payouts",
            forms=[payout_form(uuid4().hex)],
            tables=[lists.payouts(page.data)],
            tabs=lists.PAYOUT_TABS,
            chosen=chosen,
            path="/admin/payouts",
            next_cursor=page.next_cursor,
        )
        return self._show(request, admin, view, status=status, note=note)

    async def request_payout(
        self,
        request: Request,
        admin: CurrentAdmin,
        merchant: Typed = "",
        amount: Typed = "",
        currency: Typed = "",
        key: Typed = "",
    ) -> Response:
        """Ask for a payout."""

        async def act() -> str:
            if not merchant.strip() or len(key) != KEY_LENGTH:
                raise UnprocessableError("Name the merchant.")
            line = await actions.request_payout(
                self._database,
                admin,
                merchant=merchant.strip(),
                money=actions.money_of(amount, currency.strip().upper()),
                key=f"{key}:{merchant.strip()}:{amount.strip()}:{currency.strip().upper()}",
            )
            return f"/admin/payouts/{line.id}?told=payout-requested"

        async def again(status: int, note: Note) -> Response:
            return await self._payouts(request, admin, status=status, note=note)

        return await self._act(request, admin, act, again)

    async def payout(
        self, request: Request, admin: CurrentAdmin, payout_id: UUID, told: Told = ""
    ) -> Response:
        """Show a payout with what can be done about it."""
        return await self._payout(request, admin, payout_id, note=NOTES.get(told))

    async def _payout(
        self,
        request: Request,
        admin: Admin,
        payout_id: UUID,
        *,
        status: int = 200,
        note: Note | None = None,
    ) -> Response:
        async with self._database.transaction() as session:
            row = await session.get(Payout, payout_id)
        if row is None:
            raise NotFoundError("There is no such payout.")
        line = reads.payout_line(row)
        forms = payout_forms(line, own=line.requested_by == admin.actor)
        view = View(
            title=f"Payout to {line.merchant}",
            back=("/admin/payouts", "Payouts"),
            facts=(
                ("Amount", amount(line.money)),
                ("Status", lists.badge(line.status)),
                ("Asked by", mono(line.requested_by)),
                ("Approved by", mono(line.approved_by)),
                ("Bank's reference", text(line.bank_ref)),
                ("Asked", at(line.created_at)),
            ),
            forms=[*forms, *([payout_end_form(line)] if line.status == "approved" else [])],
        )
        return self._show(request, admin, view, status=status, note=note)

    async def decide_payout(
        self,
        request: Request,
        admin: CurrentAdmin,
        payout_id: UUID,
        decision: Annotated[Literal["approve", "decline"], Form()],
    ) -> Response:
        """Approve or decline a payout."""

        async def act() -> str:
            await actions.decide_payout(self._database, admin, payout_id, decision)
            return f"/admin/payouts/{payout_id}?told=payout-{decision}"

        async def again(status: int, note: Note) -> Response:
            return await self._payout(request, admin, payout_id, status=status, note=note)

        return await self._act(request, admin, act, again)

    async def end_payout(
        self,
        request: Request,
        admin: CurrentAdmin,
        payout_id: UUID,
        to: Annotated[Literal["settled", "failed"], Form()],
        bank_ref: Typed = "",
    ) -> Response:
        """Note what the bank said."""

        async def act() -> str:
            if not bank_ref.strip():
                raise UnprocessableError("Give the bank's reference.")
            await actions.end_payout(
                self._database, admin, payout_id, to=to, bank_ref=bank_ref.strip()
            )
            return f"/admin/payouts/{payout_id}?told=payout-{to}"

        async def again(status: int, note: Note) -> Response:
            return await self._payout(request, admin, payout_id, status=status, note=note)

        return await self._act(request, admin, act, again)

    async def reviews(
        self, request: Request, admin: CurrentAdmin, cursor: Cursor = None
    ) -> Response:
        """List payments whose money did not fit."""
        async with self._database.transaction() as session:
            page = await reads.reviews(session, cursor=cursor, limit=SIZE)
        view = View(
            title="Payments in review",
            tables=[lists.reviews(page.data)],
            path="/admin/reviews",
            next_cursor=page.next_cursor,
        )
        return self._show(request, admin, view)

    async def review(
        self, request: Request, admin: CurrentAdmin, payment_id: UUID, told: Told = ""
    ) -> Response:
        """Show what waits of a payment, and how it is resolved."""
        return await self._review(request, admin, payment_id, note=NOTES.get(told))

    async def _review(
        self,
        request: Request,
        admin: Admin,
        payment_id: UUID,
        *,
        status: int = 200,
        note: Note | None = None,
    ) -> Response:
        async with self._database.transaction() as session:
            payment = await session.get(Payment, payment_id)
            if payment is None:
                raise NotFoundError("There is no such payment.")
            order = await session.get_one(Order, payment.order_id)
            line = await reads.review(session, payment, order)
        view = View(
            title=f"Review of {line.description}",
            back=("/admin/reviews", "Payments in review"),
            facts=(
                ("Ordered", amount(line.money)),
                ("Waits in suspense", amount(*line.waits)),
                ("Customer", mono(line.customer_id)),
                ("Gateway", text(line.gateway)),
                ("Payment there", mono(line.payment_ref)),
            ),
            links=((f"/admin/payments/{payment_id}", "What happened"),),
            forms=[credit_form(line)] if line.waits else (),
        )
        return self._show(request, admin, view, status=status, note=note)

    async def credit(self, request: Request, admin: CurrentAdmin, payment_id: UUID) -> Response:
        """Make what waits the customer's credit."""

        async def act() -> str:
            await actions.credit_review(self._database, admin, payment_id)
            return f"/admin/reviews/{payment_id}?told=credited"

        async def again(status: int, note: Note) -> Response:
            return await self._review(request, admin, payment_id, status=status, note=note)

        return await self._act(request, admin, act, again)

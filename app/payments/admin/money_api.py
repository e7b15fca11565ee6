"""The admin's JSON API of money. What moves money takes an `Idempotency-Key`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from payments.access.guard import CurrentAdmin, current_admin
from payments.admin import money_actions as actions
from payments.admin import money_reads as reads
from payments.admin.api import PREFIX, Filter
from payments.admin.money_report import run_csv
from payments.admin.money_views import (
    DeliveryLine,
    DisputeLine,
    Health,
    PayoutLine,
    RateLine,
    RefundLine,
    ReviewLine,
    RunDetail,
    RunLine,
    SubscriptionLine,
)
from payments.db import RequestSession
from payments.errors import ForbiddenError
from payments.idempotency.http import idempotency_key
from payments.money import MAX_AMOUNT, Money, MoneyError
from payments.paging import SIZE, Cursor, Limit, Page
from payments.people.web import CookieAuthenticator
from payments.resources import Resources

Key = Annotated[str, Depends(idempotency_key)]
Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT, strict=True)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3,5}$")]
Words = Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,200}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewRefund(_Body):
    """How much to give back (null: all that is left), and why."""

    amount: Amount | None = None
    currency: Currency
    reason: Words


class NewPayout(_Body):
    """What to pay to whom."""

    merchant: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
    amount: Amount
    currency: Currency


class PayoutEnd(_Body):
    """What the bank said."""

    to: Literal["settled", "failed"]
    bank_ref: Words


class NewRate(_Body):
    """A rate from now on, for some hours."""

    base: Currency
    quote: Currency
    rate: Annotated[str, Field(max_length=32)]
    hours: Annotated[int, Field(ge=1, le=168, strict=True)]
    far_is_meant: Annotated[bool, Field(strict=True)] = False


class Reconciliation(_Body):
    """Which gateway to reconcile now."""

    gateway: Annotated[str, Field(pattern=r"^[a-z]{1,20}$")]


class Ending(_Body):
    """Whether to end now, or with the period."""

    now: Annotated[bool, Field(strict=True)] = False


class Accepted(BaseModel):
    """It was handed to the worker, or is done."""

    status: str


def decimal(text: str) -> Decimal:
    """Read a rate. Raises `BadRateError`."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise actions.BadRateError("Write a rate like 1.0835.") from None


def money(amount: int, currency: str) -> Money:
    """Return an amount that was sent. Raises `BadAmountError`."""
    try:
        return Money(amount, currency)
    except MoneyError as error:
        raise actions.BadAmountError(f"{error}.") from None


class MoneyApi:
    """The endpoints; none is in the public description of the API."""

    def __init__(self, resources: Resources, authenticator: CookieAuthenticator) -> None:
        self._resources = resources
        self._database = resources.database
        self._authenticator = authenticator
        self.routes = APIRouter(
            prefix=PREFIX,
            include_in_schema=False,
            dependencies=[Depends(current_admin), Depends(self._check_origin)],
        )
        get, post, add = ["GET"], ["POST"], self.routes.add_api_route
        # The tag is the right it takes (`access.rights`); what has none is for people alone.
        add("/refunds", self.refunds, methods=get)
        add(
            "/payments/{payment_id}/refunds",
            self.refund,
            methods=post,
            status_code=201,
            tags=["money"],
        )
        add("/disputes", self.disputes, methods=get)
        add("/payouts", self.payouts, methods=get)
        add("/payouts", self.request_payout, methods=post, status_code=201)
        add("/payouts/{payout_id}/{decision}", self.decide_payout, methods=post)
        add("/payouts/{payout_id}", self.end_payout, methods=post, tags=["money"])
        add("/reviews", self.reviews, methods=get)
        add("/reviews/{payment_id}/credit", self.credit, methods=post, tags=["money"])
        add("/reconciliations", self.runs, methods=get)
        add("/reconciliations", self.reconcile, methods=post, status_code=202, tags=["write"])
        add("/reconciliations/{run_id}", self.run, methods=get)
        add("/reconciliations/{run_id}/csv", self.run_csv, methods=get)
        add("/exchange-rates", self.rates, methods=get)
        add("/exchange-rates", self.add_rate, methods=post, status_code=201, tags=["money"])
        add("/subscriptions", self.subscriptions, methods=get)
        add("/subscriptions/{subscription_id}/cancel", self.cancel, methods=post, tags=["write"])
        add("/webhook-deliveries", self.deliveries, methods=get)
        add("/health", self.health, methods=get)

    async def _check_origin(self, request: Request) -> None:
        """Refuse what another site makes an admin's browser send; see `AdminApi`."""
        if request.method == "GET":
            return
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or not self._authenticator.same_origin(request):
            raise ForbiddenError("Send this as application/json, and not from another site.")

    async def refunds(
        self,
        session: RequestSession,
        status: Filter = None,
        cursor: Cursor = None,
        limit: Limit = SIZE,
    ) -> Page[RefundLine]:
        """List refunds."""
        return await reads.refunds(session, status=status, cursor=cursor, limit=limit)

    async def refund(
        self, admin: CurrentAdmin, payment_id: UUID, payload: NewRefund, key: Key
    ) -> RefundLine:
        """Refund a payment."""
        view = await actions.refund(
            self._resources,
            admin,
            payment_id,
            money=money(payload.amount, payload.currency) if payload.amount else None,
            reason=payload.reason,
            key=key,
        )
        async with self._database.transaction() as session:
            lines = await reads.refunds_of(session, payment_id)
        return next(line for line in lines if line.id == view.id)

    async def disputes(
        self,
        session: RequestSession,
        status: Filter = None,
        cursor: Cursor = None,
        limit: Limit = SIZE,
    ) -> Page[DisputeLine]:
        """List disputes."""
        return await reads.disputes(session, status=status, cursor=cursor, limit=limit)

    async def payouts(
        self,
        session: RequestSession,
        status: Filter = None,
        cursor: Cursor = None,
        limit: Limit = SIZE,
    ) -> Page[PayoutLine]:
        """List payouts."""
        return await reads.payouts(session, status=status, cursor=cursor, limit=limit)

    async def request_payout(self, admin: CurrentAdmin, payload: NewPayout, key: Key) -> PayoutLine:
        """Ask for a payout."""
        return await actions.request_payout(
            self._database,
            admin,
            merchant=payload.merchant,
            money=money(payload.amount, payload.currency),
            key=key,
        )

    async def decide_payout(
        self, admin: CurrentAdmin, payout_id: UUID, decision: Literal["approve", "decline"]
    ) -> PayoutLine:
        """Approve or decline a payout that somebody else asked for."""
        return await actions.decide_payout(self._database, admin, payout_id, decision)

    async def end_payout(
        self, admin: CurrentAdmin, payout_id: UUID, payload: PayoutEnd
    ) -> PayoutLine:
        """Note what the bank said."""
        return await actions.end_payout(
            self._database, admin, payout_id, to=payload.to, bank_ref=payload.bank_ref
        )

    async def reviews(
        self, session: RequestSession, cursor: Cursor = None, limit: Limit = SIZE
    ) -> Page[ReviewLine]:
        """List payments whose money did not fit."""
        return await reads.reviews(session, cursor=cursor, limit=limit)

    async def credit(self, admin: CurrentAdmin, payment_id: UUID) -> ReviewLine:
        """Make what waits of a payment its customer's credit."""
        return await actions.credit_review(self._database, admin, payment_id)

    async def runs(
        self, session: RequestSession, cursor: Cursor = None, limit: Limit = SIZE
    ) -> Page[RunLine]:
        """List reconciliations."""
        return await reads.runs(session, cursor=cursor, limit=limit)

    async def reconcile(self, admin: CurrentAdmin, payload: Reconciliation) -> Accepted:
        """Have the worker reconcile a gateway."""
        await actions.reconcile_now(self._resources, admin, payload.gateway)
        return Accepted(status="accepted")

    async def run(self, session: RequestSession, run_id: UUID) -> RunDetail:
        """Show a reconciliation with what it found."""
        return await reads.run(session, run_id)

    async def run_csv(self, session: RequestSession, run_id: UUID) -> Response:
        """Return what a reconciliation found as CSV."""
        return run_csv(await reads.run(session, run_id))

    async def rates(
        self, session: RequestSession, cursor: Cursor = None, limit: Limit = SIZE
    ) -> Page[RateLine]:
        """List exchange rates."""
        return await reads.rates(session, cursor=cursor, limit=limit)

    async def add_rate(self, admin: CurrentAdmin, payload: NewRate) -> RateLine:
        """Add an exchange rate."""
        return await actions.add_rate(
            self._database,
            admin,
            base=payload.base,
            quote=payload.quote,
            rate=decimal(payload.rate),
            hours=payload.hours,
            far_is_meant=payload.far_is_meant,
        )

    async def subscriptions(
        self,
        session: RequestSession,
        status: Filter = None,
        cursor: Cursor = None,
        limit: Limit = SIZE,
    ) -> Page[SubscriptionLine]:
        """List subscriptions."""
        return await reads.subscriptions(session, status=status, cursor=cursor, limit=limit)

    async def cancel(self, admin: CurrentAdmin, subscription_id: UUID, payload: Ending) -> Accepted:
        """Cancel a customer's subscription."""
        view = await actions.cancel_subscription(
            self._database, admin, subscription_id, now=payload.now
        )
        return Accepted(status=view.status)

    async def deliveries(
        self,
        session: RequestSession,
        state: Annotated[str | None, Query(max_length=100)] = None,
        cursor: Cursor = None,
        limit: Limit = SIZE,
    ) -> Page[DeliveryLine]:
        """List webhooks to customers."""
        return await reads.deliveries(session, state=state, cursor=cursor, limit=limit)

    async def health(self, session: RequestSession) -> Health:
        """Say how payments go."""
        return await reads.how_payments_go(session)

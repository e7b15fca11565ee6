"""Subscriptions over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from payments.db import RequestSession
from payments.idempotency.http import idempotency_key, once
from payments.idempotency.store import Answer, Reservation
from payments.resources import Resources
from payments.security import CurrentPrincipal
from payments.subscriptions import changes, service
from payments.subscriptions.entitlement import RequireFeature, features
from payments.subscriptions.plans import PLANS
from payments.subscriptions.service import SubscriptionView

router = APIRouter(prefix="/api/v1", tags=["subscriptions"])

Key = Annotated[str, Depends(idempotency_key)]
PLAN: Final = r"^[a-z0-9-]{1,40}$"

_EXAMPLE: Final[dict[str, Any]] = {
    "id": "8a4f0c57-6f0e-4f2b-8f43-2a9f5d6c7e10",
    "plan": "club-month",
    "next_plan": None,
    "amount": 900,
    "currency": "EUR",
    "status": "active",
    "period_end": "2026-12-21T10:15:00Z",
    "cancel_at_end": False,
    "credit": 0,
    "order_id": None,
    "checkout_url": None,
}


class NewSubscription(BaseModel):
    """What to subscribe to."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"plan": "club-month", "currency": "EUR"}]},
    )

    plan: Annotated[str, Field(pattern=PLAN)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class PlanChange(BaseModel):
    """Which plan to change to."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"plan": "club-plus-month"}]}
    )

    plan: Annotated[str, Field(pattern=PLAN)]


class Cancellation(BaseModel):
    """When to end: after what is paid, or now."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"now": False}]})

    now: Annotated[bool, Field(strict=True)] = False


class SubscriptionOut(BaseModel):
    """A subscription. While `checkout_url` is set, something is to be paid there."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    plan: str
    next_plan: Annotated[str | None, Field(description="begins when its difference is paid")]
    amount: Annotated[int, Field(description="minor units per interval")]
    currency: str
    status: str
    period_end: datetime | None
    cancel_at_end: bool
    credit: Annotated[int, Field(description="what the next periods cost less, minor units")]
    order_id: UUID | None
    checkout_url: str | None

    @classmethod
    def of(cls, view: SubscriptionView) -> SubscriptionOut:
        """Return a view in the API's form."""
        return cls(
            id=view.id,
            plan=view.plan,
            next_plan=view.next_plan,
            amount=view.money.amount,
            currency=view.money.currency,
            status=view.status,
            period_end=view.period_end,
            cancel_at_end=view.cancel_at_end,
            credit=view.credit.amount,
            order_id=view.order_id,
            checkout_url=view.checkout_url,
        )


class SubscriptionList(BaseModel):
    """All subscriptions of the caller."""

    data: list[SubscriptionOut]


class PlanOut(BaseModel):
    """A plan: prices in minor units by currency, per interval."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "key": "club-month",
                    "name": "Coffee club, monthly",
                    "interval": "month",
                    "prices": {"EUR": 900, "USD": 990},
                    "features": ["club"],
                    "trial_days": 0,
                }
            ]
        }
    )

    key: str
    name: str
    interval: str
    prices: dict[str, int]
    features: list[str]
    trial_days: int


class PlanList(BaseModel):
    """All plans."""

    data: list[PlanOut]


class Features(BaseModel):
    """What the caller's subscriptions open now."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"features": ["club"]}]})

    features: list[str]


class Page(BaseModel):
    """Where something is paid; null while the gateway has not answered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"checkout_url": "https://checkout.stripe.com/c/pay/cs_test_a1b2c3"}]
        }
    )

    checkout_url: str | None


class Offers(BaseModel):
    """What members are offered."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"data": ["Tasting set, members' price"]}]}
    )

    data: list[str]


@router.get("/plans", summary="List the plans")
async def list_plans() -> PlanList:
    """List what can be subscribed to."""
    return PlanList(
        data=[
            PlanOut(
                key=plan.key,
                name=plan.name,
                interval=plan.interval,
                prices=dict(plan.prices),
                features=sorted(plan.features),
                trial_days=plan.trial_days,
            )
            for plan in PLANS.values()
        ]
    )


@router.post(
    "/payments/create-subscription",
    summary="Subscribe",
    status_code=201,
    response_model=SubscriptionOut,
    responses={
        409: {"description": "You have this plan, or a request with this key is running."},
        422: {"description": "Unknown plan or price, or the key came with another body."},
        503: {"description": "No gateway takes the payment."},
    },
)
async def create_subscription(
    request: Request, principal: CurrentPrincipal, payload: NewSubscription, key: Key
) -> Response:
    """Begin a subscription: with its trial, or when the first period is paid at `checkout_url`."""
    resources: Resources = request.app.state.resources

    async def run(reservation: Reservation) -> Answer:
        answers: list[Answer] = []

        async def finish(session: AsyncSession, view: SubscriptionView) -> None:
            answers.append(_answer(201, SubscriptionOut.of(view)))
            await reservation.finish(session, answers[0])

        await service.create(
            resources,
            customer_id=principal.id,
            request_key=reservation.request_key,
            plan_key=payload.plan,
            currency=payload.currency,
            finish=finish,
        )
        return answers[0]

    return await once(request, principal=principal, key=key, payload=payload, run=run)


def _answer(status: int, body: BaseModel) -> Answer:
    return Answer(
        status=status,
        headers={"content-type": "application/json"},
        body=body.model_dump_json().encode(),
    )


@router.get("/subscriptions", summary="List your subscriptions")
async def list_subscriptions(
    principal: CurrentPrincipal, session: RequestSession
) -> SubscriptionList:
    """List the caller's subscriptions, newest first."""
    views = await service.list_for(session, principal.id)
    return SubscriptionList(data=[SubscriptionOut.of(view) for view in views])


@router.get("/subscriptions/features", summary="What your subscriptions open")
async def list_features(request: Request, principal: CurrentPrincipal) -> Features:
    """Return the features that are open to the caller now."""
    return Features(features=sorted(await features(request.app.state.resources, principal.id)))


_MOVES: Final[dict[int | str, dict[str, Any]]] = {
    404: {"description": "There is none, or it is somebody else's."},
    409: {"description": "Not possible in the subscription's state."},
}


_PAID_MOVES: Final[dict[int | str, dict[str, Any]]] = {
    **_MOVES,
    409: {
        "description": "Not possible in the subscription's state, or a request with this key runs."
    },
    503: {"description": "No gateway takes the payment."},
}


class Paying(BaseModel):
    """What a request to pay is about: the key belongs to this subscription."""

    subscription_id: UUID


class Changing(PlanChange):
    """What a change is about: the key belongs to this subscription and plan."""

    subscription_id: UUID


@router.post(
    "/subscriptions/{subscription_id}/pay",
    summary="Pay what is due",
    response_model=Page,
    responses=_PAID_MOVES,
)
async def pay(
    request: Request, subscription_id: UUID, principal: CurrentPrincipal, key: Key
) -> Response:
    """Return a page for what is due: a period, or a change of plan; the same while it is open."""
    resources: Resources = request.app.state.resources

    async def run(reservation: Reservation) -> Answer:
        url = await service.pay(
            resources, customer_id=principal.id, subscription_id=subscription_id
        )
        answer = _answer(200, Page(checkout_url=url))
        async with resources.database.transaction() as session:
            await reservation.finish(session, answer)
        return answer

    payload = Paying(subscription_id=subscription_id)
    return await once(request, principal=principal, key=key, payload=payload, run=run)


@router.post(
    "/subscriptions/{subscription_id}/change",
    summary="Change plan",
    response_model=SubscriptionOut,
    responses=_PAID_MOVES,
)
async def change(
    request: Request,
    subscription_id: UUID,
    principal: CurrentPrincipal,
    payload: PlanChange,
    key: Key,
) -> Response:
    """Change to another plan of the same interval.

    A dearer one is charged for the rest of the period, and begins when that is paid: where
    `checkout_url` is set, there. A cheaper one leaves `credit`.
    """
    resources: Resources = request.app.state.resources

    async def run(reservation: Reservation) -> Answer:
        answers: list[Answer] = []

        async def finish(session: AsyncSession, view: SubscriptionView) -> None:
            answers.append(_answer(200, SubscriptionOut.of(view)))
            await reservation.finish(session, answers[0])

        await changes.change_plan(
            resources,
            customer_id=principal.id,
            subscription_id=subscription_id,
            plan_key=payload.plan,
            request_key=reservation.request_key,
            finish=finish,
        )
        return answers[0]

    about = Changing(plan=payload.plan, subscription_id=subscription_id)
    return await once(request, principal=principal, key=key, payload=about, run=run)


@router.post("/subscriptions/{subscription_id}/cancel", summary="Cancel", responses=_MOVES)
async def cancel(
    session: RequestSession,
    subscription_id: UUID,
    principal: CurrentPrincipal,
    payload: Cancellation,
) -> SubscriptionOut:
    """Cancel at the end of what is paid, or now.

    Nothing is refunded by this alone; `credit` goes into your wallet when the subscription ends.
    While the next period is being paid, it is the last one; cancelled now, its money comes back.
    """
    view = await service.cancel(
        session, customer_id=principal.id, subscription_id=subscription_id, now=payload.now
    )
    return SubscriptionOut.of(view)


@router.post("/subscriptions/{subscription_id}/pause", summary="Pause", responses=_MOVES)
async def pause(
    session: RequestSession, subscription_id: UUID, principal: CurrentPrincipal
) -> SubscriptionOut:
    """Stop renewing; what is paid can be used to its end, also by a charge that is under way."""
    view = await service.pause(session, customer_id=principal.id, subscription_id=subscription_id)
    return SubscriptionOut.of(view)


@router.post("/subscriptions/{subscription_id}/resume", summary="Resume", responses=_MOVES)
async def resume(
    session: RequestSession, subscription_id: UUID, principal: CurrentPrincipal
) -> SubscriptionOut:
    """Renew again; after a pause, or before a cancellation takes effect.

    After a pause that was longer than what was paid, the next period is charged for at once, and
    begins when it is paid.
    """
    view = await service.resume(session, customer_id=principal.id, subscription_id=subscription_id)
    return SubscriptionOut.of(view)


@router.get(
    "/club/offers",
    summary="What members of the club are offered",
    dependencies=[Depends(RequireFeature("club"))],
    responses={402: {"description": "It belongs to a plan that you do not have."}},
)
async def club_offers() -> Offers:
    """Return the club's offers: the example of something behind the paywall."""
    return Offers(data=["Tasting set, members' price", "First pick of the new harvest"])

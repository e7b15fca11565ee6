"""Pages of subscriptions: plans, and what one has of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from payments.errors import NotFoundError, ProblemError
from payments.pages.account import CurrentSession
from payments.pages.payments import FORM_KEY
from payments.pages.render import Note, Renderer
from payments.pages.status import State, Tone
from payments.people.sessions import Session
from payments.resources import Resources
from payments.subscriptions import changes, service
from payments.subscriptions.periods import DUNNING
from payments.subscriptions.plans import PLANS, Plan
from payments.subscriptions.service import SubscriptionStateError, SubscriptionView

Text = Annotated[str, Form(max_length=100)]

HOME: Final = "/subscriptions"
ENDED: Final = frozenset({"canceled", "expired"})

_STATES: Final[dict[str, tuple[str, Tone]]] = {
    "incomplete": ("Waiting for payment", "wait"),
    "trialing": ("Trial", "good"),
    "active": ("Active", "good"),
    "past_due": ("Payment due", "bad"),
    "paused": ("Paused", "calm"),
    "canceled": ("Ended", "calm"),
    "expired": ("Ended", "calm"),
}

_MEANINGS: Final = {
    "incomplete": "It begins when the first payment is confirmed. Unpaid, it lapses within a day.",
    "past_due": "A payment is due, and has not gone through yet. We try again over the next"
    f" {sum(DUNNING, timedelta()).days} days, then it ends. Pay what is due, and it goes on.",
    "paused": "It is not renewed, and nothing is charged, until you resume it.",
}
"""What a status asks of the customer, where its badge does not say it all."""

_NOTES: Final = {
    "begun": Note("good", "Your subscription has begun."),
    "waiting": Note("wait", "The payment provider has not answered yet. Look again in a moment."),
    "changed": Note("good", "Your plan is changed."),
    "to-pay": Note("wait", "Your plan changes when the difference is paid."),
    "paused": Note("good", "Paused: it is not renewed, and what is paid can be used to its end."),
    "resumed": Note("good", "It is renewed again."),
    "to-resume": Note("wait", "It goes on as soon as the next period is paid."),
    "cancelled": Note("good", "Cancelled. Nothing more is charged."),
}


class SubscriptionPages:
    """The pages and what their forms do."""

    def __init__(self, renderer: Renderer, resources: Resources) -> None:
        self._renderer = renderer
        self._resources = resources
        self.routes = APIRouter(include_in_schema=False)
        add = self.routes.add_api_route
        add(HOME, self.overview, methods=["GET"])
        add(HOME, self.subscribe, methods=["POST"])
        add(HOME + "/{subscription_id}/pay", self.pay, methods=["POST"])
        add(HOME + "/{subscription_id}/change", self.change, methods=["POST"])
        add(HOME + "/{subscription_id}/pause", self.pause, methods=["POST"])
        add(HOME + "/{subscription_id}/resume", self.resume, methods=["POST"])
        add(HOME + "/{subscription_id}/cancel", self.ask_cancel, methods=["GET"])
        add(HOME + "/{subscription_id}/cancel", self.cancel, methods=["POST"])

    async def overview(
        self, request: Request, session: CurrentSession, currency: str = "", told: str = ""
    ) -> Response:
        """Show what one has, and every plan in one currency."""
        return await self._page(request, session, currency, note=_NOTES.get(told))

    async def subscribe(
        self,
        request: Request,
        session: CurrentSession,
        plan: Text = "",
        currency: Text = "",
        idempotency_key: Text = "",
    ) -> Response:
        """Begin a subscription and go on to its checkout; the same form sent twice begins one."""

        async def act() -> str:
            if not FORM_KEY.fullmatch(idempotency_key):
                raise SubscriptionStateError("Load the page again, and choose a plan.")
            view = await service.create(
                self._resources,
                customer_id=session.user_id,
                request_key=f"page:{session.user_id}:{idempotency_key}:{plan}:{currency}"[:200],
                plan_key=plan,
                currency=currency,
            )
            if view.status == "incomplete":
                return _checkout(view)
            return f"{HOME}?told=begun"

        return await self._act(request, session, act, currency)

    async def pay(
        self, request: Request, session: CurrentSession, subscription_id: UUID
    ) -> Response:
        """Go on to the page where what is due is paid."""

        async def act() -> str:
            await service.pay(
                self._resources, customer_id=session.user_id, subscription_id=subscription_id
            )
            return _checkout(await self._find(session, subscription_id))

        return await self._act(request, session, act)

    async def change(
        self, request: Request, session: CurrentSession, subscription_id: UUID, plan: Text = ""
    ) -> Response:
        """Change to another plan, and go on to where its difference is paid."""

        async def act() -> str:
            view = await changes.change_plan(
                self._resources,
                customer_id=session.user_id,
                subscription_id=subscription_id,
                plan_key=plan,
            )
            if view.next_plan and view.checkout_url:
                return _checkout(view)
            return f"{HOME}?told={'to-pay' if view.next_plan else 'changed'}"

        return await self._act(request, session, act)

    async def pause(
        self, request: Request, session: CurrentSession, subscription_id: UUID
    ) -> Response:
        """Stop renewing."""

        async def act() -> str:
            async with self._resources.database.transaction() as transaction:
                await service.pause(
                    transaction, customer_id=session.user_id, subscription_id=subscription_id
                )
            return f"{HOME}?told=paused"

        return await self._act(request, session, act)

    async def resume(
        self, request: Request, session: CurrentSession, subscription_id: UUID
    ) -> Response:
        """Renew again."""

        async def act() -> str:
            async with self._resources.database.transaction() as transaction:
                view = await service.resume(
                    transaction, customer_id=session.user_id, subscription_id=subscription_id
                )
            return f"{HOME}?told={'to-resume' if view.status == 'past_due' else 'resumed'}"

        return await self._act(request, session, act)

    async def ask_cancel(
        self, request: Request, session: CurrentSession, subscription_id: UUID
    ) -> Response:
        """Ask whether, and when, it shall end."""
        view = await self._find(session, subscription_id)
        return await self._renderer.page(
            request,
            "subscription_cancel.html",
            subscription=view,
            name=_name(view.plan),
            running=view.status in service.RUNNING and not view.cancel_at_end,
        )

    async def cancel(
        self,
        request: Request,
        session: CurrentSession,
        subscription_id: UUID,
        when: Annotated[Literal["end", "now"], Form()],
    ) -> Response:
        """End it: after what is paid, or now."""

        async def act() -> str:
            async with self._resources.database.transaction() as transaction:
                await service.cancel(
                    transaction,
                    customer_id=session.user_id,
                    subscription_id=subscription_id,
                    now=when == "now",
                )
            return f"{HOME}?told=cancelled"

        return await self._act(request, session, act)

    async def _act(
        self,
        request: Request,
        session: Session,
        act: Callable[[], Awaitable[str]],
        currency: str = "",
    ) -> Response:
        """Do what a form asks for and go on; where that is refused, show the page with why."""
        try:
            return RedirectResponse(await act(), 303)
        except NotFoundError:
            raise
        except ProblemError as error:
            note = Note("bad", error.detail)
            return await self._page(request, session, currency, error.status, note=note)

    async def _find(self, session: Session, subscription_id: UUID) -> SubscriptionView:
        async with self._resources.database.transaction() as transaction:
            for view in await service.list_for(transaction, session.user_id):
                if view.id == subscription_id:
                    return view
        raise NotFoundError("There is no such subscription.")

    async def _page(
        self,
        request: Request,
        session: Session,
        currency: str,
        status: int = 200,
        *,
        note: Note | None = None,
    ) -> Response:
        async with self._resources.database.transaction() as transaction:
            mine = await service.list_for(transaction, session.user_id)
        offered = sorted({code for plan in PLANS.values() for code in plan.prices})
        chosen = currency if currency in offered else "EUR"
        live = [_row(view) for view in mine if view.status not in ENDED]
        # What one can change to is no second subscription beside the first.
        taken = {key for row in live for key in row["plans"]}
        return await self._renderer.page(
            request,
            "subscriptions.html",
            status,
            note=note,
            mine=live,
            ended=[_row(view) for view in mine if view.status in ENDED],
            plans=[
                (plan, plan.price(chosen))
                for plan in PLANS.values()
                if chosen in plan.prices and plan.key not in taken
            ],
            trial=not mine,
            currencies=offered,
            currency=chosen,
            idempotency_key=uuid4().hex,
        )


def _row(view: SubscriptionView) -> dict[str, Any]:
    """Return what the page shows of a subscription, and what can be done with it."""
    label, tone = _STATES.get(view.status, (view.status.capitalize(), "calm"))
    plan = PLANS.get(view.plan)
    running = view.status in service.RUNNING
    others = _others(plan, view) if running and not view.next_plan else []
    return {
        "view": view,
        "name": _name(view.plan),
        "interval": plan.interval if plan else "",
        "next": _name(view.next_plan) if view.next_plan else None,
        "state": State(label, tone),
        "meaning": _MEANINGS.get(view.status),
        "due": view.order_id is not None and view.status not in ENDED,
        "changes": [(other, other.price(view.money.currency)) for other in others],
        "plans": {view.plan, view.next_plan, *(other.key for other in others)},
        "pausable": view.status == "active" and not view.cancel_at_end,
        "resumable": view.status == "paused" or (running and view.cancel_at_end),
    }


def _others(plan: Plan | None, view: SubscriptionView) -> list[Plan]:
    return [
        other
        for other in PLANS.values()
        if plan is not None
        and other.key != plan.key
        and other.interval == plan.interval
        and view.money.currency in other.prices
    ]


def _name(plan: str) -> str:
    return PLANS[plan].name if plan in PLANS else plan


def _checkout(view: SubscriptionView) -> str:
    if view.order_id is None or view.checkout_url is None:
        return f"{HOME}?told=waiting"
    return f"/orders/{view.order_id}/checkout"

"""Pages of payments: overview, a new payment, the way to the checkout, an order."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.ext.asyncio import AsyncSession

from payments.errors import NotFoundError, UnprocessableError
from payments.gateways.registry import GatewayNotOfferedError
from payments.money import Money
from payments.orders import catalogue, listing, service, suspense
from payments.orders.service import NotRetryableError, OrderView
from payments.pages import books, unexpected
from payments.pages.account import CurrentSession
from payments.pages.render import Note, Renderer
from payments.pages.status import (
    CONFIRMABLE,
    CONFIRMING,
    DECIDED,
    PAID,
    WAITING,
    State,
    order_state,
    refund_state,
)
from payments.paging import SIZE, Cursor
from payments.people.sessions import Session
from payments.refunds import service as refunds
from payments.resources import Resources

FORM_KEY: Final = re.compile(r"[0-9a-f]{32}")

CHECKOUT_SCHEMES: Final = frozenset({"https", "http"})
"""Of a checkout's address: it comes from the gateway, and goes into a page."""

Returned = Literal["", "paid", "cancelled"]
"""What the checkout says of the way back: a hint for words, never a fact."""

NOTHING_CHOSEN: Final = Note("bad", "Choose what to pay for.")
PRICE_CHANGED: Final = Note("bad", "This is not sold any more. Choose again.")
CANCELLED: Final = Note(
    "info", "You left the checkout without paying. Nothing was charged, and the order stays open."
)
NO_ANSWER: Final = Note(
    "wait",
    "The payment provider has not answered yet. We keep asking; this page changes by itself.",
)
NOT_REACHED: Final = Note(
    "bad",
    "The payment provider did not accept this order. Nothing was charged. Try again, or begin a"
    " new payment and choose another way to pay.",
)
FAILED: Final = Note(
    "bad",
    "The payment was refused, and nothing was charged. Pay again, with another card if you have"
    " one, or ask your bank why.",
)
EXPIRED: Final = Note(
    "info", "Nobody paid in time, and nothing was charged. If you still want it, try again."
)

NOT_OFFERED: Final = Note("bad", "This way to pay is not offered for that. Choose again.")

GATEWAYS: Final = {
    "stripe": "Card, by Stripe",
    "razorpay": "UPI, card or bank, by Razorpay",
    "paypal": "PayPal",
    "cryptomus": "Crypto, by Cryptomus",
}

RETRYABLE: Final = frozenset({"remote_failed", "failed", "expired"})
"""Nothing was paid and nothing can be any more; the service has the last word."""

_NOTES: Final = {"remote_failed": NOT_REACHED, "failed": FAILED, "expired": EXPIRED}

Text = Annotated[str, Form()]


class PaymentPages:
    """The pages and what their forms do."""

    def __init__(self, renderer: Renderer, resources: Resources) -> None:
        self._renderer = renderer
        self._resources = resources
        self.routes = APIRouter(include_in_schema=False)
        add = self.routes.add_api_route
        add("/dashboard", self.dashboard, methods=["GET"])
        add("/payments/new", self.new_form, methods=["GET"])
        add("/payments/new", self.create, methods=["POST"])
        add("/checkout/return", self.returned, methods=["GET"])
        add("/checkout/cancelled", self.cancelled, methods=["GET"])
        add("/orders/{order_id}", self.order, methods=["GET"])
        add("/orders/{order_id}/checkout", self.checkout, methods=["GET"])
        add("/orders/{order_id}/retry", self.retry, methods=["POST"])
        add("/orders/{order_id}/status", self.status, methods=["GET"])

    async def dashboard(
        self, request: Request, session: CurrentSession, cursor: Cursor = None
    ) -> Response:
        """Show balances, orders and entries; with a cursor older orders."""
        async with self._resources.database.transaction() as transaction:
            orders = await listing.page_for(
                transaction, customer_id=session.user_id, cursor=cursor, limit=SIZE
            )
            balances = await books.balances(transaction, session.user_id)
            entries = await books.entries(transaction, session.user_id, orders.data)
            states = [await _state(transaction, order) for order in orders.data]
        return await self._renderer.page(
            request,
            "dashboard.html",
            orders=list(zip(orders.data, states, strict=True)),
            next_cursor=orders.next_cursor,
            balances=balances,
            entries=entries,
        )

    async def new_form(
        self, request: Request, _: CurrentSession, currency: str = "EUR"
    ) -> Response:
        """Show the catalogue in one currency."""
        return await self._new_page(request, currency)

    async def create(
        self,
        request: Request,
        session: CurrentSession,
        sku: Text = "",
        currency: Text = "",
        gateway: Text = "",
        idempotency_key: Text = "",
    ) -> Response:
        """Place the order and go on to its checkout. The same form sent twice is one order."""
        if not FORM_KEY.fullmatch(idempotency_key) or not sku:
            return await self._new_page(request, currency, 422, note=NOTHING_CHOSEN)
        try:
            order = await service.place(
                self._resources,
                customer_id=session.user_id,
                # The choice is part of the key: going back and choosing something else is another
                # order, and no mistake.
                request_key=":".join(
                    ("page", str(session.user_id), idempotency_key, sku, currency, gateway)
                )[:200].rstrip(":"),
                sku=sku,
                currency=currency,
                gateway=gateway or None,
            )
        except GatewayNotOfferedError:
            return await self._new_page(request, currency, 422, note=NOT_OFFERED)
        except UnprocessableError:
            return await self._new_page(request, currency, 422, note=PRICE_CHANGED)
        leaf = "/checkout" if order.checkout_url else ""
        return RedirectResponse(f"/orders/{order.id}{leaf}", 303)

    async def retry(self, request: Request, session: CurrentSession, order_id: UUID) -> Response:
        """Make another payment page and go on to it; where there is one, or no need, look."""
        try:
            order = await service.retry(
                self._resources, order_id=order_id, customer_id=session.user_id
            )
        except NotRetryableError:
            return RedirectResponse(f"/orders/{order_id}", 303)
        leaf = "/checkout" if order.checkout_url else ""
        return RedirectResponse(f"/orders/{order_id}{leaf}", 303)

    async def checkout(self, request: Request, session: CurrentSession, order_id: UUID) -> Response:
        """Go on to the hosted checkout, from a page: the policy lets no form lead elsewhere."""
        order = await self._find(session, order_id)
        url = order.checkout_url
        if url is None or urlsplit(url).scheme not in CHECKOUT_SCHEMES:
            return RedirectResponse(f"/orders/{order.id}", 303)
        return await self._renderer.page(
            request,
            "to_checkout.html",
            order=order,
            checkout_url=url,
            checkout_host=urlsplit(url).hostname,
        )

    async def returned(self, request: Request, order: UUID) -> Response:
        """Come back from the checkout. What was paid, our books say, and the order's page shows."""
        return await self._land(request, f"/orders/{order}?returned=paid")

    async def cancelled(self, request: Request, order: UUID) -> Response:
        """Come back from the checkout without having paid there."""
        return await self._land(request, f"/orders/{order}?returned=cancelled")

    async def order(
        self, request: Request, session: CurrentSession, order_id: UUID, returned: Returned = ""
    ) -> Response:
        """Show an order and its history."""
        order = await self._find(session, order_id)
        confirming = returned == "paid" and order.status in CONFIRMABLE
        async with self._resources.database.transaction() as transaction:
            steps = await books.history(transaction, order)
            given_back = await refunds.list_for_order(transaction, order_id)
            unfitting = await suspense.outcome(transaction, order_id)
            state = await _state(transaction, order)
        return await self._renderer.page(
            request,
            "order.html",
            order=order,
            state=CONFIRMING if confirming else state,
            paid=order.status in PAID,
            waiting=confirming or (order.status in WAITING and state != DECIDED),
            confirming=confirming,
            confirmed=returned == "paid" and order.status in PAID,
            note=unexpected.note(order.status, unfitting) or _note(order, returned),
            history=steps,
            retryable=order.status in RETRYABLE and order.checkout_url is None,
            refunds=[(refund, refund_state(refund.status)) for refund in given_back],
        )

    async def status(self, session: CurrentSession, order_id: UUID) -> Response:
        """Say the order's status; asked again and again by the page that waits for it."""
        async with self._resources.database.transaction() as transaction:
            found = await books.status(transaction, customer_id=session.user_id, order_id=order_id)
        if found is None:
            raise NotFoundError
        return JSONResponse({"status": found})

    async def _find(self, session: Session, order_id: UUID) -> OrderView:
        async with self._resources.database.transaction() as transaction:
            return await service.get(transaction, customer_id=session.user_id, order_id=order_id)

    async def _land(self, request: Request, target: str) -> Response:
        """Go on to `target` from a page of our own.

        A strict cookie does not come along when another site sends the browser here, and no
        redirect changes that (RFC 6265bis 5.2: the whole chain counts). A page that refreshes
        starts a navigation of this site, with the cookie. It says nothing about the order: nobody
        is known yet.
        """
        return await self._renderer.page(request, "returning.html", target=target)

    async def _new_page(
        self, request: Request, currency: str, status: int = 200, **context: Any
    ) -> Response:
        offered = sorted({code for item in catalogue.PRODUCTS.values() for code in item.prices})
        chosen = currency if currency in offered else offered[0]
        items = [
            (item, item.price(chosen, 1))
            for item in catalogue.PRODUCTS.values()
            if chosen in item.prices
        ]
        return await self._renderer.page(
            request,
            "new_payment.html",
            status,
            items=items,
            currencies=offered,
            currency=chosen,
            gateways=self._gateways([(item.kind, price) for item, price in items]),
            idempotency_key=uuid4().hex,
            **context,
        )

    def _gateways(self, offered: list[tuple[str, Money]]) -> list[tuple[str, str]]:
        """Return the ways to pay, where there is a choice for everything that is shown."""
        able = [
            [gateway.name for gateway in self._resources.gateways.able(price, kind=kind)]
            for kind, price in offered
        ]
        shared = [name for name in able[0] if all(name in names for names in able)] if able else []
        return [(name, GATEWAYS.get(name, name)) for name in shared] if len(shared) > 1 else []


async def _state(session: AsyncSession, order: OrderView) -> State:
    if order.status == "review" and (await suspense.outcome(session, order.id)).decided:
        return DECIDED
    return order_state(order.status)


def _note(order: OrderView, returned: Returned) -> Note | None:
    if order.status in _NOTES:
        return _NOTES[order.status]
    if order.status != "pending":
        return None
    if returned == "cancelled":
        return CANCELLED
    if order.checkout_url is None and returned != "paid":
        return NO_ANSWER
    return None

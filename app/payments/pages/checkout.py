"""Checkouts that need a page of ours: Razorpay's script runs in one, PayPal's sends back to one.

Whoever has the address may open it: it holds a payment's random id, and shows what is to be paid
and nothing of anybody. Nothing that comes back here is believed: it makes the worker ask the
gateway, which is all that a forged answer could do, too.
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from payments.errors import BadRequestError, NotFoundError
from payments.gateways import units
from payments.gateways.paypal import NAME as PAYPAL
from payments.gateways.paypal import RETURN as PAYPAL_RETURN
from payments.gateways.protocol import CheckoutRequest
from payments.gateways.razorpay import NAME as RAZORPAY
from payments.gateways.razorpay import PAGE as RAZORPAY_PAGE
from payments.gateways.razorpay import RazorpayGateway
from payments.ops.headers import CONTENT_SECURITY_POLICY
from payments.ops.logs import get_logger
from payments.orders import looking
from payments.orders.models import Order, Payment
from payments.orders.service import is_payable
from payments.pages.render import BRAND, Renderer
from payments.resources import Resources

log = get_logger(__name__)

Given = Annotated[str, Form(max_length=200)]

REFUSED_ANSWER: Final = "This answer of the checkout is not Razorpay's. What you paid is not lost."


class BadAnswerError(BadRequestError):
    """The checkout's answer is not signed by the gateway, or is another payment's."""

    code, title = "invalid_checkout_answer", "This answer is refused."


class CheckoutPages:
    """The pages, and what comes back to them."""

    def __init__(self, renderer: Renderer, resources: Resources) -> None:
        self._renderer = renderer
        self._resources = resources
        self.routes = APIRouter(include_in_schema=False)
        add = self.routes.add_api_route
        add(f"{RAZORPAY_PAGE}/{{payment_id}}", self.razorpay, methods=["GET"])
        add(f"{RAZORPAY_PAGE}/{{payment_id}}", self.razorpay_answer, methods=["POST"])
        add(f"{PAYPAL_RETURN}/{{payment_id}}", self.paypal_return, methods=["GET"])

    async def razorpay(self, request: Request, payment_id: UUID) -> Response:
        """Show Razorpay's checkout over a page of ours, with its script and no other's."""
        gateway, payment = await self._razorpay(payment_id)
        asked = CheckoutRequest.from_json(payment.request)
        async with self._resources.database.transaction() as session:
            order = await session.get_one(Order, payment.order_id)
        if not is_payable(order, payment):
            return RedirectResponse(asked.success_url, 303)
        options = {
            "key": gateway.key_id,
            "order_id": payment.checkout_ref,
            "amount": units.RAZORPAY.write(asked.money),
            "currency": asked.money.currency,
            "name": BRAND,
            "description": asked.description,
        }
        page = await self._renderer.page(
            request,
            "razorpay.html",
            options=options,
            money=asked.money,
            description=asked.description,
            script=gateway.checkout_script,
            cancel_url=asked.cancel_url,
        )
        page.headers["content-security-policy"] = policy(gateway.checkout_script, gateway.api_base)
        # Banks answer in windows of their own, which must be able to speak to the checkout.
        page.headers["cross-origin-opener-policy"] = "same-origin-allow-popups"
        return page

    async def razorpay_answer(
        self,
        payment_id: UUID,
        razorpay_order_id: Given = "",
        razorpay_payment_id: Given = "",
        razorpay_signature: Given = "",
    ) -> Response:
        """Take what the checkout told the browser: a verified hint to ask, never a payment."""
        gateway, payment = await self._razorpay(payment_id)
        if razorpay_order_id != payment.checkout_ref or not gateway.is_callback(
            razorpay_order_id, razorpay_payment_id, razorpay_signature
        ):
            log.warning("checkout.answer_refused", gateway=RAZORPAY, payment_id=str(payment_id))
            raise BadAnswerError(REFUSED_ANSWER)
        return await self._back(payment)

    async def paypal_return(self, payment_id: UUID) -> Response:
        """Come back from PayPal, where the payment was approved: asking captures it."""
        payment = await self._payment(payment_id, PAYPAL)
        return await self._back(payment)

    async def _back(self, payment: Payment) -> Response:
        async with self._resources.database.transaction() as session:
            await looking.hasten(session, payment.id)
        return RedirectResponse(CheckoutRequest.from_json(payment.request).success_url, 303)

    async def _payment(self, payment_id: UUID, gateway: str) -> Payment:
        async with self._resources.database.transaction() as session:
            found = await looking.find(session, payment_id, gateway)
        if found is None:
            raise NotFoundError
        return found

    async def _razorpay(self, payment_id: UUID) -> tuple[RazorpayGateway, Payment]:
        gateway = self._resources.gateways.get(RAZORPAY)
        payment = await self._payment(payment_id, RAZORPAY)
        if not isinstance(gateway, RazorpayGateway) or payment.account != gateway.account:
            raise NotFoundError
        return gateway, payment


def policy(script: str, api: str) -> str:
    """Return the page's policy: ours, and what the checkout's script needs, by exact origins.

    The script shows its forms in a frame, which the real one serves from the API's address.
    """
    origin, api_origin = _origin(script), _origin(api)
    frames = " ".join(dict.fromkeys((origin, api_origin)))
    changed = {
        "script-src": f"'self' {origin}",
        "frame-src": frames,
        "connect-src": f"'self' {frames}",
    }
    ours = dict(part.split(" ", 1) for part in CONTENT_SECURITY_POLICY.split("; "))
    return "; ".join(f"{name} {value}" for name, value in (ours | changed).items())


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"

"""Razorpay: an order there per payment, its checkout on a page of ours, refunds, the list.

- An order has no idempotency key: its receipt is the payment's id, and one that was made is found
  by it before another is. A second order that slips through is shown to nobody.
- The page is ours, with Razorpay's script (`pages.checkout`). What the script tells the browser is
  verified and believed by nobody: the webhook, or asking, says what was paid.
- A payment that is authorised but not captured (accounts can be set so) is captured when it is
  asked about, unless its time is over: then it lapses by itself, and the customer keeps the money.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from payments.gateways import razorpay_events, units
from payments.gateways.breaker import Breaker
from payments.gateways.config import RAZORPAY_API, RazorpaySettings
from payments.gateways.protocol import (
    Checkout,
    CheckoutRequest,
    GatewayEvent,
    GatewayForbiddenError,
    GatewayRefusedError,
    ListedDispute,
    ListedPayment,
    Refund,
    RefundRequest,
    Unreadable,
)
from payments.gateways.razorpay_client import Json, RazorpayClient
from payments.gateways.reading import decisive, documented, integer, moment, row, text
from payments.gateways.secrets import active
from payments.money import Money

NAME: Final = "razorpay"
PAGE: Final = "/checkout/razorpay"
"""Where the checkout's page is; the payment's id follows."""

PAGE_SIZE: Final = 100
LIST_LAG: Final = timedelta(minutes=15)
"""The list is current; our clock and theirs may not be the same."""
LATE: Final = timedelta(hours=1)
"""How long after its page has closed a payment may still come in: banks answer that late."""


class RazorpayGateway:
    """One Razorpay account."""

    name = NAME
    list_lag = LIST_LAG

    def __init__(
        self, settings: RazorpaySettings, *, public_url: str, outgoing_ca: str | None
    ) -> None:
        if settings.key_id is None or settings.key_secret is None:
            raise ValueError("there is no Razorpay key")
        self.account = settings.account
        self.key_id = settings.key_id
        self.checkout_script = settings.checkout_script
        self.api_base = settings.api_base or RAZORPAY_API
        self.webhook_sources = settings.webhook_sources
        self.breaker = Breaker(NAME)
        self._public_url = public_url
        self._key_secret = settings.key_secret.get_secret_value()
        self._secrets = settings.webhook_secrets
        self._client = RazorpayClient(
            self.key_id, self._key_secret, base=self.api_base, outgoing_ca=outgoing_ca
        )
        self.disputes = _Disputes(self._client, self.breaker, self._pages)

    @property
    def takes_webhooks(self) -> bool:
        """Whether deliveries can be verified."""
        return bool(self._secrets)

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        """Return the order of a payment, made before or now."""
        found = await self.find_checkout(request)
        if found is not None:
            return found
        async with self.breaker.call():
            order = await self._client.create_order(
                {
                    "amount": units.RAZORPAY.write(request.money),
                    "currency": request.money.currency,
                    "receipt": str(request.payment_id),
                    "payment_capture": True,
                    "notes": {
                        "order_id": str(request.order_id),
                        "payment_id": str(request.payment_id),
                        "expires_at": str(int(request.expires_at.timestamp())),
                    },
                }
            )
        return self._checkout(order, request)

    async def find_checkout(self, request: CheckoutRequest) -> Checkout | None:
        """Look for the order by its receipt."""
        async with self.breaker.call():
            orders = await self._client.orders(receipt=str(request.payment_id), count=PAGE_SIZE)
        # The oldest: whichever call made it first.
        for order in sorted(orders, key=lambda order: order.get("created_at") or 0):
            if order.get("receipt") == str(request.payment_id):
                return self._checkout(order, request)
        return None

    async def ask(self, checkout_ref: str) -> GatewayEvent | None:
        """Look at an order and its payments; capture what is only authorised."""
        async with self.breaker.call():
            order = await self._client.order(checkout_ref)
            payments = await self._client.order_payments(checkout_ref)
        with documented():
            payments = sorted(payments, key=lambda payment: integer(payment["created_at"]))
            over = datetime.now(UTC) > _closes(order) + LATE
            for payment in payments:
                if razorpay_events.came(payment):
                    return razorpay_events.paid(payment, account=self.account)
            for payment in payments:
                if payment["status"] == "authorized" and not over and _is_whole(payment, order):
                    return await self._capture(payment)
            return razorpay_events.expired(order, account=self.account) if over else None

    async def _capture(self, payment: Json) -> GatewayEvent | None:
        """Capture a payment: Razorpay does so once at most, whoever asks how often."""
        async with self.breaker.call():
            captured = await self._client.capture(
                text(payment["id"]), integer(payment["amount"]), text(payment["currency"])
            )
        if not razorpay_events.came(captured):
            return None
        return razorpay_events.paid(captured, account=self.account)

    async def refund(self, request: RefundRequest) -> Refund:
        """Create the refund of a payment, under its key."""
        async with self.breaker.call():
            made = await self._client.refund(
                request.payment_ref,
                {
                    "amount": units.RAZORPAY.write(request.money),
                    "speed": "normal",
                    "receipt": str(request.refund_id),
                    "notes": {
                        "refund_id": str(request.refund_id),
                        "payment_id": str(request.payment_id),
                    },
                },
                request.key,
            )
        return _refund(made, request.money)

    async def find_refund(self, request: RefundRequest) -> Refund | None:
        """Look through the payment's refunds for the one with our id."""
        async with self.breaker.call():
            refunds = await self._client.refunds(request.payment_ref)
        for refund in refunds:
            if razorpay_events.refund_id(refund) == request.refund_id:
                return _refund(refund, request.money)
        return None

    async def list_payments(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[ListedPayment | Unreadable]:
        """Yield the payments of a period, newest first."""
        async for payment in self._pages(self._client.payments, since, until, most):
            yield row(payment, razorpay_events.listed, name="id")

    async def list_refunded(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[str]:
        """Yield the payments of which something was given back in a period."""
        async for refund in self._pages(self._client.all_refunds, since, until, most):
            with documented():
                yield text(refund["payment_id"])

    async def find_payment(
        self, *, payment_ref: str | None, checkout_ref: str | None
    ) -> ListedPayment | None:
        """Look at an order's attempts, or at the one payment that is known without its order."""
        attempts: list[Json] = []
        try:
            async with self.breaker.call():
                if checkout_ref is not None:
                    attempts = await self._client.order_payments(checkout_ref)
                elif payment_ref is not None:
                    attempts = [await self._client.payment(payment_ref)]
        except GatewayForbiddenError:
            raise
        except GatewayRefusedError:
            return None  # an id that they do not know is refused like any other wrong value
        with documented():
            return decisive(map(razorpay_events.listed, attempts), payment_ref)

    async def _pages(
        self,
        ask: Callable[..., Awaitable[list[Json]]],
        since: datetime,
        until: datetime,
        most: int,
    ) -> AsyncIterator[Json]:
        """Yield what a list has of a period, at most `most`."""
        seen = 0
        while seen < most:
            wanted = min(PAGE_SIZE, most - seen)
            async with self.breaker.call():
                page = await ask(
                    **{"from": int(since.timestamp()), "to": int(until.timestamp()) - 1},
                    count=wanted,
                    skip=seen,
                )
            for one in page:
                yield one
            seen += len(page)
            if len(page) < wanted:
                return

    def takes(self, money: Money) -> bool:
        """Whether Razorpay takes the currency and can write the amount."""
        return units.RAZORPAY.can_write(money)

    def is_callback(self, order: str, payment: str, signature: str) -> bool:
        """Whether what the checkout told the customer's browser is Razorpay's."""
        return razorpay_events.is_callback(order, payment, signature, secret=self._key_secret)

    async def read_webhook(
        self, body: bytes, headers: Mapping[str, str], now: datetime
    ) -> GatewayEvent:
        """Verify a delivery against every active secret and read it."""
        return razorpay_events.read(
            body, headers, secrets=active(self._secrets, now), now=now, account=self.account
        )

    async def ping(self) -> None:
        """List one payment: there is no cheaper call that proves key and connection."""
        await self._client.payments(count=1)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _checkout(self, order: Json, request: CheckoutRequest) -> Checkout:
        with documented():
            return Checkout(
                ref=text(order["id"]), url=f"{self._public_url}{PAGE}/{request.payment_id}"
            )


class _Disputes:
    """The disputes of an account; the list tells when they began."""

    def __init__(
        self, client: RazorpayClient, breaker: Breaker, pages: Callable[..., AsyncIterator[Json]]
    ) -> None:
        self._client = client
        self._breaker = breaker
        self._pages = pages

    async def changed(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[ListedDispute | Unreadable]:
        """Yield those that began in a period, newest first."""
        async for one in self._pages(self._client.disputes, since, until, most):
            yield row(one, razorpay_events.listed_dispute, name="id")

    async def find(self, dispute_ref: str) -> ListedDispute | None:
        """Fetch one."""
        try:
            async with self._breaker.call():
                found = await self._client.dispute(dispute_ref)
        except GatewayForbiddenError:
            raise
        except GatewayRefusedError:
            return None  # an id that they do not know is refused like any other wrong value
        with documented():
            return razorpay_events.listed_dispute(found)


def _closes(order: Mapping[str, Any]) -> datetime:
    """Return when the order's page closes, as it was told when it was made."""
    notes = order.get("notes")
    told = notes.get("expires_at") if isinstance(notes, Mapping) else None
    if isinstance(told, str) and told.isdigit():
        return moment(int(told))
    return moment(order.get("created_at")) + timedelta(days=1)


def _is_whole(payment: Json, order: Json) -> bool:
    return (payment["amount"], payment["currency"]) == (order["amount"], order["currency"])


def _refund(refund: Json, money: Money) -> Refund:
    statuses: dict[object, Literal["succeeded", "failed"]] = {
        "processed": "succeeded",
        "failed": "failed",
    }
    with documented():
        # The sandbox leaves the currency out (seen in the documentation's own examples).
        currency = refund.get("currency") or money.currency
        return Refund(
            ref=text(refund["id"]),
            status=statuses.get(refund["status"], "pending"),
            money=units.RAZORPAY.read(integer(refund["amount"]), currency),
        )

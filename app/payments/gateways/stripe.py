"""Stripe: Checkout Sessions, and the events that say what became of them.

The official client is used with its retries off: a repetition is ours to decide, under a key that
is in our database. docs.stripe.com/api/idempotent_requests: a key is kept for 24 h at least.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

import httpx
import stripe
from stripe import HTTPXClient, StripeClient

from payments import money as units
from payments.gateways import stripe_events
from payments.gateways.breaker import Breaker
from payments.gateways.config import StripeSettings
from payments.gateways.protocol import (
    Charge,
    Checkout,
    CheckoutRequest,
    GatewayBusyError,
    GatewayEvent,
    GatewayForbiddenError,
    GatewayRefusedError,
    GatewayUnknownError,
    ListedPayment,
    Refund,
    RefundRequest,
    Unreadable,
)
from payments.gateways.reading import decisive, documented, row, text
from payments.gateways.secrets import active
from payments.gateways.stripe_lists import PAGE_SIZE, StripeDisputes, between, first
from payments.money import Money
from payments.trust import context_with_extra

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

NAME: Final = "stripe"

CONNECT_TIMEOUT_SECONDS: Final = 3.0
CALL_TIMEOUT_SECONDS: Final = 12.0
MAX_PAGES: Final = 20
WITH_FEES: Final = ["data.balance_transaction"]
LIST_LAG: Final = timedelta(minutes=15)
"""The list is current; our clock and theirs may not be the same."""

stripe.enable_telemetry = False  # no timings of our calls to third parties
# The client logs what it sends and gets; our own lines say what is needed.
logging.getLogger("stripe").setLevel(logging.WARNING)


class StripeGateway:
    """One Stripe account."""

    name = NAME
    list_lag = LIST_LAG

    def __init__(self, settings: StripeSettings, *, outgoing_ca: str | None) -> None:
        if settings.secret_key is None:
            raise ValueError("there is no Stripe key")
        self.account = settings.account
        self.webhook_sources = settings.webhook_sources
        self.breaker = Breaker(NAME)
        self._secrets = settings.webhook_secrets
        key = settings.secret_key.get_secret_value()
        self._live = "_live_" in key
        self._http = _Transport(outgoing_ca)
        addresses: Any = {"api": settings.api_base} if settings.api_base else {}
        self._client = StripeClient(
            key, http_client=self._http, base_addresses=addresses, max_network_retries=0
        )
        self.disputes = StripeDisputes(self._client, self._call)

    @property
    def takes_webhooks(self) -> bool:
        """Whether deliveries can be verified."""
        return bool(self._secrets)

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        """Create the Checkout Session of a payment."""
        async with self._call():
            session = await self._client.v1.checkout.sessions.create_async(
                _parameters(request), {"idempotency_key": request.key}
            )
        return _checkout(session)

    async def find_checkout(self, request: CheckoutRequest) -> Checkout | None:
        """Look through the sessions of the time in question for the payment's own."""
        # A session lives at most 24 h, so it was made within the day before it expires.
        since = int((request.expires_at - timedelta(hours=25)).timestamp())
        async with self._call():
            found = await self._client.v1.checkout.sessions.list_async(
                {
                    "created": {"gte": since, "lte": int(request.expires_at.timestamp())},
                    "limit": 100,
                }
            )
            seen = 0
            async for session in found.auto_paging_iter():
                if session.client_reference_id == str(request.payment_id):
                    return _checkout(session)
                seen += 1
                if seen >= MAX_PAGES * 100:
                    raise GatewayUnknownError("too many sessions to look through")
        return None

    async def ask(self, checkout_ref: str) -> GatewayEvent | None:
        """Retrieve a session and say what it says as an event."""
        async with self._call():
            session = await self._client.v1.checkout.sessions.retrieve_async(
                checkout_ref, {"expand": ["payment_intent"]}
            )
        return stripe_events.from_session(session.to_dict(), account=self.account)

    async def refund(self, request: RefundRequest) -> Refund:
        """Create the refund of a payment intent."""
        async with self._call():
            made = await self._client.v1.refunds.create_async(
                {
                    "payment_intent": request.payment_ref,
                    "amount": units.STRIPE.write(request.money),
                    "metadata": {
                        "refund_id": str(request.refund_id),
                        "payment_id": str(request.payment_id),
                    },
                },
                {"idempotency_key": request.key},
            )
        return _refund(made)

    async def find_refund(self, request: RefundRequest) -> Refund | None:
        """Look through the payment intent's refunds for the one with our id."""
        async with self._call():
            found = await self._client.v1.refunds.list_async(
                {"payment_intent": request.payment_ref, "limit": 100}
            )
            async for refund in found.auto_paging_iter():
                metadata = refund.metadata.to_dict() if refund.metadata else {}
                if metadata.get("refund_id") == str(request.refund_id):
                    return _refund(refund)
        return None

    async def saved_method(self, payment_ref: str) -> str | None:
        """Return `customer/payment method` of a payment intent that saved one."""
        async with self._call():
            intent = await self._client.v1.payment_intents.retrieve_async(payment_ref)
        customer, method = _id(intent.customer), _id(intent.payment_method)
        return f"{customer}/{method}" if customer and method else None

    async def charge(self, request: CheckoutRequest, method: str) -> Charge:
        """Create and confirm a payment intent off session."""
        customer, _, payment_method = method.partition("/")
        ids = {"order_id": str(request.order_id), "payment_id": str(request.payment_id)}
        try:
            async with self._call():
                intent = await self._client.v1.payment_intents.create_async(
                    {
                        "amount": units.STRIPE.write(request.money),
                        "currency": request.money.currency.lower(),
                        "customer": customer,
                        "payment_method": payment_method,
                        "off_session": True,
                        "confirm": True,
                        "description": request.description,
                        "metadata": ids,
                    },
                    {"idempotency_key": request.key},
                )
        except _Declined as error:
            return Charge(payment_ref=error.payment_ref, status="declined", code=error.code)
        return _charge(intent)

    async def find_charge(self, request: CheckoutRequest, method: str) -> Charge | None:
        """Look through the customer's payment intents for the one with our id."""
        since = int(request.expires_at.timestamp()) - 7 * 86400
        async with self._call():
            found = await self._client.v1.payment_intents.list_async(
                {"customer": method.partition("/")[0], "created": {"gte": since}, "limit": 100}
            )
            async for intent in found.auto_paging_iter():
                metadata = intent.metadata.to_dict() if intent.metadata else {}
                if metadata.get("payment_id") == str(request.payment_id):
                    return _charge(intent)
        return None

    async def list_payments(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[ListedPayment | Unreadable]:
        """Yield the charges of a period, newest first, with what Stripe kept of them."""
        ask = partial(
            self._client.v1.charges.list_async,
            {
                "created": between(since, until),
                "limit": min(most, PAGE_SIZE),
                "expand": WITH_FEES,
            },
        )
        async for charge in first(self._call, ask, most):
            yield row(await self.disputes.beside(charge), stripe_events.listed, name="id")

    async def list_refunded(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[str]:
        """Yield the payment intents of which something was given back in a period."""
        ask = partial(
            self._client.v1.refunds.list_async,
            {"created": between(since, until), "limit": min(most, PAGE_SIZE)},
        )
        async for refund in first(self._call, ask, most):
            with documented():
                ref = text(_id(refund.payment_intent) or _id(refund.charge))
            yield ref

    async def find_payment(
        self, *, payment_ref: str | None, checkout_ref: str | None
    ) -> ListedPayment | None:
        """Look at the attempts of a payment intent, a session's where only that is known."""
        try:
            async with self._call():
                if payment_ref is None and checkout_ref is not None:
                    sessions = self._client.v1.checkout.sessions
                    payment_ref = _id((await sessions.retrieve_async(checkout_ref)).payment_intent)
                if payment_ref is None:
                    return None
                found = await self._client.v1.charges.list_async(
                    {"payment_intent": payment_ref, "limit": PAGE_SIZE, "expand": WITH_FEES}
                )
        except GatewayRefusedError as error:
            if error.code == "resource_missing":
                return None
            raise
        charges = [await self.disputes.beside(charge) for charge in found.data]
        with documented():
            return decisive(stripe_events.listed(charge) for charge in charges)

    def takes(self, money: Money) -> bool:
        """Whether Stripe takes the currency and can write the amount."""
        return units.STRIPE.can_write(money)

    async def read_webhook(
        self, body: bytes, headers: Mapping[str, str], now: datetime
    ) -> GatewayEvent:
        """Verify a delivery against every active secret and read it."""
        return stripe_events.read(
            body,
            headers.get("stripe-signature"),
            secrets=active(self._secrets, now),
            now=now,
            account=self.account,
            live=self._live,
        )

    async def ping(self) -> None:
        """Ask for the balance: the cheapest call that proves key and connection."""
        async with _outcome():
            await self._client.v1.balance.retrieve_async()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        async with self.breaker.call(), _outcome():
            yield


class _Transport(HTTPXClient):
    """The SDK's httpx transport, with our authority and our time limits."""

    def __init__(self, outgoing_ca: str | None) -> None:
        super().__init__(
            timeout=httpx.Timeout(CALL_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS)
        )
        # The SDK only offers its own bundle or no verification at all; nothing is connected yet.
        self._client_async = httpx.AsyncClient(verify=context_with_extra(outgoing_ca))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client_async.aclose()


def _parameters(request: CheckoutRequest) -> SessionCreateParams:
    ids = {"order_id": str(request.order_id), "payment_id": str(request.payment_id)}
    parameters: SessionCreateParams = {
        "mode": "payment",
        "client_reference_id": str(request.payment_id),
        "metadata": ids,
        # On the intent too, and so on its charges: their events must find the payment.
        "payment_intent_data": {"metadata": ids},
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": request.money.currency.lower(),
                    "unit_amount": units.STRIPE.write(request.money),
                    "product_data": {"name": request.description},
                },
            }
        ],
        "success_url": request.success_url,
        "cancel_url": request.cancel_url,
        "expires_at": int(request.expires_at.timestamp()),
    }
    if request.save_method:
        parameters["customer_creation"] = "always"
        parameters["payment_intent_data"]["setup_future_usage"] = "off_session"
    return parameters


def _checkout(session: stripe.checkout.Session) -> Checkout:
    intent = session.payment_intent
    return Checkout(
        ref=session.id,
        url=session.url,
        payment_ref=intent if isinstance(intent, str) or intent is None else intent.id,
    )


def _id(value: Any) -> str | None:
    """Return the id of an object that may have come whole."""
    return value if isinstance(value, str) or value is None else str(value.id)


def _charge(intent: stripe.PaymentIntent) -> Charge:
    if intent.status == "succeeded":
        return Charge(payment_ref=intent.id, status="succeeded")
    if intent.status in ("requires_payment_method", "requires_action", "canceled"):
        # The customer would have to act, and is not there.
        return Charge(payment_ref=intent.id, status="declined", code=intent.status)
    return Charge(payment_ref=intent.id, status="pending")


class _Declined(GatewayRefusedError):
    """A card was declined: for a charge without the customer an answer, not an error."""

    def __init__(self, code: str, payment_ref: str | None) -> None:
        super().__init__(code)
        self.payment_ref = payment_ref


def _refund(refund: stripe.Refund) -> Refund:
    statuses: dict[str | None, Literal["succeeded", "failed"]] = {
        "succeeded": "succeeded",
        "failed": "failed",
        "canceled": "failed",
    }
    return Refund(
        ref=refund.id,
        status=statuses.get(refund.status, "pending"),
        money=units.STRIPE.read(refund.amount, refund.currency),
    )


@asynccontextmanager
async def _outcome() -> AsyncIterator[None]:
    """Sort the SDK's errors into refused (nothing happened) and unknown."""
    try:
        yield
    except stripe.APIConnectionError as error:
        raise GatewayUnknownError("no answer") from error
    except stripe.RateLimitError as error:
        raise GatewayBusyError("too many requests") from error
    except stripe.CardError as error:
        intent = getattr(error.error, "payment_intent", None)
        raise _Declined(error.code or "card_declined", intent.id if intent else None) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise GatewayForbiddenError(error.code or type(error).__name__) from error
    except stripe.InvalidRequestError as error:
        if error.http_status == 409:  # the same key is being worked on elsewhere
            raise GatewayBusyError("the key is in use") from error
        raise GatewayRefusedError(error.code or type(error).__name__) from error
    except stripe.IdempotencyError as error:
        # Either the key is being worked on (409), or it came with other parameters (400), which
        # means that something exists under it that we do not know.
        raise GatewayBusyError("the key is in use") from error
    except stripe.StripeError as error:
        # 5xx: it may have taken effect before it failed.
        raise GatewayUnknownError(f"status {error.http_status}") from error

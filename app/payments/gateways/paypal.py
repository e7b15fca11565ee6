"""PayPal: Orders v2, captured when they are approved; refunds, disputes, the transaction search.

- A customer approves at PayPal; *capturing* moves the money. Whoever asks about an approved order
  captures it, under a key made of the payment's id: the worker does after a delivery, after the
  customer has come back, and by the clock when neither tells. PayPal captures an order once at
  most; a capture whose answer is lost is found at the next look.
- Keys (`PayPal-Request-Id`) are kept for six hours for orders. An order made twice because of that
  is approved by nobody: the first one's address was never shown.
- PayPal's client for Python is not used: docs/decisions/0008.
"""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from payments.gateways import paypal_events, units
from payments.gateways.breaker import Breaker
from payments.gateways.config import PAYPAL_API, PaypalSettings
from payments.gateways.http import JsonApi, code, refused
from payments.gateways.paypal_certificates import Certificates
from payments.gateways.paypal_disputes import PATH as DISPUTES
from payments.gateways.paypal_disputes import PaypalDisputes
from payments.gateways.protocol import (
    Checkout,
    CheckoutRequest,
    GatewayBusyError,
    GatewayEvent,
    GatewayForbiddenError,
    GatewayRefusedError,
    GatewayUnknownError,
    InvalidWebhookError,
    ListedPayment,
    Refund,
    RefundRequest,
    Unreadable,
)
from payments.gateways.reading import documented, optional_text, row, text
from payments.money import Money

NAME: Final = "paypal"
RETURN: Final = "/checkout/paypal"
"""Where PayPal sends the customer back to; the payment's id follows."""

PAGE_SIZE: Final = 500
MAX_PAGES: Final = 40
SEARCH_DAYS: Final = 31
"""The most that one transaction search covers."""
LIST_LAG: Final = timedelta(hours=3, minutes=15)
"""PayPal shows a transaction up to three hours after it happened; and some margin."""
NO_ORDER: Final = paypal_events.NO_SUCH | {"ORDER_EXPIRED"}
KEY_IN_USE: Final = frozenset({"PREVIOUS_REQUEST_IN_PROGRESS", "DUPLICATE_REQUEST_ID"})
"""Something runs, or exists, under the key that we do not know: no refusal."""
ONE_SECOND: Final = timedelta(seconds=1)
TOKEN_MARGIN_SECONDS: Final = 120.0
DESCRIPTION: Final = 127
"""PayPal's limit."""


class PaypalGateway:
    """One PayPal application."""

    name = NAME
    list_lag = LIST_LAG

    def __init__(
        self, settings: PaypalSettings, *, public_url: str, outgoing_ca: str | None
    ) -> None:
        if settings.client_id is None or settings.client_secret is None:
            raise ValueError("there is no PayPal client")
        self.account = settings.account
        self.webhook_sources = settings.webhook_sources
        self.breaker = Breaker(NAME)
        self._public_url = public_url
        self._webhook_id = settings.webhook_id
        base = settings.api_base or PAYPAL_API
        self._api = JsonApi(base, outgoing_ca=outgoing_ca)
        self._certificates = Certificates(api_base=base, outgoing_ca=outgoing_ca)
        login = f"{settings.client_id}:{settings.client_secret.get_secret_value()}"
        self._login = "Basic " + b64encode(login.encode()).decode()
        self._token: tuple[str, float] | None = None
        self._token_lock = asyncio.Lock()
        self.disputes = PaypalDisputes(self._call)

    @property
    def takes_webhooks(self) -> bool:
        """Whether deliveries can be verified."""
        return self._webhook_id is not None

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        """Create the order of a payment."""
        order = await self._call(
            "POST", "/v2/checkout/orders", key=request.key, body=self._order(request)
        )
        with documented():
            links = {link["rel"]: link["href"] for link in order["links"]}
            url = optional_text(links.get("payer-action") or links.get("approve"))
            return Checkout(ref=text(order["id"]), url=url)

    def _order(self, request: CheckoutRequest) -> dict[str, Any]:
        payment = str(request.payment_id)
        return {
            "intent": "CAPTURE",
            "purchase_units": [
                {
                    "reference_id": str(request.order_id),
                    "custom_id": payment,
                    # PayPal takes an invoice's id once: a second net under a payment made twice.
                    "invoice_id": payment,
                    "description": request.description[:DESCRIPTION],
                    "amount": _amount(request.money),
                }
            ],
            "payment_source": {
                "paypal": {
                    "experience_context": {
                        "return_url": f"{self._public_url}{RETURN}/{payment}",
                        "cancel_url": request.cancel_url,
                        "user_action": "PAY_NOW",
                        "shipping_preference": "NO_SHIPPING",
                    }
                }
            },
        }

    async def find_checkout(self, request: CheckoutRequest) -> Checkout | None:
        """Return None: orders cannot be looked for. One that nobody was shown is paid by nobody."""
        return None

    async def ask(self, checkout_ref: str) -> GatewayEvent | None:
        """Look at an order; capture it when it is approved."""
        try:
            order = await self._call("GET", f"/v2/checkout/orders/{checkout_ref}")
            if order.get("status") == "APPROVED":
                order = await self._capture(checkout_ref, order)
        except GatewayRefusedError as error:
            if error.code in NO_ORDER:
                return paypal_events.asked(checkout_ref, "expired", self.account)
            if error.code in ("INSTRUMENT_DECLINED", "PAYER_ACTION_REQUIRED"):
                return None  # PayPal asks the customer for another way to pay
            raise
        with documented():
            return paypal_events.from_order(order, account=self.account, now=datetime.now(UTC))

    async def _capture(self, ref: str, order: dict[str, Any]) -> dict[str, Any]:
        """Capture an approved order under the payment's own key."""
        with documented():
            key = f"capture-{text(order['purchase_units'][0]['custom_id'])}"
        try:
            return await self._call("POST", f"/v2/checkout/orders/{ref}/capture", key=key, body={})
        except GatewayRefusedError as error:
            if error.code != "ORDER_ALREADY_CAPTURED":
                raise
        return await self._call("GET", f"/v2/checkout/orders/{ref}")

    async def refund(self, request: RefundRequest) -> Refund:
        """Create the refund of a capture, under its key."""
        refund = await self._call(
            "POST",
            f"/v2/payments/captures/{request.payment_ref}/refund",
            key=request.key,
            body={
                "amount": _amount(request.money),
                "custom_id": str(request.refund_id),
                "invoice_id": str(request.refund_id),
            },
        )
        with documented():
            return paypal_events.as_refund(refund)

    async def find_refund(self, request: RefundRequest) -> Refund | None:
        """Look through the order's refunds for the one with our id."""
        if request.checkout_ref is None:
            raise GatewayUnknownError("refunds are found by their order, and there is none")
        order = await self._call("GET", f"/v2/checkout/orders/{request.checkout_ref}")
        with documented():
            for refund in paypal_events.refunds_of(order):
                if str(request.refund_id) in (refund.get("custom_id"), refund.get("invoice_id")):
                    return paypal_events.as_refund(refund)
        return None

    async def list_payments(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[ListedPayment | Unreadable]:
        """Yield the payments of a period, with what was given back of them until now."""
        rows = [one async for one in self._search(since, datetime.now(UTC) + ONE_SECOND)]
        refunds = [one for one in rows if paypal_events.is_refund(one)]
        seen = 0
        for one in rows:
            if not paypal_events.is_payment(one):
                continue
            payment = row(
                one, lambda one: paypal_events.listed(one, refunds), name="transaction_id"
            )
            if isinstance(payment, Unreadable) or since <= payment.created < until:
                if seen >= most:
                    return
                seen += 1
                yield payment

    async def list_refunded(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[str]:
        """Yield the captures of which something was given back in a period."""
        seen = 0
        async for one in self._search(since, until, transaction_type=paypal_events.REFUND):
            if not paypal_events.is_refund(one):
                continue
            if seen >= most:
                return
            seen += 1
            with documented():
                yield text(one["paypal_reference_id"])

    async def find_payment(
        self, *, payment_ref: str | None, checkout_ref: str | None
    ) -> ListedPayment | None:
        """Look at a payment's order: it has its captures and their refunds."""
        if checkout_ref is None:
            return None
        try:
            order = await self._call("GET", f"/v2/checkout/orders/{checkout_ref}")
        except GatewayRefusedError as error:
            if error.code in NO_ORDER:
                return None
            raise
        with documented():
            return paypal_events.found(order)

    async def _search(
        self, since: datetime, until: datetime, **filters: str
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the transactions of a period: one that lies between two searches is in one."""
        while since < until:
            end = min(since + timedelta(days=SEARCH_DAYS), until)
            for page in range(1, MAX_PAGES + 1):
                found = await self._call(
                    "GET",
                    "/v1/reporting/transactions",
                    params={
                        "start_date": paypal_events.zulu(since),
                        "end_date": paypal_events.zulu(max(end - ONE_SECOND, since)),
                        "fields": "transaction_info",
                        "page_size": str(PAGE_SIZE),
                        "page": str(page),
                    }
                    | filters,
                )
                with documented():
                    rows = [detail["transaction_info"] for detail in found["transaction_details"]]
                    last = page >= int(found.get("total_pages") or 1)
                for one in rows:
                    yield one
                if last:
                    break
            else:
                raise GatewayUnknownError("more transactions than can be paged through")
            since = end

    def takes(self, money: Money) -> bool:
        """Whether PayPal takes the currency and can write the amount."""
        return units.PAYPAL.can_write(money)

    async def read_webhook(
        self, body: bytes, headers: Mapping[str, str], now: datetime
    ) -> GatewayEvent:
        """Verify a delivery, and look at what it points at: the body itself moves nothing."""
        if self._webhook_id is None:
            raise InvalidWebhookError("there is no webhook")
        if headers.get("paypal-auth-algo") != paypal_events.ALGORITHM:
            raise InvalidWebhookError("not signed with RSA and SHA-256")
        key = await self._certificates.key(headers.get("paypal-cert-url", ""), now)
        paypal_events.verify(body, headers, key=key, webhook_id=self._webhook_id, now=now)
        hint = paypal_events.hint(body)
        if hint.about == "order":
            return paypal_events.of(hint, "look", self.account, checkout_ref=hint.ref)
        if hint.about == "nothing":
            return paypal_events.of(hint, "ignored", self.account)
        try:
            return await self._looked_at(hint)
        except GatewayForbiddenError as error:
            raise GatewayUnknownError(str(error)) from error  # to be delivered again
        except GatewayRefusedError:
            # PayPal knows of no such object: made up, or none of this application's.
            return paypal_events.of(hint, "ignored", self.account)

    async def _looked_at(self, hint: paypal_events.Hint) -> GatewayEvent:
        if hint.about == "refund":
            found = await self._call("GET", f"/v2/payments/refunds/{hint.ref}")
            with documented():
                kind, facts = paypal_events.refunded(found)
        else:
            found = await self._call("GET", f"{DISPUTES}/{hint.ref}")
            with documented():
                kind, facts = paypal_events.disputed(found)
        return paypal_events.of(hint, kind, self.account, **facts)

    async def ping(self) -> None:
        """Ask for a token anew: it proves key and connection."""
        await self._fresh_token()

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
        await self._certificates.close()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Make one call; returns its object or raises one of the protocol's errors."""
        async with self.breaker.call():
            for last in (False, True):
                token = await self._access_token()
                headers = {"Authorization": f"Bearer {token}", "Prefer": "return=representation"}
                if key is not None:
                    headers["PayPal-Request-Id"] = key
                content = None
                if body is not None:
                    headers["Content-Type"] = "application/json"
                    content = json.dumps(body).encode()
                status, answer = await self._api.send(
                    method, path, headers=headers, content=content, params=params
                )
                if status != 401 or last:
                    break
                self._token = None  # ended early; 401 means that nothing happened
            if status >= 400:
                issue = _issue(answer)
                if issue in KEY_IN_USE:
                    raise GatewayBusyError(issue)
                raise refused(status, issue)
            if not isinstance(answer, dict):
                raise GatewayUnknownError(f"status {status}, and no object")
            return answer

    async def _access_token(self) -> str:
        async with self._token_lock:
            if self._token is None or time.monotonic() >= self._token[1]:
                await self._fresh_token()
            assert self._token is not None  # noqa: S101 - made one line above
            return self._token[0]

    async def _fresh_token(self) -> None:
        status, answer = await self._api.send(
            "POST",
            "/v1/oauth2/token",
            headers={
                "Authorization": self._login,
                "Content-Type": "application/x-www-form-urlencoded",
            },
            content=b"grant_type=client_credentials",
        )
        if status >= 400:
            raise GatewayForbiddenError(_issue(answer))
        with documented():
            lifetime = float(answer["expires_in"]) - TOKEN_MARGIN_SECONDS
            self._token = text_token(answer["access_token"]), time.monotonic() + lifetime


def text_token(value: object) -> str:
    """Return a token: longer than other texts, and of characters that a header may have."""
    if not isinstance(value, str) or not value.isascii() or not 0 < len(value) <= 4096:
        raise TypeError("not a token")
    return value


def _amount(money: Money) -> dict[str, str]:
    return {"currency_code": money.currency, "value": units.PAYPAL.write_text(money)}


def _issue(answer: object) -> str:
    """Return the first issue of an error, else its name."""
    found = answer if isinstance(answer, Mapping) else {}
    details = found.get("details")
    first = details[0] if isinstance(details, list) and details else {}
    issue = first.get("issue") if isinstance(first, Mapping) else None
    return code(issue, code(found.get("name"), code(found.get("error"))))

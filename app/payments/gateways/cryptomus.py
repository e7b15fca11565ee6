"""Cryptomus: invoices in a fiat currency, paid in coins. Off unless it is turned on (`config`).

- A delivery is signed with MD5 over the body and the API key, has no time and no id: it could be
  replayed for ever. It is a hint, and the invoice is asked for before anything is booked.
- Who pays too little, too much or too late has paid an amount of a coin that is no order's price:
  it is booked as what it is, in the coin, and waits in suspense for a person.
- Nothing is given back by itself: an address that a payer sent from may be an exchange's, and what
  goes there is gone. A person refunds at Cryptomus, who knows whom to ask for an address; it gives
  back everything or nothing, and the books follow.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from payments.gateways import units
from payments.gateways.breaker import Breaker
from payments.gateways.config import CRYPTOMUS_API, CryptomusSettings
from payments.gateways.http import JsonApi, code, refused
from payments.gateways.protocol import (
    Checkout,
    CheckoutRequest,
    EventKind,
    GatewayEvent,
    GatewayForbiddenError,
    GatewayRefusedError,
    GatewayUnknownError,
    InvalidWebhookError,
    ListedPayment,
    Unreadable,
)
from payments.gateways.reading import (
    documented,
    instant,
    moment,
    optional_text,
    our_id,
    row,
    text,
)
from payments.money import Money, MoneyError

NAME: Final = "cryptomus"

LEAST_LIFETIME: Final = 300
MOST_LIFETIME: Final = 43_200
"""Seconds that an invoice lives (doc.cryptomus.com)."""
LATE: Final = timedelta(hours=3)
"""After an invoice's end, so long may a payment that was sent in time take to be confirmed."""
MAX_PAGES: Final = 100
LIST_LAG: Final = timedelta(minutes=15)
"""The list is current; our clock and theirs may not be the same."""
LIST_ZONE: Final = timedelta(hours=3)
"""Their times are in UTC+3 (doc.cryptomus.com); of the list's two bounds nothing says so."""
REFUNDS_WITHIN: Final = timedelta(days=30)
"""Invoices can be listed by their creation only: how old one may be whose refund is looked for."""

UNDER_WAY: Final = frozenset({"process", "confirm_check", "wrong_amount_waiting", "locked"})
CAME: Final = frozenset({"paid", "paid_over", "wrong_amount"})
REFUNDING: Final = frozenset({"refund_process", "refund_fail"})
REFUNDED: Final = "refund_paid"
FAILED: Final = frozenset({"fail", "system_fail"})


class CryptomusGateway:
    """One merchant."""

    name = NAME
    takes_webhooks = True
    list_lag = LIST_LAG
    disputes = None

    def __init__(
        self, settings: CryptomusSettings, *, public_url: str, outgoing_ca: str | None
    ) -> None:
        if not settings.enabled or settings.merchant is None or settings.api_key is None:
            raise ValueError("Cryptomus is not enabled")
        self.account = settings.account
        self.webhook_sources = settings.webhook_sources
        self.breaker = Breaker(NAME)
        self._public_url = public_url
        self._merchant = settings.merchant
        self._key = settings.api_key.get_secret_value()
        self._api = JsonApi(settings.api_base or CRYPTOMUS_API, outgoing_ca=outgoing_ca)

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        """Create the invoice of a payment. Its order id is its key: a known one is returned."""
        left = int((request.expires_at - datetime.now(UTC)).total_seconds())
        invoice = await self._call(
            "/v1/payment",
            {
                "amount": units.CRYPTOMUS.write_text(request.money),
                "currency": request.money.currency,
                "order_id": str(request.payment_id),
                "url_return": request.cancel_url,
                "url_success": request.success_url,
                "url_callback": f"{self._public_url}/webhooks/{NAME}",
                "is_payment_multiple": False,
                "lifetime": min(max(left, LEAST_LIFETIME), MOST_LIFETIME),
                "currencies": [{"currency": coin} for coin in units.CRYPTOMUS_COINS],
            },
        )
        return _checkout(invoice)

    async def find_checkout(self, request: CheckoutRequest) -> Checkout | None:
        """Look for the invoice by its order id."""
        try:
            invoice = await self._call("/v1/payment/info", {"order_id": str(request.payment_id)})
        except GatewayForbiddenError:
            raise
        except GatewayRefusedError:
            return None
        return _checkout(invoice)

    async def ask(self, checkout_ref: str) -> GatewayEvent | None:
        """Look at an invoice and say what it says as an event; None while nothing happened."""
        invoice = await self._call("/v1/payment/info", {"uuid": checkout_ref})
        with documented():
            kind, money = _state(invoice)
            if kind is None:
                return None
            paid = f":{money.currency}:{money.amount}" if money else ""
            return GatewayEvent(
                gateway=NAME,
                account=self.account,
                key=f"asked:{text(invoice['uuid'])}:{kind}{paid}",
                type=f"asked.invoice.{code(invoice.get('payment_status'), 'unknown')}",
                kind=kind,
                created=instant(invoice.get("updated_at")),
                payment_id=our_id(invoice.get("order_id")),
                checkout_ref=text(invoice["uuid"]),
                payment_ref=text(invoice["uuid"]) if money else None,
                money=money,
            )

    async def list_payments(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[ListedPayment | Unreadable]:
        """Yield the invoices of a period on which money came, or may come."""
        seen = 0
        async for invoice in self._invoices(since, until):
            payment = row(invoice, _listed, name="uuid")
            if isinstance(payment, Unreadable) or since <= payment.created < until:
                if seen >= most:
                    return
                seen += 1
                yield payment

    async def list_refunded(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[str]:
        """Yield the invoices that were given back in a period, of those made lately."""
        seen = 0
        async for invoice in self._invoices(since - REFUNDS_WITHIN, until):
            if invoice.get("payment_status") != REFUNDED:
                continue
            with documented():
                ref, changed = text(invoice["uuid"]), instant(invoice.get("updated_at"))
            if since <= changed < until:
                if seen >= most:
                    return
                seen += 1
                yield ref

    async def find_payment(
        self, *, payment_ref: str | None, checkout_ref: str | None
    ) -> ListedPayment | None:
        """Look at an invoice, which is both the page and the payment."""
        try:
            invoice = await self._call("/v1/payment/info", {"uuid": checkout_ref or payment_ref})
        except GatewayForbiddenError:
            raise
        except GatewayRefusedError:
            return None
        with documented():
            return _listed(invoice)

    async def _invoices(self, since: datetime, until: datetime) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the invoices that were made in a period, and some made shortly before or after."""
        cursor: str | None = None
        body = {"date_from": _written(since), "date_to": _written(until + LIST_ZONE)}
        for _ in range(MAX_PAGES):
            page = await self._call(
                "/v1/payment/list", body, params={"cursor": cursor} if cursor else None
            )
            with documented():
                items, cursor = page["items"], page["paginate"].get("nextCursor")
            for item in items:
                yield item
            if not cursor:
                return
        raise GatewayUnknownError("more invoices than can be paged through")

    def takes(self, money: Money) -> bool:
        """Whether an invoice can be written in this currency."""
        return units.CRYPTOMUS.can_write(money)

    async def read_webhook(
        self, body: bytes, headers: Mapping[str, str], now: datetime
    ) -> GatewayEvent:
        """Verify a delivery and take it as a hint: the invoice is asked for."""
        try:
            told = json.loads(body)
            given = told.pop("sign")
            if not isinstance(given, str) or not hmac.compare_digest(
                sign(_as_php(told), self._key).encode(), given.encode()
            ):
                raise InvalidWebhookError("the API key did not make this signature")
            ref, status = text(told["uuid"]), code(told["status"], "unknown")
            of_invoice = told.get("type") == "payment"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidWebhookError(
                f"not an event as documented ({type(error).__name__})"
            ) from error
        return GatewayEvent(
            gateway=NAME,
            account=self.account,
            key=f"{ref}:{status}",
            type=f"invoice.{status}",
            kind="look" if of_invoice else "ignored",
            created=now,
            checkout_ref=ref,
        )

    async def ping(self) -> None:
        """Ask for the list of what can be paid with: it needs merchant and key."""
        await self._request("/v1/payment/services", {})

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _call(
        self, path: str, body: Mapping[str, Any], *, params: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        async with self.breaker.call():
            result = await self._request(path, body, params=params)
            if not isinstance(result, dict):
                raise GatewayUnknownError("a result that is no object")
            return result

    async def _request(
        self, path: str, body: Mapping[str, Any], *, params: Mapping[str, str] | None = None
    ) -> object:
        content = json.dumps(body, separators=(",", ":")).encode()
        headers = {
            "merchant": self._merchant,
            "sign": sign(content, self._key),
            "Content-Type": "application/json",
        }
        status, answer = await self._api.send(
            "POST", path, headers=headers, content=content, params=params
        )
        if status >= 400 or not isinstance(answer, dict) or answer.get("state") != 0:
            raise refused(status, f"status_{status}")
        return answer.get("result")


def sign(content: bytes, key: str) -> str:
    """Return the signature of a body: MD5 over its base64 form and the key (their scheme)."""
    return hashlib.md5(b64encode(content) + key.encode(), usedforsecurity=False).hexdigest()


def _as_php(value: object) -> bytes:
    """Write JSON as PHP does, whose bytes are signed: no spaces, escaped slashes, text as it is."""
    written = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return written.replace("/", "\\/").encode()


def _checkout(invoice: Mapping[str, Any]) -> Checkout:
    with documented():
        return Checkout(ref=text(invoice["uuid"]), url=optional_text(invoice.get("url")))


def _state(invoice: Mapping[str, Any]) -> tuple[EventKind | None, Money | None]:
    """Return what an invoice says, and the money that came as what it is."""
    status = invoice["payment_status"]
    if status == REFUNDED:
        return "refunded_whole", None
    came = _received(invoice)
    in_full = status in REFUNDING and invoice.get("payer_amount") == invoice.get("payment_amount")
    if in_full or (status == "paid" and not _is_late(invoice)):
        # In full and in time: Cryptomus stands for the rate, so it is the invoice's own amount.
        return "paid", _asked(invoice)
    late = status == "cancel" and came is not None and came.amount > 0
    if came is not None and (late or status in CAME | REFUNDING):
        return "paid", came
    if status in UNDER_WAY:
        return "processing", None
    if status in FAILED:
        return "failed", None
    if status == "cancel":
        return "expired", None
    return ("ignored", None) if status not in ("check", *CAME) else (None, None)


def _asked(invoice: Mapping[str, Any]) -> Money:
    return units.CRYPTOMUS.read_text(invoice["amount"], text(invoice["currency"]))


def _received(invoice: Mapping[str, Any]) -> Money | None:
    """Return what was really sent, in its coin; None where nothing was."""
    amount, coin = invoice.get("payment_amount"), invoice.get("payer_currency")
    if not amount or not coin:
        return None
    try:
        return units.CRYPTOMUS.read_text(amount, text(coin))
    except MoneyError as error:
        # A coin that was not offered, or a part of a smallest unit: a person looks, nobody rounds.
        raise GatewayUnknownError("an amount that our books cannot hold") from error


def _is_late(invoice: Mapping[str, Any]) -> bool:
    ends = invoice.get("expired_at")
    return type(ends) is int and instant(invoice.get("updated_at")) > moment(ends) + LATE


def _listed(invoice: Mapping[str, Any]) -> ListedPayment:
    kind, money = _state(invoice)
    statuses: dict[EventKind | None, Literal["paid", "failed"]] = {
        "paid": "paid",
        "refunded_whole": "paid",
        "failed": "failed",
        "expired": "failed",
    }
    shown = money or _asked(invoice)
    return ListedPayment(
        payment_ref=text(invoice["uuid"]),
        checkout_ref=text(invoice["uuid"]),
        payment_id=our_id(invoice.get("order_id")),
        status=statuses.get(kind, "pending"),
        money=shown,
        refunded=Money(shown.amount if kind == "refunded_whole" else 0, shown.currency),
        fee=None,
        created=instant(invoice.get("created_at")),
    )


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")

"""Invoices: what they ask for, what came, and what each status means.

Amounts are decimal strings with eight places. A coin's rate is fixed here, so that figures can be
checked: what an invoice asks for and what came differ by the payer's choice alone.
"""

from __future__ import annotations

import time
import uuid
from decimal import ROUND_UP, Decimal
from typing import Any

from twin.gateways.common.faults import FaultBox
from twin.gateways.common.tables import Book, Object, new_id
from twin.gateways.cryptomus.errors import bad
from twin.gateways.cryptomus.shapes import NewInvoice
from twin.gateways.cryptomus.webhooks import ENDPOINT

KINDS = ("invoice",)
SETTLE = 2.0
"""Seconds until a refund that is on its way has arrived, or failed."""
COMMISSION = Decimal("0.02")
LATE = 4 * 3600
"""Seconds after an invoice's end that a payment is late by."""
COINS = {
    "USDT": ("tron", Decimal(1)),
    "USDC": ("eth", Decimal(1)),
    "BTC": ("btc", Decimal(50_000)),
    "ETH": ("eth", Decimal(2_500)),
    "LTC": ("ltc", Decimal(80)),
    "TRX": ("tron", Decimal("0.125")),
}
"""Coins with the network that they come by and what one is worth in US dollars, here."""
FIAT = {
    "USD": Decimal(1), "EUR": Decimal("1.25"), "GBP": Decimal("1.25"), "INR": Decimal("0.0125"),
    "JPY": Decimal("0.008"), "PLN": Decimal("0.25"), "AUD": Decimal("0.64"),
    "CAD": Decimal("0.8"), "CHF": Decimal("1.25"), "BRL": Decimal("0.2"), "RUB": Decimal("0.0125"),
    "UAH": Decimal("0.025"), "TRY": Decimal("0.032"), "KZT": Decimal("0.002"),
}  # fmt: skip
"""What one unit is worth in US dollars, here."""
FINAL = frozenset({"paid", "paid_over", "wrong_amount", "cancel", "fail", "system_fail"})
WAITING = ("check", "wrong_amount_waiting")
_PLACES = Decimal("0.00000001")


def write(number: Decimal) -> str:
    """Write an amount of a coin."""
    return str(number.quantize(_PLACES))


def value_of(currency: str) -> Decimal | None:
    """Return what one unit of a currency or a coin is worth, None for one that is not taken."""
    if currency in COINS:
        return COINS[currency][1]
    return FIAT.get(currency)


class Invoices:
    """The merchant's invoices. Every change belongs into a transaction of the book."""

    def __init__(self, book: Book, faults: FaultBox, page: Any) -> None:
        self.book = book
        self.faults = faults
        self._page = page

    def put(self, invoice: Object) -> None:
        """Keep an invoice."""
        invoice["updated_at"] = moment(time.time())
        self.book.tables["invoice"].put(invoice["uuid"], invoice)

    def find(self, uuid: str | None, order_id: str | None) -> Object | None:
        """Return an invoice by either name."""
        if uuid is not None:
            return self.book.tables["invoice"].get(uuid)
        for each in self.book.tables["invoice"].newest_first():
            if each["order_id"] == order_id:
                return self.book.tables["invoice"].get(each["uuid"])
        return None

    def create(self, wanted: NewInvoice) -> Object:
        """Make an invoice; one with the same order id is returned as it is."""
        known = self.find(None, wanted.order_id)
        if known is not None:
            if wanted.is_refresh and known["status"] == "cancel":
                known["expired_at"] = int(time.time()) + wanted.lifetime
                self._to(known, "check", tell=False)
            return known
        if value_of(wanted.currency) is None:
            raise bad(f"The currency {wanted.currency} was not found", "currency")
        coins = [each.currency for each in wanted.currencies or ()] or list(COINS)
        for coin in coins:
            if coin not in COINS:
                raise bad(f"The currency {coin} was not found", "currencies")
        amount = Decimal(wanted.amount)
        if amount <= 0:
            raise bad("The amount must be greater than 0.", "amount")
        now = time.time()
        id = str(uuid.uuid4())
        invoice: Object = {
            "uuid": id,
            "order_id": wanted.order_id,
            "amount": wanted.amount,
            "payment_amount": None,
            "payment_amount_usd": None,
            "payer_amount": None,
            "payer_amount_exchange_rate": None,
            "discount_percent": None,
            "discount": "0.00000000",
            "payer_currency": None,
            "currency": wanted.currency,
            "comments": None,
            "merchant_amount": None,
            "commission": None,
            "network": None,
            "address": None,
            "from": None,
            "txid": None,
            "payment_status": "check",
            "status": "check",
            "url": self._page(id),
            "expired_at": int(now) + wanted.lifetime,
            "is_final": False,
            "additional_data": wanted.additional_data,
            "created_at": moment(now),
            "updated_at": moment(now),
            "_created": now,
            "_callback": wanted.url_callback,
            "_return": wanted.url_return,
            "_success": wanted.url_success or wanted.url_return,
            "_coins": coins,
            "_multiple": wanted.is_payment_multiple,
            "_accuracy": wanted.accuracy_payment_percent,
        }
        self.put(invoice)
        return invoice

    # --- the payer ------------------------------------------------------------------------------
    def due(self, invoice: Object, coin: str) -> Decimal:
        """Return what an invoice asks for, in a coin."""
        worth = value_of(invoice["currency"]) or Decimal(1)
        asked = Decimal(invoice["amount"]) * worth / COINS[coin][1]
        return asked.quantize(_PLACES, rounding=ROUND_UP)

    def pay(self, invoice: Object, coin: str, how: str) -> Object:
        """Let coins come: `exact`, `less`, `more`, or `late`, when the invoice has ended."""
        network, rate = COINS[coin]
        asked = self.due(invoice, coin)
        if how == "late":
            # As if the coins had come hours after the end.
            invoice["expired_at"] = int(time.time()) - LATE
            if invoice["status"] != "cancel":
                self._to(invoice, "cancel")
        delta = Decimal(self.faults.now.amount_delta) * _PLACES
        share = {"less": Decimal("0.5"), "more": Decimal("1.5")}.get(how, Decimal(1))
        came = (asked * share + delta).quantize(_PLACES)
        fee = (came * COMMISSION).quantize(_PLACES)
        invoice.update(
            {
                "payment_amount": write(came),
                "payment_amount_usd": str((came * rate).quantize(Decimal("0.01"))),
                "payer_amount": write(asked),
                "payer_amount_exchange_rate": str(rate),
                "payer_currency": coin,
                "network": network,
                "address": "T" + new_id("", 33),
                "from": "T" + new_id("", 33),
                "txid": new_id("", 64, "0123456789abcdef"),
                "merchant_amount": write(came - fee),
                "commission": write(fee),
            }
        )
        self._to(invoice, "process", tell=False)
        self._to(invoice, "confirm_check")
        ends = "paid"
        tolerated = asked * (100 - Decimal(str(invoice["_accuracy"]))) / 100
        if came > asked:
            ends = "paid_over"
        elif came < tolerated:
            # The rest may still come, until the invoice ends.
            waits = invoice["_multiple"] and how != "late"
            ends = "wrong_amount_waiting" if waits else "wrong_amount"
        return self._to(invoice, ends)

    def end(self, invoice: Object) -> Object:
        """End an invoice whose time is over: nobody paid it, or not enough."""
        waited = invoice["status"] == "wrong_amount_waiting"
        return self._to(invoice, "wrong_amount" if waited else "cancel")

    def again(self, invoice: Object) -> Object:
        """Tell once more what became of an invoice."""
        return self._to(invoice, invoice["status"])

    def fail(self, invoice: Object, status: str) -> Object:
        """Let a payment fail, on the chain or at the gateway."""
        return self._to(invoice, status)

    # --- refunds --------------------------------------------------------------------------------
    def refund(self, invoice: Object) -> Object:
        """Send the coins back to an address."""
        invoice["_due"] = time.time() + SETTLE
        invoice["_fails"] = self.faults.take("refund_fails_next")
        return self._to(invoice, "refund_process")

    def settle(self, invoice: Object) -> Object:
        """Let a refund arrive, or fail."""
        return self._to(invoice, "refund_fail" if invoice["_fails"] else "refund_paid")

    def _to(self, invoice: Object, status: str, *, tell: bool = True) -> Object:
        invoice["status"] = invoice["payment_status"] = status
        invoice["is_final"] = status in FINAL or status.startswith("refund")
        self.put(invoice)
        if tell and invoice["_callback"]:
            self.tell(told(invoice), invoice["_callback"])
        return invoice

    def tell(self, body: Object, address: str) -> None:
        """Send a webhook to an address."""
        id = f"{body['uuid']}:{body['status']}:{new_id('', 6)}"
        now = int(time.time())
        event = {"id": id, "type": body["status"], "created": now, "body": body, "url": address}
        self.book.record({**event, "endpoint": ENDPOINT})


def told(invoice: Object) -> Object:
    """Return what a webhook says of an invoice, in the documented order."""
    names = (
        "uuid", "order_id", "amount", "payment_amount", "payment_amount_usd", "merchant_amount",
        "commission", "is_final", "status", "from", "network", "currency", "payer_currency",
        "payer_amount", "payer_amount_exchange_rate", "additional_data", "txid",
    )  # fmt: skip
    body: Object = {"type": "payment", **{name: invoice[name] for name in names}}
    for name in ("payment_amount", "payment_amount_usd", "merchant_amount", "commission"):
        body[name] = body[name] or "0.00000000"
    return {**body, "wallet_address_uuid": None}


def shown(invoice: Object) -> Object:
    """Return an invoice as others see it."""
    return {name: each for name, each in invoice.items() if not name.startswith("_")}


def moment(at: float) -> str:
    """Write a moment as Cryptomus does: in UTC+3."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+03:00", time.gmtime(at + 3 * 3600))

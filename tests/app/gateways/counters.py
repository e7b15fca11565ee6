"""Four gateways by one set of steps: what a customer, a person or an odd day does at each.

Nothing here tells the service: whatever happens is to be found by asking.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from payments.resources import Resources
from tests.app.gateways.cryptomus_server import CryptomusServer
from tests.app.gateways.paypal_server import PaypalServer
from tests.app.gateways.razorpay_server import RazorpayServer
from tests.app.stripe_server import KEY, StripeServer


class Counter(Protocol):
    """A gateway's counter. `fee` is what it keeps of a payment, None where it does not tell."""

    server: Any
    name: str
    fee: int | None

    def pages(self) -> list[str]:
        """Return the pages that were made, oldest first."""

    async def pay(self, page: str) -> None:
        """Let a customer pay."""

    def decline(self, page: str) -> None:
        """Let a customer try a bad card, where the gateway lists that."""

    def age(self, page: str, seconds: int) -> None:
        """Let a payment have been made earlier."""

    def give_back(self, page: str) -> int:
        """Refund on the gateway's own pages; returns how much."""

    def keep(self, page: str, fee: int) -> None:
        """Let the gateway keep another fee."""

    def garble(self) -> None:
        """Put a row into the list that is not as documented."""

    def lock(self, locked: bool) -> None:
        """Take our key for none of theirs, or for one again."""


@dataclass
class Stripe:
    """Stripe's."""

    server: StripeServer
    name: str = "stripe"
    fee: int | None = 61

    def pages(self) -> list[str]:
        return list(self.server.sessions)

    async def pay(self, page: str) -> None:
        self.server.pay(page)

    def decline(self, page: str) -> None:
        self.server.decline(page)

    def age(self, page: str, seconds: int) -> None:
        for charge in self._charges(page):
            charge["created"] -= seconds

    def give_back(self, page: str) -> int:
        self.server.give_back(page, 900)
        return 900

    def keep(self, page: str, fee: int) -> None:
        for charge in self._charges(page):
            if charge["balance_transaction"]:
                charge["balance_transaction"]["fee"] = fee

    def garble(self) -> None:
        odd = {"id": "ch_odd", "object": "charge", "created": int(time.time()), "status": "new"}
        self.server.charges.append(odd | {"payment_intent": "pi_odd"})

    def lock(self, locked: bool) -> None:
        self.server.key = "sk_test_another" if locked else KEY

    def _charges(self, page: str) -> list[dict[str, Any]]:
        return [c for c in self.server.charges if c["payment_intent"] == f"pi_{page}"]


@dataclass
class Razorpay:
    """Razorpay's."""

    server: RazorpayServer
    name: str = "razorpay"
    fee: int | None = 49

    def pages(self) -> list[str]:
        return list(self.server.orders)

    async def pay(self, page: str) -> None:
        self.server.attempt(page)

    def decline(self, page: str) -> None:
        self.server.attempt(page, "failed")

    def age(self, page: str, seconds: int) -> None:
        for payment in self._payments(page):
            payment["created_at"] -= seconds

    def give_back(self, page: str) -> int:
        paid = next(p for p in self._payments(page) if p["status"] == "captured")
        self.server.give_back(paid["id"], 900)
        return 900

    def keep(self, page: str, fee: int) -> None:
        for payment in self._payments(page):
            payment["fee"] = fee

    def garble(self) -> None:
        self.server.payments["pay_odd"] = {
            "id": "pay_odd", "order_id": "order_odd", "created_at": int(time.time()),
        }  # fmt: skip

    def lock(self, locked: bool) -> None:
        self.server.shut = locked

    def _payments(self, page: str) -> list[dict[str, Any]]:
        return [p for p in self.server.payments.values() if p["order_id"] == page]


@dataclass
class Paypal:
    """PayPal's."""

    server: PaypalServer
    resources: Resources
    name: str = "paypal"
    fee: int | None = 111

    def pages(self) -> list[str]:
        return list(self.server.orders)

    async def pay(self, page: str) -> None:
        self.server.approve(page)
        await self.resources.gateways.need("paypal").ask(page)  # captured, and the answer lost

    def decline(self, page: str) -> None:
        """PayPal asks the customer for another card itself."""

    def age(self, page: str, seconds: int) -> None:
        for capture in self.server.captures(page):
            made = datetime.fromisoformat(capture["create_time"]).timestamp() - seconds
            capture["create_time"] = f"{datetime.fromtimestamp(made, UTC):%Y-%m-%dT%H:%M:%SZ}"

    def give_back(self, page: str) -> int:
        (capture,) = self.server.captures(page)
        self.server.give_back(capture["id"], {"currency_code": "EUR", "value": "9.00"})
        return 900

    def keep(self, page: str, fee: int) -> None:
        (capture,) = self.server.captures(page)
        kept = capture["seller_receivable_breakdown"]["paypal_fee"]
        kept["value"] = f"{fee // 100}.{fee % 100:02d}"

    def garble(self) -> None:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self.server.odd_rows.append(
            {"transaction_id": "ODD", "transaction_event_code": "T0006",
             "transaction_initiation_date": now, "transaction_amount": {"value": "many"}}
        )  # fmt: skip

    def lock(self, locked: bool) -> None:
        self.server.shut = locked


@dataclass
class Cryptomus:
    """Cryptomus's, which takes nothing of an amount, has no cards, and gives back everything."""

    server: CryptomusServer
    name: str = "cryptomus"
    fee: int | None = None

    def pages(self) -> list[str]:
        return list(self.server.invoices)

    async def pay(self, page: str) -> None:
        self.server.pay(page)

    def decline(self, page: str) -> None:
        """Nothing is declined on a chain."""

    def age(self, page: str, seconds: int) -> None:
        invoice = self.server.invoices[page]
        made = datetime.fromisoformat(invoice["created_at"]).timestamp() - seconds
        invoice["created_at"] = datetime.fromtimestamp(made, UTC).isoformat(timespec="seconds")

    def give_back(self, page: str) -> int:
        self.server.pay(page, "refund_paid")
        return 2490

    def keep(self, page: str, fee: int) -> None:
        raise NotImplementedError

    def garble(self) -> None:
        odd = {"uuid": "odd", "order_id": "odd", "payment_status": "paid", "amount": None}
        self.server.invoices["odd"] = odd

    def lock(self, locked: bool) -> None:
        self.server.shut = locked

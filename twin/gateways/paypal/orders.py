"""Orders (v2) and what they lead to: approval by the payer, captures and authorisations.

An order that nobody paid is gone after three hours, as at PayPal.
"""

from __future__ import annotations

import time
from typing import Any

from twin.gateways.common.faults import FaultBox
from twin.gateways.common.tables import Book, Object, new_id
from twin.gateways.paypal import money
from twin.gateways.paypal.errors import issue, missing, refusal, unprocessable
from twin.gateways.paypal.shapes import ExperienceContext, NewOrder, PurchaseUnit
from twin.gateways.paypal.webhooks import API, UPPER, emit, moment

KINDS = ("order", "capture", "authorization", "refund", "dispute", "token", "certificate")
LIFE = 3 * 3600
"""Seconds that an order waits to be approved and captured."""
SETTLE = 2.0
"""Seconds until what is pending is decided."""
MERCHANT = "TWINMERCHANT1"
BUYERS = {
    "buyer@example.com": ("Ada", "Lovelace", "pays"),
    "poor@example.com": ("Edgar", "Poe", "is declined when the order is captured"),
    "slow@example.com": ("Grace", "Hopper", "pays, but the capture is pending for a while"),
    "doubtful@example.com": ("Franz", "Kafka", "the capture is pending, and then denied"),
}
"""Made-up people and what becomes of their payments."""


def key() -> str:
    """Return a fresh id."""
    return new_id("", 17, UPPER)


def link(path: str, rel: str, method: str = "GET") -> Object:
    """Return a link to another call."""
    return {"href": API + path, "rel": rel, "method": method}


class Orders:
    """The account's orders. Every change belongs into a transaction of the book."""

    def __init__(self, book: Book, faults: FaultBox, approve_url: Any) -> None:
        self.book = book
        self.faults = faults
        self._approve_url = approve_url

    def get(self, id: str) -> Object:
        """Return an order as it is kept; refuses one that is unknown or gone."""
        order = self.book.tables["order"].get(id)
        if order is None:
            raise missing()
        if order["status"] not in ("COMPLETED", "VOIDED") and self._old(order):
            raise missing()
        return order

    def put(self, order: Object) -> None:
        """Keep an order."""
        order["update_time"] = moment(time.time())
        self.book.tables["order"].put(order["id"], order)

    def _old(self, order: Object) -> bool:
        return bool(order["_created"] + LIFE < time.time())

    def create(self, wanted: NewOrder) -> Object:
        """Open an order."""
        units = [self._unit(unit, index) for index, unit in enumerate(wanted.purchase_units)]
        names = [unit["reference_id"] for unit in units]
        if len(set(names)) < len(names):
            told = "`reference_id` must be unique if multiple `purchase_unit` are provided."
            raise unprocessable("DUPLICATE_REFERENCE_ID", told, "/purchase_units")
        if len({unit["amount"]["currency_code"] for unit in units}) > 1:
            told = "Multiple differing values of currency_code are not supported."
            raise unprocessable("UNSUPPORTED_MULTI_CURRENCY", told, "/purchase_units")
        context = wanted.application_context or ExperienceContext()
        if wanted.payment_source is not None:
            context = wanted.payment_source.paypal.experience_context
        now = time.time()
        order: Object = {
            "id": key(),
            "intent": wanted.intent,
            "status": "PAYER_ACTION_REQUIRED" if wanted.payment_source else "CREATED",
            "purchase_units": units,
            "create_time": moment(now),
            "update_time": moment(now),
            "_created": now,
            "_context": context.model_dump(),
            "_source": wanted.payment_source is not None,
            "_buyer": None,
        }
        if wanted.payment_source is not None:
            order["payment_source"] = {"paypal": {}}
        self.put(order)
        return order

    def _unit(self, unit: PurchaseUnit, index: int) -> Object:
        field = f"/purchase_units/{index}/amount"
        found = unit.model_dump(exclude_none=True)
        total = money.read(found["amount"], field)
        currency = found["amount"]["currency_code"]
        parts = found["amount"].get("breakdown", {})
        if parts:
            sums = {
                name: money.read(part, f"{field}/breakdown/{name}", zero=True)
                for name, part in parts.items()
            }
            less = sums.pop("shipping_discount", 0) + sums.pop("discount", 0)
            if sum(sums.values()) - less != total:
                told = "Should equal item_total + tax_total + shipping + handling + insurance - "
                told += "shipping_discount - discount."
                value = found["amount"]["value"]
                raise unprocessable("AMOUNT_MISMATCH", told, f"{field}/value", value)
        items = found.get("items", [])
        if items:
            each = [
                money.read(item["unit_amount"], f"/purchase_units/{index}/items/{n}/unit_amount")
                for n, item in enumerate(items)
            ]
            whole = sum(a * int(item["quantity"]) for a, item in zip(each, items, strict=True))
            if "item_total" not in parts:
                told = "If item details are specified, item_total is required."
                where = f"{field}/breakdown/item_total"
                raise unprocessable("ITEM_TOTAL_REQUIRED", told, where)
            if money.read(parts["item_total"], field, zero=True) != whole:
                told = "Should equal sum of (unit_amount * quantity) across all items."
                where = f"{field}/breakdown/item_total/value"
                raise unprocessable("ITEM_TOTAL_MISMATCH", told, where)
        found["amount"].update(money.write(total, currency))
        found["payee"] = {"email_address": "merchant@example.com", "merchant_id": MERCHANT}
        return found

    # --- the payer ------------------------------------------------------------------------------
    def approve(self, order: Object, email: str) -> Object:
        """Let a made-up buyer agree to pay."""
        first, last, _ = BUYERS[email]
        order["_buyer"] = email
        payer_id = new_id("", 13, UPPER)
        order["payer"] = {
            "name": {"given_name": first, "surname": last},
            "email_address": email,
            "payer_id": payer_id,
            "address": {"country_code": "US"},
        }
        order["payment_source"] = {
            "paypal": {
                "email_address": email,
                "account_id": payer_id,
                "account_status": "VERIFIED",
                "name": {"given_name": first, "surname": last},
                "address": {"country_code": "US"},
            }
        }
        order["status"] = "APPROVED"
        self.put(order)
        emit(
            self.book,
            "CHECKOUT.ORDER.APPROVED",
            "checkout-order",
            self.shown(order),
            "An order has been approved by buyer",
        )
        return order

    def payable(self, order: Object, intent: str) -> None:
        """Raise unless the order can be captured (or authorised) now."""
        if order["intent"] != intent:
            told = "Order was created with an intent to 'CAPTURE'. Please use v2/checkout/orders/"
            told += "order_id/capture to complete the transaction or alternately Create an order "
            told += "with an intent of 'AUTHORIZE'."
            raise unprocessable("ACTION_DOES_NOT_MATCH_INTENT", told)
        if order["status"] == "COMPLETED":
            if intent == "CAPTURE":
                told = "Order already captured.If 'intent=CAPTURE' only one capture per order is "
                raise unprocessable("ORDER_ALREADY_CAPTURED", told + "allowed.")
            told = "Order already authorized.If 'intent=AUTHORIZE' only one authorization per "
            raise unprocessable("ORDER_ALREADY_AUTHORIZED", told + "order is allowed.")
        if order["status"] != "APPROVED":
            told = "Payer has not yet approved the Order for payment. Please redirect the payer to "
            told += "the 'rel':'approve' url returned as part of the HATEOAS links within the "
            told += "Create Order call or provide a valid payment_source in the request."
            raise unprocessable("ORDER_NOT_APPROVED", told)
        if order["_buyer"] == "poor@example.com":
            order["status"] = "PAYER_ACTION_REQUIRED" if order["_source"] else "CREATED"
            self.put(order)
            told = "The instrument presented  was either declined by the processor or bank, or it "
            told += "can't be used for this payment."
            again = {"href": self._approve_url(order["id"]), "rel": "redirect", "method": "GET"}
            raise refusal(
                "UNPROCESSABLE_ENTITY",
                issue("INSTRUMENT_DECLINED", told),
                links=(again,),
                kept=True,
            )

    def complete(self, order: Object) -> Object:
        """End an order that was captured, or authorised."""
        order["status"] = "COMPLETED"
        self.put(order)
        if order["intent"] == "CAPTURE":
            emit(
                self.book,
                "CHECKOUT.ORDER.COMPLETED",
                "checkout-order",
                self.shown(order),
                "Checkout Order Completed",
            )
        return order

    # --- what others see ------------------------------------------------------------------------
    def shown(self, order: Object) -> Object:
        """Return an order as others see it, with its payments as they are now."""
        found = {name: value for name, value in order.items() if not name.startswith("_")}
        found["purchase_units"] = [
            {**unit, **self._payments(order, unit["reference_id"])}
            for unit in order["purchase_units"]
        ]
        return {**found, "links": self.links(order)}

    def minimal(self, order: Object) -> Object:
        """Return what a caller gets who does not prefer the whole."""
        whole = self.shown(order)
        kept = ["id", "status", "payment_source", "links"]
        if order["status"] == "COMPLETED":
            kept += ["payer"]
        found = {name: whole[name] for name in kept if name in whole}
        if order["status"] == "COMPLETED":
            found["purchase_units"] = [
                {name: unit[name] for name in ("reference_id", "payments") if name in unit}
                for unit in whole["purchase_units"]
            ]
        return found

    def _payments(self, order: Object, reference: str) -> Object:
        found: Object = {}
        for table, name in (
            ("capture", "captures"),
            ("authorization", "authorizations"),
            ("refund", "refunds"),
        ):
            mine = [
                public(each)
                for _, each in self.book.tables[table].items()
                if each["_order"] == order["id"] and each["_unit"] == reference
            ]
            if mine:
                found[name] = mine
        return {"payments": found} if found else {}

    def links(self, order: Object) -> list[Object]:
        """Return what can be done with an order."""
        path = f"/v2/checkout/orders/{order['id']}"
        found = [link(path, "self")]
        approve = {"href": self._approve_url(order["id"]), "method": "GET"}
        if order["status"] == "PAYER_ACTION_REQUIRED":
            return [*found, {**approve, "rel": "payer-action"}]
        if order["status"] in ("CREATED", "APPROVED"):
            if order["status"] == "CREATED":
                found.append({**approve, "rel": "approve"})
            action = order["intent"].lower()
            found += [link(path, "update", "PATCH"), link(f"{path}/{action}", action, "POST")]
        return found


def public(value: Object) -> Object:
    """Return an object as others see it."""
    return {name: each for name, each in value.items() if not name.startswith("_")}

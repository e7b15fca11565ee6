"""Captures, authorisations, refunds and disputes: the money side of orders."""

from __future__ import annotations

import time
from typing import Any

from twin.gateways.common.tables import Object, new_id
from twin.gateways.paypal import money
from twin.gateways.paypal.errors import missing, unprocessable
from twin.gateways.paypal.orders import SETTLE, Orders, key, link, public
from twin.gateways.paypal.shapes import NewCapture, NewRefund
from twin.gateways.paypal.webhooks import UPPER, emit, moment

_AUTHORIZED_FOR = 29 * 86_400
PAYMENTS = "/v2/payments"


class Payments:
    """The account's payments. Every change belongs into a transaction of the book."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.book = orders.book

    def get(self, kind: str, id: str) -> Object:
        """Return an object as it is kept; refuses an unknown one."""
        found = self.book.tables[kind].get(id)
        if found is None:
            raise missing()
        return found

    def put(self, kind: str, value: Object) -> None:
        """Keep an object."""
        value["update_time"] = moment(time.time())
        self.book.tables[kind].put(value.get("id") or value["dispute_id"], value)

    def find(self, kind: str, id: str) -> Object:
        """Return an object for a person who names it; raises ValueError for none."""
        found = self.book.tables[kind].get(id)
        if found is None:
            raise ValueError(f"{kind}: there is no {id}")
        return found

    def _tell(self, type: str, kind: str, resource: Object, summary: str) -> None:
        emit(self.book, type, kind, public(resource), summary)

    # --- captures -------------------------------------------------------------------------------
    def capture_order(self, order: Object) -> Object:
        """Capture every purchase of an approved order."""
        self.orders.payable(order, "CAPTURE")
        for unit in order["purchase_units"]:
            self._check_invoice(unit.get("invoice_id"))
            amount = money.read(unit["amount"], "/amount")
            self._capture(order, unit, amount, final=True)
        return self.orders.complete(order)

    def _check_invoice(self, invoice: str | None) -> None:
        taken = {each.get("invoice_id") for each in self.book.tables["capture"].newest_first()}
        if invoice is not None and invoice in taken:
            told = "Duplicate Invoice ID detected. To avoid a potential duplicate transaction your "
            told += "account setting requires that Invoice Id be unique for each transaction."
            raise unprocessable("DUPLICATE_INVOICE_ID", told)

    def _capture(
        self, order: Object, unit: Object, amount: int, *, final: bool, **more: Any
    ) -> Object:
        currency = unit["amount"]["currency_code"]
        taken = max(1, amount + self.orders.faults.now.amount_delta)
        fee = money.fee_of(taken, currency)
        id, now = key(), time.time()
        pending = order["_buyer"] in ("slow@example.com", "doubtful@example.com")
        capture: Object = {
            "id": id,
            "status": "PENDING" if pending else "COMPLETED",
            "amount": money.write(taken, currency),
            "final_capture": final,
            "seller_protection": {
                "status": "ELIGIBLE",
                "dispute_categories": ["ITEM_NOT_RECEIVED", "UNAUTHORIZED_TRANSACTION"],
            },
            "seller_receivable_breakdown": {
                "gross_amount": money.write(taken, currency),
                "paypal_fee": money.write(fee, currency),
                "net_amount": money.write(taken - fee, currency),
            },
            "supplementary_data": {"related_ids": {"order_id": order["id"]}},
            "create_time": moment(now),
            "links": [
                link(f"{PAYMENTS}/captures/{id}", "self"),
                link(f"{PAYMENTS}/captures/{id}/refund", "refund", "POST"),
                link(f"/v2/checkout/orders/{order['id']}", "up"),
            ],
            "_order": order["id"],
            "_unit": unit["reference_id"],
            "_taken": taken,
            "_refunded": 0,
            "_fee": fee,
            "_due": now + SETTLE,
            "_denied": order["_buyer"] == "doubtful@example.com",
            "_created": now,
            **more,
        }
        for name in ("custom_id", "invoice_id"):
            if unit.get(name) and name not in capture:
                capture[name] = unit[name]
        if pending:
            capture["status_details"] = {"reason": "PENDING_REVIEW"}
        self.put("capture", capture)
        told = money.display(taken, currency)
        if pending:
            self._tell("PAYMENT.CAPTURE.PENDING", "capture", capture, f"Payment pending for {told}")
        else:
            summary = f"Payment completed for {told}"
            self._tell("PAYMENT.CAPTURE.COMPLETED", "capture", capture, summary)
        return capture

    def decide(self, capture: Object) -> Object:
        """End a pending capture: completed, or denied."""
        capture.pop("status_details", None)
        capture["status"] = "DECLINED" if capture["_denied"] else "COMPLETED"
        self.put("capture", capture)
        told = money.display(capture["_taken"], capture["amount"]["currency_code"])
        kind = "DENIED" if capture["_denied"] else "COMPLETED"
        summary = f"Payment {kind.lower()} for {told}"
        self._tell(f"PAYMENT.CAPTURE.{kind}", "capture", capture, summary)
        return capture

    # --- authorisations -------------------------------------------------------------------------
    def authorize_order(self, order: Object) -> Object:
        """Authorise every purchase of an approved order."""
        self.orders.payable(order, "AUTHORIZE")
        now = time.time()
        for unit in order["purchase_units"]:
            id = key()
            path = f"{PAYMENTS}/authorizations/{id}"
            authorization: Object = {
                "id": id,
                "status": "CREATED",
                "amount": money.write(
                    money.read(unit["amount"], "/amount"), unit["amount"]["currency_code"]
                ),
                "expiration_time": moment(now + _AUTHORIZED_FOR),
                "seller_protection": {"status": "ELIGIBLE"},
                "supplementary_data": {"related_ids": {"order_id": order["id"]}},
                "create_time": moment(now),
                "links": [
                    link(path, "self"),
                    link(f"{path}/capture", "capture", "POST"),
                    link(f"{path}/void", "void", "POST"),
                    link(f"/v2/checkout/orders/{order['id']}", "up"),
                ],
                "_order": order["id"],
                "_unit": unit["reference_id"],
                "_captured": 0,
            }
            for name in ("custom_id", "invoice_id"):
                if unit.get(name):
                    authorization[name] = unit[name]
            self.put("authorization", authorization)
            summary = "An authorization has been created"
            type = "PAYMENT.AUTHORIZATION.CREATED"
            self._tell(type, "authorization", authorization, summary)
        return self.orders.complete(order)

    def capture(self, authorization: Object, wanted: NewCapture) -> Object:
        """Capture what was authorised, or a part of it."""
        if authorization["status"] == "CAPTURED":
            told = "Authorization has been previously captured and hence cannot be captured again."
            raise unprocessable("AUTHORIZATION_ALREADY_CAPTURED", told)
        if authorization["status"] == "VOIDED":
            told = "A voided authorization cannot be captured or reauthorized."
            raise unprocessable("AUTHORIZATION_VOIDED", told)
        currency = authorization["amount"]["currency_code"]
        left = money.read(authorization["amount"], "/amount") - authorization["_captured"]
        amount = left
        if wanted.amount is not None:
            amount = self._same(wanted.amount.model_dump(), currency)
        if amount > left:
            told = "Capture amount exceeds allowable limit. Please contact customer service or "
            told += "your account manager to request the change to your overage limit."
            raise unprocessable("MAX_CAPTURE_AMOUNT_EXCEEDED", told, "/amount/value")
        order = self.book.tables["order"].get(authorization["_order"])
        if order is None:
            raise missing()
        reference = authorization["_unit"]
        unit = next(u for u in order["purchase_units"] if u["reference_id"] == reference)
        invoice = wanted.invoice_id or unit.get("invoice_id")
        self._check_invoice(invoice)
        more = {"invoice_id": invoice} if invoice else {}
        capture = self._capture(order, unit, amount, final=wanted.final_capture, **more)
        capture["supplementary_data"]["related_ids"]["authorization_id"] = authorization["id"]
        self.put("capture", capture)
        authorization["_captured"] += amount
        whole = wanted.final_capture or amount == left
        authorization["status"] = "CAPTURED" if whole else "PARTIALLY_CAPTURED"
        self.put("authorization", authorization)
        return capture

    def void(self, authorization: Object) -> Object:
        """Give up an authorisation of which nothing was captured."""
        if authorization["status"] == "VOIDED":
            told = "Authorization has been previously voided and hence cannot be voided again."
            raise unprocessable("PREVIOUSLY_VOIDED", told)
        if authorization["_captured"]:
            told = "Authorization has been previously captured and hence cannot be voided."
            raise unprocessable("PREVIOUSLY_CAPTURED", told)
        authorization["status"] = "VOIDED"
        self.put("authorization", authorization)
        type = "PAYMENT.AUTHORIZATION.VOIDED"
        self._tell(type, "authorization", authorization, "A payment authorization was voided")
        return authorization

    def _same(self, amount: Object, currency: str) -> int:
        """Return an amount that must be in a currency."""
        number = money.read(amount, "/amount")
        if amount["currency_code"] != currency:
            told = "Currency must be the same as that of the original payment."
            where = "/amount/currency_code"
            raise unprocessable("CURRENCY_MISMATCH", told, where, amount["currency_code"])
        return number

    # --- refunds --------------------------------------------------------------------------------
    def refund(self, capture: Object, wanted: NewRefund) -> Object:
        """Send money back, all that is left without an amount; never more than was captured."""
        if capture["status"] == "PENDING":
            told = "Cannot initiate a refund as the capture is pending."
            raise unprocessable("PENDING_CAPTURE", told)
        if capture["status"] == "DECLINED":
            told = "Refund could not be processed: the capture was declined."
            raise unprocessable("REFUND_NOT_ALLOWED", told)
        currency = capture["amount"]["currency_code"]
        left = capture["_taken"] - capture["_refunded"]
        if not left:
            raise unprocessable(
                "CAPTURE_FULLY_REFUNDED", "The capture has already been fully refunded."
            )
        amount = left
        if wanted.amount is not None:
            amount = self._same(wanted.amount.model_dump(), currency)
        if amount > left:
            told = "The refund amount must be less than or equal to the capture amount that has "
            raise unprocessable("REFUND_AMOUNT_EXCEEDED", told + "not yet been refunded.")
        id, now = key(), time.time()
        fails = self.orders.faults.take("refund_fails_next")
        capture["_refunded"] += amount
        self._refund_status(capture)
        refund: Object = {
            "id": id,
            "status": "PENDING" if fails else "COMPLETED",
            "amount": money.write(amount, currency),
            "seller_payable_breakdown": {
                "gross_amount": money.write(amount, currency),
                "paypal_fee": money.write(0, currency),
                "net_amount": money.write(amount, currency),
                "total_refunded_amount": money.write(capture["_refunded"], currency),
            },
            "create_time": moment(now),
            "links": [
                link(f"{PAYMENTS}/refunds/{id}", "self"),
                link(f"{PAYMENTS}/captures/{capture['id']}", "up"),
            ],
            "_order": capture["_order"],
            "_unit": capture["_unit"],
            "_capture": capture["id"],
            "_amount": amount,
            "_due": now + SETTLE,
            "_created": now,
        }
        if fails:
            refund["status_details"] = {"reason": "ECHECK"}
        for name in ("custom_id", "invoice_id", "note_to_payer"):
            if getattr(wanted, name):
                refund[name] = getattr(wanted, name)
        self.put("capture", capture)
        self.put("refund", refund)
        if not fails:
            told = f"A {money.display(amount, currency)} capture payment was refunded"
            self._tell("PAYMENT.CAPTURE.REFUNDED", "refund", refund, told)
        else:
            told = f"A refund of {money.display(amount, currency)} is pending"
            self._tell("PAYMENT.REFUND.PENDING", "refund", refund, told)
        return refund

    def fail_refund(self, refund: Object) -> Object:
        """Let a refund that is on its way fail."""
        capture = self.get("capture", refund["_capture"])
        capture["_refunded"] -= refund["_amount"]
        self._refund_status(capture)
        self.put("capture", capture)
        refund.pop("status_details", None)
        refund["status"] = "FAILED"
        self.put("refund", refund)
        self._tell("PAYMENT.REFUND.FAILED", "refund", refund, "A refund failed")
        return refund

    def _refund_status(self, capture: Object) -> None:
        if capture["_refunded"] == capture["_taken"]:
            capture["status"] = "REFUNDED"
        else:
            capture["status"] = "PARTIALLY_REFUNDED" if capture["_refunded"] else "COMPLETED"

    # --- disputes -------------------------------------------------------------------------------
    def open_dispute(self, capture: Object, reason: str) -> Object:
        """Let the payer dispute a capture."""
        if capture["status"] in ("PENDING", "DECLINED"):
            raise ValueError(f"{capture['id']} is {capture['status']}: nothing to dispute")
        now = time.time()
        id = f"PP-R-{new_id('', 3, UPPER)}-{new_id('', 8, '0123456789')}"
        order = self.book.tables["order"].get(capture["_order"]) or {}
        payer = order.get("payer", {})
        dispute: Object = {
            "dispute_id": id,
            "create_time": moment(now),
            "disputed_transactions": [
                {
                    "buyer_transaction_id": key(),
                    "seller_transaction_id": capture["id"],
                    "create_time": capture["create_time"],
                    "transaction_status": "COMPLETED",
                    "gross_amount": capture["amount"],
                    "custom": capture.get("custom_id", ""),
                    "invoice_number": capture.get("invoice_id", ""),
                    "buyer": {"name": payer.get("name", {}).get("given_name", "A buyer")},
                    "seller": {"merchant_id": "TWINMERCHANT1", "name": "Payments twin"},
                }
            ],
            "reason": reason,
            "status": "WAITING_FOR_SELLER_RESPONSE",
            "dispute_amount": capture["amount"],
            "dispute_state": "REQUIRED_ACTION",
            "dispute_life_cycle_stage": "CHARGEBACK",
            "dispute_channel": "INTERNAL",
            "seller_response_due_date": moment(now + 10 * 86_400),
            "links": [
                link(f"/v1/customer/disputes/{id}", "self"),
                link(f"/v1/customer/disputes/{id}/accept-claim", "accept_claim", "POST"),
            ],
            "_capture": capture["id"],
            "_created": now,
        }
        self.put("dispute", dispute)
        summary = "A new dispute opened with Case # " + id
        self._tell("CUSTOMER.DISPUTE.CREATED", "dispute", dispute, summary)
        return dispute

    def resolve_dispute(self, dispute: Object, outcome: str) -> Object:
        """End a dispute: `seller` or `buyer` is right."""
        if dispute["status"] == "RESOLVED":
            told = "Action not allowed: the dispute is resolved already."
            raise unprocessable("DISPUTE_ALREADY_RESOLVED", told)
        lost = outcome == "buyer"
        currency = dispute["dispute_amount"]["currency_code"]
        dispute["status"] = dispute["dispute_state"] = "RESOLVED"
        dispute["dispute_outcome"] = {
            "outcome_code": f"RESOLVED_{outcome.upper()}_FAVOUR",
            "amount_refunded": dispute["dispute_amount"] if lost else money.write(0, currency),
        }
        self.put("dispute", dispute)
        summary = f"A dispute was resolved with case # {dispute['dispute_id']}"
        self._tell("CUSTOMER.DISPUTE.RESOLVED", "dispute", dispute, summary)
        return dispute

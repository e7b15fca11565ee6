"""Orders, payments, refunds and disputes: the objects, and what moves them on.

An order is never led back from `paid`. A payment that failed may be authorised later, as banks
that time out do (razorpay.com/docs/payments/payments/late-authorization).
"""

from __future__ import annotations

import time
from typing import Any

from twin.gateways.common.faults import FaultBox
from twin.gateways.common.tables import Book, Object, new_id
from twin.gateways.razorpay.errors import bad, missing
from twin.gateways.razorpay.money import LEAST_INR, check_amount, display, fee_of

ACCOUNT = "acc_PaymentsTwin00"
SETTLE = 2.0
"""Seconds until a refund that is on its way has arrived, or failed."""
KINDS = ("order", "payment", "refund", "dispute", "checkout")


def key(prefix: str) -> str:
    """Return a fresh id."""
    return new_id(f"{prefix}_", 14)


class Ledger:
    """The account's objects. Every change belongs into a transaction of the book."""

    def __init__(self, book: Book, faults: FaultBox) -> None:
        self.book = book
        self.faults = faults

    def get(self, kind: str, id: str) -> Object:
        """Return an object as it is kept; refuses an unknown one."""
        found = self.book.tables[kind].get(id)
        if found is None:
            raise missing()
        return found

    def put(self, kind: str, value: Object) -> None:
        """Keep an object."""
        self.book.tables[kind].put(value["id"], value)

    def emit(self, type: str, **entities: Object) -> None:
        """Tell of something that happened to these."""
        now = int(time.time())
        self.book.record(
            {
                "id": new_id("", 14),
                "type": type,
                "created": now,
                "body": {
                    "entity": "event",
                    "account_id": ACCOUNT,
                    "event": type,
                    "contains": list(entities),
                    "payload": {name: {"entity": shown(each)} for name, each in entities.items()},
                    "created_at": now,
                },
            }
        )

    # --- orders ---------------------------------------------------------------------------------
    def create_order(
        self,
        amount: int,
        currency: str,
        receipt: str | None,
        notes: Any,
        *,
        capture: bool,
    ) -> Object:
        """Open an order. A receipt is taken once."""
        check_amount(amount, currency)
        if receipt is not None and any(
            each["receipt"] == receipt for each in self.book.tables["order"].newest_first()
        ):
            raise bad("Receipt should be unique", "receipt")
        order: Object = {
            "id": key("order"),
            "entity": "order",
            "amount": amount,
            "amount_paid": 0,
            "amount_due": amount,
            "currency": currency,
            "receipt": receipt,
            "offer_id": None,
            "status": "created",
            "attempts": 0,
            "notes": notes or [],
            "created_at": int(time.time()),
            "_capture": capture,
        }
        self.put("order", order)
        return order

    def order_of(self, payment: Object) -> Object | None:
        """Return the order that a payment is for."""
        return self.book.tables["order"].get(payment["order_id"])

    # --- payments -------------------------------------------------------------------------------
    def begin(self, order: Object, method: str, details: Object, payer: Object) -> Object:
        """Begin an attempt to pay an order; refuses one that is paid."""
        if order["status"] == "paid":
            raise bad("Payment processing failed because the order is already paid")
        payment: Object = {
            "id": key("pay"),
            "entity": "payment",
            "amount": max(1, order["amount_due"] + self.faults.now.amount_delta),
            "currency": order["currency"],
            "status": "created",
            "order_id": order["id"],
            "invoice_id": None,
            "international": False,
            "method": method,
            "amount_refunded": 0,
            "refund_status": None,
            "captured": False,
            "description": payer.get("description"),
            "card_id": None,
            "bank": None,
            "wallet": None,
            "vpa": None,
            "email": payer.get("email") or "void@razorpay.com",
            "contact": payer.get("contact") or "+919999999999",
            "notes": payer.get("notes") or order["notes"],
            "fee": None,
            "tax": None,
            "error_code": None,
            "error_description": None,
            "error_source": None,
            "error_step": None,
            "error_reason": None,
            "acquirer_data": {},
            "created_at": int(time.time()),
            **details,
        }
        order["attempts"] += 1
        order["status"] = "attempted"
        self.put("order", order)
        self.put("payment", payment)
        return payment

    def fail(self, payment: Object, reason: str, description: str) -> Object:
        """Let an attempt fail."""
        payment.update(
            status="failed",
            error_code="BAD_REQUEST_ERROR",
            error_description=description,
            error_source="customer" if reason == "payment_cancelled" else "bank",
            error_step="payment_authorization",
            error_reason=reason,
        )
        self.put("payment", payment)
        self.emit("payment.failed", payment=payment)
        return payment

    def authorise(self, payment: Object) -> Object:
        """Let the bank agree; an order that captures by itself is paid with that."""
        payment["status"] = "authorized"
        for name in ("code", "description", "source", "step", "reason"):
            payment[f"error_{name}"] = None
        number = new_id("", 12, "0123456789")
        payment["acquirer_data"] = (
            {"rrn": number, "upi_transaction_id": new_id("", 32, "0123456789ABCDEF")}
            if payment["method"] == "upi"
            else {"auth_code": number[:6]}
        )
        self.put("payment", payment)
        self.emit("payment.authorized", payment=payment)
        order = self.order_of(payment)
        if order is not None and order["status"] == "paid":
            return self.give_up(payment)
        return self._take(payment, order) if order is not None and order["_capture"] else payment

    def give_up(self, payment: Object) -> Object:
        """Give back what was authorised and never captured, as Razorpay does by itself.

        razorpay.com/docs/payments/refunds/auto-refunds: a second payment of an order at once, and
        what nobody has captured in time. Its `captured` stays false.
        """
        if payment["status"] != "authorized":
            raise ValueError(f"{payment['id']} is {payment['status']}: only what is authorized is")
        self._given_back(payment, payment["amount"])
        return payment

    def capture(self, payment: Object, amount: int, currency: str | None) -> Object:
        """Capture what was authorised, all of it."""
        if payment["status"] in ("captured", "refunded"):
            raise bad("This payment has already been captured")
        if payment["status"] != "authorized":
            raise bad(
                "Only payments which have been authorized and not yet captured can be captured"
            )
        if currency is not None and currency != payment["currency"]:
            raise bad("The currency does not match the currency of the payment", "currency")
        if amount != payment["amount"]:
            raise bad("Capture amount must be equal to the amount authorized", "amount")
        order = self.order_of(payment)
        return self._take(payment, order)

    def _take(self, payment: Object, order: Object | None) -> Object:
        payment["status"], payment["captured"] = "captured", True
        payment["fee"], payment["tax"] = fee_of(payment["amount"])
        self.put("payment", payment)
        self.emit("payment.captured", payment=payment)
        if order is not None and order["status"] != "paid":
            order["amount_paid"] += payment["amount"]
            order["amount_due"] = max(0, order["amount"] - order["amount_paid"])
            order["status"] = "paid"
            self.put("order", order)
            self.emit("order.paid", payment=payment, order=order)
        return payment

    # --- refunds --------------------------------------------------------------------------------
    def refund(
        self, payment: Object, amount: int | None, speed: str, notes: Any, receipt: str | None
    ) -> Object:
        """Send money back, all that is left without an amount; never more than was captured."""
        if payment["status"] not in ("captured", "refunded"):
            raise bad("The payment status should be captured for action to be taken")
        left = payment["amount"] - payment["amount_refunded"]
        if not left:
            raise bad("The payment has been fully refunded already")
        wanted = left if amount is None else amount
        if payment["currency"] == "INR" and wanted < LEAST_INR:
            raise bad(f"The amount must be atleast {display(LEAST_INR, 'INR')}", "amount")
        check_amount(wanted, payment["currency"], "Refund amount")
        if wanted > left:
            raise bad("The refund amount provided is greater than amount captured", "amount")
        if receipt is not None and any(
            each["receipt"] == receipt for each in self.book.tables["refund"].newest_first()
        ):
            raise bad("Receipt should be unique", "receipt")
        fails = self.faults.take("refund_fails_next")
        return self._given_back(
            payment, wanted, notes=notes, receipt=receipt, speed_requested=speed, _fails=fails
        )

    def _given_back(self, payment: Object, amount: int, **facts: Any) -> Object:
        now = time.time()
        refund: Object = {
            "id": key("rfnd"),
            "entity": "refund",
            "amount": amount,
            "currency": payment["currency"],
            "payment_id": payment["id"],
            "receipt": None,
            "acquirer_data": {"arn": None},
            "created_at": int(now),
            "batch_id": None,
            "status": "pending",
            "speed_processed": "normal",
            "speed_requested": "normal",
            "_due": now + SETTLE,
            "_fails": False,
            **facts,
        }
        refund["notes"] = refund.get("notes") or []
        payment["amount_refunded"] += amount
        self._refund_status(payment)
        self.put("refund", refund)
        self.put("payment", payment)
        self.emit("refund.created", refund=refund, payment=payment)
        return refund

    def settle(self, refund: Object) -> Object:
        """Let a refund that is on its way arrive, or fail."""
        payment = self.get("payment", refund["payment_id"])
        if refund["_fails"]:
            refund["status"] = "failed"
            payment["amount_refunded"] -= refund["amount"]
            self._refund_status(payment)
            self.put("payment", payment)
        else:
            refund["status"] = "processed"
            refund["acquirer_data"] = {"arn": new_id("", 23, "0123456789")}
        self.put("refund", refund)
        self.emit(f"refund.{refund['status']}", refund=refund, payment=payment)
        return refund

    def _refund_status(self, payment: Object) -> None:
        whole = payment["amount_refunded"] == payment["amount"]
        some = "partial" if payment["amount_refunded"] else None
        payment["refund_status"] = "full" if whole else some
        before = "captured" if payment["captured"] else "authorized"
        payment["status"] = "refunded" if whole else before

    # --- disputes -------------------------------------------------------------------------------
    def open_dispute(self, payment: Object, amount: int | None) -> Object:
        """Let the payer's bank dispute a captured payment."""
        if not payment["captured"]:
            raise ValueError(f"{payment['id']} is {payment['status']}: only what was captured is")
        now = int(time.time())
        dispute: Object = {
            "id": key("disp"),
            "entity": "dispute",
            "payment_id": payment["id"],
            "amount": amount or payment["amount"],
            "currency": payment["currency"],
            "amount_deducted": 0,
            "gateway_dispute_id": new_id("D", 7, "0123456789"),
            "reason_code": "goods_or_services_not_received_or_partially_received",
            "respond_by": now + 7 * 86_400,
            "status": "open",
            "phase": "chargeback",
            "created_at": now,
            "comments": None,
            "evidence": {"amount": amount or payment["amount"], "submitted_at": None},
        }
        self.put("dispute", dispute)
        self.emit("payment.dispute.created", payment=payment, dispute=dispute)
        return dispute

    def close_dispute(self, dispute: Object, outcome: str) -> Object:
        """End a dispute: `won`, or `lost` by the merchant, and then given back as a refund."""
        if dispute["status"] not in ("open", "under_review"):
            raise bad("Action not allowed when dispute is in closed state")
        dispute["status"] = outcome
        if outcome == "lost":
            dispute["amount_deducted"] = dispute["amount"]
        self.put("dispute", dispute)
        payment = self.get("payment", dispute["payment_id"])
        self.emit(f"payment.dispute.{outcome}", payment=payment, dispute=dispute)
        left = payment["amount"] - payment["amount_refunded"]
        if outcome == "lost" and left:
            self._given_back(payment, min(left, dispute["amount"]))
        return dispute


def shown(value: Object) -> Object:
    """Return an object as others see it: names with a leading `_` are the gateway's own."""
    return {name: each for name, each in value.items() if not name.startswith("_")}

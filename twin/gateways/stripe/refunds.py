"""Refunds: of a charge, in part or whole, never above what was captured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twin.gateways.stripe.cards import SAVED_CARDS
from twin.gateways.stripe.errors import StripeError, invalid
from twin.gateways.stripe.intents import book
from twin.gateways.stripe.money import check_amount, display
from twin.gateways.stripe.plans import plan
from twin.gateways.stripe.state import Object, State, new_id


def create(state: State, params: dict[str, Any], *, fails: Callable[[], bool]) -> Object:
    """Refund a charge, named by itself or by its intent; without an amount, what is left.

    Some test cards' refunds are pending at first, or fail later; `fails` says whether any does.
    """
    charge = _charge(state, params)
    if charge["disputed"]:
        raise StripeError(
            400,
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
            kept=True,
        )
    left = charge["amount_captured"] - charge["amount_refunded"]
    if not left:
        raise StripeError(
            400,
            f"Charge {charge['id']} has already been refunded.",
            code="charge_already_refunded",
            kept=True,
        )
    amount = params.get("amount", left)
    check_amount(amount, charge["currency"], "amount", least=False)
    if amount > left:
        currency = charge["currency"]
        raise StripeError(
            400,
            f"Refund amount ({display(amount, currency)}) is greater than unrefunded amount on "
            f"charge ({display(left, currency)})",
            param="amount",
            kept=True,
        )
    refund: Object = {
        "id": new_id("re_3"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": int(time.time()),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {
            "card": {
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        "metadata": params.get("metadata", {}),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    last4 = charge["payment_method_details"]["card"]["last4"]
    goes = SAVED_CARDS[last4].refunds
    broken = fails()
    if goes == "pending" or broken:
        refund["status"] = "pending"
        refund["pending_reason"] = "processing"
    if broken or goes != "succeeded":
        ends = "failed" if broken or goes == "failed" else "succeeded"
        plan(state, "refund", refund["id"], outcome=ends)
    refund["balance_transaction"] = book(state, refund, -amount, "refund")["id"]
    before = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    state.put("refund", refund)
    state.put("charge", charge)
    state.emit("refund.created", refund)
    state.emit("charge.refunded", charge, previous=before)
    return refund


def settle(state: State, refund: Object, outcome: str) -> Object:
    """Let a refund arrive, or fail: the money of one that failed comes back to the balance."""
    refund.pop("pending_reason", None)
    refund["status"] = outcome
    if outcome == "failed":
        refund["failure_reason"] = "expired_or_canceled_card"
        charge = state.get("charge", refund["charge"])
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
        state.put("charge", charge)
        entry = book(state, refund, refund["amount"], "refund_failure")
        refund["failure_balance_transaction"] = entry["id"]
    state.put("refund", refund)
    state.emit("refund.updated", refund)
    state.emit("charge.refund.updated", refund)
    if outcome == "failed":
        state.emit("refund.failed", refund)
    return refund


def _charge(state: State, params: dict[str, Any]) -> Object:
    if "charge" in params and "payment_intent" in params:
        raise invalid("You may only specify one of these parameters: charge, payment_intent.")
    if "charge" in params:
        charge = state.get("charge", params["charge"], "charge")
    elif "payment_intent" in params:
        intent = state.get("payment_intent", params["payment_intent"], "payment_intent")
        if intent["status"] != "succeeded":
            raise StripeError(
                400,
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                code="payment_intent_unexpected_state",
                kept=True,
            )
        charge = state.get("charge", intent["latest_charge"])
    else:
        raise invalid(
            "One of the following params should be provided for this request: payment_intent or "
            "charge.",
            code="parameter_missing",
        )
    if not charge["paid"]:
        raise StripeError(
            400, f"Charge {charge['id']} was not paid and cannot be refunded.", kept=True
        )
    return charge

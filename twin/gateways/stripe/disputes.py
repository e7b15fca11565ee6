"""Disputes: opened by a payer's bank, answered by the merchant, decided by the bank.

Test evidence decides at once, as in Stripe's test mode: `winning_evidence` or `losing_evidence` as
the `uncategorized_text` (docs.stripe.com/testing, disputes).
"""

from __future__ import annotations

import time
from typing import Any

from twin.gateways.stripe.calls import NOTHING, Call, Operation, endpoint, reading
from twin.gateways.stripe.errors import StripeError, invalid
from twin.gateways.stripe.forms import boolean, metadata, shape, string
from twin.gateways.stripe.intents import book
from twin.gateways.stripe.plans import plan
from twin.gateways.stripe.state import Object, State, new_id

FEE = 1500
"""What a dispute costs, in the charge's currency's smallest unit: Stripe's list price in USD."""
_DAYS = 9
_OPEN = ("needs_response", "under_review")
_TEXTS = """
    access_activity_log billing_address cancellation_policy cancellation_policy_disclosure
    cancellation_rebuttal customer_communication customer_email_address customer_name
    customer_purchase_ip customer_signature duplicate_charge_documentation
    duplicate_charge_explanation duplicate_charge_id product_description receipt refund_policy
    refund_policy_disclosure refund_refusal_explanation service_date service_documentation
    shipping_address shipping_carrier shipping_date shipping_documentation
    shipping_tracking_number uncategorized_file uncategorized_text
"""
_EVIDENCE = _TEXTS.split()
REASONS = ("fraudulent", "product_not_received", "product_unacceptable", "duplicate", "general")


def create(state: State, charge: Object, reason: str) -> Object:
    """Open a dispute about all of a charge, and take the money and the fee."""
    now = int(time.time())
    dispute: Object = {
        "id": new_id("du_1"),
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(_EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": now + _DAYS * 86_400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": charge["payment_method_details"]["card"]["brand"],
                "case_type": "chargeback",
                "network_reason_code": "10.4" if reason == "fraudulent" else "13.1",
            },
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }
    entry = book(state, dispute, -charge["amount"], "adjustment", FEE, category="dispute")
    dispute["balance_transactions"] = [entry]
    charge["disputed"] = True
    state.put("charge", charge)
    state.put("dispute", dispute)
    state.emit("charge.dispute.created", dispute)
    state.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close(state: State, dispute: Object, outcome: str) -> Object:
    """End a dispute: `won` or `lost`. Money that is won comes back; the fee does not."""
    if dispute["status"] not in _OPEN:
        raise StripeError(400, "This dispute is already closed", kept=True)
    dispute["status"] = outcome
    if outcome == "won":
        entry = book(state, dispute, dispute["amount"], "adjustment", category="dispute_reversal")
        dispute["balance_transactions"] = [*dispute["balance_transactions"], entry]
    state.put("dispute", dispute)
    state.emit("charge.dispute.closed", dispute)
    if outcome == "won":
        state.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def _update(call: Call) -> Object:
    dispute = call.state.get("dispute", call.ids["id"], "dispute")
    params: dict[str, Any] = call.params
    if "evidence" in params and dispute["status"] != "needs_response":
        raise invalid("This dispute's evidence can be changed no more.", "evidence")
    dispute["metadata"] = {**dispute["metadata"], **params.get("metadata", {})}
    if "evidence" in params:
        dispute["evidence"].update(params["evidence"])
        dispute["evidence_details"]["has_evidence"] = True
        if params.get("submit", True):
            dispute["evidence_details"]["submission_count"] += 1
            dispute["evidence_details"]["submission_method"] = "manual"
            dispute["status"] = "under_review"
            text = params["evidence"].get("uncategorized_text", "")
            ends = {"winning_evidence": "won", "losing_evidence": "lost"}.get(text)
            if ends is not None:
                plan(call.state, "dispute-close", dispute["id"], outcome=ends)
    call.state.put("dispute", dispute)
    call.state.emit("charge.dispute.updated", dispute)
    return dispute


def _close(call: Call) -> Object:
    return close(call.state, call.state.get("dispute", call.ids["id"], "dispute"), "lost")


_UPDATE = shape(
    evidence=shape(**{name: string(20_000) for name in _EVIDENCE}),
    submit=boolean,
    metadata=metadata,
)
OPERATIONS: list[Operation] = [
    *reading(
        "/v1/disputes", "dispute", "dispute", {"charge": string(), "payment_intent": string()}
    ),
    endpoint("POST", "/v1/disputes/{id}", _UPDATE, _update),
    endpoint("POST", "/v1/disputes/{id}/close", NOTHING, _close),
]

"""Payouts: the balance on its way to the merchant's bank, and what it was made of."""

from __future__ import annotations

import time

from twin.gateways.stripe.calls import Call, Operation, listed, page, reading
from twin.gateways.stripe.forms import string
from twin.gateways.stripe.intents import book
from twin.gateways.stripe.plans import plan
from twin.gateways.stripe.state import Object, State, new_id

_FAILED = "The bank account has been closed"


def unpaid(state: State, currency: str) -> list[Object]:
    """Return what the balance of a currency consists of, the oldest first."""
    paid = {id for _, each in state.tables["payout_items"].items() for id in each["entries"]}
    return [
        entry
        for _, entry in state.tables["balance_transaction"].items()
        if entry["currency"] == currency and entry["id"] not in paid
    ]


def create(state: State, currency: str, outcome: str) -> Object:
    """Pay out a currency's whole balance; it is `paid` soon, or `failed`.

    A balance below zero is taken from the bank, as a payout of a negative amount. Raises
    ValueError when there is nothing to pay out.
    """
    entries = unpaid(state, currency)
    amount = sum(entry["net"] for entry in entries)
    if amount == 0:
        raise ValueError(f"currency: the balance in {currency} is 0: nothing to pay out")
    now = int(time.time())
    payout: Object = {
        "id": new_id("po_1"),
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": now + 86_400,
        "automatic": True,
        "balance_transaction": None,
        "created": now,
        "currency": currency,
        "description": "STRIPE PAYOUT",
        "destination": None,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "completed",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "in_transit",
        "trace_id": None,
        "type": "bank_account",
    }
    entry = book(state, payout, -amount, "payout")
    payout["balance_transaction"] = entry["id"]
    ids = [each["id"] for each in entries] + [entry["id"]]
    state.tables["payout_items"].put(payout["id"], {"entries": ids})
    state.put("payout", payout)
    state.emit("payout.created", payout)
    plan(state, "payout", payout["id"], outcome=outcome)
    return payout


def settle(state: State, payout: Object, outcome: str) -> Object:
    """Let a payout arrive, or come back from the bank."""
    payout["status"] = outcome
    if outcome == "failed":
        payout["failure_code"], payout["failure_message"] = "account_closed", _FAILED
        entry = book(state, payout, payout["amount"], "payout_failure", category="payout_reversal")
        payout["failure_balance_transaction"] = entry["id"]
    state.put("payout", payout)
    state.emit(f"payout.{outcome}", payout)
    return payout


def balance_transactions(call: Call) -> Object:
    """List entries of the balance; those of a payout, it included, with `payout`."""
    path, wanted = "/v1/balance_transactions", call.params.get("payout")
    if wanted is None:
        return listed(call, "balance_transaction", path, ("source", "type"))
    call.state.get("payout", wanted, "payout")
    items = (call.state.tables["payout_items"].get(wanted) or {"entries": []})["entries"]
    found = [
        each
        for each in call.state.tables["balance_transaction"].newest_first()
        if each["id"] in items and each["type"] == call.params.get("type", each["type"])
    ]
    return page(call, "balance_transaction", found, path)


OPERATIONS: list[Operation] = reading("/v1/payouts", "payout", "payout", {"status": string()})

"""Stripe as its client and its payers see it: the API, the hosted checkout page, the webhooks.

Everything is in the twin's store, so a restart loses nothing: not an object, not an idempotency
key, not a delivery that still waits for its next attempt.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twin.edge.logs import note
from twin.edge.site import Site
from twin.gateways.common.faults import FaultBox
from twin.gateways.common.gateway import Action, Field, Gateway
from twin.gateways.common.gateway import Site as Host
from twin.gateways.common.tables import Object
from twin.gateways.common.webhooks import Webhooks
from twin.gateways.stripe import api, disputes, payouts, plans, refunds, sessions
from twin.gateways.stripe.api import Api
from twin.gateways.stripe.cards import TEST_CARDS
from twin.gateways.stripe.checkout import Checkout
from twin.gateways.stripe.errors import StripeError
from twin.gateways.stripe.state import State
from twin.gateways.stripe.webhooks import StripeDialect
from twin.store import Store

API_HOST = "api.stripe.test"
CHECKOUT_HOST = "checkout.stripe.localhost"


class Stripe(Gateway):
    """The simulated gateway of one account: `{"secret_key", "webhook_endpoints": [...]}`."""

    name = "stripe"
    title = "Stripe"
    tries = tuple(
        (" ".join(re.findall("....", number)), what) for number, (what, _) in TEST_CARDS.items()
    )
    hint = "Any future date, any three digits."

    def __init__(self, store: Store, account: Mapping[str, Any], authority: Path) -> None:
        super().__init__()
        mine = account.get("stripe", {})
        self.state = State(store)
        self.faults = FaultBox(store, "stripe")
        endpoints = mine.get("webhook_endpoints", [])
        self.webhooks = Webhooks(self.state, self.faults, StripeDialect(), endpoints, authority)
        self.api = Api(self.state, self.faults, mine.get("secret_key", ""), self.checkout_url)
        self.checkout: Site = Checkout(self.state, self.webhooks, self.faults).site

        self.actions = (
            Action(
                name="open-dispute",
                label="Open a dispute",
                text="The payer's bank disputes a charge; a payment intent's id does as well.",
                fields=(
                    Field(name="charge", label="Charge's id"),
                    Field(name="reason", label="Reason", choices=disputes.REASONS, needed=False),
                ),
                run=self._open_dispute,
            ),
            Action(
                name="close-dispute",
                label="Close a dispute",
                text="The bank decides.",
                fields=(
                    Field(name="dispute", label="Dispute's id"),
                    Field(name="outcome", label="Outcome", choices=("won", "lost")),
                ),
                run=self._close_dispute,
            ),
            Action(
                name="pay-out",
                label="Pay out the balance",
                text="The whole balance of a currency goes to the bank, or is taken from it when it"
                " is below zero; what failed comes back.",
                fields=(
                    Field(name="currency", label="Currency"),
                    Field(
                        name="outcome",
                        label="Outcome",
                        choices=("paid", "failed"),
                        needed=False,
                    ),
                ),
                run=self._pay_out,
            ),
            Action(
                name="block-card",
                label="Block a saved card",
                text="The bank declines a saved payment method from now on, or no more.",
                fields=(
                    Field(name="payment_method", label="Payment method's id"),
                    Field(name="blocked", label="Blocked", choices=("yes", "no"), needed=False),
                ),
                run=self._block,
            ),
        )

    def hosts(self) -> Mapping[str, Host]:
        """Return the API and the hosted pages."""
        return {API_HOST: self.api, CHECKOUT_HOST: self.checkout}

    def checkout_url(self) -> str:
        """Return the address of the hosted pages."""
        return self.address(CHECKOUT_HOST)

    async def start(self, port: int) -> None:
        """Begin to deliver events and to expire sessions; `port` is where browsers reach us."""
        api.prune(self.state)
        await super().start(port)

    def sweep(self) -> None:
        """Expire the open sessions whose time is over, and do what was planned."""
        now = time.time()
        for session in list(self.state.tables["session"].newest_first()):
            if session["status"] == "open" and session["expires_at"] <= now:
                with self.state.transaction():
                    sessions.expire(self.state, self.state.get("session", session["id"]))
                note(logging.INFO, "checkout session expired", session=session["id"])
        for key, each in plans.due(self.state):
            with self.state.transaction():
                self._happen(each)
                self.state.tables["plan"].drop(key)

    def _happen(self, planned: Object) -> None:
        state, id = self.state, planned["id"]
        if planned["what"] == "refund":
            refunds.settle(state, state.get("refund", id), planned["outcome"])
        elif planned["what"] == "payout":
            payouts.settle(state, state.get("payout", id), planned["outcome"])
        elif planned["what"] == "dispute-open":
            charge = state.get("charge", id)
            if not charge["disputed"]:
                disputes.create(state, charge, planned["reason"])
        elif planned["what"] == "dispute-close":
            dispute = state.get("dispute", id)
            if dispute["status"] == "under_review":
                disputes.close(state, dispute, planned["outcome"])

    # --- actions --------------------------------------------------------------------------------
    def _open_dispute(self, values: Mapping[str, str]) -> Object:
        id = values["charge"]
        if id.startswith("pi_"):
            id = str(self._find("payment_intent", id)["latest_charge"])
        charge = self._find("charge", id)
        if not charge["paid"] or charge["disputed"]:
            what = "disputed already" if charge["disputed"] else "not paid"
            raise ValueError(f"charge: {id} is {what}")
        with self.state.transaction():
            return disputes.create(self.state, charge, values.get("reason", "fraudulent"))

    def _close_dispute(self, values: Mapping[str, str]) -> Object:
        dispute = self._find("dispute", values["dispute"])
        try:
            with self.state.transaction():
                return disputes.close(self.state, dispute, values["outcome"])
        except StripeError:
            raise ValueError(f"dispute: {dispute['id']} is {dispute['status']} already") from None

    def _pay_out(self, values: Mapping[str, str]) -> Object:
        currency = values["currency"].lower()
        with self.state.transaction():
            return payouts.create(self.state, currency, values.get("outcome", "paid"))

    def _block(self, values: Mapping[str, str]) -> Object:
        method = self._find("payment_method", values["payment_method"])
        blocked = values.get("blocked", "yes") == "yes"
        with self.state.transaction():
            if blocked:
                self.state.tables["blocked"].put(method["id"], {"id": method["id"]})
            else:
                self.state.tables["blocked"].drop(method["id"])
        return {"id": method["id"], "blocked": blocked}

    def _find(self, kind: str, id: str) -> Object:
        found = self.state.tables[kind].get(id)
        if found is None:
            raise ValueError(f"there is no {kind} {id}")
        return found

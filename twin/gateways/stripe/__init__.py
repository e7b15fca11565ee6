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
from twin.gateways.common.gateway import Gateway
from twin.gateways.common.gateway import Site as Host
from twin.gateways.common.webhooks import Webhooks
from twin.gateways.stripe import api, sessions
from twin.gateways.stripe.api import Api
from twin.gateways.stripe.cards import TEST_CARDS
from twin.gateways.stripe.checkout import Checkout
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
        """Expire the open sessions whose time is over."""
        now = time.time()
        for session in list(self.state.tables["session"].newest_first()):
            if session["status"] == "open" and session["expires_at"] <= now:
                with self.state.transaction():
                    sessions.expire(self.state, self.state.get("session", session["id"]))
                note(logging.INFO, "checkout session expired", session=session["id"])

"""Razorpay as its client and its payers see it: the API, the checkout, the webhooks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twin.edge.site import Site
from twin.gateways.common import jsonapi
from twin.gateways.common.faults import FaultBox
from twin.gateways.common.gateway import Action, Field, Gateway
from twin.gateways.common.gateway import Site as Host
from twin.gateways.common.jsonapi import Refusal
from twin.gateways.common.tables import Book, Object
from twin.gateways.common.webhooks import Webhooks
from twin.gateways.razorpay.api import Api
from twin.gateways.razorpay.checkout import TEST_CARDS, Checkout
from twin.gateways.razorpay.payments import KINDS, Ledger, shown
from twin.gateways.razorpay.webhooks import RazorpayDialect
from twin.store import Store

API_HOST = "api.razorpay.test"
CHECKOUT_HOST = "checkout.razorpay.localhost"


class Razorpay(Gateway):
    """The account: `{"key_id", "key_secret", "webhook_endpoints": [{"url", "secret"}]}`."""

    name = "razorpay"
    title = "Razorpay"
    tries = (
        *TEST_CARDS.items(),
        ("success@razorpay", "UPI: succeeds"),
        ("failure@razorpay", "UPI: fails"),
    )
    hint = "Cards: any future date, any three digits; the bank's page asks how it ends."

    def __init__(self, store: Store, account: Mapping[str, Any], authority: Path) -> None:
        super().__init__()
        mine = account.get("razorpay", {})
        key_id, key_secret = str(mine.get("key_id", "")), str(mine.get("key_secret", ""))
        self.book = Book(store, "razorpay", KINDS)
        self.faults = FaultBox(store, "razorpay")
        endpoints = mine.get("webhook_endpoints", [])
        self.webhooks = Webhooks(self.book, self.faults, RazorpayDialect(), endpoints, authority)
        self.ledger = Ledger(self.book, self.faults)
        self.api = Api(self.ledger, self.faults, key_id, key_secret)
        self.checkout: Site = Checkout(self.ledger, key_id, key_secret).site
        dispute = Field(name="dispute", label="Dispute's id")
        payment = Field(name="payment", label="Payment's id")
        self.actions = (
            Action(
                name="open-dispute",
                label="Open a dispute",
                text="The payer's bank disputes a captured payment.",
                fields=(payment, Field(name="amount", label="Amount", needed=False)),
                run=self._open,
            ),
            Action(
                name="close-dispute",
                label="Close a dispute",
                text="The bank decides.",
                fields=(dispute, Field(name="outcome", label="Outcome", choices=("won", "lost"))),
                run=self._close,
            ),
            Action(
                name="authorise-late",
                label="Authorise late",
                text="A payment that failed is authorised after all, as when a bank timed out.",
                fields=(payment,),
                run=self._late,
            ),
            Action(
                name="give-up",
                label="Give up",
                text="A payment that nobody has captured goes back by itself.",
                fields=(payment,),
                run=self._give_up,
            ),
        )

    def hosts(self) -> Mapping[str, Host]:
        """Return the API and the checkout."""
        return {API_HOST: self.api, CHECKOUT_HOST: self.checkout}

    async def start(self, port: int) -> None:
        """Begin."""
        jsonapi.prune(self.book, self.api.key_life)
        await super().start(port)

    def sweep(self) -> None:
        """Let refunds arrive, or fail."""
        now = time.time()
        for refund in list(self.book.tables["refund"].newest_first()):
            if refund["status"] == "pending" and refund["_due"] <= now:
                with self.book.transaction():
                    self.ledger.settle(self.ledger.get("refund", refund["id"]))

    def _open(self, values: Mapping[str, str]) -> Object:
        amount = values.get("amount")
        if amount is not None and not amount.isdecimal():
            raise ValueError("amount: a whole number in the currency's smallest unit")
        payment = self._find("payment", values["payment"])
        with self.book.transaction():
            return shown(self.ledger.open_dispute(payment, int(amount) if amount else None))

    def _close(self, values: Mapping[str, str]) -> Object:
        dispute = self._find("dispute", values["dispute"])
        try:
            with self.book.transaction():
                return shown(self.ledger.close_dispute(dispute, values["outcome"]))
        except Refusal:
            raise ValueError(f"{dispute['id']} is {dispute['status']} already") from None

    def _late(self, values: Mapping[str, str]) -> Object:
        payment = self._find("payment", values["payment"])
        if payment["status"] != "failed":
            raise ValueError(f"{payment['id']} is {payment['status']}: only what failed can be")
        with self.book.transaction():
            return shown(self.ledger.authorise(payment))

    def _give_up(self, values: Mapping[str, str]) -> Object:
        payment = self._find("payment", values["payment"])
        with self.book.transaction():
            return shown(self.ledger.give_up(payment))

    def _find(self, kind: str, id: str) -> Object:
        found = self.book.tables[kind].get(id)
        if found is None:
            raise ValueError(f"{kind}: there is no {id}")
        return found

"""PayPal as its client and its payers see it: the API, the approval pages, the webhooks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from twin.edge.site import Site
from twin.gateways.common import jsonapi
from twin.gateways.common.faults import FaultBox
from twin.gateways.common.gateway import Action, Field, Gateway
from twin.gateways.common.gateway import Site as Host
from twin.gateways.common.jsonapi import Refusal
from twin.gateways.common.tables import Book, Object
from twin.gateways.common.webhooks import Webhooks
from twin.gateways.paypal.api import Api
from twin.gateways.paypal.approve import PATH, Approval
from twin.gateways.paypal.certificates import Certificates
from twin.gateways.paypal.operations import operations
from twin.gateways.paypal.orders import BUYERS, KINDS, Orders, public
from twin.gateways.paypal.payments import Payments
from twin.gateways.paypal.webhooks import PayPalDialect
from twin.store import Store

API_HOST = "api-m.paypal.test"
BROWSER_HOST = "www.paypal.localhost"
_REASONS = (
    "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
    "MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED",
    "UNAUTHORISED",
)


class PayPal(Gateway):
    """The account: `{"client_id", "client_secret", "webhook_id", "webhook_url"}`."""

    name = "paypal"
    title = "PayPal"
    tries = tuple((email, what) for email, (_, _, what) in BUYERS.items())
    hint = "Any password. A rolled secret is a new certificate; the old one can still be fetched."

    def __init__(self, store: Store, account: Mapping[str, Any], authority: Path) -> None:
        super().__init__()
        mine = account.get("paypal", {})
        client = (str(mine.get("client_id", "")), str(mine.get("client_secret", "")))
        webhook_id, url = str(mine.get("webhook_id", "")), mine.get("webhook_url")
        self.book = Book(store, "paypal", KINDS)
        self.faults = FaultBox(store, "paypal")
        self.certificates = Certificates(self.book, authority)
        dialect = PayPalDialect(self.certificates, webhook_id)
        endpoints = [{"url": url, "secret": self.certificates.first()}] if url else []
        self.webhooks = Webhooks(self.book, self.faults, dialect, endpoints, authority)
        self.orders = Orders(self.book, self.faults, self.approve_url)
        self.payments = Payments(self.orders)
        calls = operations(self.payments, dialect, self.webhooks, webhook_id)
        self.api = Api(self.book, self.faults, self.certificates, client, calls)
        self.pages: Site = Approval(self.orders).site
        self.actions = (
            Action(
                name="open-dispute",
                label="Open a dispute",
                text="The payer disputes a capture.",
                fields=(
                    Field(name="capture", label="Capture's id"),
                    Field(name="reason", label="Reason", choices=_REASONS, needed=False),
                ),
                run=self._open,
            ),
            Action(
                name="resolve-dispute",
                label="Resolve a dispute",
                text="PayPal decides in favour of the seller or of the buyer.",
                fields=(
                    Field(name="dispute", label="Dispute's id"),
                    Field(name="favour", label="In favour of", choices=("seller", "buyer")),
                ),
                run=self._resolve,
            ),
        )

    def hosts(self) -> Mapping[str, Host]:
        """Return the API and the approval pages."""
        return {API_HOST: self.api, BROWSER_HOST: self.pages}

    def approve_url(self, order_id: str) -> str:
        """Return where the payer approves an order."""
        return f"{self.address(BROWSER_HOST)}{PATH}?{urlencode({'token': order_id})}"

    async def start(self, port: int) -> None:
        """Begin."""
        jsonapi.prune(self.book, self.api.key_life)
        await super().start(port)

    def sweep(self) -> None:
        """Decide what is pending."""
        now = time.time()
        for capture in list(self.book.tables["capture"].newest_first()):
            if capture["status"] == "PENDING" and capture["_due"] <= now:
                with self.book.transaction():
                    self.payments.decide(self.payments.get("capture", capture["id"]))
        for refund in list(self.book.tables["refund"].newest_first()):
            if refund["status"] == "PENDING" and refund["_due"] <= now:
                with self.book.transaction():
                    self.payments.fail_refund(self.payments.get("refund", refund["id"]))

    def _open(self, values: Mapping[str, str]) -> Object:
        capture = self.payments.find("capture", values["capture"])
        with self.book.transaction():
            made = self.payments.open_dispute(capture, values.get("reason", _REASONS[0]))
        return {"id": made["dispute_id"], **public(made)}

    def _resolve(self, values: Mapping[str, str]) -> Object:
        dispute = self.payments.find("dispute", values["dispute"])
        try:
            with self.book.transaction():
                made = self.payments.resolve_dispute(dispute, values["favour"])
        except Refusal:
            raise ValueError(f"{values['dispute']} is resolved already") from None
        return {"id": made["dispute_id"], **public(made)}

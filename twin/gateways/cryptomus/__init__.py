"""Cryptomus as its client and its payers see it: the API, the page of an invoice, the webhooks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twin.edge.site import Site
from twin.gateways.common.faults import FaultBox
from twin.gateways.common.gateway import Action, Field, Gateway
from twin.gateways.common.gateway import Site as Host
from twin.gateways.common.tables import Book, Object
from twin.gateways.common.webhooks import Webhooks
from twin.gateways.cryptomus.api import REFUNDABLE, Api
from twin.gateways.cryptomus.invoices import KINDS, WAITING, Invoices, shown
from twin.gateways.cryptomus.pay import WAYS, Pay
from twin.gateways.cryptomus.webhooks import ENDPOINT, CryptomusDialect
from twin.store import Store

API_HOST = "api.cryptomus.test"
BROWSER_HOST = "pay.cryptomus.localhost"


class Cryptomus(Gateway):
    """The merchant: `{"merchant", "api_key"}`."""

    name = "cryptomus"
    title = "Cryptomus"
    tries = tuple(WAYS.items())
    hint = "Choose on an invoice's page. A rolled secret is another API key, at once."

    def __init__(self, store: Store, account: Mapping[str, Any], authority: Path) -> None:
        super().__init__()
        mine = account.get("cryptomus", {})
        merchant, key = str(mine.get("merchant", "")), str(mine.get("api_key", ""))
        self.book = Book(store, "cryptomus", KINDS)
        self.faults = FaultBox(store, "cryptomus")
        endpoints = [{"url": ENDPOINT, "secret": key}] if key else []
        dialect = CryptomusDialect()
        self.webhooks = Webhooks(self.book, self.faults, dialect, endpoints, authority)
        self.invoices = Invoices(self.book, self.faults, self.pay_url)
        self.api = Api(self.invoices, merchant, lambda: self.webhooks.active_secrets(ENDPOINT))
        self.pages: Site = Pay(self.invoices).site
        self.actions = (
            Action(
                name="fail",
                label="Let a payment fail",
                text="The chain refuses the coins, or the gateway breaks down over them.",
                fields=(
                    Field(name="invoice", label="Invoice's uuid"),
                    Field(name="status", label="Status", choices=("fail", "system_fail")),
                ),
                run=self._fail,
            ),
            Action(
                name="refund",
                label="Refund an invoice",
                text="The merchant gives back what came, on Cryptomus' own pages.",
                fields=(Field(name="invoice", label="Invoice's uuid"),),
                run=self._refund,
            ),
        )

    def hosts(self) -> Mapping[str, Host]:
        """Return the API and the pages."""
        return {API_HOST: self.api, BROWSER_HOST: self.pages}

    def pay_url(self, id: str) -> str:
        """Return the address of an invoice's page."""
        return f"{self.address(BROWSER_HOST)}/pay/{id}"

    def sweep(self) -> None:
        """End invoices whose time is over, and let refunds arrive."""
        now = time.time()
        for each in list(self.book.tables["invoice"].newest_first()):
            if each["status"] in WAITING and each["expired_at"] <= now:
                with self.book.transaction():
                    self.invoices.end(dict(each))
            elif each["status"] == "refund_process" and each["_due"] <= now:
                with self.book.transaction():
                    self.invoices.settle(dict(each))

    def _named(self, values: Mapping[str, str]) -> Object:
        invoice = self.book.tables["invoice"].get(values["invoice"])
        if invoice is None:
            raise ValueError(f"invoice: there is no {values['invoice']}")
        return invoice

    def _refund(self, values: Mapping[str, str]) -> Object:
        invoice = self._named(values)
        if invoice["status"] not in REFUNDABLE:
            raise ValueError(f"invoice: it is {invoice['status']}, there is nothing to give back")
        with self.book.transaction():
            return {"id": invoice["uuid"], **shown(self.invoices.refund(invoice))}

    def _fail(self, values: Mapping[str, str]) -> Object:
        invoice = self._named(values)
        if invoice["is_final"]:
            raise ValueError(f"invoice: it is {invoice['status']} already")
        with self.book.transaction():
            return {"id": invoice["uuid"], **shown(self.invoices.fail(invoice, values["status"]))}

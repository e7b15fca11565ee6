"""The pages of `pay.cryptomus.localhost`: choose a coin, and how much of it comes and when."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web

from twin.edge.site import Site
from twin.gateways.common.pages import Pages, fields, redirect
from twin.gateways.common.tables import Object
from twin.gateways.cryptomus.invoices import COINS, Invoices, write

WAYS: Final = {
    "exact": "All of it, in time",
    "less": "Half of it",
    "more": "Half as much again",
    "late": "All of it, hours after the invoice has ended",
}


class Pay:
    """The pages."""

    def __init__(self, invoices: Invoices) -> None:
        self._invoices = invoices
        self.site = Site()
        self._pages = Pages(Path(__file__).parent, self.site)
        self.site.route("GET", "/pay/{id}", self._show)
        self.site.route("POST", "/pay/{id}", self._submitted)

    async def _show(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        invoice = self._invoices.book.tables["invoice"].get(id)
        return self._page(invoice)

    async def _submitted(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        invoice = self._invoices.book.tables["invoice"].get(id)
        if invoice is None or not self._open(invoice):
            return self._page(invoice)
        typed = await fields(request)
        how, coin = typed.get("how", ""), typed.get("coin", "")
        if how != "cancel" and (how not in WAYS or coin not in invoice["_coins"]):
            return self._page(invoice, 422, wrong="Choose a coin and how it is paid.")
        if invoice["status"] == "cancel" and how not in ("late", "cancel"):
            return self._page(invoice, 422, wrong="This invoice has ended: pay late, or not.")
        with self._invoices.book.transaction():
            if how != "cancel":
                self._invoices.pay(invoice, coin, how)
            elif invoice["status"] != "cancel":
                self._invoices.end(invoice)
        return redirect(f"/pay/{id}")

    def _open(self, invoice: Object) -> bool:
        # Coins can come to an address whose invoice has ended.
        return invoice["status"] in ("check", "cancel")

    def _page(
        self, invoice: Object | None, status: int = 200, wrong: str = ""
    ) -> web.StreamResponse:
        if invoice is None:
            return self._pages.render("none.html", 404)
        due = {coin: write(self._invoices.due(invoice, coin)) for coin in invoice["_coins"]}
        return self._pages.render(
            "pay.html",
            status,
            invoice=invoice,
            due=due,
            networks={coin: COINS[coin][0] for coin in due},
            ways=WAYS,
            open=self._open(invoice),
            paid=invoice["status"] in ("paid", "paid_over"),
            wrong=wrong,
        )

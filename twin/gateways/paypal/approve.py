"""The pages of `www.paypal.localhost`: a made-up buyer logs in and agrees to pay, or does not.

They lead back to the merchant's `return_url` with `token` (the order) and `PayerID`, or to its
`cancel_url` with `token`.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode, urlsplit, urlunsplit

from aiohttp import web

from twin.edge.site import Site
from twin.gateways.common.jsonapi import Refusal
from twin.gateways.common.pages import Pages, fields, redirect
from twin.gateways.common.tables import Object
from twin.gateways.paypal import money
from twin.gateways.paypal.orders import BUYERS, Orders

PATH = "/checkoutnow"


class Approval:
    """The pages."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self.site = Site()
        self._pages = Pages(Path(__file__).parent, self.site)
        self.site.route("GET", PATH, self._login)
        self.site.route("POST", PATH, self._submitted)

    async def _login(self, request: web.BaseRequest) -> web.StreamResponse:
        order = self._open(request)
        if order is None:
            return self._closed()
        return self._page("login.html", order)

    async def _submitted(self, request: web.BaseRequest) -> web.StreamResponse:
        order = self._open(request)
        if order is None:
            return self._closed()
        typed = await fields(request)
        step, email = typed.get("step"), typed.get("email", "").strip().lower()
        context = order["_context"]
        if step == "cancel":
            if not context["cancel_url"]:
                return self._closed()
            return redirect(_with(context["cancel_url"], token=order["id"]))
        if email not in BUYERS or (step == "login" and not typed.get("password")):
            wrong = "That e-mail address or password is not right. Take one of the buyers below."
            return self._page("login.html", order, 422, wrong=wrong, email=email)
        if step != "pay":
            return self._page("review.html", order, email=email, buyer=BUYERS[email])
        with self._orders.book.transaction():
            self._orders.approve(order, email)
        if not context["return_url"]:
            return self._closed()
        payer = order["payer"]["payer_id"]
        return redirect(_with(context["return_url"], token=order["id"], PayerID=payer))

    def _open(self, request: web.BaseRequest) -> Object | None:
        """Return the order that waits for its payer."""
        try:
            order = self._orders.get(request.query.get("token", ""))
        except Refusal:
            return None
        return order if order["status"] in ("CREATED", "PAYER_ACTION_REQUIRED") else None

    def _page(
        self, template: str, order: Object, status: int = 200, **more: object
    ) -> web.StreamResponse:
        unit = order["purchase_units"][0]
        total = sum(money.read(each["amount"], "") for each in order["purchase_units"])
        shown: dict[str, object] = {
            "order": order,
            "what": unit.get("description") or "Your purchase",
            "brand": order["_context"]["brand_name"] or "the shop",
            "total": money.display(total, unit["amount"]["currency_code"]),
            "buyers": BUYERS,
            **more,
        }
        return self._pages.render(template, status, page=shown)

    def _closed(self) -> web.StreamResponse:
        return self._pages.render("closed.html", 404)


def _with(address: str, **values: str) -> str:
    """Return an address with more in its query."""
    parts = urlsplit(address)
    query = "&".join(filter(None, (parts.query, urlencode(values))))
    return urlunsplit(parts._replace(query=query))

"""The checkout: a script for the merchant's page, and the pages that it shows in a frame.

Three ways lead here, as at the real one: the script with a `handler` (a frame over the merchant's
page), the script with `redirect`, and a plain form posted to `/v1/checkout/embedded`. The last two
end with a form that the payer's browser posts to the merchant's `callback_url`. Nothing of a card's
number is ever kept.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from twin.edge.site import Site
from twin.gateways.common.jsonapi import Refusal
from twin.gateways.common.pages import Pages, fields, redirect
from twin.gateways.common.tables import Object
from twin.gateways.razorpay.money import display
from twin.gateways.razorpay.payments import Ledger, key
from twin.gateways.razorpay.webhooks import sign

TEST_CARDS: Final = {
    "4111 1111 1111 1111": "Visa",
    "5267 3181 8797 5449": "Mastercard",
    "4012 8888 8888 1881": "Visa, international",
}
"""razorpay.com/docs/payments/payments/test-card-details"""
_KNOWN = re.compile(
    r"key_id|key|order_id|amount|currency|name|description|image|callback_url|cancel_url|redirect"
    r"|origin|(prefill|notes|theme|modal|retry)\[\w[\w ]*\]|timeout|send_sms_hash|remember_customer"
)
_REFUSED = "Your payment was declined by your bank. Try another payment method."


class Checkout:
    """The pages of `checkout.razorpay.localhost`."""

    def __init__(self, ledger: Ledger, key_id: str, key_secret: str) -> None:
        self._ledger = ledger
        self._key_id = key_id
        self._secret = key_secret
        self.site = Site()
        self._pages = Pages(Path(__file__).parent, self.site)
        self.site.route("GET", "/v1/checkout.js", self._script)
        self.site.route("GET", "/v1/checkout/public", self._framed)
        self.site.route("POST", "/v1/checkout/embedded", self._embedded)
        self.site.route("GET", "/v1/checkout/pay/{id}", self._show)
        self.site.route("POST", "/v1/checkout/pay/{id}", self._pay)
        self.site.route("GET", "/v1/checkout/pay/{id}/bank/{payment}", self._bank)
        self.site.route("POST", "/v1/checkout/pay/{id}/bank/{payment}", self._decided)

    async def _script(self, request: web.BaseRequest) -> web.StreamResponse:
        text = (Path(__file__).parent / "checkout.js").read_text()
        # Merchants may load it with `crossorigin`.
        headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-cache"}
        return web.Response(text=text, content_type="text/javascript", headers=headers)

    async def _framed(self, request: web.BaseRequest) -> web.StreamResponse:
        given = dict(parse_qsl(request.query_string, keep_blank_values=True))
        mode = "page" if given.get("redirect") == "true" else "frame"
        return self._open(given, mode)

    async def _embedded(self, request: web.BaseRequest) -> web.StreamResponse:
        return self._open(await fields(request), "page")

    def _open(self, given: Mapping[str, str], mode: str) -> web.StreamResponse:
        """Begin a visit: check what the merchant sent, and show the ways to pay."""
        fault = self._fault(given, mode)
        if fault:
            return self._pages.render("fault.html", 400, framed=True, fault=fault)
        visit: Object = {
            "id": key("chk"),
            "mode": mode,
            "order": given["order_id"],
            "callback_url": given.get("callback_url"),
            "cancel_url": given.get("cancel_url"),
            "origin": given.get("origin"),
            "name": given.get("name", ""),
            "description": given.get("description"),
            "prefill": _group(given, "prefill"),
            "notes": _group(given, "notes"),
            "created_at": int(time.time()),
        }
        with self._ledger.book.transaction():
            self._ledger.put("checkout", visit)
        return redirect(f"/v1/checkout/pay/{visit['id']}")

    def _fault(self, given: Mapping[str, str], mode: str) -> str | None:
        unknown = [name for name in given if not _KNOWN.fullmatch(name)]
        if unknown:
            return f"{', '.join(unknown)} is/are not required and should not be sent"
        if given.get("key_id", given.get("key")) != self._key_id or not self._key_id:
            return "Authentication failed due to incorrect or missing key"
        order = self._ledger.book.tables["order"].get(given.get("order_id", ""))
        if order is None:
            return "The order_id provided does not exist"
        if given.get("amount", str(order["amount"])) != str(order["amount"]):
            return "Payment failed because the amount differs from the order's"
        if given.get("currency", order["currency"]) != order["currency"]:
            return "Payment failed because the currency differs from the order's"
        needed = ["callback_url"] if mode == "page" else ["origin"]
        for name in (*needed, "cancel_url"):
            if name in given or name in needed:
                parts = urlsplit(given.get(name, ""))
                if parts.scheme not in ("http", "https") or not parts.netloc:
                    return f"The {name.replace('_', ' ')} is not a valid URL"
        return None

    # --- a visit --------------------------------------------------------------------------------
    async def _show(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        visit = self._ledger.book.tables["checkout"].get(id)
        if visit is None:
            fault = "This checkout does not exist. Go back to the shop and try again."
            return self._pages.render("fault.html", 404, framed=True, fault=fault)
        return self._page(visit)

    def _page(
        self, visit: Object, errors: Mapping[str, str] | None = None, status: int = 200
    ) -> web.StreamResponse:
        order = self._order(visit)
        if order["status"] == "paid":
            return self._pages.render(
                "paid.html", framed=True, visit=visit, total=_total(order), order=order
            )
        return self._pages.render(
            "pay.html",
            status,
            framed=True,
            visit=visit,
            order=order,
            total=_total(order),
            cards=TEST_CARDS,
            errors=errors or {},
        )

    async def _pay(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        visit = self._ledger.book.tables["checkout"].get(id)
        if visit is None:
            return await self._show(request, id)
        typed = await fields(request)
        method = typed.get("method", "")
        errors = _check(typed, method)
        if errors:
            return self._page(visit, errors, 422)
        payer = {
            "email": typed.get("email") or visit["prefill"].get("email"),
            "contact": typed.get("contact") or visit["prefill"].get("contact"),
            "description": visit["description"],
            "notes": visit["notes"],
        }
        digits = re.sub(r"\D", "", typed.get("number", ""))
        details: Object = {"vpa": typed["vpa"]} if method == "upi" else _card(digits)
        try:
            with self._ledger.book.transaction():
                payment = self._ledger.begin(self._order(visit), method, details, payer)
                if method == "upi":
                    if typed["vpa"] == "success@razorpay":
                        self._ledger.authorise(payment)
                    else:
                        self._ledger.fail(payment, "payment_failed", _REFUSED)
        except Refusal:
            return self._page(visit)
        if method == "card":
            return redirect(f"/v1/checkout/pay/{id}/bank/{payment['id']}")
        return self._finished(visit, payment)

    async def _bank(self, request: web.BaseRequest, id: str, payment: str) -> web.StreamResponse:
        visit, found = self._attempt(id, payment)
        if visit is None or found is None:
            return redirect(f"/v1/checkout/pay/{id}")
        total = display(found["amount"], found["currency"])
        return self._pages.render("bank.html", framed=True, total=total)

    async def _decided(self, request: web.BaseRequest, id: str, payment: str) -> web.StreamResponse:
        visit, found = self._attempt(id, payment)
        if visit is None or found is None:
            return redirect(f"/v1/checkout/pay/{id}")
        with self._ledger.book.transaction():
            if (await fields(request)).get("outcome") == "success":
                self._ledger.authorise(found)
            else:
                self._ledger.fail(found, "payment_failed", _REFUSED)
        return self._finished(visit, found)

    def _attempt(self, id: str, payment: str) -> tuple[Object | None, Object | None]:
        """Return the visit and its payment while the bank has not decided yet."""
        visit = self._ledger.book.tables["checkout"].get(id)
        found = self._ledger.book.tables["payment"].get(payment)
        if visit is None or found is None or found["order_id"] != visit["order"]:
            return None, None
        return (visit, found) if found["status"] == "created" else (None, None)

    def _finished(self, visit: Object, payment: Object) -> web.StreamResponse:
        """Tell the merchant's page how it ended."""
        shared: dict[str, Any] = {
            "framed": True,
            "visit": visit,
            "total": display(payment["amount"], payment["currency"]),
        }
        if payment["status"] == "failed":
            error = {
                "code": payment["error_code"],
                "description": payment["error_description"],
                "source": payment["error_source"],
                "step": payment["error_step"],
                "reason": payment["error_reason"],
            }
            ids = f'{{"payment_id":"{payment["id"]}","order_id":"{visit["order"]}"}}'
            posted = {f"error[{name}]": value for name, value in error.items()}
            posted["error[metadata]"] = ids
            return self._pages.render("failed.html", 402, error=error, posted=posted, **shared)
        answer = {
            "razorpay_payment_id": payment["id"],
            "razorpay_order_id": visit["order"],
            "razorpay_signature": sign(f"{visit['order']}|{payment['id']}", self._secret),
        }
        return self._pages.render("done.html", answer=answer, **shared)

    def _order(self, visit: Object) -> Object:
        return self._ledger.get("order", visit["order"])


def _total(order: Object) -> str:
    return display(order["amount_due"] or order["amount"], order["currency"])


def _group(given: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the values of `name[…]`."""
    start = f"{name}["
    return {k[len(start) : -1]: v for k, v in given.items() if k.startswith(start)}


def _card(digits: str) -> dict[str, Any]:
    network = "MasterCard" if digits[:1] == "5" else "Visa"
    international = digits.startswith("4012")
    id = key("card")
    return {
        "card_id": id,
        "card": {
            "id": id,
            "entity": "card",
            "name": "",
            "last4": digits[-4:],
            "network": network,
            "type": "credit",
            "issuer": None,
            "international": international,
            "emi": False,
        },
        "international": international,
    }


def _check(typed: Mapping[str, str], method: str) -> dict[str, str]:
    """Check what was typed; every message says what to do."""
    errors = {}
    if method == "upi":
        if not re.fullmatch(r"[\w.-]{2,}@[A-Za-z]{2,}", typed.get("vpa", "").strip()):
            errors["vpa"] = "Enter a UPI id like success@razorpay."
        elif typed["vpa"] not in ("success@razorpay", "failure@razorpay"):
            errors["vpa"] = "This is a test page: use success@razorpay or failure@razorpay."
    elif method == "card":
        number = re.sub(r"\D", "", typed.get("number", ""))
        if number not in {re.sub(r"\D", "", each) for each in TEST_CARDS}:
            errors["number"] = "This is a test page: use one of the test cards listed below."
        match = re.fullmatch(r"\s*(\d{1,2})\s*/?\s*(?:20)?(\d{2})\s*", typed.get("expiry", ""))
        if match is None or not 1 <= int(match[1]) <= 12:
            errors["expiry"] = "Enter the expiry date as MM / YY."
        elif (2000 + int(match[2]), int(match[1])) < time.gmtime()[:2]:
            errors["expiry"] = "This card's expiry date is in the past."
        if not re.fullmatch(r"\d{3,4}", typed.get("cvv", "").strip()):
            errors["cvv"] = "Enter the three digits on the back of the card."
    else:
        errors["method"] = "Choose how to pay."
    return errors

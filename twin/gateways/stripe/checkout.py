"""The hosted checkout page, where the payer's card goes: nothing of its number is ever kept.

Works without JavaScript. A decline is shown in place; a success leads back to the merchant, after
the merchant has had up to ten seconds to take the event of it, as the real page waits.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from twin.edge.site import Site
from twin.gateways.common.faults import FaultBox
from twin.gateways.common.pages import Pages, fields, redirect
from twin.gateways.common.webhooks import Webhooks
from twin.gateways.stripe import sessions
from twin.gateways.stripe.cards import SAVED_CARDS, TEST_CARDS, Card, luhn
from twin.gateways.stripe.money import display
from twin.gateways.stripe.state import Object, State

REDIRECT_WAIT = 10.0
"""Seconds that the page waits for the merchant's answer to the event before it redirects
(docs.stripe.com/checkout/fulfillment)."""


@dataclass
class _Form:
    """What the payer typed, without the card's number, and what was wrong with it."""

    email: str = ""
    name: str = ""
    country: str = "US"
    card: Card | None = None
    errors: dict[str, str] = field(default_factory=dict)


class Checkout:
    """The pages of `checkout.stripe.localhost`."""

    def __init__(self, state: State, webhooks: Webhooks, faults: FaultBox) -> None:
        self._state = state
        self._webhooks = webhooks
        self._faults = faults
        self.site = Site()
        self._pages = Pages(Path(__file__).parent, self.site)
        self.site.route("GET", "/c/pay/{id}", self._show)
        self.site.route("POST", "/c/pay/{id}", self._pay)
        self.site.route("GET", "/c/pay/{id}/authenticate", self._ask)
        self.site.route("POST", "/c/pay/{id}/authenticate", self._authenticate)

    async def _show(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        session = self._state.tables["session"].get(id)
        if session is None or session["status"] != "open":
            return self._closed(session)
        return self._page(session, _Form(email=session["customer_email"] or ""))

    async def _pay(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        session = self._state.tables["session"].get(id)
        if session is None or session["status"] != "open":
            return self._closed(session)
        form = _check(await fields(request), session)
        if form.errors or form.card is None:
            return self._page(session, form, status=422)
        payer = {"email": form.email, "name": form.name, "country": form.country}
        with self._state.transaction():
            intent = sessions.pay(
                self._state, session, form.card, payer, amount_delta=self._faults.now.amount_delta
            )
            if intent["status"] == "requires_action":
                kept = self._state.line_items.get(id) or {}
                kept["card"] = {"last4": form.card.last4, "payer": payer}
                self._state.line_items.put(id, kept)
        if intent["status"] == "requires_action":
            return redirect(f"/c/pay/{id}/authenticate")
        return await self._finished(session, intent, form)

    async def _ask(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        session = self._state.tables["session"].get(id)
        if session is None or not self._authenticating(session):
            return self._closed(session) if session is None else redirect(f"/c/pay/{id}")
        return self._render("authenticate.html", session)

    async def _authenticate(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        session = self._state.tables["session"].get(id)
        if session is None or not self._authenticating(session):
            return self._closed(session) if session is None else redirect(f"/c/pay/{id}")
        passed = (await fields(request)).get("outcome") == "pass"
        kept = (self._state.line_items.get(id) or {})["card"]
        card = SAVED_CARDS[kept["last4"]]
        with self._state.transaction():
            intent = sessions.pay(self._state, session, card, kept["payer"], authenticated=passed)
        payer = kept["payer"]
        form = _Form(email=payer["email"], name=payer["name"], country=payer["country"])
        return await self._finished(session, intent, form)

    def _authenticating(self, session: Object) -> bool:
        if session["status"] != "open" or session["payment_intent"] is None:
            return False
        intent = self._state.tables["payment_intent"].get(session["payment_intent"])
        return intent is not None and intent["status"] == "requires_action"

    async def _finished(self, session: Object, intent: Object, form: _Form) -> web.StreamResponse:
        """Lead back to the merchant, or show why the card was declined."""
        if intent["status"] != "succeeded":
            error = intent["last_payment_error"]
            text = error["message"]
            if error["code"] == "card_declined" and "funds" not in text:
                text += " Please try a different card."
            form.errors["card"] = text
            return self._page(session, form, status=402)
        completed = next(
            event["id"]
            for event in self._state.tables["event"].newest_first()
            if event["type"] == "checkout.session.completed"
            and event["data"]["object"]["id"] == session["id"]
        )
        await self._webhooks.settled([completed], REDIRECT_WAIT)
        return redirect(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]))

    # --- rendering ------------------------------------------------------------------------------
    def _page(self, session: Object, form: _Form, status: int = 200) -> web.StreamResponse:
        return self._render("checkout.html", session, status, form=form, cards=_shown_cards())

    def _closed(self, session: Object | None) -> web.StreamResponse:
        """Say that a session is paid, expired or unknown."""
        return self._render("closed.html", session, 200 if session else 404)

    def _render(
        self, template: str, session: Object | None, status: int = 200, **more: Any
    ) -> web.StreamResponse:
        known: dict[str, Any] = {"session": session, "year": time.gmtime().tm_year, **more}
        if session is not None:
            known["items"] = [
                {**item, "shown": display(item["amount_total"], item["currency"])}
                for item in sessions.line_items(self._state, session["id"])
            ]
            known["total"] = display(session["amount_total"], session["currency"])
            for name in ("success_url", "cancel_url"):
                known[name] = (session[name] or "").replace("{CHECKOUT_SESSION_ID}", session["id"])
        return self._pages.render(template, status, **known)


def _shown_cards() -> list[tuple[str, str]]:
    return [
        (" ".join(re.findall("....", number)), what) for number, (what, _) in TEST_CARDS.items()
    ]


def _check(typed: Mapping[str, str], session: Object) -> _Form:
    """Check what was typed; every message says what to do."""
    form = _Form(
        email=session["customer_email"] or typed.get("email", "").strip()[:254],
        name=typed.get("name", "").strip()[:150],
        country=typed.get("country", "US").strip().upper()[:2],
    )
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", form.email):
        form.errors["email"] = "Enter an e-mail address like name@example.com."
    if not form.name:
        form.errors["name"] = "Enter the name on the card."
    if not re.fullmatch(r"[A-Z]{2}", form.country):
        form.errors["country"] = "Choose a country."
    number = re.sub(r"[\s-]", "", typed.get("number", ""))
    if not re.fullmatch(r"\d{12,19}", number) or not luhn(number):
        form.errors["number"] = "Your card number is not valid. Check its digits."
    elif number not in TEST_CARDS:
        form.errors["number"] = "This is a test page: use one of the test cards listed below."
    month, year = _expiry(typed.get("expiry", ""))
    if month is None or year is None:
        form.errors["expiry"] = "Enter the expiry date as MM / YY."
    elif (year, month) < time.gmtime()[:2]:
        form.errors["expiry"] = "Your card's expiry date is in the past."
    if not re.fullmatch(r"\d{3,4}", typed.get("cvc", "").strip()):
        form.errors["cvc"] = "Enter the three digits on the back of the card."
    if not form.errors and month is not None and year is not None:
        known = TEST_CARDS[number][1]
        form.card = replace(known, exp_month=month, exp_year=year)
    return form


def _expiry(text: str) -> tuple[int | None, int | None]:
    match = re.fullmatch(r"\s*(\d{1,2})\s*/?\s*(?:20)?(\d{2})\s*", text)
    if match is None or not 1 <= int(match[1]) <= 12:
        return None, None
    return int(match[1]), 2000 + int(match[2])

"""What happens at the gateway, and what it has to tell of it."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from typing import Any

from tests.app.stripe_server import StripeServer, charge, intent

EPOCH = 1_000_000
"""When the gateway's time begins; its next number is a second later."""


@dataclass
class News:
    """An event that the gateway has to tell. `must`: it is delivered until it is taken."""

    type: str
    data: dict[str, Any]
    id: str
    created: int
    must: bool
    told: int = 0


@dataclass(kw_only=True)
class There:
    """The gateway and its customers; everything that happens makes news."""

    stripe: StripeServer
    chance: random.Random
    news: list[News] = field(default_factory=list)
    disputes: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    payouts: list[int] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def number(self) -> int:
        """Return the next number."""
        number: int = next(self._numbers)
        return number

    def any(self, things: list[Any]) -> Any:
        """Choose one of several, None of none."""
        return self.chance.choice(things) if things else None

    def _tell(
        self, kind: str, data: dict[str, Any], *, must: bool = True, created: int | None = None
    ) -> None:
        number = self.number()
        at = created or EPOCH + number
        self.news.append(News(kind, data, f"evt_{number}", at, must))

    def _session(self, *statuses: str) -> dict[str, Any] | None:
        found = [s for s in self.stripe.sessions.values() if s["status"] in statuses]
        chosen: dict[str, Any] | None = self.any(found)
        return chosen

    def pay(self) -> None:
        """A customer pays on an open page, at once or by a method that takes days."""
        session = self._session("open")
        if session is None:
            return
        if self.chance.random() < 0.3:
            self._tell(
                "checkout.session.completed",
                dict(session) | {"status": "complete", "payment_status": "unpaid"},
            )
            kind = "checkout.session.async_payment_succeeded"
        else:
            kind = "checkout.session.completed"
        if self.chance.random() < 0.3:
            self._tell("payment_intent.payment_failed", intent(session), must=False)
        # A page that was paid is asked for: this news may be lost.
        paid = dict(self.stripe.pay(session["id"]))
        self._tell(kind, paid, must=False)
        if self.chance.random() < 0.5:
            self._tell("payment_intent.succeeded", intent(paid), must=False)

    def expire(self) -> None:
        """A page is left alone until it ends."""
        session = self._session("open")
        if session is not None:
            session |= {"status": "expired", "url": None}
            self._tell("checkout.session.expired", dict(session), must=False)

    def refund_there(self) -> None:
        """Somebody refunds at the gateway's own pages."""
        session = self._session("complete")
        if session is None or self._disputed(session):
            return
        if any(refund.get("came_back") for refund in self._refunds_of(session)):
            return  # it is in the customer's wallet: a person looks at what is given back beside it
        left = session["amount_total"] - self._given_back(session)
        if left < 10:
            return
        number = self.number()
        ref = f"re_foreign_{number}"
        self.stripe.refunds[ref] = {
            "id": ref,
            "object": "refund",
            "created": EPOCH + number,
            "amount": left // 4,
            "currency": session["currency"],
            "payment_intent": session["payment_intent"],
            "status": self.chance.choice(["succeeded", "pending"]),
            "metadata": {},
        }
        self._tell_total(session)

    def _tell_total(self, session: dict[str, Any], created: int | None = None) -> None:
        """Tell the total as Stripe counts it: what is pending is in it, what failed is not."""
        self._tell("charge.refunded", charge(session, self._given_back(session)), created=created)

    def _given_back(self, session: dict[str, Any]) -> int:
        return sum(r["amount"] for r in self._refunds_of(session) if r["status"] != "failed")

    def _refunds_of(self, session: dict[str, Any]) -> list[dict[str, Any]]:
        intent_ref = session["payment_intent"]
        return [r for r in self.stripe.refunds.values() if r["payment_intent"] == intent_ref]

    def _disputed(self, session: dict[str, Any]) -> bool:
        return any(s == session["id"] for s, _, _ in self.disputes.values())

    def settle_refund(self) -> None:
        """A pending refund goes through, or does not."""
        pending = [r for r in self.stripe.refunds.values() if r["status"] == "pending"]
        refund = self.any(pending)
        if refund is not None:
            refund["status"] = self.chance.choice(["succeeded", "succeeded", "failed"])
            # What became of one of ours is asked for; of the others nobody here knows the name.
            self._tell("refund.updated", dict(refund), must=not refund["metadata"])

    def fail_refund(self) -> None:
        """A refund that had gone through comes back, whoever made it."""
        refund = self.any([r for r in self.stripe.refunds.values() if r["status"] == "succeeded"])
        if refund is not None:
            refund["status"] = "failed"
            refund["came_back"] = bool(refund["metadata"])
            self._tell("refund.failed", dict(refund))

    def dispute(self) -> None:
        """A customer's bank takes a payment back."""
        session = self._session("complete")
        if session is None or self._disputed(session) or self._refunds_of(session):
            return
        ref = f"dp_{self.number()}"
        self.disputes[ref] = (session["id"], session["amount_total"], "open")
        self._tell_dispute(ref, "charge.dispute.created", "needs_response")

    def close_dispute(self) -> None:
        """A dispute ends."""
        ref = self.any([r for r, (_, _, status) in self.disputes.items() if status == "open"])
        if ref is not None:
            session, amount, _ = self.disputes[ref]
            status = self.chance.choice(["won", "lost"])
            self.disputes[ref] = (session, amount, status)
            self._tell_dispute(ref, "charge.dispute.closed", status)

    def _tell_dispute(self, ref: str, kind: str, status: str) -> None:
        session, amount, _ = self.disputes[ref]
        data = {"id": ref, "amount": amount, "currency": "eur", "status": status}
        intent_ref = self.stripe.sessions[session]["payment_intent"]
        self._tell(kind, data | {"object": "dispute", "payment_intent": intent_ref})

    def pay_out(self) -> None:
        """The gateway pays out to our bank, or takes from it; some of it comes back."""
        amount = self.chance.randint(-200, 500) or 1
        data = {"id": f"po_{self.number()}", "amount": amount, "currency": "eur"}
        self._tell("payout.paid", data)
        if self.chance.random() < 0.3:
            self._tell("payout.failed", data)
        else:
            self.payouts.append(amount)

    def drop(self) -> None:
        """Lose news that can be found out in another way."""
        one = self.any([n for n in self.news if not n.must and not n.told])
        if one is not None:
            self.news.remove(one)

    def clearing(self) -> int:
        """What the gateway has of ours, as it knows it; minor units of EUR."""
        paid = sum(
            s["amount_total"] for s in self.stripe.sessions.values() if s["status"] == "complete"
        )
        charged = sum(
            i["amount"] for i in self.stripe.intents.values() if i["status"] == "succeeded"
        )
        back = sum(r["amount"] for r in self.stripe.refunds.values() if r["status"] == "succeeded")
        taken = sum(a for _, a, status in self.disputes.values() if status != "won")
        return paid + charged - back - taken - sum(self.payouts)

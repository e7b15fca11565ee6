"""Everything that may happen to money, as steps: taken one by one, at once, or cut off in between.

The gateway is the one of the other tests, over HTTP; what it would tell goes into `news`, from
which it is delivered late, twice, in any order, or not at all. A crash is an exception that no
code catches, between two of the three steps of asking a gateway.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from payments.errors import ProblemError
from payments.gateways import stripe_events
from payments.inbox import service as inbox
from payments.ledger import exchange
from payments.ledger import service as ledger
from payments.ledger.service import Entry, Transfer
from payments.money import Money
from payments.orders import service as orders
from payments.orders import suspense
from payments.orders.asking import locked
from payments.payouts import service as payouts
from payments.refunds import service as refunds
from payments.resources import Resources
from payments.subscriptions import service as subscriptions
from payments.subscriptions import step
from payments.worker import tasks
from tests.app.stripe_server import StripeServer, charge, intent

Crash = Literal["no", "before", "after", "finish"]
CUSTOMERS = tuple(UUID(int=n + 1) for n in range(4))
CALLS = ("create_checkout", "refund", "charge")


class Crashed(BaseException):
    """The process died here."""


@dataclass
class News:
    """An event that the gateway has to tell. `must`: it is delivered until it is taken."""

    type: str
    data: dict[str, Any]
    id: str
    created: int
    must: bool
    told: int = 0


@dataclass
class Flows:
    """The steps, and what the gateway knows."""

    resources: Resources
    stripe: StripeServer
    chance: random.Random
    news: list[News] = field(default_factory=list)
    crash: Crash = "no"
    requests: list[dict[str, Any]] = field(default_factory=list)
    holds: list[UUID] = field(default_factory=list)
    foreign: dict[str, int] = field(default_factory=dict)
    disputes: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    payouts: list[int] = field(default_factory=list)
    failed_refunds: set[str] = field(default_factory=set)
    skipped: int = 0
    taken: int = 0
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    # --- what is run, and what may be cut off

    @asynccontextmanager
    async def crashing(self) -> AsyncIterator[None]:
        """Die before or after the gateway's calls, as `crash` says; die only once."""
        gateway: Any = self.resources.gateways.need("stripe")

        def dying(real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def call(*arguments: Any) -> Any:
                if self.crash == "before":
                    raise Crashed
                answer = await real(*arguments)
                if self.crash == "after":
                    raise Crashed
                return answer

            return call

        for name in CALLS:
            setattr(gateway, name, dying(getattr(type(gateway), name).__get__(gateway)))
        try:
            yield
        except Crashed:
            pass
        except ProblemError:
            self.skipped += 1
        finally:
            for name in CALLS:
                delattr(gateway, name)

    async def _finish(self, _session: AsyncSession, _view: object) -> None:
        if self.crash == "finish":
            raise Crashed

    async def attempt(self, doing: Awaitable[Any]) -> Any:
        """Do something that may be refused; returns None then."""
        try:
            found = await doing
        except ProblemError:
            self.skipped += 1
            return None
        self.taken += 1
        return found

    def number(self) -> int:
        """Return the next number."""
        number: int = next(self._numbers)
        return number

    def any(self, things: list[Any]) -> Any:
        """Choose one of several, None of none."""
        return self.chance.choice(things) if things else None

    async def rows(self, query: str, **values: Any) -> list[Any]:
        """Ask the database."""
        async with self.resources.database.transaction() as session:
            return list((await session.execute(text(query), values)).all())

    async def payment(self, *statuses: str) -> UUID | None:
        """Choose a payment in one of these statuses."""
        found = await self.rows(
            "SELECT id FROM payments.payments WHERE status = ANY(:statuses) ORDER BY created_at",
            statuses=list(statuses),
        )
        chosen: UUID | None = self.any([row.id for row in found])
        return chosen

    # --- orders

    async def order(self, sku: str = "coffee", *, again: bool = False) -> None:
        """Place an order, or send an earlier request again."""
        request = self.any(self.requests) if again else None
        if request is None:
            request = {
                "customer_id": self.chance.choice(CUSTOMERS),
                "request_key": f"order-{self.number()}",
                "sku": sku,
                "currency": "EUR",
            }
            self.requests.append(request)
        await self.attempt(orders.place(self.resources, finish=self._finish, **request))

    async def retry(self) -> None:
        """Ask for another page for an order whose last one came to nothing."""
        found = await self.rows(
            "SELECT id FROM payments.orders WHERE status IN ('expired', 'remote_failed', 'failed')"
        )
        if found:
            order_id = self.any(found).id
            await self.attempt(
                orders.retry(
                    self.resources, order_id=order_id, customer_id=None, finish=self._finish
                )
            )

    # --- at the gateway

    def _tell(self, kind: str, data: dict[str, Any], *, must: bool = True) -> None:
        number = self.number()
        self.news.append(News(kind, data, f"evt_{number}", 1_000_000 + number, must))

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
        self._tell(kind, dict(self.stripe.pay(session["id"])), must=False)

    def expire(self) -> None:
        """A page is left alone until it ends."""
        session = self._session("open")
        if session is not None:
            session |= {"status": "expired", "url": None}
            self._tell("checkout.session.expired", dict(session), must=False)

    def refund_there(self) -> None:
        """Somebody refunds at the gateway's own pages."""
        session = self._session("complete")
        if session is None or session["id"] in self.foreign or self._disputed(session):
            return
        left = session["amount_total"] - self._refunded_by_us(session)
        if left < 10:
            return
        self.foreign[session["id"]] = left // 4
        self.stripe.refunds[f"re_foreign_{self.number()}"] = {
            "amount": left // 4,
            "payment_intent": session["payment_intent"],
            "status": "succeeded",
            "metadata": {},
        }
        self._tell_total(session)

    def _tell_total(self, session: dict[str, Any]) -> None:
        total = self.foreign.get(session["id"], 0) + self._refunded_by_us(session)
        self._tell("charge.refunded", charge(session, total))

    def _refunded_by_us(self, session: dict[str, Any]) -> int:
        return sum(
            refund["amount"]
            for ref, refund in self.stripe.refunds.items()
            if refund["payment_intent"] == session["payment_intent"]
            and refund["status"] == "succeeded"
            and not ref.startswith("re_foreign_")
        )

    def _disputed(self, session: dict[str, Any]) -> bool:
        return any(s == session["id"] for s, _, _ in self.disputes.values())

    def settle_refund(self) -> None:
        """A pending refund goes through, or does not."""
        pending = [r for r in self.stripe.refunds.values() if r["status"] == "pending"]
        refund = self.any(pending)
        if refund is not None:
            refund["status"] = self.chance.choice(["succeeded", "succeeded", "failed"])
            self._tell("refund.updated", dict(refund), must=False)

    def dispute(self) -> None:
        """A customer's bank takes a payment back."""
        session = self._session("complete")
        if session is None or self._disputed(session) or session["id"] in self.foreign:
            return
        if any(
            r["payment_intent"] == session["payment_intent"] for r in self.stripe.refunds.values()
        ):
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
        """The gateway pays out to our bank; some of it comes back."""
        amount = self.chance.randint(1, 500)
        data = {"id": f"po_{self.number()}", "amount": amount, "currency": "eur"}
        self._tell("payout.paid", data)
        if self.chance.random() < 0.3:
            self._tell("payout.failed", data)
        else:
            self.payouts.append(amount)

    # --- what it tells

    async def deliver(self, *, newest: bool = False) -> None:
        """Deliver some news: any, not the oldest; it stays, so it may come again."""
        one = self.news[-1] if newest and self.news else self.any(self.news)
        if one is not None:
            await self.tell(one)

    async def tell(self, one: News) -> None:
        """Deliver one event as the webhook's route does."""
        raw = {
            "id": one.id,
            "object": "event",
            "type": one.type,
            "created": one.created,
            "data": {"object": one.data},
        }
        async with self.resources.database.transaction() as session:
            await inbox.receive(session, stripe_events._event(raw, "default"))
        one.told += 1

    def drop(self) -> None:
        """Lose news that can be found out in another way."""
        one = self.any([n for n in self.news if not n.must and not n.told])
        if one is not None:
            self.news.remove(one)

    # --- what we do

    async def refund(self, *, again: bool = False) -> None:
        """Give part of a payment back."""
        self.stripe.refund_status = self.chance.choice(["succeeded", "pending"])
        payment_id = await self.payment("paid", "partially_refunded")
        if payment_id is None:
            return
        key = f"refund-{self.number()}"
        for _ in range(2 if again else 1):
            await self.attempt(
                refunds.request(
                    self.resources,
                    payment_id=payment_id,
                    money=Money(self.chance.randint(1, 1500), "EUR") if not again else None,
                    reason="r",
                    requested_by="tests",
                    request_key=key,
                    finish=self._finish,
                )
            )

    async def credit_suspense(self) -> None:
        """A person gives what waits to its customer."""
        payment_id = await self.payment("review")
        if payment_id is not None:
            async with self.resources.database.transaction() as session:
                order, payment = await locked(session, payment_id)
                await self.attempt(suspense.credit_wallet(session, order, payment, by="tests"))

    async def merchant_payout(self) -> None:
        """Ask for a payout, or move one on."""
        found = await self.rows(
            "SELECT id, status FROM payments.payouts WHERE status IN ('requested', 'approved')"
        )
        row = self.any([None, *found])
        async with self.resources.database.transaction() as session:
            if row is None:
                asked = payouts.request(
                    session,
                    merchant="roastery",
                    money=Money(self.chance.randint(1, 3000), "EUR"),
                    requested_by="ada",
                    request_key=f"payout-{self.number()}",
                )
                await self.attempt(asked)
            elif row.status == "requested":
                act = self.chance.choice([payouts.approve, payouts.decline])
                await self.attempt(act(session, row.id, by="bob"))
            else:
                to: Literal["settled", "failed"] = self.chance.choice(["settled", "failed"])
                await self.attempt(payouts.end(session, row.id, to=to, bank_ref="b", by="bob"))

    async def hold(self) -> None:
        """Set some of a wallet aside, or end what was."""
        async with self.resources.database.transaction() as session:
            owner = ledger.customer(self.chance.choice(CUSTOMERS))
            if self.holds and self.chance.random() < 0.6:
                hold_id = self.chance.choice(self.holds)
                if self.chance.random() < 0.5:
                    await self.attempt(ledger.void_hold(session, hold_id))
                else:
                    found = await session.execute(
                        text(
                            "SELECT a.owner FROM payments.ledger_holds h"
                            " JOIN payments.ledger_accounts a ON a.id = h.account_id"
                            " WHERE h.id = :id"
                        ),
                        {"id": hold_id},
                    )
                    money = Money(1, "EUR")
                    out = self._transfer(found.scalar_one(), money, f"hold-out-{self.number()}")
                    await self.attempt(ledger.post_hold(session, hold_id, out))
                return
            seconds = self.chance.choice([0.01, 60])
            held = await self.attempt(
                ledger.hold(
                    session,
                    key=f"hold-{self.number()}",
                    owner=owner,
                    purpose="wallet",
                    money=Money(self.chance.randint(1, 2000), "EUR"),
                    expires_at=datetime.now(UTC) + timedelta(seconds=seconds),
                )
            )
        if held is not None:
            self.holds.append(held)

    def _transfer(self, owner: str, money: Money, key: str) -> Transfer:
        to = ledger.customer(self.chance.choice(CUSTOMERS))
        other = Entry(to, "wallet", money)
        if to == owner:
            other = Entry(ledger.HOUSE, "fees", money)
        entries = (Entry(owner, "wallet", -money), other)
        return Transfer(key=key, kind="transfer", subject=None, entries=entries)

    async def transfer(self) -> None:
        """Move money from wallet to wallet, some of it into another currency."""
        owner = ledger.customer(self.chance.choice(CUSTOMERS))
        money = Money(self.chance.randint(1, 1000), "EUR")
        key = f"transfer-{self.number()}"
        made = self._transfer(owner, money, key)
        if self.chance.random() < 0.4:
            target = exchange.convert(money, "USD", Decimal("1.085"))
            if not target.amount:
                return
            made = exchange.exchange(key=key, owner=owner, source=money, target=target)
        async with self.resources.database.transaction() as session:
            await self.attempt(ledger.post(session, [made]))

    # --- subscriptions

    async def subscribe(self) -> None:
        """Begin a subscription, or pay what one owes."""
        customer = self.chance.choice(CUSTOMERS)
        await self.attempt(
            subscriptions.create(
                self.resources,
                customer_id=customer,
                request_key=f"subscription-{self.number()}",
                plan_key=self.chance.choice(["club-month", "club-plus-month"]),
                currency="EUR",
                finish=self._finish,
            )
        )

    async def change_subscription(self) -> None:
        """A customer changes, pauses, resumes or cancels."""
        row = self.any(await self.rows("SELECT id, customer_id FROM payments.subscriptions"))
        if row is None:
            return
        who = {"customer_id": row.customer_id, "subscription_id": row.id}
        what = self.chance.choice(["change", "pay", "cancel", "end", "pause", "resume"])
        if what == "change":
            plan = self.chance.choice(["club-month", "club-plus-month"])
            await self.attempt(subscriptions.change_plan(self.resources, plan_key=plan, **who))
            return
        if what == "pay":
            await self.attempt(subscriptions.pay(self.resources, **who))
            return
        async with self.resources.database.transaction() as session:
            if what in ("cancel", "end"):
                doing = subscriptions.cancel(session, now=what == "end", **who)
            elif what == "pause":
                doing = subscriptions.pause(session, **who)
            else:
                doing = subscriptions.resume(session, **who)
            await self.attempt(doing)

    async def step_subscription(self) -> None:
        """A month passes for one subscription."""
        row = self.any(
            await self.rows(
                "SELECT id, next_step_at FROM payments.subscriptions WHERE next_step_at IS NOT NULL"
            )
        )
        if row is not None:
            self.stripe.declines = self.chance.random() < 0.3
            await step.step(self.resources, row.id, now=row.next_step_at)
            self.stripe.declines = False

    # --- time

    async def sweep(self) -> None:
        """Let every pause pass, and do what is due then."""
        async with self.resources.database.transaction() as session:
            for table, column in (
                ("webhook_inbox", "next_attempt_at"),
                ("payments", "next_check_at"),
                ("refunds", "next_check_at"),
            ):
                await session.execute(
                    text(f"UPDATE payments.{table} SET {column} = now() WHERE {column} IS NOT NULL")  # noqa: S608
                )
        await tasks.sweep(self.resources)
        await tasks.expire(self.resources)

    async def settle(self) -> None:
        """Have everything told that must be, and everything asked for that can be."""
        self.crash = "no"
        self.stripe.faults.clear()
        for refund in self.stripe.refunds.values():
            if refund["status"] == "pending":
                refund["status"] = "succeeded"
        for one in [n for n in self.news if n.must and not n.told]:
            await self.tell(one)
        for _ in range(3):
            await self.sweep()
        for session in self.stripe.sessions.values():
            if session["id"] in self.foreign:
                self._tell_total(session)
                await self.deliver(newest=True)
        await self.sweep()

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

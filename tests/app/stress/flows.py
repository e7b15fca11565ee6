"""Everything that may happen to money, as steps: taken one by one, at once, or cut off in between.

The gateway is the one of the other tests, over HTTP; what it would tell goes into `news`, from
which it is delivered late, twice, in any order, or not at all. A crash is an exception that no
code catches, between two of the three steps of asking a gateway.
"""

from __future__ import annotations

import time
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
from payments.subscriptions import changes, step
from payments.subscriptions import service as subscriptions
from payments.worker import tasks
from tests.app.stress.there import News, There

Crash = Literal["no", "before", "after", "finish"]
ADA, BOB = UUID(int=101), UUID(int=102)
CUSTOMERS = tuple(UUID(int=n + 1) for n in range(4))
CALLS = ("create_checkout", "refund", "charge")


class Crashed(BaseException):
    """The process died here."""


@dataclass(kw_only=True)
class Flows(There):
    """The steps that the service takes part in."""

    resources: Resources
    crash: Crash = "no"
    requests: list[dict[str, Any]] = field(default_factory=list)
    holds: list[UUID] = field(default_factory=list)
    skipped: int = 0
    taken: int = 0

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

    # --- what we do

    async def refund(self, *, again: bool = False) -> None:
        """Give part of a payment back."""
        self.stripe.refund_status = self.chance.choice(["succeeded", "pending"])
        payment_id = await self.payment("paid", "partially_refunded")
        if payment_id is None:
            return
        key = f"refund-{self.number()}"
        before = set(self.stripe.refunds)
        try:
            await self._refund(payment_id, key, again=again)
        finally:
            for ref in self.stripe.refunds.keys() - before:
                self._tell_total_of(self.stripe.refunds[ref])

    def _tell_total_of(self, refund: dict[str, Any]) -> None:
        for session in self.stripe.sessions.values():
            if session["payment_intent"] == refund["payment_intent"]:
                self._tell_total(session)

    async def _refund(self, payment_id: UUID, key: str, *, again: bool) -> None:
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
                    requested_by=ADA,
                    request_key=f"payout-{self.number()}",
                )
                await self.attempt(asked)
            elif row.status == "requested":
                if self.chance.random() < 0.5:
                    await self.attempt(payouts.approve(session, row.id, by=BOB))
                else:
                    await self.attempt(payouts.decline(session, row.id, by=str(BOB)))
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
            await self.attempt(changes.change_plan(self.resources, plan_key=plan, **who))
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
        while any(refund["status"] == "pending" for refund in self.stripe.refunds.values()):
            self.settle_refund()
        for one in [n for n in self.news if n.must and not n.told]:
            await self.tell(one)
        for _ in range(3):
            await self.sweep()
        for session in self.stripe.sessions.values():
            if self._refunds_of(session):
                # As a reconciliation does: what the gateway says now, by our own clock.
                self._tell_total(session, created=int(time.time()) + 10)
                await self.deliver(newest=True)
        await self.sweep()

"""Placing an order, and looking at orders.

`place` in three steps, of which the middle one is not a transaction: commit what is about to be
asked of the gateway, with the key; ask; commit the answer. Whatever dies in between, the order and
the key are there, and `repair` asks again under the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ScalarSelect, cast, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from payments import jobs
from payments.errors import ConflictError, NotFoundError
from payments.gateways.protocol import CheckoutRequest, Gateway, GatewayRefusedError
from payments.idempotency.store import KeyReusedError
from payments.money import Money
from payments.orders import catalogue
from payments.orders.asking import RETRYABLE, UNFINISHED, ask, is_over, locked, record
from payments.orders.models import Order, Payment
from payments.orders.status import TAKEN, advance, shown
from payments.resources import Resources
from payments.subscriptions.booking import is_void

CHECKOUT_LIFETIME: Final = timedelta(hours=2)
"""Stripe allows 30 minutes to 24 hours; shorter than its idempotency keys are kept (24 h)."""

FIRST_CHECK: Final = timedelta(seconds=60)
"""When repair looks at a payment that nobody has finished: after any request has ended."""

PAYABLE: Final = frozenset({"open", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """An order as its customer sees it. `checkout_url` is set while it can be paid."""

    id: UUID
    sku: str
    description: str
    quantity: int
    money: Money
    refunded: Money
    status: str
    checkout_url: str | None
    created_at: datetime
    paid_at: datetime | None


Finish = Callable[[AsyncSession, OrderView], Awaitable[None]]


async def place(
    resources: Resources,
    *,
    customer_id: UUID,
    request_key: str,
    sku: str,
    currency: str,
    quantity: int = 1,
    gateway: str | None = None,
    finish: Finish | None = None,
) -> OrderView:
    """Place an order and make its payment page; the same `request_key` is the same order.

    `gateway` is the customer's choice; without one the rules choose, and a gateway that refuses is
    followed by the next. `checkout_url` is None while the gateway's answer is unknown (the order
    stays `pending` and is repaired) and when all refused (`remote_failed`). `finish` runs in the
    last transaction. Raises `UnknownProductError`, `UnknownPriceError`, `KeyReusedError`,
    `GatewayUnavailableError`, `GatewayNotOfferedError`.
    """
    product = catalogue.find(sku)
    money = product.price(currency, quantity)
    chosen = resources.gateways.choose(money, kind=product.kind, wanted=gateway)
    async with resources.database.transaction() as session:
        order = await _insert_order(session, customer_id, request_key, product, money, quantity)
        earlier = await last_payment(session, order)
        payment = earlier or await _intend(session, resources, order, chosen)
    again, failover = earlier is not None, gateway is None
    return await _settle(resources, payment, again=again, failover=failover, finish=finish)


async def _settle(
    resources: Resources, payment: Payment, *, again: bool, failover: bool, finish: Finish | None
) -> OrderView:
    """Ask for a payment's page and record the answer; with `failover` ask the next who is able.

    Only after a refusal: then nothing happened. While an answer is unknown, a second page could be
    paid beside the first.
    """
    refused: set[str] = set()
    while True:
        answer = None
        if payment.status in UNFINISHED:
            answer = await ask(resources.gateways.need(payment.gateway), payment, again=again)
        async with resources.database.transaction() as session:
            order, payment = await locked(session, payment.id)
            if answer is not None:
                await record(session, order, payment, answer)
            if failover and isinstance(answer, GatewayRefusedError):
                refused.add(payment.gateway)
                following = await _following(session, resources, order, payment, refused)
                if following is not None:
                    payment = following
                    continue
            view = view_of(order, payment, await _refunded_of(session, order))
            if finish is not None:
                await finish(session, view)
        return view


async def _following(
    session: AsyncSession,
    resources: Resources,
    order: Order,
    payment: Payment,
    refused: Collection[str],
) -> Payment | None:
    """Return the payment that follows a refused one: somebody else's, or one intended now."""
    last = await last_payment(session, order)
    if last is not None and last.id != payment.id:
        return last  # the same request, running twice: the other one was faster
    if payment.status != "remote_failed" or order.status != "remote_failed":
        return None
    for gateway in resources.gateways.able(order.money, kind=order.kind):
        if gateway.name not in refused and gateway.breaker.admits:
            await advance(session, order, "pending", cause=f"asked of {gateway.name}")
            return await _intend(session, resources, order, gateway)
    return None


async def _intend(
    session: AsyncSession,
    resources: Resources,
    order: Order,
    gateway: Gateway,
    *,
    save_method: bool = False,
    asked_by: str | None = None,
) -> Payment:
    """Write down what is about to be asked, and that somebody looks at what became of it."""
    payment = intend(
        session,
        order,
        gateway,
        resources.settings.public_url,
        save_method=save_method,
        asked_by=asked_by,
    )
    await session.flush()
    await jobs.enqueue(
        session, jobs.REPAIR_PAYMENT, {"payment_id": str(payment.id)}, at=payment.next_check_at
    )
    return payment


class NotRetryableError(ConflictError):
    """The order is paid, or can still be: a second payment page could be paid twice."""

    code, title = "not_retryable", "There is nothing to try again for this order."


async def retry(
    resources: Resources,
    *,
    order_id: UUID,
    customer_id: UUID | None,
    request_key: str | None = None,
    save_method: bool = False,
    finish: Finish | None = None,
) -> OrderView:
    """Make another payment page for an order whose last one came to nothing.

    For its customer, or for anybody with `customer_id=None`; one `request_key` makes one page.
    Raises `NotFoundError`, `NotRetryableError`, `GatewayUnavailableError`.
    """
    asked_by = hashlib.sha256(request_key.encode()).hexdigest() if request_key else None
    async with resources.database.transaction() as session:
        payment, again = await _retried(
            resources, session, order_id, customer_id, save_method, asked_by
        )
    return await _settle(resources, payment, again=again, failover=False, finish=finish)


async def _retried(
    resources: Resources,
    session: AsyncSession,
    order_id: UUID,
    customer_id: UUID | None,
    save_method: bool,
    asked_by: str | None,
) -> tuple[Payment, bool]:
    """Return the next payment of a locked order, written down now, or the last one and True.

    An earlier run of the same request may have died after it had one written down.
    """
    order = await session.scalar(
        select(Order).where(Order.id == order_id).with_for_update(key_share=True)
    )
    if order is None or customer_id not in (None, order.customer_id):
        raise NotFoundError(f"There is no order {order_id}.")
    last = await last_payment(session, order)
    if last is not None and asked_by and await _has_asked(session, order, asked_by):
        return last, True
    if order.status not in RETRYABLE | {"failed", "pending"} or not is_over(last):
        raise NotRetryableError(f"The order is {order.status}.")
    if await is_void(session, order.id):
        raise NotRetryableError("What it was for is no longer asked for.")
    tried = frozenset({last.gateway}) if last and last.status == "remote_failed" else frozenset()
    gateway = resources.gateways.choose(
        order.money, kind=order.kind, avoid=tried, saving=save_method
    )
    made = await _intend(
        session, resources, order, gateway, save_method=save_method, asked_by=asked_by
    )
    return made, False


async def _has_asked(session: AsyncSession, order: Order, asked_by: str) -> bool:
    made = exists().where(
        Payment.order_id == order.id, Payment.request["asked_by"].as_string() == asked_by
    )
    return bool(await session.scalar(select(made)))


async def get(session: AsyncSession, *, customer_id: UUID, order_id: UUID) -> OrderView:
    """Return one of the customer's orders; raises `NotFoundError`, also for somebody else's."""
    row = (
        await session.execute(
            select(Order, Payment, refunded())
            .join(Payment, Payment.order_id == Order.id)
            .where(Order.id == order_id, Order.customer_id == customer_id)
            .order_by(Payment.created_at.desc())
            .limit(1)
        )
    ).first()
    if row is None:
        raise NotFoundError(f"There is no order {order_id}.")
    return view_of(row[0], row[1], row[2])


async def _insert_order(
    session: AsyncSession,
    customer_id: UUID,
    request_key: str,
    product: catalogue.Product,
    money: Money,
    quantity: int,
) -> Order:
    """Insert the order, or return the one that an earlier run of the same request made."""
    name = product.name if quantity == 1 else f"{quantity} × {product.name}"  # noqa: RUF001
    values = {
        "customer_id": customer_id,
        "sku": product.sku,
        "quantity": quantity,
        "currency": money.currency,
        "amount": money.amount,
    }
    await session.execute(
        insert(Order)
        .values(
            request_key=request_key,
            description=name,
            kind=product.kind,
            merchant=product.merchant,
            fee=product.fee(money),
            **values,
        )
        .on_conflict_do_nothing(constraint="uq_orders_request_key")
    )
    order = (
        await session.execute(
            select(Order).where(Order.request_key == request_key).with_for_update(key_share=True)
        )
    ).scalar_one()
    # Not the amount: the price may have changed since, and the first one was shown and counts.
    if any(getattr(order, name) != values[name] for name in values.keys() - {"amount"}):
        raise KeyReusedError
    return order


async def last_payment(session: AsyncSession, order: Order) -> Payment | None:
    """Return the order's last payment."""
    found: Payment | None = await session.scalar(
        select(Payment)
        .where(Payment.order_id == order.id)
        .order_by(Payment.created_at.desc())
        .limit(1)
    )
    return found


def intend(
    session: AsyncSession,
    order: Order,
    gateway: Gateway,
    public_url: str,
    *,
    save_method: bool = False,
    method: str | None = None,
    asked_by: str | None = None,
) -> Payment:
    """Write down what is about to be asked, and under which key.

    With a saved `method` it is charged without the customer; else they get a page, on which they
    may be asked to let us keep one (`save_method`). `asked_by` is what a request finds it by.
    """
    payment_id = uuid4()
    now = datetime.now(UTC)
    request = CheckoutRequest(
        payment_id=payment_id,
        order_id=order.id,
        key=f"checkout-{payment_id}",
        description=order.description,
        money=order.money,
        success_url=f"{public_url}/checkout/return?order={order.id}",
        cancel_url=f"{public_url}/checkout/cancelled?order={order.id}",
        expires_at=now + CHECKOUT_LIFETIME,
        save_method=save_method,
    )
    ours = {"method": method, "asked_by": asked_by}
    payment = Payment(
        id=payment_id,
        order_id=order.id,
        gateway=gateway.name,
        account=gateway.account,
        status="intended",
        gateway_key=request.key,
        request=request.as_json() | {name: value for name, value in ours.items() if value},
        currency=order.currency,
        amount=order.amount,
        expires_at=request.expires_at,
        next_check_at=now + FIRST_CHECK,
    )
    session.add(payment)
    return payment


def is_payable(order: Order, payment: Payment) -> bool:
    """Whether the payment's page can be paid, and its order still wants it to be.

    An earlier page may have been paid after all; and what is looked at by a person waits.
    """
    if order.status in TAKEN or order.status == "review":
        return False
    return payment.status in PAYABLE and payment.expires_at > datetime.now(UTC)


def refunded() -> ScalarSelect[int]:
    """Return a column of a query of orders: what was refunded, whichever payment it was of."""
    other = aliased(Payment)
    return (
        select(cast(func.coalesce(func.sum(other.refunded), 0), BigInteger))
        .where(other.order_id == Order.id)
        .correlate(Order)
        .scalar_subquery()
    )


async def _refunded_of(session: AsyncSession, order: Order) -> int:
    amount = await session.scalar(select(refunded()).where(Order.id == order.id))
    return amount or 0


def view_of(order: Order, payment: Payment, refunded: int) -> OrderView:
    """Return an order with its last payment as its customer sees it; `refunded` is of all."""
    return OrderView(
        id=order.id,
        sku=order.sku,
        description=order.description,
        quantity=order.quantity,
        money=order.money,
        refunded=Money(refunded, order.currency),
        status=shown(order.status, amount=order.amount, refunded=refunded),
        checkout_url=payment.checkout_url if is_payable(order, payment) else None,
        created_at=order.created_at,
        paid_at=order.paid_at,
    )

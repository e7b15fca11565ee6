"""Asking a gateway for a payment, and writing down what it answered.

What is asked was committed before, with its key; the answer is recorded on locked rows. An answer
may be lost (`repair` asks again) and an event may come before it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.gateways.protocol import (
    Charge,
    Charging,
    Checkout,
    CheckoutRequest,
    EventKind,
    Gateway,
    GatewayEvent,
    GatewayForbiddenError,
    GatewayRefusedError,
    GatewayUnknownError,
)
from payments.inbox import service as inbox
from payments.inbox import waking
from payments.ops import metrics
from payments.orders.models import Order, Payment
from payments.orders.status import advance
from payments.subscriptions import booking as subscriptions

UNFINISHED: Final = frozenset({"intended", "unknown"})
RETRYABLE: Final = frozenset({"remote_failed", "expired"})
"""Statuses of an order, and of its last payment, after which another page cannot be paid twice:
the first one was never made, or can be paid no more."""

Answer = Checkout | Charge | GatewayRefusedError | GatewayUnknownError


def is_over(payment: Payment | None) -> bool:
    """Whether a payment can come to nothing more: no page is open, and no answer outstanding."""
    if payment is None or payment.status in RETRYABLE:
        return True
    return payment.status == "failed" and payment.checkout_ref is None


async def ask(gateway: Gateway, payment: Payment, *, again: bool) -> Answer:
    """Ask for the payment page, or charge, under the payment's key. No transaction may be open.

    `again`: somebody may have asked before. Not to be let in says nothing of what came of that.
    """
    request = CheckoutRequest.from_json(payment.request)
    method: str | None = payment.request.get("method")
    operation = "charge" if method else "checkout"
    with metrics.payment_attempt(gateway.name, operation) as attempt:
        try:
            if method is None:
                answer: Checkout | Charge = await gateway.create_checkout(request)
            elif isinstance(gateway, Charging):
                answer = await gateway.charge(request, method)
            else:
                raise GatewayRefusedError("saved_methods_not_offered")
        except GatewayRefusedError as error:
            if again and isinstance(error, GatewayForbiddenError):
                return GatewayUnknownError(str(error))
            attempt.outcome = "refused"
            return error
        except GatewayUnknownError as error:
            attempt.outcome = "unknown"
            return error
        declined = isinstance(answer, Charge) and answer.status == "declined"
        attempt.outcome = "declined" if declined else "succeeded"
        return answer


async def find(gateway: Gateway, payment: Payment) -> Answer | None:
    """Look for what was made under the payment's key; None where that cannot be told."""
    request = CheckoutRequest.from_json(payment.request)
    method: str | None = payment.request.get("method")
    try:
        if method is None:
            return await gateway.find_checkout(request)
        return await gateway.find_charge(request, method) if isinstance(gateway, Charging) else None
    except (GatewayUnknownError, GatewayRefusedError) as error:
        # The look was refused, and not what is looked for.
        return GatewayUnknownError(str(error))


async def record(session: AsyncSession, order: Order, payment: Payment, answer: Answer) -> None:
    """Write down what the gateway answered, on locked rows.

    An event may have come first: then the payment is further on, and only the ids are new.
    """
    payment.updated_at = datetime.now(UTC)
    if isinstance(answer, Charge):
        await _record_charge(session, payment, answer)
        return
    if isinstance(answer, Checkout):
        payment.checkout_ref = payment.checkout_ref or answer.ref
        payment.checkout_url = answer.url
        payment.payment_ref = payment.payment_ref or answer.payment_ref
        payment.last_error = None
        if payment.status in UNFINISHED | {"remote_failed"}:
            await advance(session, payment, "open", cause="checkout created")
            if order.status in RETRYABLE:
                await advance(session, order, "pending", cause="checkout created")
        await waking.wake(session, payment.gateway, (payment.checkout_ref, payment.payment_ref))
        return
    payment.last_error = str(answer)[:200]
    if payment.status not in UNFINISHED:
        return
    if isinstance(answer, GatewayUnknownError):
        await advance(session, payment, "unknown", cause="no answer from the gateway")
    else:
        await advance(session, payment, "remote_failed", cause="refused by the gateway")
        payment.next_check_at = None
        await advance(session, order, "remote_failed", cause="refused by the gateway")
        await subscriptions.unpaid(session, order, payment, "remote_failed")


async def _record_charge(session: AsyncSession, payment: Payment, charge: Charge) -> None:
    """Apply what became of a charge as the event that will tell it too, whichever comes first."""
    kinds: dict[str, EventKind] = {
        "succeeded": "paid",
        "pending": "processing",
        "declined": "failed",
    }
    kind = kinds[charge.status]
    payment.last_error = charge.code
    event = GatewayEvent(
        gateway=payment.gateway,
        account=payment.account,
        key=f"charged:{payment.id}:{kind}",
        type=f"charged.{kind}",
        kind=kind,
        created=datetime.now(UTC),
        payment_id=payment.id,
        payment_ref=charge.payment_ref,
        money=payment.money if kind == "paid" else None,
    )
    await inbox.receive(session, event)


async def locked(session: AsyncSession, payment_id: UUID) -> tuple[Order, Payment]:
    """Return a payment and its order, locked in the order in which everybody locks them."""
    payment = (
        await session.execute(
            select(Payment).where(Payment.id == payment_id).with_for_update(key_share=True)
        )
    ).scalar_one()
    order = (
        await session.execute(
            select(Order).where(Order.id == payment.order_id).with_for_update(key_share=True)
        )
    ).scalar_one()
    return order, payment

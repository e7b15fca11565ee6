"""What happens after a payment: saved cards, charges without their holder, disputes, payouts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.twin.edge.harness import run
from tests.twin.gateways.world import World, gateway
from twin.gateways.stripe import plans

LATER_DECLINED, ALWAYS_ASKS = "4000 0000 0000 0341", "4000 0027 6000 3184"
REFUND_PENDING, REFUND_FAILS = "4000 0000 0000 7726", "4000 0000 0000 5126"
DISPUTED = "4000 0000 0000 0259"
SAVES = {
    "customer_creation": "always",
    "payment_intent_data": {"setup_future_usage": "off_session", "metadata": {"a": "b"}},
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.gateways.common.gateway.SWEEP", 0.02)
    monkeypatch.setattr(plans, "SOON", 0.1)


async def paid(world: World, number: str = "4242 4242 4242 4242", **more: Any) -> Any:
    """Pay a session on the page; returns its payment intent."""
    session = await world.session(**more)
    status, where = await world.pay(session, number)
    if where.endswith("/authenticate"):
        async with world.http.post(
            world.checkout + where, data={"outcome": "pass"}, allow_redirects=False
        ) as answer:
            status = answer.status
    assert status == 303
    found: Any = await world.call(
        lambda c: c.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    )
    assert found.payment_status == "paid"
    assert found.customer == found.payment_intent.customer
    return found.payment_intent


def charge(intent: Any, **more: Any) -> Any:
    return {
        "amount": 990,
        "currency": "usd",
        "customer": intent.customer,
        "payment_method": intent.payment_method,
        "off_session": True,
        "confirm": True,
        **more,
    }


async def types(world: World, *kinds: str) -> None:
    """Wait until the merchant was told these, each so many times."""
    async with asyncio.timeout(10):
        while True:
            told = [kind for kind in world.merchant.types() if kind in kinds]
            if sorted(told) == sorted(kinds):
                return
            await asyncio.sleep(0.01)


def test_a_card_is_saved_while_paying_and_charged_without_its_holder(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            intent = await paid(world, **SAVES)
            assert intent.setup_future_usage == "off_session"
            customer = await world.call(lambda c: c.v1.customers.retrieve(intent.customer))
            assert (customer.email, customer.name) == ("a@example.com", "Ada")
            methods = await world.call(lambda c: c.v1.customers.payment_methods.list(customer.id))
            assert [each.id for each in methods.data] == [intent.payment_method]
            card: Any = methods.data[0].card
            assert (card.last4, card.brand) == ("4242", "visa")
            again = await world.call(lambda c: c.v1.payment_intents.create(charge(intent)))
            assert (again.status, again.amount_received) == ("succeeded", 990)
            assert (again.customer, again.payment_method) == (customer.id, intent.payment_method)
            found = await world.call(lambda c: c.v1.payment_intents.list({"customer": customer.id}))
            assert [each.id for each in found.data] == [again.id, intent.id]
            charges = await world.call(
                lambda c: c.v1.charges.list({"expand": ["data.balance_transaction"]})
            )
            entries: list[Any] = [each.balance_transaction for each in charges.data]
            assert [(e.amount, e.fee, e.net) for e in entries] == [
                (990, 58, 932), (2500, 102, 2398)
            ]  # fmt: skip

    run(scenario())


def test_what_is_not_saved_cannot_be_used_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            intent = await paid(world)
            assert intent.customer is None
            saved = await paid(world, **SAVES)
            other = await world.call(lambda c: c.v1.customers.create({"email": "x@y.co"}))
            for wrong, told in (
                (charge(saved, payment_method=intent.payment_method), "may not be used again"),
                (charge(saved, customer=other.id), "does not have a payment method"),
                ({**charge(saved), "customer": None}, "for security purposes"),
                (charge(saved, confirm=False), "off_session"),
                (charge(saved, payment_method="pm_none"), "No such PaymentMethod"),
            ):
                sent = {name: value for name, value in wrong.items() if value is not None}
                with pytest.raises(stripe.InvalidRequestError, match=told):
                    await world.call(lambda c, sent=sent: c.v1.payment_intents.create(sent))
            listed = await world.call(lambda c: c.v1.payment_intents.list())
            assert len(listed.data) == 2
            await world.call(lambda c: c.v1.payment_methods.detach(saved.payment_method))
            with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
                await world.call(lambda c: c.v1.payment_intents.create(charge(saved)))
            made = await world.call(
                lambda c: c.v1.payment_methods.attach("pm_card_visa", {"customer": other.id})
            )
            assert made.customer == other.id
            with pytest.raises(stripe.CardError):
                await world.call(
                    lambda c: c.v1.payment_methods.attach(
                        "pm_card_visa_chargeDeclined", {"customer": other.id}
                    )
                )

    run(scenario())


@pytest.mark.parametrize(
    ("number", "code"),
    [(LATER_DECLINED, "card_declined"), (ALWAYS_ASKS, "authentication_required")],
)
def test_cards_that_were_saved_may_be_declined_later(
    tmp_path: Path, number: str, code: str
) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            intent = await paid(world, number, **SAVES)
            with pytest.raises(stripe.CardError) as declined:
                await world.call(
                    lambda c: c.v1.payment_intents.create(
                        charge(intent), {"idempotency_key": "renewal-1"}
                    )
                )
            error: Any = declined.value
            assert (error.http_status, error.code) == (402, code)
            told = error.json_body["error"]
            assert told["payment_intent"]["status"] == "requires_payment_method"
            assert told["payment_method"]["id"] == intent.payment_method
            with pytest.raises(stripe.CardError) as again:
                await world.call(
                    lambda c: c.v1.payment_intents.create(
                        charge(intent), {"idempotency_key": "renewal-1"}
                    )
                )
            same: Any = again.value
            assert same.json_body["error"]["payment_intent"]["id"] == told["payment_intent"]["id"]
            found = await world.call(
                lambda c: c.v1.payment_intents.retrieve(told["payment_intent"]["id"])
            )
            assert found.last_payment_error is not None

    run(scenario())


def test_a_bank_may_block_a_saved_card_and_let_it_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            intent = await paid(world, **SAVES)
            act, values = world.gateway.act, {"payment_method": intent.payment_method}
            act("block-card", values)
            with pytest.raises(stripe.CardError):
                await world.call(lambda c: c.v1.payment_intents.create(charge(intent)))
            act("block-card", {**values, "blocked": "no"})
            done = await world.call(lambda c: c.v1.payment_intents.create(charge(intent)))
            assert done.status == "succeeded"

    run(scenario())


def test_refunds_may_be_pending_or_fail_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            fails = await paid(world, REFUND_FAILS)
            first = await world.call(
                lambda c: c.v1.refunds.create({"payment_intent": fails.id, "amount": 1000})
            )
            assert first.status == "succeeded"
            await types(world, "refund.failed", "refund.updated", "charge.refund.updated")
            found: Any = await world.call(lambda c: c.v1.refunds.retrieve(first.id))
            assert (found.status, found.failure_reason) == ("failed", "expired_or_canceled_card")
            back: Any = await world.call(lambda c: c.v1.charges.retrieve(fails.latest_charge))
            assert (back.amount_refunded, back.refunded) == (0, False)
            waits = await paid(world, REFUND_PENDING)
            second = await world.call(lambda c: c.v1.refunds.create({"payment_intent": waits.id}))
            assert second.status == "pending"
            await types(world, "refund.failed", *["refund.updated", "charge.refund.updated"] * 2)
            listed = await world.call(lambda c: c.v1.refunds.list({"payment_intent": waits.id}))
            assert [(each.id, each.status) for each in listed.data] == [(second.id, "succeeded")]
            entries = await world.call(lambda c: c.v1.balance_transactions.list({"limit": 100}))
            assert sum(each.amount for each in entries.data) == 2500

    run(scenario())


def test_a_disputed_charge_is_won_or_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            intent = await paid(world, DISPUTED)
            opened = ["charge.dispute.created", "charge.dispute.funds_withdrawn"]
            await types(world, *opened)
            (dispute,) = (
                await world.call(lambda c: c.v1.disputes.list({"payment_intent": intent.id}))
            ).data
            assert (dispute.amount, dispute.status) == (2500, "needs_response")
            assert dispute.balance_transactions[0].net == -2500 - 1500
            with pytest.raises(stripe.InvalidRequestError, match="charged back"):
                await world.call(lambda c: c.v1.refunds.create({"payment_intent": intent.id}))
            text = "winning_evidence"
            changed = await world.call(
                lambda c: c.v1.disputes.update(
                    dispute.id, {"evidence": {"uncategorized_text": text}}
                )
            )
            assert changed.status == "under_review"
            await types(world, "charge.dispute.closed", "charge.dispute.funds_reinstated")
            found = await world.call(lambda c: c.v1.disputes.retrieve(dispute.id))
            assert found.status == "won"
            other = await paid(world)
            act = world.gateway.act
            made = act("open-dispute", {"charge": other.id, "reason": "duplicate"})
            with pytest.raises(ValueError, match="disputed already"):
                act("open-dispute", {"charge": other.latest_charge})
            closed = await world.call(lambda c: c.v1.disputes.close(made["id"]))
            assert (closed.status, closed.reason) == ("lost", "duplicate")
            with pytest.raises(ValueError, match="lost already"):
                act("close-dispute", {"dispute": made["id"], "outcome": "won"})

    run(scenario())


def test_the_balance_is_paid_out_with_what_it_was_made_of(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            first = await paid(world)
            await world.call(
                lambda c: c.v1.refunds.create({"payment_intent": first.id, "amount": 500})
            )
            act = world.gateway.act
            with pytest.raises(ValueError, match="nothing to pay out"):
                act("pay-out", {"currency": "eur"})
            made = act("pay-out", {"currency": "USD"})
            assert made["amount"] == 2500 - 102 - 500
            await types(world, "payout.created", "payout.paid")
            found = await world.call(lambda c: c.v1.payouts.retrieve(made["id"]))
            assert found.status == "paid"
            entries = await world.call(
                lambda c: c.v1.balance_transactions.list({"payout": made["id"]})
            )
            assert [each.type for each in entries.data] == ["payout", "refund", "charge"]
            assert sum(each.net for each in entries.data) == 0
            await paid(world)
            failed = act("pay-out", {"currency": "usd", "outcome": "failed"})
            assert failed["amount"] == 2398, "what was paid out is not paid out again"
            await types(world, *["payout.created"] * 2, "payout.paid", "payout.failed")
            back: Any = await world.call(lambda c: c.v1.payouts.retrieve(failed["id"]))
            assert (back.status, back.failure_code) == ("failed", "account_closed")
            balance = await world.call(lambda c: c.v1.balance.retrieve())
            assert balance.pending[0].amount == 2398

    run(scenario())


def test_a_balance_below_zero_is_taken_from_the_bank(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            first = await paid(world)
            act = world.gateway.act
            act("pay-out", {"currency": "usd"})
            await world.call(lambda c: c.v1.refunds.create({"payment_intent": first.id}))
            made = act("pay-out", {"currency": "usd"})
            assert made["amount"] == -2500
            await types(world, *["payout.created", "payout.paid"] * 2)
            entries = await world.call(
                lambda c: c.v1.balance_transactions.list({"payout": made["id"]})
            )
            assert [(each.type, each.net) for each in entries.data] == [
                ("payout", 2500),
                ("refund", -2500),
            ]

    run(scenario())

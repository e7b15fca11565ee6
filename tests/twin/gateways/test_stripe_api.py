"""The simulator against the official client: shapes, errors, idempotency, lists."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.twin.edge.harness import run
from tests.twin.gateways.world import gateway
from twin.gateways.stripe import money

PRICE = "line_items[0][price_data]"


def test_a_session_has_what_was_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            session = await world.session(
                client_reference_id="order-7",
                metadata={"order": "7", "empty": "x"},
                customer_email="ada@example.com",
                payment_intent_data={"metadata": {"order": "7"}, "description": "Order 7"},
            )
            assert session.id.startswith("cs_test_")
            assert (session.amount_total, session.currency) == (2500, "usd")
            assert (session.status, session.payment_status) == ("open", "unpaid")
            assert session.client_reference_id == "order-7"
            assert session.metadata["order"] == "7"
            assert session.payment_intent is None, "made when the payer confirms"
            assert session.url == f"https://checkout.stripe.localhost:8443/c/pay/{session.id}"
            assert 86300 < session.expires_at - time.time() < 86500
            again = await world.call(lambda c: c.v1.checkout.sessions.retrieve(session.id))
            assert again.to_dict() == session.to_dict()
            lines = await world.call(lambda c: c.v1.checkout.sessions.line_items.list(session.id))
            assert [(line.description, line.quantity) for line in lines.data] == [("Top-up", 2)]
            assert lines.data[0].price is not None
            assert lines.data[0].price.unit_amount == 1250

    run(scenario())


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"surprise": "1"}, "surprise", "parameter_unknown"),
        ({"line_items": []}, "line_items", "parameter_missing"),
        ({"mode": "donation"}, "mode", None),
        ({"success_url": "shop.example/ok"}, "success_url", "url_invalid"),
        ({"unit_amount": 24}, "line_items", "amount_too_small"),
        (
            {"unit_amount": "12.50"},
            "line_items[0][price_data][unit_amount]",
            "parameter_invalid_integer",
        ),
        ({"currency": "xyz"}, f"{PRICE}[currency]", None),
        ({"currency": "kwd", "unit_amount": 1001, "quantity": 1}, "line_items", None),
        ({"currency": "isk", "unit_amount": 1050, "quantity": 1}, "line_items", None),
        ({"quantity": 0}, "line_items[0][quantity]", "parameter_invalid_integer"),
        ({"customer_email": "nobody"}, "customer_email", "email_invalid"),
        ({"client_reference_id": "x" * 201}, "client_reference_id", None),
        ({"metadata": {"k": "v" * 501}}, "metadata[k]", None),
        ({"metadata": {"k" * 41: "v"}}, "metadata[" + "k" * 41 + "]", None),
        ({"metadata": {str(n): "v" for n in range(51)}}, "metadata", None),
        ({"expires_at": 1}, "expires_at", None),
        ({"customer": "cus_none"}, "customer", "resource_missing"),
    ],
)
def test_bad_parameters_are_refused_by_name(
    tmp_path: Path, change: dict[str, Any], param: str, code: str | None
) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            with pytest.raises(stripe.InvalidRequestError) as refused:
                await world.session(**change)
            assert refused.value.param == param
            assert refused.value.code == code
            assert len(world.gateway.state.tables["session"]) == 0

    run(scenario())


def test_metadata_with_numbers_as_keys_stays_metadata(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            session = await world.session(metadata={"0": "a", "1": "b"})
            assert session.metadata.to_dict() == {"0": "a", "1": "b"}

    run(scenario())


@pytest.mark.parametrize(
    ("currency", "amount", "shown"),
    [
        ("usd", 50, "$0.50"),
        ("jpy", 50, "¥50"),
        ("kwd", 1230, "1.230 KWD"),
        ("isk", 500, "5 ISK"),
    ],
)
def test_amounts_are_in_each_currencys_smallest_unit(
    tmp_path: Path, currency: str, amount: int, shown: str
) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            session = await world.session(currency=currency, unit_amount=amount, quantity=1)
            assert session.amount_total == amount
            async with world.http.get(f"{world.checkout}/c/pay/{session.id}") as page:
                assert f"Pay {shown}</button>" in await page.text()

    run(scenario())


def test_display_never_loses_a_unit() -> None:
    for currency in sorted(money.CURRENCIES):
        digits = "".join(c for c in money.display(1_234_560, currency) if c.isdigit())
        assert digits == "1234560", currency


def test_keys_are_checked_and_never_shown_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            wrong = stripe.StripeClient(
                "sk_test_wrong_key_1234", base_addresses={"api": world.api}, max_network_retries=0
            )
            with pytest.raises(stripe.AuthenticationError, match=r"sk_test_\*+1234") as refused:
                await asyncio.to_thread(wrong.v1.balance.retrieve)
            assert "wrong_key" not in str(refused.value)
            status, body, _ = await world.raw("GET", "/v1/balance", Authorization="")
            assert status == 401
            assert body["error"]["type"] == "invalid_request_error"

    run(scenario())


def test_intents_confirm_decline_and_cancel(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            base: Any = {"amount": 1000, "currency": "eur"}
            intent = await world.call(lambda c: c.v1.payment_intents.create(base))
            assert intent.status == "requires_payment_method"
            with pytest.raises(stripe.CardError) as declined:
                await world.call(
                    lambda c: c.v1.payment_intents.confirm(
                        intent.id,
                        {"payment_method": "pm_card_visa_chargeDeclinedInsufficientFunds"},
                    )
                )
            error: Any = declined.value.error
            assert error.decline_code == "insufficient_funds"
            assert error.payment_intent["status"] == "requires_payment_method"
            paid = await world.call(
                lambda c: c.v1.payment_intents.confirm(
                    intent.id, {"payment_method": "pm_card_visa"}
                )
            )
            assert (paid.status, paid.amount_received) == ("succeeded", 1000)
            for again in ("confirm", "cancel"):
                with pytest.raises(stripe.InvalidRequestError) as refused:
                    await world.call(
                        lambda c, verb=again: getattr(c.v1.payment_intents, verb)(intent.id)  # type: ignore[misc]
                    )
                assert refused.value.code == "payment_intent_unexpected_state"
            other = await world.call(lambda c: c.v1.payment_intents.create(base))
            canceled = await world.call(lambda c: c.v1.payment_intents.cancel(other.id))
            assert canceled.status == "canceled"

    run(scenario())


def test_refunds_never_go_above_what_was_captured(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            intent: Any = {
                "amount": 1000,
                "currency": "usd",
                "payment_method": "pm_card_visa",
                "confirm": True,
            }
            paid = await world.call(lambda c: c.v1.payment_intents.create(intent))

            async def refund(amount: int) -> str | None:
                part: Any = {"payment_intent": paid.id, "amount": amount}
                try:
                    return (await world.call(lambda c: c.v1.refunds.create(part))).id
                except stripe.InvalidRequestError:
                    return None

            made = await asyncio.gather(*(refund(60 * 5) for _ in range(20)))
            assert len([id for id in made if id]) == 3, "3 times 300 fit into 1000, not 4"
            charge = await world.call(lambda c: c.v1.charges.retrieve(str(paid.latest_charge)))
            assert (charge.amount_refunded, charge.refunded) == (900, False)
            rest = await world.call(lambda c: c.v1.refunds.create({"payment_intent": paid.id}))
            assert rest.amount == 100
            with pytest.raises(stripe.InvalidRequestError) as refused:
                await world.call(lambda c: c.v1.refunds.create({"payment_intent": paid.id}))
            assert refused.value.code == "charge_already_refunded"
            listed = await world.call(lambda c: c.v1.refunds.list({"payment_intent": paid.id}))
            assert sum(each.amount for each in listed.data) == 1000

    run(scenario())


def test_lists_page_both_ways_and_filter(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            made = []
            for number in range(7):
                customer = await world.call(
                    lambda c, n=number: c.v1.customers.create({"email": f"u{n % 2}@b.co"})  # type: ignore[misc]
                )
                made.append(customer.id)
            page = await world.call(lambda c: c.v1.customers.list({"limit": 3}))
            assert [each.id for each in page.data] == made[:3:-1], "the newest first"
            assert page.has_more
            everything = await world.call(
                lambda c: [x.id for x in c.v1.customers.list({"limit": 2}).auto_paging_iter()]
            )
            assert everything == made[::-1]
            back = await world.call(
                lambda c: c.v1.customers.list({"limit": 2, "ending_before": made[0]})
            )
            assert [each.id for each in back.data] == [made[2], made[1]]
            mine = await world.call(lambda c: c.v1.customers.list({"email": "u1@b.co"}))
            assert {each.id for each in mine.data} == set(made[1::2])
            with pytest.raises(stripe.InvalidRequestError):
                await world.call(lambda c: c.v1.customers.list({"starting_after": "cus_none"}))

    run(scenario())


def test_events_can_be_listed_by_type_and_read_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            session = await world.session()
            await world.pay(session)
            found = await world.call(lambda c: c.v1.events.list({"type": "payment_intent.*"}))
            assert [event.type for event in found.data] == [
                "payment_intent.succeeded",
                "payment_intent.created",
            ]
            one = await world.call(
                lambda c: c.v1.events.list({"types": ["checkout.session.completed"]})
            )
            event = await world.call(lambda c: c.v1.events.retrieve(one.data[0].id))
            assert event.data.object["id"] == session.id

    run(scenario())


def test_unknown_paths_objects_and_expansions_are_errors(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            status, body, headers = await world.raw("GET", "/v1/nonsense")
            assert status == 404
            assert "Unrecognized request URL (GET: /v1/nonsense)" in body["error"]["message"]
            assert headers["Request-Id"].startswith("req_")
            with pytest.raises(stripe.InvalidRequestError) as missing:
                await world.call(lambda c: c.v1.checkout.sessions.retrieve("cs_test_none"))
            assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
            session = await world.session()
            with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
                await world.call(
                    lambda c: c.v1.checkout.sessions.retrieve(session.id, {"expand": ["url"]})
                )
            status, body, _ = await world.raw(
                "POST", "/v1/customers", "{}", **{"Content-Type": "application/json"}
            )
            assert status == 400
            assert "form-urlencoded" in body["error"]["message"]
            status, _, _ = await world.raw("GET", "/v1/balance", **{"Stripe-Version": "new"})
            assert status == 400

    run(scenario())


def test_an_expired_session_cannot_be_expired_again_nor_paid(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            session = await world.session()
            expired = await world.call(lambda c: c.v1.checkout.sessions.expire(session.id))
            assert (expired.status, expired.url) == ("expired", None)
            with pytest.raises(stripe.InvalidRequestError):
                await world.call(lambda c: c.v1.checkout.sessions.expire(session.id))
            status, page = await world.pay(session)
            assert status == 200
            assert "timed out" in page
            assert len(world.gateway.state.tables["charge"]) == 0

    run(scenario())


def test_sessions_expire_when_their_time_is_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            session = await world.session(expires_at=int(time.time()) + 1800)
            kept = world.gateway.state.get("session", session.id)
            world.gateway.state.put("session", {**kept, "expires_at": int(time.time()) - 1})
            world.gateway.sweep()
            await world.merchant.until(1)
            assert world.merchant.types() == ["checkout.session.expired"]

    run(scenario())

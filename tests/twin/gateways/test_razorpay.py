"""Razorpay: orders, payments, captures, refunds and refusals."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import razorpay
from razorpay.errors import BadRequestError, SignatureVerificationError

from tests.twin.edge.harness import run
from tests.twin.gateways.bench import hidden
from tests.twin.gateways.razorpay_world import (
    CARD,
    HOOK,
    KEY,
    PAID,
    SECRET,
    order,
    pay,
    types,
    visit,
    world,
)
from twin.gateways.razorpay import API_HOST, CHECKOUT_HOST, payments
from twin.gateways.razorpay.money import CURRENCIES, decimals


def test_an_order_is_paid_by_upi_and_everybody_hears_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            made = await order(at, client, receipt="pay-1", notes={"payment": "1"})
            assert (made["status"], made["amount_due"], made["attempts"]) == ("created", 50000, 0)
            answer = await pay(at, made["id"])
            assert client.utility.verify_payment_signature(answer)
            with pytest.raises(SignatureVerificationError):
                client.utility.verify_payment_signature({**answer, "razorpay_order_id": "order_x"})
            found = await at.call(lambda: client.order.fetch(made["id"]))
            assert (found["status"], found["amount_paid"], found["attempts"]) == ("paid", 50000, 1)
            listed = await at.call(lambda: client.order.payments(made["id"]))
            (payment,) = listed["items"]
            assert payment["id"] == answer["razorpay_payment_id"]
            assert (payment["status"], payment["captured"]) == ("captured", True)
            assert (payment["fee"], payment["tax"]) == (1180, 180)
            assert payment["notes"] == {"payment": "1"}
            await at.merchant.until(3)
            assert types(at) == PAID
            body, headers = at.merchant.bodies[1], at.merchant.headers[1]
            client.utility.verify_webhook_signature(body, headers["X-Razorpay-Signature"], HOOK)
            assert headers["x-razorpay-event-id"]
            assert set(at.merchant.paths) == {"/api/payments/webhook/razorpay/"}
            event = json.loads(body)
            assert event["contains"] == ["payment"]
            assert event["payload"]["payment"]["entity"]["order_id"] == made["id"]
            assert json.loads(at.merchant.bodies[2])["contains"] == ["payment", "order"]
            page = await visit(at, made["id"])
            status, text, _ = await at.send("GET", page)
            assert (status, "This order is paid" in text) == (200, True)

    run(scenario())


def test_a_card_goes_by_the_bank_and_a_failed_attempt_can_be_followed_by_another(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            made = await order(at, client)
            page = await visit(at, made["id"], cancel_url="https://shop.example/no")
            status, text, _ = await at.send("POST", page, data={**CARD, "cvv": ""})
            assert (status, "three digits" in text) == (422, True)
            for outcome, expected in (("failure", 402), ("success", 200)):
                status, _, headers = await at.send("POST", page, data=CARD)
                assert status == 303
                bank = at.urls[CHECKOUT_HOST] + headers["Location"]
                status, text, _ = await at.send("POST", bank, data={"outcome": outcome})
                assert status == expected
                back = hidden(text)
                if outcome == "failure":
                    assert back["error[code]"] == "BAD_REQUEST_ERROR"
                    assert json.loads(back["error[metadata]"])["order_id"] == made["id"]
                status, _, _ = await at.send("POST", bank, data={"outcome": "success"})
                assert status == 303, "the bank decides once"
            assert client.utility.verify_payment_signature(back)
            await at.merchant.until(4)
            assert types(at) == ["payment.failed", *PAID]
            found = await at.call(lambda: client.order.fetch(made["id"]))
            assert (found["status"], found["attempts"]) == ("paid", 2)
            stored = json.dumps(at.store.items("razorpay/payment"))
            assert "4111111111111111" not in stored.replace(" ", "")

    run(scenario())


def test_what_is_only_authorised_is_captured_once_and_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            for manual in ({"payment_capture": False}, {"payment": {"capture": "manual"}}):
                made = await order(at, client, **manual)
                payment = (await pay(at, made["id"]))["razorpay_payment_id"]
                found = await at.call(lambda id=payment: client.payment.fetch(id))
                assert (found["status"], found["captured"]) == ("authorized", False)
                for wrong in (49999, 50001):
                    with pytest.raises(BadRequestError, match="equal to the amount"):
                        await at.call(lambda id=payment, n=wrong: client.payment.capture(id, n, {}))
                with pytest.raises(BadRequestError, match="should be captured"):
                    await at.call(lambda id=payment: client.payment.refund(id, {"amount": 100}))
                got = await at.call(lambda id=payment: client.payment.capture(id, 50000, {}))
                assert got["status"] == "captured"
                with pytest.raises(BadRequestError, match="already been captured"):
                    await at.call(lambda id=payment: client.payment.capture(id, 50000, {}))
            await at.merchant.until(6)
            assert types(at) == PAID * 2

    run(scenario())


def test_refunds_never_exceed_what_was_captured_and_are_told_when_they_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin.gateways.common.gateway.SWEEP", 0.02)
    monkeypatch.setattr(payments, "SETTLE", 1.0)

    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            id = (await pay(at, (await order(at, client))["id"]))["razorpay_payment_id"]
            await at.merchant.until(3)
            first = await at.call(
                lambda: client.payment.refund(
                    id, {"amount": 20000, "receipt": "r1", "notes": {"a": "b"}}
                )
            )
            assert (first["status"], first["entity"]) == ("pending", "refund")
            await at.merchant.until(5)
            assert types(at)[3:] == ["refund.created", "refund.processed"]
            with pytest.raises(BadRequestError, match="greater than amount captured"):
                await at.call(lambda: client.payment.refund(id, {"amount": 30001}))
            with pytest.raises(BadRequestError, match="atleast"):
                await at.call(lambda: client.payment.refund(id, {"amount": 99}))
            at.faults(refund_fails_next=1)
            second = await at.call(lambda: client.payment.refund(id, {"amount": 30000}))
            found = await at.call(lambda: client.payment.fetch(id))
            assert (found["status"], found["refund_status"]) == ("refunded", "full")
            with pytest.raises(BadRequestError, match="fully refunded"):
                await at.call(lambda: client.payment.refund(id, {"amount": 100}))
            await at.merchant.until(7)
            assert types(at)[5:] == ["refund.created", "refund.failed"]
            failed = await at.call(lambda: client.refund.fetch(second["id"]))
            assert failed["status"] == "failed"
            found = await at.call(lambda: client.payment.fetch(id))
            assert (found["amount_refunded"], found["refund_status"]) == (20000, "partial")
            listed = await at.call(lambda: client.payment.fetch_multiple_refund(id))
            assert {each["id"] for each in listed["items"]} == {first["id"], second["id"]}
            whole = await at.call(lambda: client.refund.all({"count": 1}))
            assert (whole["count"], whole["items"][0]["id"]) == (1, second["id"])
            made = second["created_at"]
            period = {"from": made - 60, "to": made + 60, "count": 100, "skip": 1}
            inside = await at.call(lambda: client.refund.all(period))
            assert [each["payment_id"] for each in inside["items"]] == [id]
            later = await at.call(lambda: client.refund.all({"from": made + 60, "to": made + 99}))
            assert later["count"] == 0

    run(scenario())


def test_a_refund_under_one_key_happens_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            id = (await pay(at, (await order(at, client))["id"]))["razorpay_payment_id"]
            key = {"X-Refund-Idempotency": "refund-0001"}

            async def refund(amount: int, **headers: str) -> tuple[int, Any]:
                url = f"{at.urls[API_HOST]}/v1/payments/{id}/refund"
                status, body, _ = await at.send(
                    "POST",
                    url,
                    json={"amount": amount},
                    headers={"Authorization": aiohttp.encode_basic_auth(KEY, SECRET), **headers},
                )
                return status, body

            at.faults(error_after_commit_next=1)
            assert (await refund(1000, **key))[0] == 500
            status, again = await refund(1000, **key)
            assert (status, again["amount"]) == (200, 1000), "who asks again is told what happened"
            status, body = await refund(1001, **key)
            assert status == 400
            assert "Different request" in body["error"]["description"]
            assert (await refund(1000, **{"X-Refund-Idempotency": "short"}))[0] == 400
            assert len(at.gateway.book.tables["refund"]) == 1
            at.faults(api_delay_seconds=0.3)
            key = {"X-Refund-Idempotency": "refund-0002"}
            both = await asyncio.gather(refund(1000, **key), refund(1000, **key))
            assert sorted(status for status, _ in both) == [200, 409]
            assert len(at.gateway.book.tables["refund"]) == 2

    run(scenario())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"amount": 99}, "less than minimum"),
        ({"amount": "500"}, "must be an integer"),
        ({"amount": 500.5}, "must be an integer"),
        ({"amount": True}, "must be an integer"),
        ({"amount": None}, "must be an integer"),
        ({"currency": "XYZ"}, "not supported"),
        ({"currency": "KWD", "amount": 99991}, "last decimal"),
        ({"receipt": "x" * 41}, "may not be greater than 40"),
        ({"colour": "red"}, "colour is/are not required and should not be sent"),
        ({"notes": {str(n): "" for n in range(16)}}, "notes"),
        ({"payment": {"capture": "sometimes"}}, "payment"),
    ],
)
def test_orders_are_refused_in_the_gateways_words(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            with pytest.raises(BadRequestError, match=told):
                await order(at, client, **changed)
            assert not len(at.gateway.book.tables["order"])

    run(scenario())


def test_who_has_no_key_or_asks_for_nothing_known_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            stranger = razorpay.Client(auth=(KEY, "wrong"), base_url=at.urls[API_HOST])
            with pytest.raises(BadRequestError, match="Authentication failed"):
                await at.call(lambda: stranger.order.all())
            status, body, _ = await at.send("GET", at.urls[API_HOST] + "/v1/orders")
            assert (status, body["error"]["code"]) == (401, "BAD_REQUEST_ERROR")
            with pytest.raises(BadRequestError, match="id provided does not exist"):
                await at.call(lambda: client.order.fetch("order_none"))
            with pytest.raises(BadRequestError, match="not found on the server"):
                await at.call(lambda: client.customer.all())
            await order(at, client, receipt="r-1")
            with pytest.raises(BadRequestError, match="unique"):
                await order(at, client, receipt="r-1")
            found = await at.call(lambda: client.order.all({"receipt": "r-1"}))
            assert found["count"] == 1
            assert (await at.call(lambda: client.order.all({"receipt": "r-2"})))["count"] == 0
            with pytest.raises(BadRequestError, match="should not be sent"):
                await at.call(lambda: client.order.all({"colour": "red"}))

    run(scenario())


def test_collections_are_cut_by_time_and_pages(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            for _ in range(3):
                await pay(at, (await order(at, client))["id"])
            now = int(time.time())
            whole = await at.call(lambda: client.payment.all({"from": now - 60, "to": now + 60}))
            assert whole["count"] == 3
            rest = await at.call(lambda: client.payment.all({"count": 2, "skip": 2}))
            assert [each["id"] for each in rest["items"]] == [whole["items"][2]["id"]]
            none = await at.call(lambda: client.payment.all({"from": now + 60}))
            assert none == {"entity": "collection", "count": 0, "items": []}

    run(scenario())


def test_every_currency_has_an_exponent_and_can_be_ordered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            for currency in sorted(CURRENCIES):
                assert decimals(currency) in (0, 2, 3)
                made = await order(at, client, currency=currency, amount=5000)
                assert made["currency"] == currency

    run(scenario())

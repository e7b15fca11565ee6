"""Razorpay: its checkout form, its webhooks, and what comes from outside."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from razorpay.errors import ServerError

from tests.twin.edge.harness import run
from tests.twin.gateways.razorpay_world import (
    HOOK,
    KEY,
    order,
    pay,
    types,
    world,
)
from twin.gateways.razorpay import CHECKOUT_HOST
from twin.gateways.razorpay.webhooks import RETRIES


def test_the_hosted_form_is_checked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            made = await order(at, client)
            url = f"{at.urls[CHECKOUT_HOST]}/v1/checkout/embedded"
            good = {"key_id": KEY, "order_id": made["id"], "callback_url": "https://s.example/b"}
            for changed in (
                {"key_id": "rzp_test_other"},
                {"order_id": "order_none"},
                {"callback_url": "javascript:alert(1)"},
                {"amount": "1"},
                {"currency": "USD"},
                {"colour": "red"},
            ):
                status, text, _ = await at.send("POST", url, data={**good, **changed})
                assert (status, "cannot begin" in text) == (400, True), changed
            sent = {**good, "prefill[email]": "a@b.co", "notes[x]": "y", "name": "<b>Shop</b>"}
            status, _, headers = await at.send("POST", url, data=sent)
            assert status == 303
            page = at.urls[CHECKOUT_HOST] + headers["Location"]
            status, text, headers = await at.send("GET", page)
            assert "&lt;b&gt;Shop&lt;/b&gt;" in text
            assert "a@b.co" in text
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            status, text, _ = await at.send("POST", page, data={"method": "upi", "vpa": "me@bank"})
            assert (status, "success@razorpay" in text) == (422, True)

    run(scenario())


def test_disputes_and_late_authorisations_come_from_outside(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            id = (await pay(at, (await order(at, client))["id"]))["razorpay_payment_id"]
            act = at.gateway.act
            for wrong in ({"payment": "pay_none"}, {}, {"payment": id, "x": "y"}):
                with pytest.raises(ValueError, match=r"payment|x"):
                    act("open-dispute", wrong)
            dispute = act("open-dispute", {"payment": id})
            assert act("close-dispute", {"dispute": dispute["id"], "outcome": "won"})
            with pytest.raises(ValueError, match="won already"):
                act("close-dispute", {"dispute": dispute["id"], "outcome": "lost"})
            lost = act("open-dispute", {"payment": id, "amount": "100"})
            done = await at.call(lambda: client.dispute.accept(lost["id"]))
            assert (done["status"], done["amount_deducted"]) == ("lost", 100)
            await at.merchant.until(9)
            kinds = ["created", "won", "created", "lost"]
            told = [kind for kind in types(at)[3:] if "dispute" in kind]
            assert told == [f"payment.dispute.{kind}" for kind in kinds]
            assert types(at)[-2:] == ["refund.created", "refund.processed"], "as Razorpay does"
            assert (await at.call(lambda: client.payment.fetch(id)))["amount_refunded"] == 100
            made = await order(at, client)
            back = await pay(at, made["id"], "failure@razorpay")
            failed = json.loads(back["error[metadata]"])["payment_id"]
            act("authorise-late", {"payment": failed})
            found = await at.call(lambda: client.order.fetch(made["id"]))
            assert found["status"] == "paid", "a bank that timed out had taken the money"

    run(scenario())


def test_what_was_never_captured_goes_back_by_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            made = await order(at, client)
            failed = json.loads((await pay(at, made["id"], "failure@razorpay"))["error[metadata]"])[
                "payment_id"
            ]
            paid = (await pay(at, made["id"]))["razorpay_payment_id"]
            with pytest.raises(ValueError, match="captured: only what is authorized"):
                at.gateway.act("give-up", {"payment": paid})
            second = at.gateway.act("authorise-late", {"payment": failed})
            assert (second["status"], second["captured"]) == ("refunded", False)
            await at.merchant.until(6)
            told = await at.call(lambda: client.refund.all({}))
            assert [one["payment_id"] for one in told["items"]] == [failed]
            assert (await at.call(lambda: client.order.fetch(made["id"])))["amount_paid"] > 0

    run(scenario())


def test_a_webhook_that_is_never_taken_is_disabled_until_somebody_enables_it(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with world(tmp_path, retries=[0.02, 0.02]) as (at, client):
            at.merchant.answer = lambda count: 500
            await pay(at, (await order(at, client))["id"])
            await at.merchant.until(9)
            async with asyncio.timeout(5):
                while not at.gateway.webhooks.endpoints()[0]["disabled"]:
                    await asyncio.sleep(0.01)
            await pay(at, (await order(at, client))["id"])
            await asyncio.sleep(0.1)
            assert len(at.merchant.bodies) == 9
            at.merchant.answer = lambda count: 200
            at.gateway.webhooks.enable(at.gateway.webhooks.endpoints()[0]["id"])
            await pay(at, (await order(at, client))["id"])
            await at.merchant.until(12)

    run(scenario())
    assert 23.5 * 3600 < sum(RETRIES) < 24.5 * 3600


def test_a_retry_of_an_old_event_keeps_its_old_secret(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path, retries=[0.3, 0.3]) as (at, client):
            at.merchant.answer = lambda count: 500 if count <= 3 else 200
            await pay(at, (await order(at, client))["id"])
            await at.merchant.until(3)
            hook = at.gateway.webhooks.endpoints()[0]["id"]
            fresh = at.gateway.webhooks.roll_secret(hook, overlap=0)
            await at.merchant.until(6)
            check = client.utility.verify_webhook_signature
            for body, headers in list(zip(at.merchant.bodies, at.merchant.headers, strict=True)):
                assert check(body, headers["X-Razorpay-Signature"], HOOK)
            await pay(at, (await order(at, client))["id"])
            await at.merchant.until(9)
            newest = at.merchant.headers[-1]["X-Razorpay-Signature"]
            assert check(at.merchant.bodies[-1], newest, fresh)
            assert "secrets" not in at.gateway.webhooks.deliveries()[0]

    run(scenario())


def test_faults_reach_this_gateway_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            made = await order(at, client)
            at.faults(amount_delta=-100, duplicate=1)
            await pay(at, made["id"])
            found = await at.call(lambda: client.order.payments(made["id"]))
            assert found["items"][0]["amount"] == 49900
            await at.merchant.until(6)
            ids = [headers["X-Razorpay-Event-Id"] for headers in at.merchant.headers]
            assert len(set(ids)) == 3
            at.faults(error_after_commit_next=1)
            with pytest.raises(ServerError):
                await order(at, client, receipt="lost")
            listed = await at.call(lambda: client.order.all({"receipt": "lost"}))
            assert listed["count"] == 1, "who asks by receipt finds what was made"

    run(scenario())

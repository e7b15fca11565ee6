"""PayPal: captures, authorisations, refunds, disputes and reports."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from paypalserversdk.exceptions.error_exception import ErrorException

from tests.twin.edge.harness import eventually, run
from tests.twin.gateways.paypal_world import (
    NO,
    Rest,
    approve,
    create,
    paid,
    types,
    wanted,
    world,
)
from twin.gateways.paypal import BROWSER_HOST, orders


def test_buyers_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.gateways.common.gateway.SWEEP", 0.02)
    monkeypatch.setattr("twin.gateways.paypal.payments.SETTLE", 2.0)

    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            order = await create(at, client)
            await approve(at, order.id, "poor@example.com")
            capturing = {"id": order.id, "paypal_request_id": "capture-1"}
            with pytest.raises(ErrorException) as refused:
                await at.call(lambda: client.orders.capture_order(capturing))
            declined = json.loads(refused.value.response.text)
            assert declined["details"][0]["issue"] == "INSTRUMENT_DECLINED"
            assert declined["links"][-1]["rel"] == "redirect"
            await approve(at, order.id)
            done = await at.call(lambda: client.orders.capture_order(capturing))
            assert done.body.status == "COMPLETED", "another buyer may pay the same order"
            for email, ends in (("slow", "COMPLETED"), ("doubtful", "DENIED")):
                order = await create(at, client)
                await approve(at, order.id, f"{email}@example.com")
                done = await at.call(lambda id=order.id: client.orders.capture_order({"id": id}))
                capture = done.body.purchase_units[0].payments.captures[0]
                assert capture.status == "PENDING"
                with pytest.raises(ErrorException) as refused:
                    await at.call(
                        lambda id=capture.id: client.payments.refund_captured_payment(
                            {"capture_id": id}
                        )
                    )
                assert "PENDING_CAPTURE" in refused.value.response.text
                kinds = {"PAYMENT.CAPTURE.PENDING", f"PAYMENT.CAPTURE.{ends}"}

                async def told(kinds: set[str] = kinds, id: str = capture.id) -> bool:
                    events = map(json.loads, at.merchant.bodies)
                    mine = {e["event_type"] for e in events if e["resource"]["id"] == id}
                    return mine == kinds

                await eventually(told, f"{email} must be pending and then {ends}")
            order = await create(at, client)
            where = await approve(at, order.id, step="cancel")
            assert where == f"{NO}?token={order.id}"
            found = (await at.call(lambda: client.orders.get_order({"id": order.id}))).body
            assert found.status == "PAYER_ACTION_REQUIRED"

    run(scenario())


def test_refunds_never_exceed_the_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.gateways.common.gateway.SWEEP", 0.02)
    monkeypatch.setattr("twin.gateways.paypal.payments.SETTLE", 1.0)

    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            capture = await paid(at, client)
            path = f"/v2/payments/captures/{capture.id}/refund"
            rest = Rest(at)

            async def refund(value: str | None, currency: str = "USD", **headers: str) -> Any:
                money = {"currency_code": currency, "value": value}
                return await rest("POST", path, {"amount": money} if value else {}, **headers)

            key = {"PayPal-Request-Id": "refund-1", "Prefer": "return=representation"}
            status, first = await refund("4.00", **key)
            assert (status, first["status"], first["amount"]["value"]) == (201, "COMPLETED", "4.00")
            status, again = await refund("4.00", **key)
            assert (status, again["id"]) == (200, first["id"])
            status, told = await refund("4.01", **key)
            assert (status, told["details"][0]["issue"]) == (422, "DUPLICATE_REQUEST_ID")
            for value, currency, issue in (
                ("6.01", "USD", "REFUND_AMOUNT_EXCEEDED"),
                ("1.00", "EUR", "CURRENCY_MISMATCH"),
                ("0.00", "USD", "CANNOT_BE_ZERO_OR_NEGATIVE"),
                ("1.001", "USD", "DECIMAL_PRECISION"),
            ):
                status, told = await refund(value, currency)
                assert (status, told["details"][0]["issue"]) == (422, issue)
            at.faults(refund_fails_next=1)
            status, second = await refund(None)
            assert (status, second["status"]) == (201, "PENDING")
            await at.merchant.until(6)
            assert types(at)[3:] == [
                "PAYMENT.CAPTURE.REFUNDED", "PAYMENT.REFUND.PENDING", "PAYMENT.REFUND.FAILED"
            ]  # fmt: skip
            found = await at.call(lambda: client.payments.get_refund({"refund_id": second["id"]}))
            assert found.body.status == "FAILED"
            same = await at.call(
                lambda: client.payments.get_captured_payment({"capture_id": capture.id})
            )
            assert same.body.status == "PARTIALLY_REFUNDED"
            status, _ = await refund(None)
            status, told = await refund(None)
            assert (status, told["details"][0]["issue"]) == (422, "CAPTURE_FULLY_REFUNDED")
            event = json.loads(at.merchant.bodies[3])["resource"]
            assert any(
                link["rel"] == "up" and link["href"].endswith(capture.id) for link in event["links"]
            )

    run(scenario())


def test_what_is_authorised_is_captured_in_parts_or_voided(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            rest = Rest(at)
            ids = []
            for _ in range(2):
                order = await create(at, client, wanted(intent="AUTHORIZE"))
                await approve(at, order.id)
                done = await at.call(lambda id=order.id: client.orders.authorize_order({"id": id}))
                ids.append(done.body.purchase_units[0].payments.authorizations[0].id)
            path = f"/v2/payments/authorizations/{ids[0]}"
            part = {"amount": {"currency_code": "USD", "value": "4.00"}}
            assert (await rest("POST", f"{path}/capture", part))[0] == 201
            status, told = await rest("POST", f"{path}/void", {})
            assert (status, told["details"][0]["issue"]) == (422, "PREVIOUSLY_CAPTURED")
            more = {"amount": {"currency_code": "USD", "value": "6.01"}}
            status, told = await rest("POST", f"{path}/capture", more)
            assert (status, told["details"][0]["issue"]) == (422, "MAX_CAPTURE_AMOUNT_EXCEEDED")
            assert (await rest("POST", f"{path}/capture", {}))[0] == 201
            found = await at.call(
                lambda: client.payments.get_authorized_payment({"authorization_id": ids[0]})
            )
            assert found.body.status == "CAPTURED"
            path = f"/v2/payments/authorizations/{ids[1]}"
            assert (await rest("POST", f"{path}/void", {}))[0] == 204
            status, told = await rest("POST", f"{path}/capture", {})
            assert (status, told["details"][0]["issue"]) == (422, "AUTHORIZATION_VOIDED")
            plain = await create(at, client)
            status, told = await rest("POST", f"/v2/checkout/orders/{plain.id}/authorize", {})
            assert (status, told["details"][0]["issue"]) == (422, "ACTION_DOES_NOT_MATCH_INTENT")

    run(scenario())


def test_an_invoice_is_paid_once_and_old_orders_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            body = wanted(unit={"invoice_id": "inv-1"})
            await paid(at, client, body)
            order = await create(at, client, body)
            await approve(at, order.id)
            with pytest.raises(ErrorException) as refused:
                await at.call(lambda: client.orders.capture_order({"id": order.id}))
            assert "DUPLICATE_INVOICE_ID" in refused.value.response.text
            monkeypatch.setattr(orders, "LIFE", -1)
            status, _ = await Rest(at)("GET", f"/v2/checkout/orders/{order.id}")
            assert status == 404
            url = f"{at.urls[BROWSER_HOST]}/checkoutnow?token={order.id}"
            status, text, _ = await at.send("GET", url)
            assert (status, "Nothing to pay" in text) == (404, True)

    run(scenario())


def test_disputes_and_their_end_are_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            rest = Rest(at)
            captures = [await paid(at, client) for _ in range(2)]
            act = at.gateway.act
            with pytest.raises(ValueError, match="there is no"):
                act("open-dispute", {"capture": "NONE"})
            made = [act("open-dispute", {"capture": each.id}) for each in captures]
            _, found = await rest("GET", f"/v1/customer/disputes/{made[0]['id']}")
            assert found["disputed_transactions"][0]["seller_transaction_id"] == captures[0].id
            act("resolve-dispute", {"dispute": made[0]["id"], "favour": "seller"})
            with pytest.raises(ValueError, match="already"):
                act("resolve-dispute", {"dispute": made[0]["id"], "favour": "buyer"})
            accept = f"/v1/customer/disputes/{made[1]['id']}/accept-claim"
            assert (await rest("POST", accept, {"note": "sorry"}))[0] == 200
            _, found = await rest("GET", f"/v1/customer/disputes/{made[1]['id']}")
            outcome = found["dispute_outcome"]
            assert outcome["outcome_code"] == "RESOLVED_BUYER_FAVOUR"
            assert outcome["amount_refunded"]["value"] == "10.00"
            await at.merchant.until(10)
            kinds = [kind for kind in types(at) if "DISPUTE" in kind]
            assert kinds == ["CUSTOMER.DISPUTE.CREATED"] * 2 + ["CUSTOMER.DISPUTE.RESOLVED"] * 2
            query = f"disputed_transaction_id={captures[0].id}"
            _, page = await rest("GET", f"/v1/customer/disputes?{query}")
            assert [each["dispute_id"] for each in page["items"]] == [made[0]["id"]]
            _, page = await rest("GET", "/v1/customer/disputes?page_size=1")
            assert page["links"][-1]["rel"] == "next"

    run(scenario())


def test_transactions_are_reported(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (at, client):
            capture = await paid(at, client)
            await Rest(at)("POST", f"/v2/payments/captures/{capture.id}/refund", {})
            now = time.time()

            def at_time(seconds: float) -> str:
                return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + seconds))

            period = {"start_date": at_time(-60), "end_date": at_time(60)}
            found = await at.call(lambda: client.transaction_search.search_transactions(period))
            infos = [each.transaction_info for each in found.body.transaction_details]
            amounts = [info.transaction_amount.value for info in infos]
            assert amounts == ["10.00", "-10.00"]
            assert [info.fee_amount.value for info in infos] == ["-0.83", "0.00"]
            assert infos[0].custom_field == "payment-1"
            assert infos[1].paypal_reference_id == capture.id
            rest = Rest(at)
            path = "/v1/reporting/transactions"
            later = f"{path}?start_date={at_time(60)}&end_date={at_time(120)}"
            assert (await rest("GET", later))[1]["total_items"] == 0
            now_only = f"{path}?start_date={at_time(-60)}&end_date={at_time(60)}"
            _, told = await rest("GET", f"{now_only}&transaction_type=T1107")
            (only,) = told["transaction_details"]
            assert only["transaction_info"]["paypal_reference_id"] == capture.id
            paged = f"{now_only}&page_size=1&page=2"
            status, told = await rest("GET", paged)
            assert (told["total_pages"], len(told["transaction_details"])) == (2, 1)
            too_long = f"{path}?start_date={at_time(-40 * 86400)}&end_date={at_time(0)}"
            status, told = await rest("GET", too_long)
            assert (status, told["details"][0]["issue"]) == (400, "INVALID_DATE_RANGE")
            assert (await rest("GET", path))[0] == 400

    run(scenario())

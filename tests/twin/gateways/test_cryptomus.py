"""The Cryptomus dialect. There is no official client: its scheme is written out here once more."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.twin.edge.harness import eventually, run
from tests.twin.gateways.bench import Bench, bench
from twin.gateways.cryptomus import API_HOST, BROWSER_HOST, Cryptomus
from twin.gateways.cryptomus.invoices import COINS, FIAT

MERCHANT, KEY = "8b03432e-385b-4670-8d06-064591096795", "api-key"


def md5(body: str, key: str = KEY) -> str:
    encoded = base64.b64encode(body.encode()).decode()
    return hashlib.md5((encoded + key).encode(), usedforsecurity=False).hexdigest()


def verified(body: str, key: str = KEY) -> dict[str, Any]:
    """Check a delivery's bytes as they came, and return what it says."""
    found = re.search(r',"sign":"([0-9a-f]{32})"}$', body)
    assert found is not None, body
    assert md5(body[: found.start()] + "}", key) == found[1], body
    told: dict[str, Any] = json.loads(body)
    return told


class Caller:
    """A merchant's calls."""

    def __init__(self, at: Bench[Cryptomus], callback: str) -> None:
        self.at = at
        self.callback = callback
        self.key = KEY

    async def __call__(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        text = "" if body is None else json.dumps(body)
        sent = {"merchant": MERCHANT, "sign": md5(text, self.key), **headers}
        if text:
            sent["Content-Type"] = "application/json"
        url = self.at.urls[API_HOST] + path
        status, told, _ = await self.at.send("POST", url, data=text, headers=sent)
        return status, told

    async def invoice(self, order_id: str = "o-1", **more: Any) -> dict[str, Any]:
        body = {
            "amount": "15",
            "currency": "USD",
            "order_id": order_id,
            "url_callback": f"{self.callback}/webhooks/cryptomus",
            "url_return": "https://shop.example/back",
            "url_success": "https://shop.example/thanks",
            "is_payment_multiple": False,
            **more,
        }
        status, told = await self("/v1/payment", body)
        assert (status, told["state"]) == (200, 0), told
        result: dict[str, Any] = told["result"]
        return result

    async def info(self, uuid: str) -> dict[str, Any]:
        _, told = await self("/v1/payment/info", {"uuid": uuid})
        result: dict[str, Any] = told["result"]
        return result

    async def pay(self, invoice: dict[str, Any], how: str, coin: str = "USDT") -> int:
        url = f"{self.at.urls[BROWSER_HOST]}/pay/{invoice['uuid']}"
        status, _, _ = await self.at.send("POST", url, data={"how": how, "coin": coin})
        return status

    def told(self) -> list[tuple[str, bool]]:
        events = [verified(body, self.key) for body in self.at.merchant.bodies]
        return [(each["status"], each["is_final"]) for each in events]


@asynccontextmanager
async def world(home: Path, **more: Any) -> AsyncIterator[Caller]:
    found: list[str] = []

    def account(endpoint: str) -> dict[str, Any]:
        found.append(endpoint)
        return {"cryptomus": {"merchant": MERCHANT, "api_key": KEY}}

    async with bench(Cryptomus, home, account, **more) as at:
        yield Caller(at, found[0])


def test_an_invoice_is_paid_exactly_and_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as call:
            made = await call.invoice(additional_data="ä/b")
            assert (made["payment_status"], made["is_final"]) == ("check", False)
            assert made["url"] == f"https://{BROWSER_HOST}:8443/pay/{made['uuid']}"
            assert await call.invoice(amount="99") == made, "an order id has one invoice"
            assert await call.pay(made, "exact", "BTC") == 303
            found = await call.info(made["uuid"])
            assert (found["payment_status"], found["payer_currency"]) == ("paid", "BTC")
            assert found["payment_amount"] == found["payer_amount"] == "0.00030000"
            assert (found["merchant_amount"], found["commission"]) == ("0.00029400", "0.00000600")
            _, told = await call("/v1/payment/info", {"order_id": "o-1"})
            assert told["result"]["uuid"] == made["uuid"]
            await call.at.merchant.until(2)
            assert call.told() == [("confirm_check", False), ("paid", True)]
            body = call.at.merchant.bodies[-1]
            assert r"ä\/b" in body
            event = verified(body)
            assert (event["type"], event["order_id"], event["txid"]) == (
                "payment", "o-1", found["txid"]
            )  # fmt: skip
            assert call.at.merchant.paths == ["/webhooks/cryptomus"] * 2
            assert await call.pay(made, "exact") == 200, "it is paid once"
            assert len(call.at.merchant.bodies) == 2

    run(scenario())


@pytest.mark.parametrize(
    ("how", "more", "status", "amount"),
    [
        ("less", {}, "wrong_amount", "7.50000000"),
        ("more", {}, "paid_over", "22.50000000"),
        ("less", {"accuracy_payment_percent": 5}, "wrong_amount", "7.50000000"),
    ],
)
def test_too_little_and_too_much(
    tmp_path: Path, how: str, more: dict[str, Any], status: str, amount: str
) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as call:
            made = await call.invoice(**more)
            assert await call.pay(made, how) == 303
            found = await call.info(made["uuid"])
            assert (found["payment_status"], found["payment_amount"]) == (status, amount)
            await call.at.merchant.until(2)
            assert call.told()[-1] == (status, True)

    run(scenario())


def test_a_part_may_be_waited_for_until_the_invoice_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin.gateways.common.gateway.SWEEP", 0.02)

    async def scenario() -> None:
        async with world(tmp_path) as call:
            made = await call.invoice(is_payment_multiple=True)
            await call.pay(made, "less")
            assert (await call.info(made["uuid"]))["payment_status"] == "wrong_amount_waiting"
            table = call.at.gateway.book.tables["invoice"]
            table.put(made["uuid"], {**(table.get(made["uuid"]) or {}), "expired_at": 1})
            await call.at.merchant.until(3)
            assert call.told()[-2:] == [("wrong_amount_waiting", False), ("wrong_amount", True)]
            unpaid = await call.invoice("o-2")
            table.put(unpaid["uuid"], {**(table.get(unpaid["uuid"]) or {}), "expired_at": 1})
            await call.at.merchant.until(4)
            assert call.told()[-1] == ("cancel", True)
            again = await call.invoice("o-2", is_refresh=True)
            assert (again["uuid"], again["payment_status"]) == (unpaid["uuid"], "check")

    run(scenario())


def test_coins_that_come_late_come_after_the_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as call:
            made = await call.invoice()
            await call.pay(made, "late")
            await call.at.merchant.until(3)
            assert [status for status, _ in call.told()] == ["cancel", "confirm_check", "paid"]
            found = await call.info(made["uuid"])
            assert found["expired_at"] < time.time() - 3 * 3600
            other = await call.invoice("o-2")
            await call.pay(other, "cancel")
            await call.at.merchant.until(4)
            assert call.told()[-1] == ("cancel", True)
            assert await call.pay(other, "exact") == 422, "it has ended"
            assert await call.pay(other, "late") == 303

    run(scenario())


def test_refunds_arrive_or_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.gateways.common.gateway.SWEEP", 0.02)
    monkeypatch.setattr("twin.gateways.cryptomus.invoices.SETTLE", 0.1)

    async def scenario() -> None:
        async with world(tmp_path) as call:
            refund = {"address": "TDD97yguPESTpcrJMqU6h2ozZbibv4Vaqm", "is_subtract": True}
            for order_id, fails in (("o-1", 0), ("o-2", 1)):
                call.at.faults(refund_fails_next=fails)
                made = await call.invoice(order_id)
                named = {**refund, "uuid": made["uuid"]}
                status, told = await call("/v1/payment/refund", named)
                assert (status, told["state"]) == (400, 1), "there is nothing to give back yet"
                await call.pay(made, "exact")
                assert await call("/v1/payment/refund", named) == (200, {"state": 0, "result": []})
                status, _ = await call("/v1/payment/refund", named)
                assert status == 400, "once"
                ends = "refund_fail" if fails else "refund_paid"

                async def over(uuid: str = made["uuid"], ends: str = ends) -> bool:
                    return bool((await call.info(uuid))["payment_status"] == ends)

                async def heard(ends: str = ends) -> bool:
                    return {"refund_process", ends} <= {state for state, _ in call.told()}

                await eventually(over, ends)
                await eventually(heard, f"{ends} told")

    run(scenario())


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"amount": 15}, "amount"),
        ({"amount": "fifteen"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"currency": "XXX"}, "currency"),
        ({"order_id": "no spaces"}, "order_id"),
        ({"order_id": "x" * 129}, "order_id"),
        ({"lifetime": 299}, "lifetime"),
        ({"lifetime": 43201}, "lifetime"),
        ({"url_callback": "ftp://x.example"}, "url_callback"),
        ({"currencies": [{"currency": "DOGE"}]}, "currencies"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_invoices_are_refused_in_the_gateways_words(
    tmp_path: Path, changed: dict[str, Any], field: str
) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as call:
            body = {"amount": "15", "currency": "USD", "order_id": "o-1", **changed}
            status, told = await call("/v1/payment", body)
            assert (status, told["state"]) == (422, 1)
            assert field in told["errors"]
            assert not len(call.at.gateway.book.tables["invoice"])

    run(scenario())


def test_signatures_are_checked_byte_for_byte(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as call:
            good = {"amount": "15", "currency": "USD", "order_id": "o-1"}
            for headers in (
                {"sign": md5(json.dumps(good) + " ")},
                {"sign": md5(json.dumps(good), "other-key")},
                {"sign": ""},
                {"merchant": "00000000-0000-0000-0000-000000000000"},
            ):
                status, told = await call("/v1/payment", good, **headers)
                assert (status, told["state"]) == (401, 1), headers
            status, told = await call("/v1/payment/services")
            assert (status, len(told["result"])) == (200, len(COINS))
            status, told = await call("/v1/payment/info", {"uuid": MERCHANT})
            assert (status, told["state"]) == (404, 1)
            assert (await call("/v1/payment/info", {}))[0] == 422
            assert (await call("/v1/nothing", {}))[0] == 404
            hook = call.at.gateway.webhooks.endpoints()[0]["id"]
            fresh = call.at.gateway.webhooks.roll_secret(hook)
            assert (await call("/v1/payment", good))[0] == 401, "there is one key at a time"
            call.key = fresh
            await call.pay(await call.invoice(), "exact")
            await call.at.merchant.until(2)
            assert call.told()[-1] == ("paid", True)

    run(scenario())


def test_invoices_are_listed_by_time_in_pages(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as call:
            made = [await call.invoice(f"o-{n}") for n in range(17)]
            status, told = await call("/v1/payment/list")
            page = told["result"]
            assert (status, len(page["items"]), page["paginate"]["nextCursor"]) == (200, 15, "15")
            status, told = await call("/v1/payment/list?cursor=15")
            rest = told["result"]
            assert [each["uuid"] for each in rest["items"]] == [made[1]["uuid"], made[0]["uuid"]]
            assert rest["paginate"]["nextCursor"] is None

            def at(seconds: float) -> str:
                return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + seconds))

            _, told = await call("/v1/payment/list", {"date_from": at(60), "date_to": at(120)})
            assert told["result"]["items"] == []
            assert (await call("/v1/payment/list", {"date_from": "today"}))[0] == 422

    run(scenario())


def test_webhooks_can_be_tested_resent_and_go_wrong(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as call:
            wanted = {
                "url_callback": f"{call.callback}/elsewhere",
                "currency": "ETH",
                "network": "eth",
                "status": "wrong_amount",
            }
            assert (await call("/v1/test-webhook/payment", wanted))[0] == 200
            await call.at.merchant.until(1)
            assert call.at.merchant.paths == ["/elsewhere"]
            assert call.told() == [("wrong_amount", True)]
            call.at.faults(duplicate=1, amount_delta=-100)
            made = await call.invoice()
            await call.pay(made, "exact")
            await call.at.merchant.until(5)
            found = await call.info(made["uuid"])
            assert (found["payment_status"], found["payment_amount"]) == (
                "wrong_amount", "14.99999900"
            )  # fmt: skip
            call.at.faults()
            assert (await call("/v1/payment/resend", {"uuid": made["uuid"]}))[0] == 200
            await call.at.merchant.until(6)
            call.at.faults(error_after_commit_next=1)
            body = {"amount": "5", "currency": "EUR", "order_id": "lost"}
            assert (await call("/v1/payment", body))[0] == 500
            assert (await call("/v1/payment/info", {"order_id": "lost"}))[0] == 200
            made = await call.invoice("o-3")
            call.at.gateway.act("fail", {"invoice": made["uuid"], "status": "system_fail"})
            with pytest.raises(ValueError, match="already"):
                call.at.gateway.act("fail", {"invoice": made["uuid"], "status": "fail"})

    run(scenario())


def test_the_page_shows_what_is_due_in_every_coin(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as call:
            for n, currency in enumerate(sorted({*FIAT, *COINS})):
                made = await call.invoice(f"c-{n}", currency=currency)
                url = f"{call.at.urls[BROWSER_HOST]}/pay/{made['uuid']}"
                status, text, _ = await call.at.send("GET", url)
                assert status == 200
                assert all(f" {coin} (" in text for coin in COINS)
            only = await call.invoice("o-1", currencies=[{"currency": "LTC"}])
            assert await call.pay(only, "exact", "BTC") == 422
            assert await call.pay(only, "exact", "LTC") == 303
            url = f"{call.at.urls[BROWSER_HOST]}/pay/{only['uuid']}"
            _, text, headers = await call.at.send("GET", url)
            assert "https://shop.example/thanks" in text
            assert "script-src 'self'" in headers["Content-Security-Policy"]
            status, _, _ = await call.at.send("GET", f"{call.at.urls[BROWSER_HOST]}/pay/none")
            assert status == 404

    run(scenario())

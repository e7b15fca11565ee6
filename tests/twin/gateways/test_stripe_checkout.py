"""The hosted page: what the payer sees, and what may never be kept."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.twin.edge.harness import run
from tests.twin.gateways.world import ASKS, DECLINED, GOOD, NO_FUNDS, gateway
from twin.gateways.stripe.cards import TEST_CARDS, luhn


def test_a_good_card_pays_and_leads_back_with_the_sessions_id(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            session = await world.session(
                payment_intent_data={"metadata": {"order": "7"}}, client_reference_id="7"
            )
            status, location = await world.pay(session)
            assert (status, location) == (303, f"https://shop.example/ok?session={session.id}")
            assert "checkout.session.completed" in world.merchant.types(), (
                "the merchant is told before the payer is sent back"
            )
            paid: Any = await world.call(
                lambda c: c.v1.checkout.sessions.retrieve(
                    session.id, {"expand": ["payment_intent.latest_charge"]}
                )
            )
            assert (paid.status, paid.payment_status) == ("complete", "paid")
            assert paid.customer_details.email == "a@example.com"
            assert paid.payment_intent.metadata["order"] == "7"
            card = paid.payment_intent.latest_charge.payment_method_details.card
            assert (card.brand, card.last4, card.exp_year) == ("visa", "4242", 2034)
            status, page = await world.pay(session)
            assert status == 200, "a paid session cannot be paid again"
            assert "all done" in page
            assert len(world.gateway.state.tables["charge"]) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("number", "text", "code"),
    [
        (DECLINED, "Your card was declined.", "generic_decline"),
        (NO_FUNDS, "Your card has insufficient funds.", "insufficient_funds"),
    ],
)
def test_a_decline_is_shown_in_place_and_another_card_may_be_tried(
    tmp_path: Path, number: str, text: str, code: str
) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            session = await world.session()
            status, page = await world.pay(session, number)
            assert status == 402
            assert text in page
            assert 'role="alert"' in page
            assert 'value="a@example.com"' in page, "what was typed stays"
            assert (await world.pay(session))[0] == 303
            paid: Any = await world.call(
                lambda c: c.v1.charges.list({"payment_intent": _intent(world, session.id)})
            )
            assert [charge.status for charge in paid.data] == ["succeeded", "failed"]
            assert paid.data[1].outcome.reason == code
            assert "payment_intent.payment_failed" in world.merchant.types()

    run(scenario())


@pytest.mark.parametrize(("outcome", "status"), [("pass", 303), ("fail", 402)])
def test_three_d_secure_is_a_step_of_its_own(tmp_path: Path, outcome: str, status: int) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            session = await world.session()
            asked, location = await world.pay(session, ASKS)
            assert (asked, location) == (303, f"/c/pay/{session.id}/authenticate")
            async with world.http.get(world.checkout + location) as page:
                assert "3D Secure" in await page.text()
            assert _status(world, session.id) == "open", "nothing is paid before the step"
            async with world.http.post(
                world.checkout + location, data={"outcome": outcome}, allow_redirects=False
            ) as answer:
                assert answer.status == status
            assert _status(world, session.id) == ("complete" if outcome == "pass" else "open")
            # The step cannot be taken twice.
            async with world.http.post(
                world.checkout + location, data={"outcome": "pass"}, allow_redirects=False
            ) as answer:
                assert answer.headers["Location"] == f"/c/pay/{session.id}"
            await world.merchant.until(3)
            assert "payment_intent.requires_action" in world.merchant.types()

    run(scenario())


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("email", "nobody", "Enter an e-mail address"),
        ("number", "4242 4242 4242 4241", "card number is not valid"),
        ("number", "", "card number is not valid"),
        ("number", "4111 1111 1111 1111", "use one of the test cards"),
        ("expiry", "13/40", "as MM / YY"),
        ("expiry", "01/20", "in the past"),
        ("cvc", "12", "three digits"),
        ("name", " ", "name on the card"),
    ],
)
def test_each_field_says_what_is_wrong_with_it(
    tmp_path: Path, field: str, value: str, text: str
) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            session = await world.session()
            status, page = await world.pay(session, **{field: value})
            assert status == 422
            assert text in page
            assert f'aria-describedby="{field}-error"' in page
            assert len(world.gateway.state.tables["payment_intent"]) == 0

    run(scenario())


def test_this_month_is_not_past(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            session = await world.session()
            assert (await world.pay(session, expiry=time.strftime("%m/%y", time.gmtime())))[
                0
            ] == 303

    run(scenario())


def test_card_numbers_are_nowhere_to_be_found_afterwards(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    pages: list[str] = []

    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            for number in (GOOD, DECLINED, ASKS, "4242 4242 4242 4241"):
                session = await world.session()
                _, text = await world.pay(session, number, cvc="987")
                pages.append(text.partition("<details")[0])  # below it are the test cards
            await world.merchant.until(8)
            pages.extend(body.decode() for body in world.merchant.bodies)

    run(scenario())
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file()).decode(
        errors="replace"
    )
    for number in (GOOD, DECLINED, ASKS, "4242 4242 4242 4241"):
        for form in (number, number.replace(" ", "")):
            assert form not in kept, "a card number on disk"
            assert form not in caplog.text, "a card number in the log"
            assert not any(form in page for page in pages), "a card number in a page or event"
    assert '"987"' not in kept


def test_two_clicks_pay_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            world.merchant.pause = 0.2
            session = await world.session()
            await asyncio.gather(world.pay(session), world.pay(session))
            assert len(world.gateway.state.tables["charge"]) == 1

    run(scenario())


def test_the_page_is_safe_to_show(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path) as world:
            nasty = "<script>alert(1)</script>"
            session = await world.session(
                line_items=[
                    {
                        "price_data": {
                            "currency": "usd",
                            "unit_amount": 100,
                            "product_data": {"name": nasty},
                        }
                    }
                ]
            )
            async with world.http.get(f"{world.checkout}/c/pay/{session.id}") as answer:
                page, policy = await answer.text(), answer.headers["Content-Security-Policy"]
            assert nasty not in page
            assert "&lt;script&gt;" in page
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "<style" not in page, "the policy would drop it"
            async with world.http.get(f"{world.checkout}/c/pay/cs_test_none") as answer:
                assert answer.status == 404
            for name, status in (("checkout.js", 200), ("checkout.css", 200), ("..%2Fapi.py", 404)):
                async with world.http.get(f"{world.checkout}/static/{name}") as answer:
                    assert answer.status == status

    run(scenario())


def test_every_test_card_passes_the_check_that_real_ones_do() -> None:
    assert all(luhn(number) for number in TEST_CARDS)
    assert not luhn("4242424242424241")
    assert len({card.last4 for _, card in TEST_CARDS.values()}) == len(TEST_CARDS)


def _intent(world: Any, session_id: str) -> str:
    return str(world.gateway.state.get("session", session_id)["payment_intent"])


def _status(world: Any, session_id: str) -> str:
    return str(world.gateway.state.get("session", session_id)["status"])

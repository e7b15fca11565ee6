"""What the admin's pages say is true of what they show, and leads on."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from fastapi import FastAPI

from payments.reconcile.models import Run
from tests.app.admin.test_admin import _park
from tests.app.admin.test_money import paid_payment, send
from tests.app.people.fixtures import Till
from tests.app.people.site import Browser


async def test_a_payment_shows_amounts_in_its_currency(
    desk: Browser, site: FastAPI, till: Till
) -> None:
    payment_id = await paid_payment(site, till)
    path = f"/admin/payments/{payment_id}"
    refund = await desk.get(f"{path}/refund")
    await send(desk, refund, f"{path}/refund", amount="8.30", reason="torn")
    page = await desk.get(path)
    assert "Captured €24.90 EUR Refunded €8.30 EUR" in page.words
    assert "partially refunded" in page.words
    await send(desk, refund, f"{path}/refund", amount="16.60", reason="torn, too")
    whole = await desk.get(f"{path}/refund")
    assert f"{path}/refund" not in whole.forms, "there is nothing left to refund"


async def test_a_gateway_that_refunds_only_by_hand_is_named_in_place_of_a_form(
    desk: Browser, site: FastAPI, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id = await paid_payment(site, till)
    monkeypatch.setattr(site.state.resources.gateways, "get", lambda name: object())
    path = f"/admin/payments/{payment_id}/refund"
    page = await desk.get(path)
    assert "Refund the payment at Stripe" in page.words
    assert path not in page.forms


async def test_a_reconciliation_that_was_not_done_does_not_say_that_both_sides_agree(
    desk: Browser, site: FastAPI
) -> None:
    now = datetime.now(UTC)
    said = {}
    for error, complete in ((None, True), (None, False), ("no answer", False)):
        run = Run(
            id=uuid4(), gateway="stripe", account="acct", since=now, until=now, complete=complete,
            listed=0, agreed=0, fees_booked=0, started_at=now, error=error,
        )  # fmt: skip
        async with site.state.resources.database.transaction() as session:
            session.add(run)
        said[error, complete] = (await desk.get(f"/admin/reconciliation/{run.id}")).words
    assert ["Both sides agree" in words for words in said.values()] == [True, False, False]


async def test_what_waits_leads_to_its_list(desk: Browser, site: FastAPI) -> None:
    await _park(site, f"evt_{uuid4()}")
    page = await desk.get("/admin")
    links = {a["href"] for a in page.of("a")}
    assert "/admin/webhooks?state=parked" in links
    assert "evt_" in (await desk.get("/admin/webhooks?state=parked")).words


async def test_an_admin_who_is_lost_is_led_back_to_the_administration(desk: Browser) -> None:
    page = await desk.get(f"/admin/payouts/{uuid4()}")
    assert page.response.status_code == 404
    assert "To the administration" in page.words
    assert "/admin" in {a["href"] for a in page.of("a")}

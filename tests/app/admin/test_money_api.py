"""What programs and admins do with the money by the API: the same as on the pages, under keys."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from payments.gateways.protocol import GatewayEvent
from payments.inbox import service as inbox
from payments.money import Money
from tests.app.access.team import API_AUDIENCE, BO, Team
from tests.app.admin.test_money import V1, agree, earn, paid_payment
from tests.app.people.fixtures import Till


async def test_the_api_does_the_same_under_keys(
    api: httpx.AsyncClient, site: FastAPI, till: Till, team: Team
) -> None:
    payment_id = await paid_payment(site, till)
    path = f"{V1}/payments/{payment_id}/refunds"
    body = {"amount": 500, "currency": "EUR", "reason": "late"}
    assert (await api.post(path, json=body)).json()["code"] == "idempotency_key_missing"
    key = {"Idempotency-Key": "k1"}
    made = await api.post(path, json=body, headers=key)
    assert made.status_code == 201, made.text
    assert (await api.post(path, json=body, headers=key)).json()["id"] == made.json()["id"]
    other = await api.post(path, json=body | {"amount": 501}, headers=key)
    assert other.json()["code"] == "idempotency_key_reused"
    foreign = await api.post(path, json=body, headers=key | {"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    form = await api.post(path, content=b"{}", headers={"Content-Type": "text/plain"})
    assert form.status_code == 403
    await earn(site, "press", 5_000)
    payout = (
        await api.post(
            f"{V1}/payouts",
            json={"merchant": "press", "amount": 5_000, "currency": "EUR"},
            headers={"Idempotency-Key": "p"},
        )
    ).json()
    own = await api.post(f"{V1}/payouts/{payout['id']}/approve", json={})
    assert own.json()["code"] == "second_person_needed"
    bo = {"cf-access-jwt-assertion": team.assertion(aud=[API_AUDIENCE], email=BO)}
    approved = await api.post(f"{V1}/payouts/{payout['id']}/approve", json={}, headers=bo)
    assert approved.json()["status"] == "approved"
    rate = {"base": "EUR", "quote": "GBP", "rate": "0.85", "hours": 1}
    assert (await api.post(f"{V1}/exchange-rates", json=rate)).json()["rate"] == "0.85"
    started = await api.post(f"{V1}/reconciliations", json={"gateway": "stripe"})
    assert started.status_code == 202
    for leaf in ("refunds", "disputes", "payouts", "reviews", "reconciliations", "exchange-rates",
                 "subscriptions", "webhook-deliveries"):  # fmt: skip
        listed = await api.get(f"{V1}/{leaf}", params={"limit": 1})
        assert listed.status_code == 200, leaf
        assert set(listed.json()) == {"data", "next_cursor"}
    health = (await api.get(f"{V1}/health")).json()
    assert health["threshold_percent"] == 5
    await agree(site)


async def test_a_long_key_is_as_good_as_a_short_one(
    api: httpx.AsyncClient, site: FastAPI, till: Till
) -> None:
    payment_id = await paid_payment(site, till)
    body = {"amount": 500, "currency": "EUR", "reason": "late"}
    made = set()
    for end in "ab":
        for _ in range(2):
            answer = await api.post(
                f"{V1}/payments/{payment_id}/refunds",
                json=body,
                headers={"Idempotency-Key": "k" * 250 + end},
            )
            assert answer.status_code == 201, answer.text
            made.add(answer.json()["id"])
    assert len(made) == 2, "two keys that begin alike were one refund"
    await earn(site, "press", 1_000)
    payouts = {
        (
            await api.post(
                f"{V1}/payouts",
                json={"merchant": "press", "amount": 300, "currency": "EUR"},
                headers={"Idempotency-Key": "k" * 250 + end},
            )
        ).json()["id"]
        for end in "ab"
    }
    assert len(payouts) == 2
    await agree(site)


async def test_a_dispute_is_listed(api: httpx.AsyncClient, site: FastAPI, till: Till) -> None:
    payment_id = await paid_payment(site, till)
    now = datetime.now(UTC)
    async with site.state.resources.database.transaction() as session:
        row = (
            await session.execute(
                text("SELECT gateway, account, payment_ref FROM payments.payments WHERE id = :i"),
                {"i": payment_id},
            )
        ).one()
        await inbox.receive(
            session,
            GatewayEvent(
                gateway=row.gateway, account=row.account, key=f"evt_{uuid4()}",
                type="charge.dispute.created", kind="dispute_opened", created=now,
                payment_id=payment_id, payment_ref=row.payment_ref, dispute_ref="dp_1",
                money=Money(2490, "EUR"),
            ),
        )  # fmt: skip
    (listed,) = (await api.get(f"{V1}/disputes", params={"status": "open"})).json()["data"]
    assert (listed["dispute_ref"], listed["amount"]) == ("dp_1", 2490)

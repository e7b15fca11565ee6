"""What admins see of the money and do with it: each action once, written down, by whom it may."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from payments.ledger import service as ledger
from payments.ledger.service import Entry, Transfer
from payments.money import Money
from payments.people import audit
from payments.reconcile.models import Difference, Run
from payments.worker import invariants
from tests.app.access.team import BO, Team
from tests.app.admin.test_admin import _pay
from tests.app.people.fixtures import Till
from tests.app.people.site import Browser, Page, browser_on
from tests.app.stripe_server import event, sign

V1 = "/api/admin/v1"
MONEY_PAGES = ("/admin/money", "/admin/refunds", "/admin/disputes", "/admin/payouts",
               "/admin/reviews", "/admin/reconciliation", "/admin/rates", "/admin/subscriptions",
               "/admin/deliveries")  # fmt: skip


async def ask(site: FastAPI, statement: str, **values: Any) -> Any:
    async with site.state.resources.database.transaction() as session:
        return (await session.execute(text(statement), values)).scalar_one()


async def paid_payment(site: FastAPI, till: Till) -> UUID:
    await _pay(site, till)
    return UUID(
        str(
            await ask(
                site,
                "SELECT id FROM payments.payments WHERE status = 'paid'"
                " ORDER BY created_at DESC LIMIT 1",
            )
        )
    )


async def actions(site: FastAPI, subject: str) -> list[str]:
    async with site.state.resources.database.transaction() as session:
        assert await audit.verify(session) is None
        rows = await session.scalars(
            text("SELECT action FROM payments.audit_log WHERE subject = :s ORDER BY id"),
            {"s": subject},
        )
        return list(rows)


async def agree(site: FastAPI) -> None:
    async with site.state.resources.database.transaction() as session:
        assert not {k: v for k, v in (await invariants.check(session)).items() if v}


async def send(desk: Browser, page: Page, action: str, **fields: str) -> Page:
    """Send a form of a page, and follow where it leads."""
    answer = await desk.client.post(action, data=page.forms[action] | fields)
    if answer.status_code == 303:
        return await desk.get(answer.headers["location"])
    return Page(answer)


@pytest.mark.parametrize("path", MONEY_PAGES)
async def test_every_page_of_money_says_what_it_is(desk: Browser, path: str) -> None:
    page = await desk.get(path)
    assert page.response.status_code == 200, page.words
    assert len(page.of("h1")) == 1
    assert [a for a in page.of("a") if a.get("aria-current") == "true" and a["href"] == path]
    assert all("style" not in attributes for _, attributes in page.tags)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), "a label must name one field"


@pytest.mark.parametrize("path", MONEY_PAGES)
async def test_nobody_but_an_admin_sees_them(site: FastAPI, path: str) -> None:
    async with browser_on(site) as customer:
        await customer.join()
        assert (await customer.client.get(path)).status_code in (401, 403, 404)


async def test_a_refund_is_made_once_however_often_its_form_is_sent(
    desk: Browser, site: FastAPI, till: Till
) -> None:
    payment_id = await paid_payment(site, till)
    path = f"/admin/payments/{payment_id}/refund"
    assert path in (await desk.get(f"/admin/payments/{payment_id}")).response.text
    form = await desk.get(path)
    assert form.forms[path]["amount"] == "24.90"
    for _ in range(2):
        page = await send(desk, form, path, amount="8.30", reason="a bag was torn")
        assert "on its way" in page.words
    assert await ask(
        site,
        "SELECT array_agg(amount) FROM payments.refunds WHERE payment_id = :id",
        id=payment_id,
    ) == [830]
    assert await actions(site, f"payment:{payment_id}") == ["refund.requested"]
    again = await desk.get(path)
    assert again.forms[path]["amount"] == "16.60"
    assert "a bag was torn" in (await desk.get("/admin/refunds")).words
    await agree(site)


@pytest.mark.parametrize(
    ("amount", "why", "status"),
    [
        ("24.91", "24.90", 409),
        ("0", "above zero", 422),
        ("-1", "Write an amount", 422),
        ("1.001", "not an amount", 422),
        ("1e2", "Write an amount", 422),
        ("9" * 13, "24.90", 409),
        ("٣", "Write an amount", 422),
    ],
)
async def test_a_refund_that_cannot_be_is_refused_with_the_reason(
    desk: Browser, site: FastAPI, till: Till, amount: str, why: str, status: int
) -> None:
    payment_id = await paid_payment(site, till)
    path = f"/admin/payments/{payment_id}/refund"
    page = await send(desk, await desk.get(path), path, amount=amount, reason="x")
    assert (page.response.status_code, why in page.words) == (status, True), page.words
    unsaid = await send(desk, await desk.get(path), path, amount="1.00", reason=" ")
    assert "Say why." in unsaid.words
    count = "SELECT count(*) FROM payments.refunds WHERE payment_id = :id"
    assert await ask(site, count, id=payment_id) == 0


async def test_no_form_works_without_its_token(desk: Browser, site: FastAPI, till: Till) -> None:
    payment_id = await paid_payment(site, till)
    for path in (
        f"/admin/payments/{payment_id}/refund", "/admin/payouts", "/admin/rates",
        "/admin/reconciliation", f"/admin/reviews/{payment_id}/credit",
    ):  # fmt: skip
        assert (await desk.client.post(path, data={"csrf": "no"})).status_code == 403, path
    answer = await desk.client.post(
        f"/admin/payouts/{uuid4()}/decide", data={"csrf": "no", "decision": "approve"}
    )
    assert answer.status_code == 403


async def earn(site: FastAPI, merchant: str, amount: int) -> None:
    money = Money(amount, "EUR")
    owner = ledger.merchant(merchant)
    async with site.state.resources.database.transaction() as session:
        await ledger.post(
            session,
            [
                Transfer(
                    key=f"earned:{uuid4()}",
                    kind="test",
                    subject=None,
                    entries=(
                        Entry("gateway", "gateway_clearing", -money),
                        Entry(owner, "merchant", money),
                    ),
                )
            ],
        )


async def test_a_payout_takes_two_admins(desk: Browser, site: FastAPI, team: Team) -> None:
    await earn(site, "mill", 10_000)
    asked = await send(
        desk, await desk.get("/admin/payouts"), "/admin/payouts",
        merchant="mill", amount="60.00", currency="eur",
    )  # fmt: skip
    path = asked.response.url.path
    payout = path.rpartition("/")[2]
    assert "Another admin approves it" in asked.words
    own = await send(desk, asked, f"{path}/decide", decision="approve")
    assert own.response.status_code == 403
    assert "Somebody else" in own.words
    async with browser_on(site) as other:
        other.client.headers["cf-access-jwt-assertion"] = team.assertion(email=BO)
        approved = await send(other, await other.get(path), f"{path}/decide", decision="approve")
        assert "tell the bank" in approved.words
        settled = await send(other, approved, f"{path}/end", to="settled", bank_ref="SEPA-1")
        assert "has paid it" in settled.words
        late = await other.client.post(
            f"{path}/end", data=approved.forms[f"{path}/end"] | {"to": "failed", "bank_ref": "x"}
        )
        assert late.status_code == 409
    assert await actions(site, f"payout:{payout}") == [
        "payout.requested", "payout.approved", "payout.settled",
    ]  # fmt: skip
    more = await send(
        desk, await desk.get("/admin/payouts"), "/admin/payouts",
        merchant="mill", amount="60.00", currency="EUR",
    )  # fmt: skip
    assert (more.response.status_code, "40.00" in more.words) == (409, True), more.words
    await agree(site)


async def test_money_that_did_not_fit_becomes_the_customers_credit(
    desk: Browser, site: FastAPI, till: Till
) -> None:
    async with browser_on(site) as customer:
        await customer.join()
        page = await customer.get("/payments/new")
        await customer.client.post("/payments/new", data=page.forms["/payments/new"])
        session = till.server.pay(till.last["id"]) | {"amount_total": 1_000}
        body = event("checkout.session.completed", session, key=f"evt_{uuid4()}")
        told = await customer.client.post(
            "/webhooks/stripe",
            content=body,
            headers={"stripe-signature": sign(body, "whsec_tests_first")},
        )
        assert told.status_code == 200
        payment_id = await ask(
            site, "SELECT id FROM payments.payments WHERE status = 'review'"
            " ORDER BY created_at DESC LIMIT 1",
        )  # fmt: skip
        path = f"/admin/reviews/{payment_id}"
        assert path in (await desk.get("/admin/reviews")).response.text
        order_id = await ask(
            site,
            f"SELECT order_id FROM payments.payments WHERE id = '{payment_id}'",  # noqa: S608
        )
        mine = await customer.get(f"/orders/{order_id}")
        assert "A person is looking at it" in mine.words
        assert "Being checked" in mine.words
        shown = await desk.get(path)
        assert "€10.00" in shown.words
        done = await send(desk, shown, f"{path}/credit")
        assert "customer's credit now" in done.words
        twice = await desk.client.post(f"{path}/credit", data=shown.forms[f"{path}/credit"])
        assert twice.status_code == 409
        home = await customer.get("/dashboard")
        assert "€10.00" in home.words
        assert "Settled otherwise" in home.words
        mine = await customer.get(f"/orders/{order_id}")
        assert "10.00 EUR was credited to your wallet." in mine.words
        assert "A person is looking at it" not in mine.words
        assert "data-poll" not in mine.response.text, "nothing more is waited for"
    assert await actions(site, f"payment:{payment_id}") == ["review.credited"]
    await agree(site)


async def test_a_reconciliation_is_started_shown_and_downloaded(
    desk: Browser, site: FastAPI
) -> None:
    page = await desk.get("/admin/reconciliation")
    done = await send(desk, page, "/admin/reconciliation", gateway="stripe")
    assert "The worker is at it" in done.words
    job = (
        "SELECT args->>'gateway' FROM payments.procrastinate_jobs WHERE task_name = 'reconcile.now'"
    )
    await send(desk, page, "/admin/reconciliation", gateway="stripe")
    assert await ask(site, job) == "stripe", "one waits, however often it is asked for"
    assert await actions(site, "gateway:stripe") == ["reconciliation.started"] * 2
    unknown = await desk.client.post(
        "/admin/reconciliation", data=page.forms["/admin/reconciliation"] | {"gateway": "none"}
    )
    assert unknown.status_code == 503
    now = datetime.now(UTC)
    run = Run(
        id=uuid4(), gateway="stripe", account="acct", since=now, until=now, complete=True,
        listed=3, agreed=2, fees_booked=1, started_at=now,
    )  # fmt: skip
    async with site.state.resources.database.transaction() as session:
        session.add(run)
        await session.flush()
        session.add(
            Difference(
                run_id=run.id,
                kind="amount",
                payment_ref="=cmd()",
                ours="€1",
                theirs="€2",
                repaired=False,
            )
        )
    path = f"/admin/reconciliation/{run.id}"
    assert path in (await desk.get("/admin/reconciliation")).response.text
    assert "€2" in (await desk.get(path)).words
    csv = await desk.client.get(f"{path}/csv")
    assert csv.headers["content-disposition"].startswith('attachment; filename="reconciliation-')
    assert csv.text.splitlines()[1] == "stripe,amount,'=cmd(),€1,€2,no,"
    assert (await desk.client.get(f"/admin/reconciliation/{uuid4()}")).status_code == 404


async def test_a_subscription_is_found_and_cancelled(desk: Browser, site: FastAPI) -> None:
    async with site.state.resources.database.transaction() as session:
        made = await session.scalar(
            text(
                "INSERT INTO payments.subscriptions (customer_id, request_key, plan, currency,"
                " amount, status, anchor_day, period_start, period_end, next_step_at) VALUES"
                " (gen_random_uuid(), 'r', 'club-month', 'EUR', 900, 'active', 1, now(),"
                " now() + interval '9 days', now() + interval '9 days') RETURNING id"
            )
        )
    path = f"/admin/subscriptions/{made}"
    assert path in (await desk.get("/admin/subscriptions?status=active")).response.text
    page = await send(desk, await desk.get(path), f"{path}/cancel", when="end")
    assert "cancelled" in page.words
    gone = await send(desk, page, f"{path}/cancel", when="now")
    assert "Canceled" in gone.words
    assert f"{path}/cancel" not in gone.forms
    assert await actions(site, f"subscription:{made}") == ["subscription.cancelled"] * 2

"""What an admin sees and does, and that it is written down."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from payments.people import audit
from tests.app.access.team import ADA, BO, WRITER, Team
from tests.app.people.fixtures import Till
from tests.app.people.site import Browser, Page, browser_on
from tests.app.stripe_server import charge, event, sign

V1 = "/api/admin/v1"
PAGES = ("/admin", "/admin/payments", "/admin/webhooks", "/admin/webhooks?state=all",
         "/admin/users", "/admin/audit", "/admin/ledger")  # fmt: skip


async def _pay(site: FastAPI, till: Till) -> Browser:
    """Let a customer pay something; return their browser's e-mail address."""
    async with browser_on(site) as customer:
        await customer.join()
        page = await customer.get("/payments/new")
        placed = await customer.client.post("/payments/new", data=page.forms["/payments/new"])
        assert placed.status_code == 303
        await till.confirm(customer)
        return customer


async def _park(site: FastAPI, key: str, session: dict[str, Any] | None = None) -> int:
    """Deliver a refund before its payment is known; return the event's number in the inbox."""
    unknown = {"id": f"cs_{key}", "payment_intent": f"pi_{key}", "metadata": {}}
    told = session or unknown | {"amount_total": 830, "currency": "eur"}
    body = event("charge.refunded", charge(told, 830) | {"metadata": {}}, key=key)
    async with browser_on(site) as gateway:
        answer = await gateway.client.post(
            "/webhooks/stripe",
            content=body,
            headers={"stripe-signature": sign(body, "whsec_tests_first")},
        )
    assert answer.status_code == 200, answer.text
    async with site.state.resources.database.transaction() as session:
        row = (
            await session.execute(
                text("SELECT id, state FROM payments.webhook_inbox WHERE event_key = :key"),
                {"key": key},
            )
        ).one()
    assert row.state == "parked", row
    return int(row.id)


async def _audited(site: FastAPI, action: str, subject: str) -> list[str]:
    async with site.state.resources.database.transaction() as session:
        assert await audit.verify(session) is None
        rows = await session.scalars(
            text(
                "SELECT u.email FROM payments.audit_log a JOIN payments.users u"
                " ON u.id::text = a.actor WHERE action = :action AND subject = :subject"
            ),
            {"action": action, "subject": subject},
        )
        return list(rows)


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_has_one_heading_names_its_lists_and_says_who_looks(
    desk: Browser, site: FastAPI, till: Till, path: str
) -> None:
    await _pay(site, till)
    page = await desk.get(path)
    assert page.response.status_code == 200
    assert len(page.of("h1")) == 1
    assert f"Logged in as {ADA}" in page.words
    assert [tag for tag in page.of("nav") if tag.get("aria-label") == "Admin"]
    assert page.of("main")[0]["id"] == "content"
    assert [a for a in page.of("a") if a.get("class") == "skip"]
    for section in page.of("section"):
        assert section.get("aria-label") or section.get("aria-labelledby")
    assert all("style" not in attributes for _, attributes in page.tags), "the policy forbids it"
    assert "unsafe" not in page.response.headers["content-security-policy"]


async def test_a_payment_is_found_with_its_events_and_entries(
    desk: Browser, api: httpx.AsyncClient, site: FastAPI, till: Till
) -> None:
    await _pay(site, till)
    listed = (await api.get(f"{V1}/payments", params={"status": "paid", "limit": 1})).json()
    payment_id = listed["data"][0]["id"]
    found = (await api.get(f"{V1}/payments/{payment_id}")).json()
    assert found["payment"]["status"] == "paid"
    assert found["order_status"] == "paid"
    assert [w["state"] for w in found["webhooks"]] == ["applied"]
    assert found["entries"], "the money is booked"
    assert sum(entry["amount"] for entry in found["entries"]) == 0
    assert {(c["entity"], c["after"]) for c in found["changes"]} >= {
        ("order", "paid"),
        ("payment", "paid"),
    }
    page = await desk.get(f"/admin/payments/{payment_id}")
    assert "Entries in the books" in page.words
    assert found["entries"][0]["owner"] in page.words
    assert "Payment: open → paid" in page.words
    missing = await api.get(f"{V1}/payments/{UUID(int=1)}")
    assert missing.status_code == 404


async def test_the_overview_counts_todays_payments_and_asks_the_books(
    desk: Browser, api: httpx.AsyncClient, site: FastAPI, till: Till
) -> None:
    before = (await api.get(f"{V1}/overview")).json()
    await _pay(site, till)
    await _park(site, "evt_overview")
    after = (await api.get(f"{V1}/overview")).json()

    def paid(overview: dict[str, list[dict[str, object]]]) -> int:
        return sum(
            int(str(c["number"])) for c in overview["payments_today"] if c["status"] == "paid"
        )

    assert paid(after) == paid(before) + 1
    assert after["webhooks"]["parked"] == before["webhooks"].get("parked", 0) + 1
    assert set(after["violations"].values()) == {0}
    assert after["worker_alive"] is False, "no worker runs here, and the page says so"
    page = await desk.get("/admin")
    assert "Every rule holds" in page.words
    assert "The worker is silent" in page.words


async def test_a_book_that_contradicts_itself_is_shown_as_an_emergency(
    desk: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        __import__("payments.worker.invariants", fromlist=["x"]).INVARIANTS,
        "transfers_sum_to_zero",
        "SELECT 3",
    )
    page = await desk.get("/admin")
    assert "This is an emergency" in page.words
    assert "3 violated" in page.words


async def test_a_parked_event_is_replayed_once_what_it_waited_for_is_there(
    desk: Browser, site: FastAPI, till: Till
) -> None:
    """A refund overtook the payment, and no worker is there to try it again."""
    async with browser_on(site) as customer:
        await customer.join()
        form = (await customer.get("/payments/new")).forms["/payments/new"]
        assert (await customer.client.post("/payments/new", data=form)).status_code == 303
        paid = till.server.pay(till.last["id"])
        inbox_id = await _park(site, "evt_replayed", paid)
        path = f"/admin/webhooks/{inbox_id}/replay"
        first = await desk.send(path, on="/admin/webhooks")
        assert first.headers["location"] == "/admin/webhooks?state=stuck&told=replay-stuck"
        await till.tell(customer, "checkout.session.completed", paid)
    answer = await desk.send(path, on="/admin/webhooks")
    page = Page(await desk.client.get(answer.headers["location"]))
    assert "The event was tried again and has its effect now." in page.words
    assert path not in page.forms
    again = await desk.client.post(path, data={"csrf": page.forms["/admin/logout"]["csrf"]})
    assert again.headers["location"].endswith("told=replay-late")
    assert await _audited(site, "webhook.replayed", f"webhook:{inbox_id}") == [ADA, ADA]
    async with site.state.resources.database.transaction() as session:
        refunded = await session.scalar(
            text("SELECT refunded FROM payments.payments WHERE checkout_ref = :ref"),
            {"ref": paid["id"]},
        )
        assert refunded == 830


async def test_a_replay_needs_a_form_of_ours_made_for_this_admin(
    desk: Browser, site: FastAPI, team: Team
) -> None:
    inbox_id = await _park(site, "evt_forged")
    path = f"/admin/webhooks/{inbox_id}/replay"
    form = (await desk.get("/admin/webhooks")).forms[path]
    assert (await desk.client.post(path, data={})).status_code == 403
    elsewhere = await desk.client.post(
        path, data=form, headers={"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    )
    assert elsewhere.status_code == 403
    other = {"cf-access-jwt-assertion": team.assertion(email=BO)}
    assert (await desk.client.post(path, data=form, headers=other)).status_code == 403
    assert await _audited(site, "webhook.replayed", f"webhook:{inbox_id}") == []


async def test_the_api_replays_and_refuses_what_another_site_makes_a_browser_send(
    api: httpx.AsyncClient, site: FastAPI, team: Team
) -> None:
    inbox_id = await _park(site, "evt_api")
    path = f"{V1}/webhooks/{inbox_id}/replay"
    assert (await api.post(path, data={"state": "x"})).status_code == 403, "a form can be forged"
    foreign = {"origin": "https://evil.example"}
    assert (await api.post(path, json={}, headers=foreign)).status_code == 403
    answer = await api.post(path, json={})
    assert answer.status_code == 200
    assert answer.json()["state"] == "parked"
    assert answer.json()["attempts"] == 2
    writer = {"cf-access-jwt-assertion": team.program(common_name=WRITER)}
    program = await api.post(path, json={}, headers=writer)
    assert program.status_code == 200
    assert (await api.post(f"{V1}/webhooks/999999999/replay", json={})).status_code == 404
    async with site.state.resources.database.transaction() as session:
        actors = await session.scalars(
            text("SELECT actor FROM payments.audit_log WHERE subject = :s ORDER BY id"),
            {"s": f"webhook:{inbox_id}"},
        )
        assert list(actors)[1] == f"service-token:{WRITER}"


async def test_nothing_of_what_a_gateway_said_is_shown(
    api: httpx.AsyncClient, desk: Browser, site: FastAPI
) -> None:
    await _park(site, "evt_secret")
    listed = (await api.get(f"{V1}/webhooks")).json()["data"]
    assert all("event" not in row and "body" not in row for row in listed)
    for path in PAGES:
        text_ = (await desk.get(path)).response.text
        assert "$argon2" not in text_
        assert "metadata" not in text_
        assert "whsec" not in text_


async def test_who_is_locked_out_is_out_at_once_and_comes_back_when_unlocked(
    desk: Browser, site: FastAPI
) -> None:
    async with browser_on(site, "198.51.100.50") as person:
        await person.join()
        assert (await person.get("/dashboard")).response.status_code == 200
        found = await desk.get("/admin/users", params={"email": person.email})
        lock = next(action for action in found.forms if action.endswith("/lock"))
        user_id = lock.split("/")[3]
        answer = await desk.client.post(lock, data=found.forms[lock])
        assert answer.headers["location"] == "/admin/users?told=locked"
        assert (await person.get("/dashboard")).response.status_code == 303
        assert (await person.log_in()).status_code == 401
        found = await desk.get("/admin/users", params={"email": person.email})
        assert "Locked" in found.words
        unlock = lock.replace("/lock", "/unlock")
        assert (await desk.client.post(unlock, data=found.forms[unlock])).status_code == 303
        assert (await person.log_in()).status_code == 303
    assert await _audited(site, "user.locked", user_id) == [ADA]
    assert await _audited(site, "user.unlocked", user_id) == [ADA]


async def test_an_admin_cannot_lock_themselves_out(desk: Browser, site: FastAPI) -> None:
    page = await desk.get("/admin/users", params={"email": ADA})
    assert "You" in page.words
    async with site.state.resources.database.transaction() as session:
        own = await session.scalar(
            text("SELECT id FROM payments.users WHERE email = :e"), {"e": ADA}
        )
    csrf = page.forms["/admin/logout"]["csrf"]
    answer = await desk.client.post(f"/admin/users/{own}/lock", data={"csrf": csrf})
    assert answer.headers["location"].endswith("told=own-account")
    assert (await desk.get("/admin")).response.status_code == 200


async def test_a_role_is_taken_away_and_given_back_on_the_page_of_people(
    desk: Browser, site: FastAPI, team: Team
) -> None:
    async with browser_on(site) as other:
        other.client.headers["cf-access-jwt-assertion"] = team.assertion(email=BO)
        assert (await other.get("/admin")).response.status_code == 200
        for role, status, told in (
            ("viewer", 200, "from their next request"),
            ("customer", 403, "from their next request"),
            ("customer", 403, "have this role already"),
            ("admin", 200, "from their next request"),
        ):
            page = await desk.get("/admin/users", params={"email": BO})
            path = next(action for action in page.forms if action.endswith("/role"))
            answer = await desk.client.post(path, data=page.forms[path] | {"role": role})
            assert told in (await desk.get(answer.headers["location"])).words
            assert (await other.get("/admin")).response.status_code == status, role
            lacking = await other.client.post(path, data={"csrf": "x", "role": "admin"})
            assert lacking.status_code == 403, "nobody gives it back to themselves"
    assert await _audited(site, "user.role_changed", path.split("/")[3]) == [ADA] * 3


async def test_nobody_changes_their_own_role_or_gives_one_to_a_customer(
    desk: Browser, site: FastAPI
) -> None:
    async with browser_on(site, "198.51.100.51") as person:
        await person.join()
        for email, told in ((ADA, "own-account"), (person.email, "not-listed")):
            page = await desk.get("/admin/users", params={"email": email})
            assert not [action for action in page.forms if action.endswith("/role")], email
            async with site.state.resources.database.transaction() as session:
                user_id = await session.scalar(
                    text("SELECT id FROM payments.users WHERE email = :e"), {"e": email}
                )
            form = page.forms["/admin/logout"] | {"role": "viewer"}
            answer = await desk.client.post(f"/admin/users/{user_id}/role", data=form)
            assert answer.headers["location"].endswith(told)
        assert (await person.get("/dashboard")).response.status_code == 200
    assert (await desk.get("/admin")).response.status_code == 200


async def test_the_chain_is_verified_on_demand(
    desk: Browser, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "The chain holds" in (await desk.get("/admin/audit?verify=true")).words
    assert (await api.get(f"{V1}/audit/verification")).json()["holds"] is True

    async def broken(_: object) -> audit.Break:
        return audit.Break(id=3, reason="was changed")

    monkeypatch.setattr(audit, "verify", broken)
    assert "row 3 was changed" in (await desk.get("/admin/audit?verify=true")).words


async def test_lists_go_on_where_they_ended_while_rows_are_added(
    api: httpx.AsyncClient, site: FastAPI
) -> None:
    for number in range(5):
        await _park(site, f"evt_page_{number}")
    seen: list[int] = []
    cursor: str | None = None
    for _ in range(100):
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await api.get(f"{V1}/webhooks", params=params)).json()
        seen += [row["id"] for row in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        if len(seen) == 2:
            await _park(site, "evt_page_new")
    assert seen == sorted(set(seen), reverse=True), "each row once, newest first"
    everything = (await api.get(f"{V1}/webhooks", params={"limit": 200})).json()["data"]
    assert len(everything) == len(seen) + 1
    for name in ("payments", "users", "audit", "ledger/accounts"):
        first = (await api.get(f"{V1}/{name}", params={"limit": 1})).json()
        second = await api.get(f"{V1}/{name}", params={"limit": 1, "cursor": first["next_cursor"]})
        assert second.status_code == 200
        assert second.json()["data"] != first["data"]


@pytest.mark.parametrize(
    "cursor", ["x", "eA", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "fA", "é"]
)
async def test_a_cursor_of_ones_own_invention_is_refused(
    api: httpx.AsyncClient, cursor: str
) -> None:
    for name in ("payments", "webhooks", "users", "audit", "ledger/accounts"):
        answer = await api.get(f"{V1}/{name}", params={"cursor": cursor})
        assert answer.status_code == 400, answer.text
        assert answer.json()["code"] == "bad_cursor"


async def test_logging_out_ends_it_here_and_at_access(desk: Browser, team: Team) -> None:
    page = await desk.get("/admin")
    answer = await desk.client.post("/admin/logout", data=page.forms["/admin/logout"])
    assert answer.headers["location"] == "/cdn-cgi/access/logout"
    assert (await desk.get("/admin")).response.status_code == 404


async def test_the_admin_is_in_no_public_description(api: httpx.AsyncClient) -> None:
    described = (await api.get("/api/openapi.json")).text
    assert "/admin" not in described


async def test_without_access_there_is_no_admin(client: httpx.AsyncClient) -> None:
    for path in ("/admin", f"{V1}/overview"):
        assert (await client.get(path)).status_code == 404

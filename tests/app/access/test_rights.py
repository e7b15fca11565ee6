"""What somebody who was let in may do: programs what they are granted, people what their role says.

A payout takes two people, whatever a program is granted.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import text

from payments.access.command import run
from payments.access.rights import GRANTABLE, needed_by
from payments.errors import endpoints
from payments.people import audit
from tests.app.access.team import API_AUDIENCE, BO, DEE, TELLER, TOKEN, WRITER, Team
from tests.app.admin.test_money import earn

ASSERTION = "cf-access-jwt-assertion"
V1 = "/api/admin/v1"
RATE = {"base": "EUR", "quote": "CHF", "rate": "0.95", "hours": 1}
NOWHERE = uuid4()
"""Whoever may do a thing is told that what they do it to is not there."""

SENT: dict[str, dict[str, Any]] = {
    f"{V1}/webhooks/999999999/replay": {},
    f"{V1}/reconciliations": {"gateway": "none"},
    f"{V1}/subscriptions/{NOWHERE}/cancel": {},
    f"{V1}/payments/{NOWHERE}/refunds": {"currency": "EUR", "reason": "x"},
    f"{V1}/reviews/{NOWHERE}/credit": {},
    f"{V1}/payouts/{NOWHERE}": {"to": "settled", "bank_ref": "x"},
    f"{V1}/exchange-rates": RATE,
    f"{V1}/payouts": {"merchant": "mill", "amount": 1, "currency": "EUR"},
    f"{V1}/payouts/{NOWHERE}/approve": {},
    f"{V1}/payouts/{NOWHERE}/decline": {},
}
WRITES, MONEY, DECISIONS = list(SENT)[:3], list(SENT)[3:7], list(SENT)[7:]


async def _send(admin: httpx.AsyncClient, path: str, assertion: str) -> httpx.Response:
    headers = {ASSERTION: assertion, "Idempotency-Key": "k"}
    return await admin.post(path, json=SENT[path], headers=headers)


def _refused(answer: httpx.Response) -> bool:
    return answer.status_code == 403 and answer.json()["code"] == "right_missing"


@pytest.mark.parametrize("path", SENT)
async def test_a_program_does_what_it_is_granted_and_never_decides(
    admin: httpx.AsyncClient, team: Team, path: str
) -> None:
    allowed = {
        TOKEN: (),
        WRITER: WRITES,
        TELLER: [*WRITES, *MONEY],
    }
    for program, may in allowed.items():
        answer = await _send(admin, path, team.program(common_name=program))
        assert _refused(answer) == (path not in may), (program, answer.text)
    person = await _send(admin, path, team.assertion(aud=[API_AUDIENCE]))
    assert not _refused(person), person.text


async def test_every_program_may_look(admin: httpx.AsyncClient, team: Team) -> None:
    for program in (TOKEN, WRITER, TELLER):
        told = {ASSERTION: team.program(common_name=program)}
        assert (await admin.get(f"{V1}/overview", headers=told)).status_code == 200


def test_what_nobody_thought_of_is_for_people_alone(site: FastAPI) -> None:
    """A new endpoint that changes something is closed to programs until it says otherwise."""
    changing: dict[str, set[str]] = {}
    for route in endpoints(site):
        if route.path.startswith(("/admin", "/api/admin")):
            for method in route.methods - {"GET", "HEAD"}:
                changing.setdefault(needed_by(method, route), set()).add(route.path)
    assert changing.keys() <= {"read", "write", "money", "decide"}
    assert changing["read"] == {"/admin/logout"}
    assert {path for path in changing["decide"] if path.startswith("/api")} == {
        f"{V1}/payouts",
        f"{V1}/payouts/{{payout_id}}/{{decision}}",
    }
    for right in GRANTABLE - {"read"}:
        assert all(path.startswith(V1) for path in changing[right]), "no program is on a page"
    bare = APIRoute("/api/admin/v1/new", lambda: None, methods=["POST"])
    assert needed_by("POST", bare) == "decide"


async def _role(site: FastAPI, email: str) -> str:
    async with site.state.resources.database.transaction() as session:
        found = await session.execute(
            text("SELECT role FROM payments.users WHERE email = :e"), {"e": email}
        )
        return str(found.scalar_one())


async def _change(site: FastAPI, email: str, role: str) -> str:
    """Give a role as one who administers the database would; returns the person's id."""
    async with site.state.resources.database.transaction() as session:
        changed = await session.execute(
            text("UPDATE payments.users SET role = :r WHERE email = :e RETURNING id"),
            {"r": role, "e": email},
        )
        return str(changed.scalar_one())


async def _refusals(site: FastAPI, actor: str) -> list[dict[str, Any]]:
    async with site.state.resources.database.transaction() as session:
        assert await audit.verify(session) is None
        found = await session.scalars(
            text(
                "SELECT detail FROM payments.audit_log"
                " WHERE action = 'admin.refused' AND actor = :a ORDER BY id"
            ),
            {"a": actor},
        )
        return list(found)


async def test_a_role_that_was_taken_away_stays_away(
    admin: httpx.AsyncClient, team: Team, site: FastAPI
) -> None:
    email = DEE
    told = {ASSERTION: team.assertion(email=email), "accept": "text/html"}
    assert (await admin.get("/admin", headers=told)).status_code == 200, "the first visit"
    assert await _role(site, email) == "admin"
    user_id = await _change(site, email, "customer")
    for _ in range(3):
        answer = await admin.get("/admin", headers=told)
        assert answer.status_code == 403
        assert "role was taken away" in answer.text, "and who gives it back"
        over_the_api = {ASSERTION: team.assertion(email=email, aud=[API_AUDIENCE])}
        assert (await admin.get(f"{V1}/overview", headers=over_the_api)).status_code == 403
    assert await _role(site, email) == "customer", "nobody is promoted by coming again"
    (refusal,) = await _refusals(site, user_id)
    assert refusal == {"network": "198.51.100.0/24", "because": "role_taken_away"}
    await _change(site, email, "admin")
    assert (await admin.get("/admin", headers=told)).status_code == 200


async def test_a_viewer_looks_and_changes_nothing(
    admin: httpx.AsyncClient, team: Team, site: FastAPI
) -> None:
    told = {ASSERTION: team.assertion(email=BO)}
    assert (await admin.get("/admin", headers=told)).status_code == 200
    user_id = await _change(site, BO, "viewer")
    try:
        page = await admin.get("/admin/payouts", headers=told)
        assert page.status_code == 200
        assert 'action="/admin/payouts"' not in page.text, "no form that would be refused"
        assert "to look only" in page.text
        for path in ("/admin/payouts", "/admin/rates", f"/admin/users/{NOWHERE}/lock"):
            answer = await admin.post(path, headers=told, data={"csrf": "x"})
            assert _refused(answer), path
        by_api = team.assertion(email=BO, aud=[API_AUDIENCE])
        for path in SENT:
            assert _refused(await _send(admin, path, by_api)), path
        overview = await admin.get(f"{V1}/overview", headers={ASSERTION: by_api})
        assert overview.status_code == 200
        leaving = await admin.post("/admin/logout", headers=told, data={"csrf": "x"})
        assert not _refused(leaving), "whoever may look may leave"
        refusals = await _refusals(site, user_id)
        assert [said["because"] for said in refusals] == [
            "needs decide",
            "needs write",
            "needs money",
        ], "each kind of it once an hour"
    finally:
        await _change(site, BO, "admin")


async def test_one_person_and_their_program_are_no_two_people(
    admin: httpx.AsyncClient, team: Team, site: FastAPI
) -> None:
    """The one who asked approves with a service token: the strings differ, the person does not."""
    await earn(site, "duo", 500)
    person, program = team.assertion(aud=[API_AUDIENCE]), team.program(common_name=TELLER)
    body = {"merchant": "duo", "amount": 500, "currency": "EUR"}
    by_program = await admin.post(
        f"{V1}/payouts", json=body, headers={ASSERTION: program, "Idempotency-Key": "p"}
    )
    assert _refused(by_program)
    asked = await admin.post(
        f"{V1}/payouts", json=body, headers={ASSERTION: person, "Idempotency-Key": "q"}
    )
    assert asked.status_code == 201, asked.text
    approve = f"{V1}/payouts/{asked.json()['id']}/approve"
    assert _refused(await admin.post(approve, json={}, headers={ASSERTION: program}))
    own = await admin.post(approve, json={}, headers={ASSERTION: person})
    assert own.json()["code"] == "second_person_needed"
    other = team.assertion(aud=[API_AUDIENCE], email=BO)
    approved = await admin.post(approve, json={}, headers={ASSERTION: other})
    assert approved.json()["status"] == "approved"


async def test_the_command_gives_a_role_back_and_makes_a_viewer_before_the_first_visit(
    admin: httpx.AsyncClient, team: Team, site: FastAPI, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = site.state.resources.settings

    async def command(email: str, role: str) -> int:
        options = argparse.Namespace(email=email, role=role)
        return await asyncio.to_thread(run, settings, options)

    told = {ASSERTION: team.assertion(email=DEE)}
    for role, status in (("none", 403), ("viewer", 200), ("admin", 200)):
        assert await command(DEE.upper(), role) == 0
        assert (await admin.get("/admin", headers=told)).status_code == status
        assert f"the role of {DEE} is {role} now" in capsys.readouterr().out
    assert await command("new@example.com", "viewer") == 0
    assert "not on the list" in capsys.readouterr().out
    assert await _role(site, "new@example.com") == "viewer"
    assert await command("nobody", "admin") == 1

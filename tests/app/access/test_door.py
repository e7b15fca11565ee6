"""Who gets to the admin: those whom Access vouches for, for this very path, now; nobody else."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from fastapi import FastAPI
from sqlalchemy import text

from payments.people import audit
from tests.app.access.team import (
    ADA,
    API_AUDIENCE,
    BO,
    CY,
    ISSUER,
    PAGES_AUDIENCE,
    TOKEN,
    Team,
)
from tests.app.people.fixtures import Clock
from tests.app.people.site import PASSWORD, browser_on

ASSERTION = "cf-access-jwt-assertion"
PAGES, API = "/admin", "/api/admin/v1/overview"


async def _status(client: httpx.AsyncClient, path: str, assertion: str | None) -> int:
    headers = {} if assertion is None else {ASSERTION: assertion}
    return (await client.get(path, headers=headers)).status_code


async def test_a_listed_admin_gets_in(admin: httpx.AsyncClient, team: Team) -> None:
    assert await _status(admin, PAGES, team.assertion()) == 200
    assert await _status(admin, API, team.assertion(aud=[API_AUDIENCE])) == 200
    assert await _status(admin, PAGES, team.assertion(email="Ada@Example.COM")) == 200
    assert await _status(admin, API, team.program()) == 200


async def test_who_proves_nothing_finds_nothing(admin: httpx.AsyncClient) -> None:
    for path in (PAGES, API, "/admin/", "/admin/nowhere", "/api/admin"):
        bare = await admin.get(path)
        unknown = await admin.get("/nowhere")
        assert bare.status_code == 404
        assert bare.json().keys() == unknown.json().keys()
        assert bare.json()["detail"] == unknown.json()["detail"], "the same as what does not exist"
    posted = await admin.post("/admin")
    assert posted.status_code == 404, "not even which methods there are"


def _unsigned(team: Team, **changed: Any) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'kid': 'first'})}.{part(team.claims(**changed))}."


def _by_public_key(team: Team) -> str:
    """HS256 with the published key as the secret: the confusion that libraries once fell for."""
    pem = (
        team.keys["first"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )

    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    import hashlib
    import hmac

    head = part(json.dumps({"alg": "HS256", "kid": "first"}).encode())
    body = head + b"." + part(json.dumps(team.claims()).encode())
    return (body + b"." + part(hmac.digest(pem, body, hashlib.sha256))).decode()


def _by_another_team(team: Team) -> str:
    other = Team()
    return other.assertion()


FORGED = {
    "unsigned": _unsigned,
    "signed with the public key": _by_public_key,
    "signed by another team's key of the same id": _by_another_team,
    "of another issuer": lambda team: team.assertion(iss="https://evil.cloudflareaccess.com"),
    "of an issuer that only begins so": lambda team: team.assertion(iss=ISSUER + ".evil.test"),
    "for the API": lambda team: team.assertion(aud=[API_AUDIENCE]),
    "for another application": lambda team: team.assertion(aud=["c" * 64]),
    "for nothing": lambda team: team.assertion(aud=None),
    "expired": lambda team: team.assertion(exp=int(team.clock()) - 31),
    "without an end": lambda team: team.assertion(exp=None),
    "without a beginning": lambda team: team.assertion(iat=None),
    "of tomorrow": lambda team: team.assertion(iat=int(team.clock()) + 3600),
    "not valid yet": lambda team: team.assertion(nbf=int(team.clock()) + 3600),
    "of the day before": lambda team: team.assertion(iat=int(team.clock()) - 25 * 3600),
    "with a text for an end": lambda team: team.assertion(exp="never"),
    "with true for a beginning": lambda team: team.assertion(iat=True),
    "the team's own session": lambda team: team.assertion(type="org"),
    "of nobody": lambda team: team.assertion(email=None),
    "of a program and a person": lambda team: team.assertion(common_name=TOKEN),
    "cut": lambda team: team.assertion()[:-10],
    "no token at all": lambda _: "ada@example.com",
    "empty": lambda _: "",
    "endless": lambda team: team.assertion() + "A" * 10_000,
    "without a key id": lambda team: jwt.encode(
        team.claims(), team.keys["first"], algorithm="RS256"
    ),
    "with another algorithm of the same key": lambda team: jwt.encode(
        team.claims(), team.keys["first"], algorithm="RS512", headers={"kid": "first"}
    ),
}


@pytest.mark.parametrize("how", FORGED)
async def test_what_does_not_prove_it_finds_nothing(
    admin: httpx.AsyncClient, team: Team, how: str
) -> None:
    assert await _status(admin, PAGES, FORGED[how](team)) == 404


async def test_a_signature_is_checked_and_not_only_decoded(
    admin: httpx.AsyncClient, team: Team
) -> None:
    head, _, signature = team.assertion().split(".")
    _, body, _ = team.assertion(email=BO).split(".")
    assert await _status(admin, PAGES, f"{head}.{body}.{signature}") == 404


async def test_the_unsigned_headers_beside_it_mean_nothing(
    admin: httpx.AsyncClient, team: Team
) -> None:
    told = {
        "cf-access-authenticated-user-email": ADA,
        "cookie": f"CF_Authorization={team.assertion()}",
        "authorization": f"Bearer {team.assertion()}",
    }
    assert (await admin.get(PAGES, headers=told)).status_code == 404
    stranger = {**told, ASSERTION: team.assertion(email="eve@example.com")}
    assert (await admin.get(PAGES, headers=stranger)).status_code == 403


async def test_two_assertions_are_none(admin: httpx.AsyncClient, team: Team) -> None:
    told = [(ASSERTION, team.assertion()), (ASSERTION, team.assertion(email="eve@example.com"))]
    assert (await admin.get(PAGES, headers=told)).status_code == 404


async def test_who_is_vouched_for_and_not_listed_is_told_so(
    admin: httpx.AsyncClient, team: Team
) -> None:
    answer = await admin.get(PAGES, headers={ASSERTION: team.assertion(email="eve@example.com")})
    assert answer.status_code == 403
    assert "not on the list" in answer.json()["detail"]
    program = team.program(common_name="another.access")
    assert await _status(admin, API, program) == 403
    assert await _status(admin, PAGES, team.program(aud=[PAGES_AUDIENCE])) == 403, "programs: API"


async def test_the_api_answers_the_office_only_and_the_pages_everywhere(
    admin: httpx.AsyncClient, team: Team
) -> None:
    for address, expected in (("198.51.100.200", 200), ("203.0.113.7", 403), ("10.0.0.1", 403)):
        headers = {"x-real-ip": address, ASSERTION: team.assertion(aud=[API_AUDIENCE])}
        assert (await admin.get(API, headers=headers)).status_code == expected
    forged = {
        "x-real-ip": "203.0.113.7",
        "x-forwarded-for": "198.51.100.7",
        "cf-connecting-ip": "198.51.100.7",
        ASSERTION: team.assertion(aud=[API_AUDIENCE]),
    }
    assert (await admin.get(API, headers=forged)).status_code == 403
    elsewhere = {"x-real-ip": "203.0.113.7", ASSERTION: team.assertion()}
    assert (await admin.get(PAGES, headers=elsewhere)).status_code == 200


async def test_a_copy_of_the_assertion_is_worth_nothing_after_the_log_out(
    admin: httpx.AsyncClient, team: Team, site: FastAPI, moving: Clock
) -> None:
    kept = team.assertion()
    other = team.assertion(email=BO)
    assert await _status(admin, PAGES, kept) == 200
    door = site.state.access
    moving.move(5)
    await door.revocations.revoke(await door.verifier.verify(kept, PAGES_AUDIENCE))
    assert await _status(admin, PAGES, kept) == 404
    assert await _status(admin, PAGES, other) == 200, "others are not concerned"
    moving.move(2)
    assert await _status(admin, PAGES, team.assertion()) == 200, "logged in anew"
    assert await _status(admin, PAGES, kept) == 404


async def test_an_assertion_ends_with_its_time(
    admin: httpx.AsyncClient, team: Team, moving: Clock
) -> None:
    assertion = team.assertion()
    moving.move(3600 + 29)
    assert await _status(admin, PAGES, assertion) == 200, "clocks may be half a minute apart"
    moving.move(2)
    assert await _status(admin, PAGES, assertion) == 404


async def test_an_admin_gets_an_account_that_nobody_can_log_in_to(
    admin: httpx.AsyncClient, team: Team, site: FastAPI
) -> None:
    """Somebody registered the admin's address before the admin came."""
    async with browser_on(site, email=CY) as stranger:
        await stranger.join()
        assert (await stranger.client.get("/dashboard")).status_code == 200
        assert await _status(admin, PAGES, team.assertion(email=CY)) == 200
        assert (await stranger.client.get("/dashboard")).status_code == 303, "the session is over"
        assert (await stranger.log_in(password=PASSWORD)).status_code == 401
    async with site.state.resources.database.transaction() as session:
        row = (
            await session.execute(
                text("SELECT id, role FROM payments.users WHERE email = :email"), {"email": CY}
            )
        ).one()
        actions = await session.execute(
            text(
                "SELECT action, actor, subject FROM payments.audit_log"
                " WHERE action IN ('user.role_changed', 'admin.entered') AND"
                " (subject = :id OR actor = :id) ORDER BY id"
            ),
            {"id": str(row.id)},
        )
        assert row.role == "admin"
        assert [tuple(action) for action in actions] == [
            ("user.role_changed", "system", str(row.id)),
            ("admin.entered", str(row.id), None),
        ]
        assert await audit.verify(session) is None


async def test_a_locked_admin_stays_outside(
    admin: httpx.AsyncClient, team: Team, site: FastAPI
) -> None:
    assert await _status(admin, PAGES, team.assertion()) == 200
    database = site.state.resources.database

    async def disable(value: str) -> None:
        async with database.transaction() as session:
            await session.execute(
                text(f"UPDATE payments.users SET disabled_at = {value} WHERE email = :email"),  # noqa: S608
                {"email": ADA},
            )

    await disable("now()")
    assert await _status(admin, PAGES, team.assertion()) == 403
    await disable("NULL")
    assert await _status(admin, PAGES, team.assertion()) == 200


async def test_a_session_of_an_admins_account_is_no_key_to_the_admin(
    admin: httpx.AsyncClient, team: Team, site: FastAPI
) -> None:
    assert await _status(admin, PAGES, team.assertion()) == 200
    sessions = site.state.people.sessions
    async with site.state.resources.database.transaction() as session:
        user = (
            await session.execute(
                text("SELECT id FROM payments.users WHERE email = :email"), {"email": ADA}
            )
        ).one()
    token, _ = await sessions.open(
        user_id=user.id, email=ADA, role="admin", address="198.51.100.7", agent="x"
    )
    assert (await admin.get(PAGES, cookies={"__Host-session": token})).status_code == 404


async def test_without_the_cache_nobody_is_let_in(
    admin: httpx.AsyncClient, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redis.exceptions import ConnectionError as CacheConnectionError

    async def away(*_: object) -> bool:
        raise CacheConnectionError("away")

    monkeypatch.setattr("payments.access.revocations.Revocations.revoked", away)
    assert await _status(admin, PAGES, team.assertion()) == 503

"""The audit chain: only ever appended, and every way to change it afterwards shows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from psycopg.types.json import Jsonb
from sqlalchemy import text

from payments.app import create_app
from payments.people import audit
from payments.resources import Resources, build
from payments.settings import ServiceSettings
from tests.app.backends import APP, Cluster
from tests.app.people.site import OTHER_PASSWORD, browser_on

PERSON = uuid4()


async def _write(resources: Resources, count: int = 5) -> None:
    for number in range(count):
        async with resources.database.transaction() as session:
            await audit.append(
                session,
                action="test.happened",
                actor=PERSON,
                subject=f"thing {number}",
                detail={"number": number, "text": 'with "quotes" and \\ and ü', "none": None},
            )


async def _verify(resources: Resources) -> audit.Break | None:
    async with resources.database.transaction() as session:
        return await audit.verify(session)


@pytest_asyncio.fixture
async def resources(settings: ServiceSettings) -> AsyncIterator[Resources]:
    """Connections to a database of this test's own: whole chains are looked at."""
    made = build(settings, name="payments-tests")
    await made.cache.flushdb()
    yield made
    await made.close()


@pytest.fixture(scope="module")
def chain(postgres: Cluster) -> Iterator[str]:
    """A database with five links. Tests change it inside transactions that they roll back."""
    with postgres.database() as name:
        with postgres.connect(APP, name) as connection:
            for number in range(5):
                connection.execute(
                    "INSERT INTO payments.audit_log (actor, action, subject, detail)"
                    " VALUES ('tests', 'test.happened', %s, %s)",
                    (f"thing {number}", Jsonb({"number": number, "text": 'a "quoted" \\ ü'})),
                )
        yield name


@pytest.fixture
def owner(postgres: Cluster, chain: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody with every right, who also switches the triggers off; what is done is undone."""
    with (
        psycopg.connect(postgres.superuser_url, dbname=chain) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute("SET LOCAL session_replication_role = replica")
        yield connection


def _break(connection: psycopg.Connection[Any]) -> Any:
    return connection.execute("SELECT id, reason FROM payments.audit_verify()").fetchone()


async def test_an_untouched_chain_holds(resources: Resources) -> None:
    assert await _verify(resources) is None, "also an empty one"
    await _write(resources)
    assert await _verify(resources) is None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("UPDATE payments.audit_log SET actor = 'system' WHERE id = 3", 3),
        ("UPDATE payments.audit_log SET action = 'test.happeneD' WHERE id = 1", 1),
        ("UPDATE payments.audit_log SET subject = NULL WHERE id = 5", 5),
        ("UPDATE payments.audit_log SET at = at + interval '1 microsecond' WHERE id = 2", 2),
        ("UPDATE payments.audit_log SET detail = detail || '{\"number\": 9}' WHERE id = 4", 4),
        ("UPDATE payments.audit_log SET digest = sha256(digest) WHERE id = 2", 2),
        ("UPDATE payments.audit_log SET previous = sha256(previous) WHERE id = 2", 2),
        ("DELETE FROM payments.audit_log WHERE id = 3", 3),
        ("DELETE FROM payments.audit_log WHERE id = 1", 1),
        ("DELETE FROM payments.audit_log WHERE id = 5", 5),
        ("DELETE FROM payments.audit_log WHERE id > 2", 3),
        ("DELETE FROM payments.audit_log", 1),
        (
            "UPDATE payments.audit_log SET id = CASE id WHEN 2 THEN 103 WHEN 3 THEN 2 ELSE id END;"
            "UPDATE payments.audit_log SET id = 3 WHERE id = 103",
            2,
        ),
        (
            "INSERT INTO payments.audit_log SELECT 6, at, actor, action, subject, detail,"
            " digest, digest FROM payments.audit_log WHERE id = 5",
            6,
        ),
        ("UPDATE payments.audit_head SET id = 4", 6),
        ("UPDATE payments.audit_head SET digest = sha256(digest)", 6),
        ("DELETE FROM payments.audit_head", 6),
    ],
)
def test_every_change_shows_where_it_was_made(
    owner: psycopg.Connection[Any], change: str, where: int
) -> None:
    assert _break(owner) is None
    owner.execute(change.encode())
    found = _break(owner)
    assert found is not None, "the change went unseen"
    assert found[0] == where, found


def test_rewriting_one_link_with_its_right_digest_shows_at_the_next(
    owner: psycopg.Connection[Any],
) -> None:
    owner.execute("UPDATE payments.audit_log SET actor = 'system' WHERE id = 3")
    owner.execute("UPDATE payments.audit_log a SET digest = payments.audit_digest(a) WHERE id = 3")
    assert _break(owner)[0] == 4


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments.audit_log SET actor = 'system'",
        "DELETE FROM payments.audit_log",
        "TRUNCATE payments.audit_log",
        "INSERT INTO payments.audit_log (id, actor, action) VALUES (99, 'a', 'b')",
        "INSERT INTO payments.audit_log (actor, action, digest) VALUES ('a', 'b', 'x')",
        "INSERT INTO payments.audit_log (actor, action, at) VALUES ('a', 'b', now())",
        "UPDATE payments.audit_head SET id = 0",
        "SELECT * FROM payments.audit_head",
        "DELETE FROM payments.users",
        "UPDATE payments.users SET email = 'eve@example.com'",
    ],
)
def test_the_service_itself_may_not_do_it(postgres: Cluster, chain: str, statement: str) -> None:
    with (
        postgres.connect(APP, chain) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments.audit_log SET actor = 'system'",
        "DELETE FROM payments.audit_log",
        "TRUNCATE payments.audit_log",
        "DELETE FROM payments.audit_head",
    ],
)
def test_the_owner_cannot_do_it_by_accident(owner: psycopg.Connection[Any], statement: str) -> None:
    owner.execute("SET LOCAL session_replication_role = origin")
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        owner.execute(statement.encode())


async def test_many_writers_at_once_make_one_chain_without_gaps(resources: Resources) -> None:
    await asyncio.gather(*(_write(resources, 5) for _ in range(8)))
    async with resources.database.transaction() as session:
        ids = (await session.scalars(text("SELECT id FROM payments.audit_log ORDER BY id"))).all()
    assert ids == list(range(1, 41))
    assert await _verify(resources) is None


async def test_what_is_rolled_back_leaves_no_row_and_no_gap(resources: Resources) -> None:
    await _write(resources, 1)
    with contextlib.suppress(ZeroDivisionError):
        async with resources.database.transaction() as session:
            await audit.append(session, action="test.undone", actor="system")
            raise ZeroDivisionError
    await _write(resources, 1)
    assert await _verify(resources) is None
    async with resources.database.transaction() as session:
        actions = (await session.scalars(text("SELECT action FROM payments.audit_log"))).all()
    assert actions == ["test.happened"] * 2


async def test_what_people_do_is_written_down_without_who_they_are(
    resources: Resources,
) -> None:
    async with browser_on(create_app(resources)) as browser:
        await browser.register()
        await browser.join()
        token = (await browser.get("/account")).forms["/logout"]["csrf"]
        await browser.client.post("/account/sessions/end-others", data={"csrf": token})
        await browser.send("/logout", on="/account")
        await browser.log_in(password=OTHER_PASSWORD)
    async with resources.database.transaction() as session:
        rows = (await session.execute(text("SELECT * FROM payments.audit_log ORDER BY id"))).all()
    assert [row.action for row in rows] == [
        "user.registered",
        "user.registration_repeated",
        "login.succeeded",
        "sessions.revoked",
        "session.ended",
        "login.refused",
    ]
    everything = repr(rows)
    assert browser.email not in everything
    assert "198.51.100.7" not in everything
    assert "198.51.100.0/24" in everything

"""Statements: every entry once, in order, and balances that add up."""

from __future__ import annotations

from itertools import pairwise

import httpx
import pytest
from sqlalchemy import text

from payments.db import Database
from payments.errors import NotFoundError
from payments.ledger import service
from payments.ledger.statement import BadCursorError, statement
from tests.app.fixtures import ALICE
from tests.app.ledger.books import fund, move

WALLET = {"owner": "alice", "purpose": "wallet", "currency": "EUR"}


async def _some_history(database: Database, owner: str = "alice") -> None:
    for n in range(1, 8):
        async with database.transaction() as session:
            await service.post(session, [fund(owner, n * 100, key=f"in{n}")])
            if n % 2:
                continue
        async with database.transaction() as session:
            spend = move(f"out{n}", 50, debit=(owner, "wallet"), credit=("shop", "merchant"))
            await service.post(session, [spend])


async def test_pages_hold_every_entry_once_and_balances_add_up(database: Database) -> None:
    await _some_history(database)
    seen = []
    cursor = None
    async with database.transaction() as session:
        while True:
            page = await statement(session, **WALLET, cursor=cursor, limit=3)
            seen += page.lines
            cursor = page.next_cursor
            if cursor is None:
                break
    assert len(seen) == 10
    assert page.opening.amount == 0
    assert page.closing.amount == sum(line.money.amount for line in seen) == 2800 - 150
    for newer, older in pairwise(seen):
        assert newer.after - newer.money == older.after, "each line follows from the one before"


async def test_a_period_opens_with_what_was_there_before(database: Database) -> None:
    await _some_history(database)
    async with database.transaction() as session:
        middle = await session.scalar(
            text("SELECT created_at FROM payments.ledger_transfers WHERE key = 'in4'")
        )
        after = await statement(session, **WALLET, since=middle)
        before = await statement(session, **WALLET, until=middle)
        latest = await session.scalar(text("SELECT now() + interval '1 hour'"))
        nothing = await statement(session, **WALLET, since=latest)
    assert before.closing == after.opening
    assert len(before.lines) + len(after.lines) == 10
    assert nothing.opening == nothing.closing == after.closing
    assert nothing.lines == []


@pytest.mark.parametrize("cursor", ["", "x", "ZTE=x", "bm90", "ZQ", "🂡", "LTE"])
async def test_a_cursor_that_is_not_ours_is_refused(database: Database, cursor: str) -> None:
    await _some_history(database)
    with pytest.raises(BadCursorError):
        async with database.transaction() as session:
            await statement(session, **WALLET, cursor=cursor)


async def test_there_is_no_statement_without_an_account(database: Database) -> None:
    with pytest.raises(NotFoundError):
        async with database.transaction() as session:
            await statement(session, **WALLET)


async def test_customers_read_their_own_statement_as_json_and_as_csv(
    client: httpx.AsyncClient, database: Database
) -> None:
    await _some_history(database, service.customer(ALICE))
    path = "/api/v1/ledger/accounts/wallet/EUR/statement"
    page = (await client.get(path, params={"limit": 4})).json()
    assert [line["amount"] for line in page["data"]] == [700, -50, 600, 500]
    assert page["closing"] == 2650
    rest = (await client.get(path, params={"cursor": page["next_cursor"]})).json()
    assert len(rest["data"]) == 6
    assert rest["next_cursor"] is None
    csv = await client.get(path, headers={"Accept": "text/csv"})
    assert csv.headers["content-type"].startswith("text/csv")
    rows = csv.text.splitlines()
    assert rows[0] == "at,transfer,kind,subject,amount,balance,currency"
    assert len(rows) == 11
    assert (await client.get("/api/v1/ledger/accounts/wallet/USD/statement")).status_code == 404
    assert (await client.get("/api/v1/ledger/accounts/fees/EUR/statement")).status_code == 404

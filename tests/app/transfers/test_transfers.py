"""Sending and exchanging: once, one's own, and without telling who has an account."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import text

from payments.ledger import exchange as fx
from payments.ledger import service as ledger
from payments.ledger.models import ExchangeRate
from payments.ledger.service import Entry, Transfer
from payments.money import Money
from payments.resources import Resources
from tests.app.backends import MIGRATOR, Cluster
from tests.app.fixtures import ALICE, BOB, USER_HEADER
from tests.app.ledger.books import assert_books_agree, fund

PATH = "/api/v1/transactions"
HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA"
AS_BOB = {USER_HEADER: str(BOB)}


@pytest_asyncio.fixture(autouse=True)
async def people(postgres: Cluster, database_name: str, resources: Resources) -> None:
    """Give Alice and Bob accounts, one that is closed to somebody, and Alice 100.00 EUR."""
    with postgres.connect(MIGRATOR, database_name) as connection:
        connection.cursor().executemany(
            "INSERT INTO payments.users (id, email, password_hash, disabled_at)"
            " VALUES (%s, %s, %s, %s)",
            [
                (ALICE, "alice@example.com", HASH, None),
                (BOB, "bob@example.com", HASH, None),
                (uuid4(), "gone@example.com", HASH, datetime.now(UTC)),
            ],
        )
    async with resources.database.transaction() as session:
        await ledger.post(session, [fund(ledger.customer(ALICE), 10_000)])


async def send(
    client: httpx.AsyncClient,
    key: str = "k",
    *,
    headers: dict[str, str] | None = None,
    **changes: Any,
) -> httpx.Response:
    body = {"to": "bob@example.com", "amount": 2_500, "currency": "EUR"} | changes
    return await client.post(PATH, json=body, headers={"Idempotency-Key": key, **(headers or {})})


async def wallet(resources: Resources, who: UUID, currency: str = "EUR") -> int:
    async with resources.database.transaction() as session:
        await assert_books_agree(session)
        return sum(
            b.balance
            for b in await ledger.balances(session, ledger.customer(who))
            if (b.purpose, b.currency) == ("wallet", currency)
        )


async def test_money_goes_from_one_wallet_to_the_other_once(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    sent = await send(client, "k" * 255)
    assert sent.status_code == 201, sent.text
    again = await send(client, "k" * 255, to="bob@example.com")
    assert (again.json(), again.headers["idempotency-replayed"]) == (sent.json(), "true")
    assert (await wallet(resources, ALICE), await wallet(resources, BOB)) == (7_500, 2_500)
    mine = (await client.get(PATH)).json()["data"][0]
    theirs = (await client.get(PATH, headers=AS_BOB)).json()["data"][0]
    assert (mine["transfer"], mine["amount"]) == (sent.json()["id"], -2_500)
    assert (theirs["transfer"], theirs["amount"]) == (sent.json()["id"], 2_500)
    assert (await send(client, "k" * 255, amount=1)).json()["code"] == "idempotency_key_reused"
    other = await client.post(
        "/api/transactions",
        json={"to": "Bob@Example.com ", "amount": 1, "currency": "EUR"},
        headers={"Idempotency-Key": "alias"},
    )
    assert other.status_code == 201, other.text


async def test_a_key_whose_answer_is_forgotten_moves_nothing_else_and_says_so(
    client: httpx.AsyncClient, resources: Resources, postgres: Cluster, database_name: str
) -> None:
    with postgres.connect(MIGRATOR, database_name) as connection:
        connection.execute(
            "INSERT INTO payments.users (email, password_hash) VALUES ('eve@example.com', %s)",
            (HASH,),
        )
    sent = (await send(client)).json()
    for changes in ({"to": "eve@example.com"}, {"amount": 1}, {"currency": "USD"}, {"to": "x"}, {}):
        async with resources.database.transaction() as session:
            await session.execute(text("DELETE FROM payments.idempotency_keys"))
        again = await send(client, **changes)
        if changes:
            assert (again.status_code, again.json()["code"]) == (422, "idempotency_key_reused")
        else:
            assert (again.status_code, again.json()) == (201, sent), "what it asked for is told"
    assert (await wallet(resources, ALICE), await wallet(resources, BOB)) == (7_500, 2_500)


async def test_nobody_learns_who_has_an_account(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    answers = []
    for number, to in enumerate(
        ("nobody@example.com", "gone@example.com", "alice@example.com", "no address", "")
    ):
        refused = await send(client, f"k{number}", to=to)
        problem = refused.json()
        problem.pop("request_id")
        answers.append((refused.status_code, problem))
    assert all(answer == answers[0] for answer in answers), answers
    assert answers[0][1]["code"] == "transfer_impossible"
    poor = {
        (await send(client, f"p{n}", to=to, headers=AS_BOB)).json()["code"]
        for n, to in enumerate(("alice@example.com", "nobody@example.com"))
    }
    assert poor == {"insufficient_funds"}, "an empty wallet must not be a way to ask"
    assert await wallet(resources, ALICE) == 10_000


@pytest.mark.parametrize("amount", [0, -1, 2**53, 1.5, "1", True, None])
async def test_only_whole_positive_amounts_are_sent(
    client: httpx.AsyncClient, resources: Resources, amount: object
) -> None:
    assert (await send(client, amount=amount)).json()["code"] == "invalid_payload"


async def test_a_currency_that_does_not_exist_is_not_in_the_wallet(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    refused = await send(client, currency="ZZZ")
    assert refused.status_code in (409, 422), refused.text


async def test_many_at_once_never_send_more_than_there_is(
    client: httpx.AsyncClient, resources: Resources, app: FastAPI
) -> None:
    answers = await asyncio.gather(*(send(client, f"k{n}", amount=900) for n in range(30)))
    done = [a.status_code for a in answers].count(201)
    assert done == 11
    assert {a.json()["code"] for a in answers if a.status_code != 201} == {"insufficient_funds"}
    assert await wallet(resources, ALICE) == 100
    assert app.state.batcher.batches > 0


async def test_a_request_that_died_after_moving_moves_nothing_again(
    client: httpx.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    from payments.transfers import routes

    with monkeypatch.context() as patch:

        async def dies(*_: object) -> None:
            raise RuntimeError("killed")

        patch.setattr(routes, "answered", dies)
        assert (await send(client, amount=10_000)).status_code == 500
    assert await wallet(resources, ALICE) == 0
    again = await send(client, amount=10_000)
    assert again.status_code == 201, "the money is there, whatever the wallet holds now"
    assert (await wallet(resources, ALICE), await wallet(resources, BOB)) == (0, 10_000)


async def rate(resources: Resources, value: str, **changes: Any) -> int:
    now = datetime.now(UTC)
    row = ExchangeRate(
        **{
            "base": "EUR",
            "quote": "USD",
            "rate": Decimal(value),
            "source": "tests",
            "valid_from": now - timedelta(minutes=1),
            "valid_until": now + timedelta(hours=1),
            **changes,
        }
    )
    async with resources.database.transaction() as session:
        session.add(row)
        await session.flush()
        return row.id


async def swap(client: httpx.AsyncClient, rate_id: int, amount: int = 1_000, key: str = "x") -> Any:
    return await client.post(
        "/api/v1/exchanges",
        json={"rate": rate_id, "amount": amount},
        headers={"Idempotency-Key": key},
    )


async def test_an_exchange_has_two_legs_at_the_rate_that_was_shown(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    await rate(resources, "1.2", valid_from=datetime.now(UTC) - timedelta(days=1))
    rate_id = await rate(resources, "1.0835")
    (shown,) = (await client.get("/api/v1/exchange-rates")).json()["data"]
    assert (shown["id"], shown["rate"]) == (rate_id, "1.0835")
    made = await swap(client, rate_id, 999)
    assert made.status_code == 201, made.text
    assert made.json()["sold"] == {"amount": 999, "currency": "EUR"}
    assert made.json()["bought"] == {"amount": 1082, "currency": "USD"}, "rounded down, once"
    assert (await swap(client, rate_id, 999)).json() == made.json()
    async with resources.database.transaction() as session:
        await session.execute(text("DELETE FROM payments.idempotency_keys"))
    assert (await swap(client, rate_id, 998)).json()["code"] == "idempotency_key_reused"
    assert (await swap(client, rate_id, 999)).json() == made.json()
    assert await wallet(resources, ALICE) == 10_000 - 999
    assert await wallet(resources, ALICE, "USD") == 1082


async def test_coins_are_exchanged_out_of_their_own_wallet(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    coins = Money(5_000_000, "USDT")
    entries = (Entry("gateway", "gateway_clearing", -coins),
               Entry(ledger.customer(ALICE), "crypto_wallet", coins))  # fmt: skip
    async with resources.database.transaction() as session:
        await ledger.post(
            session, [Transfer(key="coins", kind="test", subject=None, entries=entries)]
        )
    rate_id = await rate(resources, "0.92", base="USDT", quote="EUR")
    assert (await swap(client, rate_id, 5_000_000)).status_code == 201
    assert await wallet(resources, ALICE) == 10_000 + 460
    assert (await swap(client, rate_id, 1_000_000, "y")).json()["code"] == "insufficient_funds"


async def test_a_rate_that_does_not_hold_any_more_is_refused(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    old = await rate(resources, "2", valid_until=datetime.now(UTC) - timedelta(seconds=1))
    replaced = await rate(resources, "1.5", valid_from=datetime.now(UTC) - timedelta(hours=1))
    assert (await swap(client, old)).json()["code"] in ("rate_changed", "no_exchange_rate")
    assert (await swap(client, replaced, key="y")).status_code == 201
    await rate(resources, "1.1")
    for number, asked in enumerate((replaced, 2**53 - 1)):
        refused = await swap(client, asked, key=f"z{number}")
        assert (refused.status_code, refused.json()["code"]) == (422, "rate_changed")


async def test_what_is_too_little_or_too_much_is_not_exchanged(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    tiny = await rate(resources, "0.0001")
    assert (await swap(client, tiny, 1, "a")).json()["code"] == "amount_too_small"
    assert (await swap(client, tiny, 20_000, "b")).json()["code"] == "insufficient_funds"
    huge = await rate(resources, "100000000000", base="USD", quote="JPY")
    assert (await swap(client, huge, 2**53 - 1, "c")).status_code == 422
    assert await wallet(resources, ALICE) == 10_000
    async with resources.database.transaction() as session:
        assert [r.id for r in await fx.current(session)] == [tiny, huge]

"""Steps that the tests of orders take."""

from __future__ import annotations

from typing import Any

import httpx
from sqlalchemy import text

from payments.resources import Resources
from payments.worker import invariants
from tests.app.fixtures import WEBHOOK_SECRET
from tests.app.stripe_server import StripeServer, sign


async def order(client: httpx.AsyncClient, key: str = "order-1", **changes: Any) -> httpx.Response:
    """Post an order for coffee."""
    body = {"sku": "coffee", "currency": "EUR", "quantity": 1} | changes
    return await client.post("/api/v1/orders", json=body, headers={"Idempotency-Key": key})


async def deliver(
    client: httpx.AsyncClient, body: bytes, secret: str = WEBHOOK_SECRET
) -> httpx.Response:
    """Deliver an event with a valid signature."""
    return await client.post(
        "/webhooks/stripe", content=body, headers={"stripe-signature": sign(body, secret)}
    )


def only_session(stripe: StripeServer) -> dict[str, Any]:
    """Return the one session there is."""
    (session,) = stripe.sessions.values()
    return session


async def books(resources: Resources) -> dict[tuple[str, str], int]:
    """Return balances by purpose and currency, and prove that nothing contradicts a rule."""
    async with resources.database.transaction() as session:
        violated = {k: v for k, v in (await invariants.check(session)).items() if v}
        rows = await session.execute(
            text(
                "SELECT purpose, currency, sum(balance)::bigint FROM payments.ledger_accounts"
                " GROUP BY 1, 2 HAVING sum(balance) <> 0"
            )
        )
        found = {(purpose, currency): balance for purpose, currency, balance in rows}
    assert not violated
    return found


async def scalar(resources: Resources, statement: str) -> Any:
    """Ask the database one thing."""
    async with resources.database.transaction() as session:
        return (await session.execute(text(statement))).scalar_one()

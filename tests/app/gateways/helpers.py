"""Steps that the tests of every gateway take."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text

from payments.refunds import service as refunds
from payments.refunds.service import RefundView
from payments.resources import Resources
from payments.worker import tasks
from tests.app.orders.helpers import order

COFFEE = 2490
FEE = 72


async def place(client: httpx.AsyncClient, gateway: str, **changes: Any) -> httpx.Response:
    """Order coffee, to be paid at a gateway."""
    key = changes.pop("key", f"{gateway}-1")
    return await order(client, key=key, gateway=gateway, **changes)


async def payment(resources: Resources) -> dict[str, Any]:
    """Return the last payment's row, with its order's status."""
    async with resources.database.transaction() as session:
        rows = await session.execute(
            text(
                "SELECT p.*, o.status AS order_status FROM payments.payments p"
                " JOIN payments.orders o ON o.id = p.order_id ORDER BY p.created_at DESC LIMIT 1"
            )
        )
        return dict(rows.mappings().one())


async def look(resources: Resources) -> None:
    """Have the worker look at every payment and refund now, and at what waits."""
    async with resources.database.transaction() as session:
        for table in ("payments", "refunds"):
            await session.execute(
                text(
                    f"UPDATE payments.{table} SET next_check_at = now() - interval '1 second'"  # noqa: S608
                    " WHERE next_check_at IS NOT NULL"
                )
            )
        await session.execute(
            text(
                "UPDATE payments.webhook_inbox SET next_attempt_at = now() - interval '1 second'"
                " WHERE next_attempt_at IS NOT NULL"
            )
        )
    await tasks.sweep(resources)


async def give_back(
    resources: Resources, payment_id: UUID, amount: Any = None, key: str = "refund-1"
) -> RefundView:
    """Refund a payment as a person of ours does."""
    return await refunds.request(
        resources,
        payment_id=payment_id,
        money=amount,
        reason="asked for",
        requested_by="tests",
        request_key=key,
    )

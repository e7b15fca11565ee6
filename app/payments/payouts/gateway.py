"""What gateways send to our bank: from their clearing account to the bank's, and back if it failed.

Where more was given back than came, a gateway takes the rest from our bank: a payout below zero
(support.stripe.com, negative balances), booked as any other.

News may come in any order: a payout that is told to have failed first was paid before, and the two
are booked together.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from payments.db import one_at_a_time
from payments.gateways.protocol import GatewayEvent
from payments.ledger import service as ledger
from payments.ledger.service import HOUSE, Entry, Transfer
from payments.money import Money
from payments.payouts.models import GatewayPayout

Result = tuple[Literal["applied", "refused", "failed"], str | None]


async def apply(session: AsyncSession, event: GatewayEvent) -> Result:
    """Apply the news of a payout."""
    money, ref = event.money, event.payout_ref
    if money is None or ref is None or money.amount == 0:
        return "failed", "a payout without an amount or an id"
    # There is no row to lock before the first news; the id's own lock stands for it.
    await one_at_a_time(session, f"payout:{event.gateway}:{event.account}:{ref}")
    row = await session.scalar(
        select(GatewayPayout).where(
            GatewayPayout.gateway == event.gateway,
            GatewayPayout.account == event.account,
            GatewayPayout.payout_ref == ref,
        )
    )
    failed = event.kind == "payout_failed"
    if row is None:
        row = GatewayPayout(
            id=uuid4(),
            gateway=event.gateway,
            account=event.account,
            payout_ref=ref,
            status="paid",
            currency=money.currency,
            amount=money.amount,
        )
        session.add(row)
        transfers = [_transfer(row, "paid", money)]
    elif (row.amount, row.currency) != (money.amount, money.currency):
        return "failed", f"{money} now, and {Money(row.amount, row.currency)} before"
    elif row.status == "failed" or not failed:
        return "refused", f"the payout is {row.status}"
    else:
        transfers = []
    if failed:
        row.status, row.updated_at = "failed", datetime.now(UTC)
        transfers.append(_transfer(row, "failed", -money))
    await session.flush()
    await ledger.post(session, transfers)
    return "applied", None


def _transfer(row: GatewayPayout, what: str, money: Money) -> Transfer:
    clearing = Entry(ledger.gateway(row.gateway, row.account), "gateway_clearing", money)
    return Transfer(
        key=f"gateway-payout:{row.id}:{what}",
        kind=f"gateway_payout.{what}",
        subject=f"payout:{row.payout_ref}"[:200],
        entries=(clearing, Entry(HOUSE, "bank", -money)),
    )

"""A customer's transactions: every entry of theirs, whichever account it is in, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from payments import paging
from payments.db import RequestSession
from payments.ledger import service
from payments.ledger.models import Account, EntryRow, TransferRow
from payments.paging import SIZE, Cursor, Limit
from payments.security import CurrentPrincipal

router = APIRouter(tags=["ledger"])


class TransactionOut(BaseModel):
    """One entry in one of your accounts: positive came in, negative went out; minor units."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "transfer": "3f0e1f5e-7a0b-4f6e-9f0d-0d5b3a1c2e4f",
                    "kind": "payment.captured",
                    "subject": "order:6c1d2f3a-8b4e-4c5d-9e6f-7a8b9c0d1e2f",
                    "account": "wallet",
                    "currency": "EUR",
                    "amount": 5000,
                    "balance": 5000,
                    "at": "2026-11-21T10:15:00Z",
                }
            ]
        }
    )

    transfer: UUID
    kind: str
    subject: str | None
    account: Annotated[str, Field(description="the account's purpose")]
    currency: str
    amount: int
    balance: Annotated[int, Field(description="what was in the account after this entry")]
    at: datetime


class TransactionPage(BaseModel):
    """Transactions, newest first; `next_cursor` asks for older ones, null: there are none."""

    data: list[TransactionOut]
    next_cursor: str | None


async def list_transactions(
    principal: CurrentPrincipal,
    session: RequestSession,
    cursor: Cursor = None,
    limit: Limit = SIZE,
) -> TransactionPage:
    """List the entries of all of the caller's accounts."""
    found = await paging.page(
        session,
        select(EntryRow, TransferRow, Account.purpose)
        .join(Account, Account.id == EntryRow.account_id)
        .join(TransferRow, TransferRow.id == EntryRow.transfer_id)
        .where(Account.owner == service.customer(principal.id)),
        order=(EntryRow.id,),
        parse=(paging.row_number,),
        cursor=cursor,
        limit=limit,
        view=lambda row: TransactionOut(
            transfer=row[1].id,
            kind=row[1].kind,
            subject=row[1].subject,
            account=row[2],
            currency=row[0].currency,
            amount=row[0].amount,
            balance=row[0].balance_after,
            at=row[0].created_at,
        ),
    )
    return TransactionPage(data=found.data, next_cursor=found.next_cursor)


for _path, _listed in (("/api/v1/transactions", True), ("/api/transactions", False)):
    router.add_api_route(
        _path,
        list_transactions,
        methods=["GET"],
        include_in_schema=_listed,
        summary="List your transactions",
        responses={400: {"description": "The cursor is not one of this list's."}},
    )

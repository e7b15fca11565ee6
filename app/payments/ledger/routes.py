"""What a customer may see of the ledger: their own accounts."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from payments.db import RequestSession
from payments.ledger import service, statement
from payments.security import CurrentPrincipal

router = APIRouter(prefix="/api/v1/ledger", tags=["ledger"])


class AccountView(BaseModel):
    """An account: amounts in minor units of the currency."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "purpose": "wallet",
                    "currency": "EUR",
                    "balance": 5000,
                    "held": 1000,
                    "available": 4000,
                }
            ]
        }
    )

    purpose: str
    currency: str
    balance: Annotated[int, Field(description="what is in the account")]
    held: Annotated[int, Field(description="set aside, part of the balance")]
    available: Annotated[int, Field(description="balance less held")]


class AccountList(BaseModel):
    """All accounts of the caller."""

    data: list[AccountView]


@router.get("/accounts", summary="List your accounts")
async def list_accounts(principal: CurrentPrincipal, session: RequestSession) -> AccountList:
    """List the caller's own accounts, one per purpose and currency."""
    balances = await service.balances(session, service.customer(principal.id))
    return AccountList(
        data=[
            AccountView(
                purpose=b.purpose,
                currency=b.currency,
                balance=b.balance,
                held=b.held,
                available=b.available,
            )
            for b in balances
        ]
    )


class StatementLine(BaseModel):
    """One entry: positive came in, negative went out; minor units."""

    transfer: UUID
    kind: str
    subject: str | None
    amount: int
    balance: Annotated[int, Field(description="what was in the account after this entry")]
    at: datetime


class StatementPage(BaseModel):
    """Entries of one account, newest first; the balances are those around the whole period."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "currency": "EUR",
                    "opening": 0,
                    "closing": 5000,
                    "data": [
                        {
                            "transfer": "3f0e1f5e-7a0b-4f6e-9f0d-0d5b3a1c2e4f",
                            "kind": "payment.captured",
                            "subject": "order:6c1d2f3a-8b4e-4c5d-9e6f-7a8b9c0d1e2f",
                            "amount": 5000,
                            "balance": 5000,
                            "at": "2026-11-21T10:15:00Z",
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    currency: str
    opening: int
    closing: int
    data: list[StatementLine]
    next_cursor: str | None


@router.get(
    "/accounts/{purpose}/{currency}/statement",
    summary="Read an account's statement",
    response_model=StatementPage,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
        400: {"description": "The cursor is not one of this list's."},
        404: {"description": "You have no such account."},
    },
)
async def read_statement(
    request: Request,
    purpose: Annotated[str, Path(pattern=r"^[a-z_]{1,40}$")],
    currency: Annotated[str, Path(pattern=r"^[A-Z0-9]{3,12}$")],
    principal: CurrentPrincipal,
    session: RequestSession,
    since: Annotated[AwareDatetime | None, Query(description="the first moment")] = None,
    until: Annotated[AwareDatetime | None, Query(description="the first moment after")] = None,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> StatementPage | Response:
    """Return the entries of one of the caller's accounts, as JSON or (`Accept: text/csv`) as CSV.

    CSV holds up to 500 entries of the period at once, without a cursor.
    """
    wants_csv = "text/csv" in request.headers.get("accept", "")
    found = await statement.statement(
        session,
        owner=service.customer(principal.id),
        purpose=purpose,
        currency=currency,
        since=since,
        until=until,
        cursor=cursor,
        limit=500 if wants_csv else limit,
    )
    if wants_csv:
        return Response(as_csv(found.lines, currency), media_type="text/csv; charset=utf-8")
    return StatementPage(
        currency=currency,
        opening=found.opening.amount,
        closing=found.closing.amount,
        data=[
            StatementLine(
                transfer=line.transfer_id,
                kind=line.kind,
                subject=line.subject,
                amount=line.money.amount,
                balance=line.after.amount,
                at=line.at,
            )
            for line in found.lines
        ],
        next_cursor=found.next_cursor,
    )


def as_csv(lines: Sequence[statement.Line], currency: str) -> str:
    """Return entries as CSV, amounts in major units."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("at", "transfer", "kind", "subject", "amount", "balance", "currency"))
    for line in lines:
        writer.writerow(
            (
                line.at.isoformat(),
                line.transfer_id,
                line.kind,
                line.subject or "",
                f"{line.money.major:f}",
                f"{line.after.major:f}",
                currency,
            )
        )
    return text.getvalue()

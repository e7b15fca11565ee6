"""What a customer may see of the ledger: their own accounts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from payments.db import RequestSession
from payments.ledger import service
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

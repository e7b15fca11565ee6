"""Exchanging over HTTP: the rates that hold, and an exchange at one of them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from payments.db import RequestSession
from payments.idempotency.http import once
from payments.idempotency.store import Answer, Reservation
from payments.ledger import exchange as fx
from payments.money import MAX_AMOUNT
from payments.resources import Resources
from payments.security import CurrentPrincipal
from payments.transfers import service
from payments.transfers.routes import Key, answered

router = APIRouter(prefix="/api/v1", tags=["ledger"])


class RateOut(BaseModel):
    """How much of `quote` you get for one `base`, in major units, until `valid_until`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 17,
                    "base": "EUR",
                    "quote": "USD",
                    "rate": "1.0835",
                    "valid_until": "2026-11-21T11:00:00Z",
                }
            ]
        }
    )

    id: Annotated[int, Field(description="names this rate in an exchange")]
    base: str
    quote: str
    rate: Annotated[str, Field(description="a decimal number, exact")]
    valid_until: datetime


class RateList(BaseModel):
    """The rates that hold now, one for each pair."""

    data: list[RateOut]


class NewExchange(BaseModel):
    """What to exchange, at which rate."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"rate": 17, "amount": 10000}]}
    )

    rate: Annotated[int, Field(ge=1, le=2**53 - 1, strict=True, description="the rate's id")]
    amount: Annotated[
        int, Field(ge=1, le=MAX_AMOUNT, strict=True, description="minor units of the base")
    ]


class Amount(BaseModel):
    """An amount in minor units of its currency."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"amount": 10000, "currency": "EUR"}]}
    )

    amount: int
    currency: str


class ExchangeOut(BaseModel):
    """An exchange: what left your wallet and what came into it. Rounded down, once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "3f0e1f5e-7a0b-4f6e-9f0d-0d5b3a1c2e4f",
                    "sold": {"amount": 10000, "currency": "EUR"},
                    "bought": {"amount": 10835, "currency": "USD"},
                    "at": "2026-11-21T10:15:00Z",
                }
            ]
        }
    )

    id: UUID
    sold: Amount
    bought: Amount
    at: datetime


def plain(rate: Decimal) -> str:
    """Return a rate without an exponent and without zeros at its end."""
    text = f"{rate:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@router.get("/exchange-rates", summary="List the exchange rates")
async def list_rates(_: CurrentPrincipal, session: RequestSession) -> RateList:
    """List the rate of each pair of currencies that holds now."""
    return RateList(
        data=[
            RateOut(
                id=rate.id,
                base=rate.base,
                quote=rate.quote,
                rate=plain(rate.rate),
                valid_until=rate.valid_until,
            )
            for rate in await fx.current(session)
        ]
    )


@router.post(
    "/exchanges",
    summary="Exchange wallet money",
    status_code=201,
    response_model=ExchangeOut,
    responses={
        409: {"description": "Your wallet does not hold it, or a request with this key runs."},
        422: {"description": "The rate has changed, or too little would come out."},
    },
)
async def make_exchange(
    request: Request, principal: CurrentPrincipal, payload: NewExchange, key: Key
) -> Response:
    """Exchange money in your wallet at a rate you were shown, or not at all."""
    resources: Resources = request.app.state.resources

    async def run(reservation: Reservation) -> Answer:
        moved = await service.exchange(
            resources.database,
            request.app.state.batcher,
            owner=principal.id,
            rate_id=payload.rate,
            amount=payload.amount,
            request_key=reservation.request_key,
        )
        made = ExchangeOut(
            id=moved.id,
            sold=Amount(amount=moved.out.amount, currency=moved.out.currency),
            bought=Amount(amount=moved.came.amount, currency=moved.came.currency),
            at=moved.at,
        )
        return await answered(resources, reservation, made)

    return await once(request, principal=principal, key=key, payload=payload, run=run)

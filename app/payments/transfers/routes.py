"""Sending over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from payments.idempotency.http import idempotency_key, once
from payments.idempotency.store import Answer, Reservation
from payments.money import MAX_AMOUNT
from payments.resources import Resources
from payments.security import CurrentPrincipal
from payments.transfers import service

router = APIRouter(tags=["ledger"])

Key = Annotated[str, Depends(idempotency_key)]

_SENT: Final[dict[str, Any]] = {"to": "bo@example.com", "amount": 1250, "currency": "EUR"}


class NewTransaction(BaseModel):
    """What to send from your wallet, and to whom."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_SENT]})

    to: Annotated[
        str, Field(max_length=254, pattern=r"^[^\x00]*$", description="the recipient's e-mail")
    ]
    amount: Annotated[int, Field(ge=1, le=MAX_AMOUNT, strict=True, description="minor units")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]


class SentTransaction(BaseModel):
    """What was sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "3f0e1f5e-7a0b-4f6e-9f0d-0d5b3a1c2e4f",
                    **_SENT,
                    "at": "2026-11-21T10:15:00Z",
                }
            ]
        }
    )

    id: Annotated[UUID, Field(description="the transfer, as your transactions list it")]
    to: str
    amount: int
    currency: str
    at: datetime


async def send(
    request: Request, principal: CurrentPrincipal, payload: NewTransaction, key: Key
) -> Response:
    """Send wallet money to another customer, at once and for good.

    Whoever has the account with this address here gets the money: we have not checked that the
    address is theirs.

    A recipient who has no account, and every other one who cannot be paid, is answered
    `transfer_impossible`: the API does not tell who has an account.
    """
    resources: Resources = request.app.state.resources

    async def run(reservation: Reservation) -> Answer:
        moved = await service.send(
            resources.database,
            request.app.state.batcher,
            sender=principal.id,
            recipient_email=payload.to,
            money=service.money_of(payload.amount, payload.currency),
            request_key=reservation.request_key,
        )
        sent = SentTransaction(
            id=moved.id,
            to=payload.to,
            amount=moved.out.amount,
            currency=moved.out.currency,
            at=moved.at,
        )
        return await answered(resources, reservation, sent)

    return await once(request, principal=principal, key=key, payload=payload, run=run)


async def answered(resources: Resources, reservation: Reservation, body: BaseModel) -> Answer:
    """Store the answer to what is committed already: run again, the same is found and answered."""
    answer = Answer(
        status=201,
        headers={"content-type": "application/json"},
        body=body.model_dump_json().encode(),
    )
    async with resources.database.transaction() as session:
        await reservation.finish(session, answer)
    return answer


for _path, _listed in (("/api/v1/transactions", True), ("/api/transactions", False)):
    router.add_api_route(
        _path,
        send,
        methods=["POST"],
        status_code=201,
        include_in_schema=_listed,
        response_model=SentTransaction,
        summary="Send wallet money",
        responses={
            409: {"description": "Your wallet does not hold it, or a request with this key runs."},
            422: {"description": "The recipient cannot be paid, or the key had another body."},
        },
    )

"""Endpoints over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from payments.db import RequestSession
from payments.paging import SIZE, Cursor, Limit
from payments.resources import Resources
from payments.security import CurrentPrincipal
from payments.webhooks_out import service
from payments.webhooks_out.messages import TYPES
from payments.webhooks_out.models import Endpoint
from payments.webhooks_out.signing import Seal

router = APIRouter(prefix="/api/v1/webhook-endpoints", tags=["webhooks"])

_NOT_MINE: Final[dict[int | str, dict[str, Any]]] = {
    404: {"description": "There is none, or it is somebody else's."}
}


class NewEndpoint(BaseModel):
    """Where to tell, and of what (everything, when `events` is empty)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"url": "https://shop.example/hooks", "events": ["order.paid"]}]
        },
    )

    url: Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x20]+$")]
    events: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z_.]{1,60}$")]],
        Field(max_length=50, description=f"of {', '.join(TYPES)}"),
    ] = []


class Switch(BaseModel):
    """Whether the endpoint is told of anything."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": True}]})

    enabled: Annotated[bool, Field(strict=True)]


_ENDPOINT: Final[dict[str, JsonValue]] = {
    "id": "c7a1e5d2-3b4f-4c6a-9d8e-0f1a2b3c4d5e",
    "url": "https://shop.example/hooks",
    "events": ["order.paid"],
    "enabled": True,
    "disabled_reason": None,
    "created_at": "2026-11-21T10:15:00Z",
}


class EndpointOut(BaseModel):
    """An endpoint; `disabled_reason` says why it is told nothing any more."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ENDPOINT]})

    id: UUID
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    created_at: datetime

    @classmethod
    def of(cls, endpoint: Endpoint) -> EndpointOut:
        """Return an endpoint in the API's form."""
        return cls.model_validate(endpoint, from_attributes=True)


class EndpointWithSecret(EndpointOut):
    """An endpoint with a new secret. Keep it now: it is shown this once."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ENDPOINT | {"secret": "whsec_…"}]})

    secret: str


class EndpointList(BaseModel):
    """All endpoints of the caller."""

    data: list[EndpointOut]


class DeliveryOut(BaseModel):
    """One message to the endpoint, and how that went."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "message": "e2b3c4d5-6f7a-4b8c-9d0e-1f2a3b4c5d6e",
                    "type": "order.paid",
                    "state": "delivered",
                    "attempts": 1,
                    "answer": 200,
                    "error": None,
                    "next_attempt_at": None,
                    "delivered_at": "2026-11-21T10:15:01Z",
                    "created_at": "2026-11-21T10:15:00Z",
                }
            ]
        }
    )

    message: UUID
    type: str
    state: str
    attempts: int
    answer: Annotated[int | None, Field(description="the last HTTP status")]
    error: str | None
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    created_at: datetime


class Redelivery(BaseModel):
    """What becomes of the message now."""

    state: Literal["waiting"] = "waiting"


class DeliveryPage(BaseModel):
    """Deliveries, newest first."""

    data: list[DeliveryOut]
    next_cursor: str | None


def _seal(request: Request) -> Seal:
    resources: Resources = request.app.state.resources
    return Seal(*resources.settings.seal_keys)


@router.get("", summary="List your endpoints")
async def list_endpoints(principal: CurrentPrincipal, session: RequestSession) -> EndpointList:
    """List the caller's endpoints, oldest first."""
    found = await service.list_for(session, principal.id)
    return EndpointList(data=[EndpointOut.of(endpoint) for endpoint in found])


@router.post(
    "",
    summary="Add an endpoint",
    status_code=201,
    responses={409: {"description": "You have the most endpoints that one can have."}},
)
async def add_endpoint(
    request: Request, principal: CurrentPrincipal, session: RequestSession, payload: NewEndpoint
) -> EndpointWithSecret:
    """Add an address that is told what happens; verify deliveries with the secret."""
    resources: Resources = request.app.state.resources
    endpoint, secret = await service.add(
        session,
        _seal(request),
        customer_id=principal.id,
        url=payload.url,
        events=payload.events,
        allow_private=resources.settings.webhooks_to_private_addresses,
    )
    return EndpointWithSecret(**EndpointOut.of(endpoint).model_dump(), secret=secret)


@router.post("/{endpoint_id}/rotate", summary="Get a new secret", responses=_NOT_MINE)
async def rotate_secret(
    request: Request, endpoint_id: UUID, principal: CurrentPrincipal, session: RequestSession
) -> EndpointWithSecret:
    """Sign with a new secret from now on, and with the old one too for a day."""
    endpoint, secret = await service.rotate(
        session, _seal(request), customer_id=principal.id, endpoint_id=endpoint_id
    )
    return EndpointWithSecret(**EndpointOut.of(endpoint).model_dump(), secret=secret)


@router.post("/{endpoint_id}/switch", summary="Switch on or off", responses=_NOT_MINE)
async def switch(
    endpoint_id: UUID, principal: CurrentPrincipal, session: RequestSession, payload: Switch
) -> EndpointOut:
    """Switch an endpoint on or off."""
    endpoint = await service.enable(
        session, customer_id=principal.id, endpoint_id=endpoint_id, enabled=payload.enabled
    )
    return EndpointOut.of(endpoint)


@router.get(
    "/{endpoint_id}/deliveries",
    summary="List deliveries",
    responses={**_NOT_MINE, 400: {"description": "The cursor is not one of this list's."}},
)
async def list_deliveries(
    endpoint_id: UUID,
    principal: CurrentPrincipal,
    session: RequestSession,
    cursor: Cursor = None,
    limit: Limit = SIZE,
) -> DeliveryPage:
    """List what an endpoint was told, newest first."""
    found = await service.deliveries(
        session,
        customer_id=principal.id,
        endpoint_id=endpoint_id,
        cursor=cursor,
        limit=limit,
    )
    return DeliveryPage(
        data=[
            DeliveryOut(
                message=sent.delivery.message_id,
                type=sent.type,
                state=sent.delivery.state,
                attempts=sent.delivery.attempts,
                answer=sent.delivery.answer,
                error=sent.delivery.error,
                next_attempt_at=sent.delivery.next_attempt_at,
                delivered_at=sent.delivery.delivered_at,
                created_at=sent.delivery.created_at,
            )
            for sent in found.data
        ],
        next_cursor=found.next_cursor,
    )


@router.post(
    "/{endpoint_id}/deliveries/{message_id}/redeliver",
    summary="Deliver once more",
    status_code=202,
    responses=_NOT_MINE,
)
async def redeliver(
    endpoint_id: UUID, message_id: UUID, principal: CurrentPrincipal, session: RequestSession
) -> Redelivery:
    """Have a message delivered once more, whatever became of it."""
    await service.redeliver(
        session, customer_id=principal.id, endpoint_id=endpoint_id, message_id=message_id
    )
    return Redelivery()

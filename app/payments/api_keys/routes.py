"""Keys over HTTP. A key does not make keys: only a person who is logged in does."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from payments.api_keys import service
from payments.api_keys.authenticate import mode_of
from payments.api_keys.models import ApiKey
from payments.db import RequestSession
from payments.paging import SIZE, Cursor, Limit
from payments.security import CurrentPrincipal

router = APIRouter(prefix="/api/v1/api-keys", tags=["api-keys"])


class NewKey(BaseModel):
    """What the key is called, and what it may do."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "shop backend", "scopes": ["orders:read", "orders:write"]}]
        },
    )

    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,80}$")]
    scopes: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z:-]{1,40}$")]],
        Field(min_length=1, max_length=20, description=f"of {', '.join(service.SCOPES)}"),
    ]


_KEY: Final[dict[str, JsonValue]] = {
    "id": "5d0a3c1e-7b2f-4a6d-8e9c-1f2a3b4c5d6e",
    "name": "shop backend",
    "prefix": "pk_test_Zk3a",
    "scopes": ["orders:read", "orders:write"],
    "created_at": "2026-11-21T10:15:00Z",
    "expires_at": "2027-11-21T10:15:00Z",
    "last_used_on": "2026-11-21",
    "revoked_at": None,
}


class KeyOut(BaseModel):
    """A key as it can be shown: what it begins with, never the whole."""

    model_config = ConfigDict(json_schema_extra={"examples": [_KEY]})

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_on: date | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> KeyOut:
        """Return a key in the API's form."""
        return cls.model_validate(key, from_attributes=True)


class MadeKey(KeyOut):
    """A new key. Keep `secret` now: it is shown this once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [_KEY | {"secret": "pk_test_Zk3a…", "last_used_on": None}]}
    )

    secret: str


class KeyList(BaseModel):
    """A page of the caller's keys."""

    data: list[KeyOut]
    next_cursor: str | None


def _made(made: service.Made) -> MadeKey:
    return MadeKey(**KeyOut.of(made.key).model_dump(), secret=made.secret)


@router.get(
    "",
    summary="List your keys",
    responses={400: {"description": "The cursor is not one of this list's."}},
)
async def list_keys(
    principal: CurrentPrincipal,
    session: RequestSession,
    cursor: Cursor = None,
    limit: Limit = SIZE,
) -> KeyList:
    """List the caller's keys, newest first, ended ones too."""
    found = await service.page_for(session, customer_id=principal.id, cursor=cursor, limit=limit)
    return KeyList(data=[KeyOut.of(key) for key in found.data], next_cursor=found.next_cursor)


@router.post(
    "",
    summary="Make a key",
    status_code=201,
    responses={409: {"description": "You have the most keys that one can have."}},
)
async def make_key(
    request: Request, principal: CurrentPrincipal, session: RequestSession, payload: NewKey
) -> MadeKey:
    """Make a key; its secret is in this answer and nowhere else."""
    made = await service.make(
        session,
        customer_id=principal.id,
        name=payload.name,
        scopes=payload.scopes,
        mode=mode_of(request.app.state.resources.settings),
    )
    return _made(made)


@router.post(
    "/{key_id}/rotate",
    summary="Replace a key",
    status_code=201,
    responses={
        404: {"description": "There is none, or it is somebody else's."},
        409: {"description": "You have the most keys that one can have."},
    },
)
async def rotate_key(
    request: Request, key_id: UUID, principal: CurrentPrincipal, session: RequestSession
) -> MadeKey:
    """Make a key like this one; the old one can be used for seven more days."""
    mode = mode_of(request.app.state.resources.settings)
    made = await service.replace(session, customer_id=principal.id, key_id=key_id, mode=mode)
    return _made(made)


@router.delete(
    "/{key_id}",
    summary="Revoke a key",
    status_code=204,
    responses={404: {"description": "There is none, or it is somebody else's."}},
)
async def revoke_key(
    key_id: UUID, principal: CurrentPrincipal, session: RequestSession
) -> Response:
    """End a key now."""
    await service.revoke(session, customer_id=principal.id, key_id=key_id)
    return Response(status_code=204)

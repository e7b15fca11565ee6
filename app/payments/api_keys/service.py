"""Making, replacing and revoking keys.

A key is `pk_live_` or `pk_test_` and 43 random characters, shown once; we keep its SHA-256 (a key
has 256 bits of chance in it, so there is nothing for a slow hash to slow down). The word after
`pk_` is the installation's mode: a key of the sandbox is refused by the live one by name, not by
accident. Replacing a key lets the old one live for a while, so that a client changes without a gap.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from payments import paging
from payments.api_keys.models import ApiKey
from payments.errors import ConflictError, NotFoundError, UnprocessableError
from payments.paging import Page
from payments.people import audit
from payments.people.models import UserRow

Mode = Literal["live", "test"]

SCOPES: Final = (
    "ledger:read",
    "ledger:write",
    "orders:read",
    "orders:write",
    "subscriptions:read",
    "subscriptions:write",
    "webhooks:read",
    "webhooks:write",
)
"""What a key can be allowed to do: a tag of the API, and reading or writing it."""

LIFETIME: Final = timedelta(days=365)
OVERLAP: Final = timedelta(days=7)
MOST: Final = 20
SHOWN: Final = 12


class UnknownScopeError(UnprocessableError):
    """Not one of the scopes."""

    code, title = "unknown_scope", "There is no such scope."


class TooManyKeysError(ConflictError):
    """A customer has a bounded number of keys."""

    code, title = "too_many_keys", "Revoke a key before you make another one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A new key; the only time that `secret` is there."""

    key: ApiKey
    secret: str


def digest(secret: str) -> bytes:
    """Return what is kept of a key."""
    return hashlib.sha256(secret.encode()).digest()


async def make(
    session: AsyncSession,
    *,
    customer_id: UUID,
    name: str,
    scopes: Collection[str],
    mode: Mode,
    lifetime: timedelta = LIFETIME,
) -> Made:
    """Make a key. Raises `UnknownScopeError`, `TooManyKeysError`."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise UnknownScopeError(
            f"{', '.join(unknown) or 'An empty list'}: choose from {', '.join(SCOPES)}."
        )
    live = await session.scalar(
        select(func.count()).where(ApiKey.customer_id == customer_id, *_usable())
    )
    if (live or 0) >= MOST:
        raise TooManyKeysError(f"You have {live} keys; {MOST} are the most.")
    secret = f"pk_{mode}_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        id=uuid4(),
        customer_id=customer_id,
        name=name,
        prefix=secret[:SHOWN],
        digest=digest(secret),
        scopes=sorted(set(scopes)),
        expires_at=datetime.now(UTC) + lifetime,
    )
    session.add(key)
    await session.flush()
    await session.refresh(key)
    await audit.append(session, action="api_key.made", actor=customer_id, subject=key.id)
    return Made(key=key, secret=secret)


async def replace(session: AsyncSession, *, customer_id: UUID, key_id: UUID, mode: Mode) -> Made:
    """Make a key like another, which lives on for a week at most. Raises `NotFoundError`."""
    old = await _mine(session, customer_id, key_id)
    old.expires_at = min(old.expires_at, datetime.now(UTC) + OVERLAP)
    await session.flush()
    return await make(session, customer_id=customer_id, name=old.name, scopes=old.scopes, mode=mode)


async def revoke(session: AsyncSession, *, customer_id: UUID, key_id: UUID) -> None:
    """End a key now; again is fine. Raises `NotFoundError`."""
    key = await _mine(session, customer_id, key_id)
    if key.revoked_at is None:
        key.revoked_at = datetime.now(UTC)
        await session.flush()
        await audit.append(session, action="api_key.revoked", actor=customer_id, subject=key.id)


async def page_for(
    session: AsyncSession, *, customer_id: UUID, cursor: str | None, limit: int
) -> Page[ApiKey]:
    """Return a page of a customer's keys, newest first, ended ones too. Raises `BadCursorError`."""
    return await paging.page(
        session,
        select(ApiKey).where(ApiKey.customer_id == customer_id),
        order=(ApiKey.created_at, ApiKey.id),
        parse=(paging.moment, UUID),
        cursor=cursor,
        limit=limit,
        view=lambda row: row[0],
    )


async def usable_of(session: AsyncSession, customer_id: UUID) -> Sequence[ApiKey]:
    """Return the keys that a customer can use, newest first: `MOST` at most."""
    found = await session.scalars(
        select(ApiKey)
        .where(ApiKey.customer_id == customer_id, *_usable())
        .order_by(ApiKey.created_at.desc(), ApiKey.id.desc())
    )
    return found.all()


async def find(session: AsyncSession, secret: str) -> ApiKey | None:
    """Return the key that this is, if it can be used; notes the day.

    A key is its owner's: whoever is locked out does nothing through it either, and can again once
    they are let in. So it is asked at every use, and kept in no cache.
    """
    key: ApiKey | None = await session.scalar(
        select(ApiKey).where(ApiKey.digest == digest(secret), *_usable(), ~_owner_is_locked())
    )
    today = datetime.now(UTC).date()
    if key is not None and key.last_used_on != today:
        await session.execute(update(ApiKey).where(ApiKey.id == key.id).values(last_used_on=today))
    return key


def _usable() -> tuple[ColumnElement[bool], ...]:
    return (ApiKey.revoked_at.is_(None), ApiKey.expires_at > func.now())


def _owner_is_locked() -> ColumnElement[bool]:
    return exists().where(UserRow.id == ApiKey.customer_id, UserRow.disabled_at.is_not(None))


async def _mine(session: AsyncSession, customer_id: UUID, key_id: UUID) -> ApiKey:
    key = await session.scalar(
        select(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.customer_id == customer_id)
        .with_for_update(key_share=True)
    )
    if key is None:
        raise NotFoundError(f"There is no key {key_id}.")
    return key

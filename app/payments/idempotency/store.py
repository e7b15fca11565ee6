"""Reserve, finish, replay.

1. Reserve: one committed row with the key, the caller and a hash of the request. Whoever inserts it
   runs; everybody else sees it. (Looking first and acting then lets two run.)
2. Run. The answer is stored in the transaction that makes the request's last change, so there is no
   moment in which the change exists without its answer.
3. Replay: the stored status, headers and body.

A run that died leaves a row that nobody finishes. When its lease is over, the next request with the
key takes it over under a new token; should the first runner still live, its own finish finds
another token and its transaction is rolled back. Running again must therefore be safe: what is run
finds its own traces by `Reservation.request_key`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from payments.db import Database
from payments.errors import ConflictError, UnprocessableError, retry_after
from payments.idempotency.models import IdempotencyKey

LEASE: Final = timedelta(seconds=60)
"""Longer than any request runs: gateway calls end after 12 s, statements after 10."""

RETENTION: Final = timedelta(days=45)


class KeyInUseError(ConflictError):
    """The same request is running elsewhere; it will have an answer soon."""

    code, title = "idempotency_key_in_use", "A request with this key is being processed."


class KeyReusedError(UnprocessableError):
    """The key came before with something else: a mistake of the client that must not move money."""

    code, title = "idempotency_key_reused", "This key was used for another request."


class LeaseLostError(ConflictError):
    """Another request took this one over while it was slow; that one has the answer."""

    code, title = "idempotency_lease_lost", "Another request with this key has taken over."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A stored response."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """The right to run a request, as long as nobody else has taken it over."""

    principal: str
    key: str
    token: UUID

    @property
    def request_key(self) -> str:
        """The name under which the run finds what an earlier run of the same request did."""
        return f"{self.principal}:{self.key}"

    async def finish(self, session: AsyncSession, answer: Answer) -> None:
        """Store the answer, in the transaction of the request's last change.

        Raises `LeaseLostError`; the transaction must then be rolled back.
        """
        done = await session.execute(
            update(IdempotencyKey)
            .where(*self._mine())
            .values(
                state="done",
                status=answer.status,
                headers=answer.headers,
                body=answer.body,
                finished_at=func.now(),
            )
            .returning(IdempotencyKey.key)
        )
        if done.first() is None:
            raise LeaseLostError

    async def release(self, database: Database) -> None:
        """Forget the key: nothing happened, so it may be used again."""
        async with database.transaction() as session:
            await session.execute(delete(IdempotencyKey).where(*self._mine()))

    async def abandon(self, database: Database) -> None:
        """End the lease now: something may have happened, and the next request looks."""
        async with database.transaction() as session:
            await session.execute(
                update(IdempotencyKey).where(*self._mine()).values(lease_until=func.now())
            )

    def _mine(self) -> tuple[ColumnElement[bool], ...]:
        return (
            IdempotencyKey.principal == self.principal,
            IdempotencyKey.key == self.key,
            IdempotencyKey.token == self.token,
            IdempotencyKey.state == "running",
        )


async def reserve(
    database: Database, *, principal: str, key: str, operation: str, request_hash: bytes
) -> Reservation | Answer:
    """Reserve the key in a transaction of its own, or return the answer it already has.

    Raises `KeyInUseError` (409, `Retry-After`) and `KeyReusedError` (422).
    """
    async with database.transaction() as session:
        token = await _insert(session, principal, key, operation, request_hash)
        if token is None:
            token_or_answer = await _existing(session, principal, key, operation, request_hash)
            if isinstance(token_or_answer, Answer):
                return token_or_answer
            token = token_or_answer
    return Reservation(principal=principal, key=key, token=token)


async def forget_expired(session: AsyncSession, *, most: int) -> int:
    """Delete keys whose time is over; returns how many."""
    due = (
        select(IdempotencyKey.principal, IdempotencyKey.key)
        .where(IdempotencyKey.expires_at <= func.now())
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    gone = await session.execute(
        delete(IdempotencyKey)
        .where(IdempotencyKey.principal == due.c.principal, IdempotencyKey.key == due.c.key)
        .returning(IdempotencyKey.key)
    )
    return len(gone.all())


async def _insert(
    session: AsyncSession, principal: str, key: str, operation: str, request_hash: bytes
) -> UUID | None:
    inserted: UUID | None = await session.scalar(
        insert(IdempotencyKey)
        .values(
            principal=principal,
            key=key,
            operation=operation,
            request_hash=request_hash,
            lease_until=func.now() + LEASE,
            expires_at=func.now() + RETENTION,
        )
        .on_conflict_do_nothing()
        .returning(IdempotencyKey.token)
    )
    return inserted


async def _existing(
    session: AsyncSession, principal: str, key: str, operation: str, request_hash: bytes
) -> UUID | Answer:
    row, lease_left = (
        await session.execute(
            select(
                IdempotencyKey,
                func.extract("epoch", IdempotencyKey.lease_until - func.now()),
            )
            .where(IdempotencyKey.principal == principal, IdempotencyKey.key == key)
            .with_for_update()
        )
    ).one()
    if row.operation != operation or row.request_hash != request_hash:
        raise KeyReusedError
    if row.status is not None and row.headers is not None and row.body is not None:
        return Answer(status=row.status, headers=row.headers, body=row.body)
    if lease_left > 0:
        raise KeyInUseError(headers=retry_after(min(float(lease_left), 2.0)))
    taken: UUID = (
        await session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.principal == principal, IdempotencyKey.key == key)
            .values(token=func.gen_random_uuid(), lease_until=func.now() + LEASE)
            .returning(IdempotencyKey.token)
        )
    ).scalar_one()
    return taken

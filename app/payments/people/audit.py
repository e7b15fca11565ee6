"""The audit log: who did what, as a chain of digests that shows every later change.

A row is written in the transaction of what it tells of, so neither exists without the other. The
database numbers and chains the rows in a trigger and refuses every change to them; nothing here
could do it wrong. `audit_head` holds the last number and digest: cutting rows off the end shows
too. Somebody with the owner's rights could rewrite the whole chain; that is why each digest is also
logged, and logs leave the machine.

Appending locks the head until commit: make it the last statement of a transaction.

A row names people by id. No e-mail address and no full client address is written: what cannot be
changed could not be erased on request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ops.logs import get_logger

log = get_logger("payments.audit")

Detail = Mapping[str, str | int | bool | None]

_APPEND = text(
    "INSERT INTO payments.audit_log (actor, action, subject, detail)"
    " VALUES (:actor, :action, :subject, CAST(:detail AS jsonb))"
    " RETURNING id, encode(digest, 'hex') AS digest"
)
_VERIFY = text("SELECT id, reason FROM payments.audit_verify()")


@dataclass(frozen=True, kw_only=True)
class Break:
    """The first place where the chain does not hold, and how; `id` is the row's number."""

    id: int
    reason: str


async def append(
    session: AsyncSession,
    *,
    action: str,
    actor: UUID | str,
    subject: UUID | str | None = None,
    detail: Detail | None = None,
) -> None:
    """Write one row in the caller's transaction.

    `actor` is a person's id, or `anonymous` or `system`; `action` a dotted past tense.
    """
    row = (
        await session.execute(
            _APPEND,
            {
                "actor": str(actor),
                "action": action,
                "subject": None if subject is None else str(subject),
                "detail": json.dumps(dict(detail or {})),
            },
        )
    ).one()
    log.info("audit.appended", audit_id=row.id, digest=row.digest, action=action)


async def verify(session: AsyncSession) -> Break | None:
    """Walk the whole chain; return the first break, None when it holds."""
    row = (await session.execute(_VERIFY)).one_or_none()
    return None if row is None else Break(id=row.id, reason=row.reason)

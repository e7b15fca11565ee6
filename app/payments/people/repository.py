"""Users in the database. Every function works in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args
from uuid import UUID

from sqlalchemy import func, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from payments.people.models import UserRow

Role = Literal["customer", "viewer", "admin"]
_ROLES: Final[Mapping[str, Role]] = {role: role for role in get_args(Role)}


@dataclass(frozen=True, kw_only=True)
class User:
    """One account. `password_hash` is a PHC string and never leaves this package.

    `role_settled`: somebody, or a first visit through Access, has decided about the role.
    """

    id: UUID
    email: str
    role: Role
    role_settled: bool
    disabled: bool
    created_at: datetime
    password_hash: str

    def __repr__(self) -> str:
        """Leave out the hash: a repr ends up in tracebacks."""
        return f"User(id={self.id}, role={self.role}, disabled={self.disabled})"


async def add(session: AsyncSession, *, email: str, password_hash: str) -> UUID | None:
    """Create a customer; return the id, or None when the address has an account already.

    `email` is normalised. Two registrations at once are settled by the unique index.
    """
    added: UUID | None = await session.scalar(
        insert(UserRow)
        .values(email=email, password_hash=password_hash)
        .on_conflict_do_nothing(index_elements=[UserRow.email])
        .returning(UserRow.id)
    )
    return added


async def by_email(session: AsyncSession, email: str) -> User | None:
    """Return the account of a normalised address."""
    return _user(await session.scalar(select(UserRow).where(UserRow.email == email)))


async def by_id(session: AsyncSession, user_id: UUID) -> User | None:
    """Return an account by its id."""
    return _user(await session.scalar(select(UserRow).where(UserRow.id == user_id)))


async def set_password(session: AsyncSession, user_id: UUID, *, old: str, new: str) -> bool:
    """Replace the hash if it is still `old`; say whether it was.

    Of two changes at once one wins, and a rehash at log-in never undoes a new password.
    """
    same = (UserRow.id == user_id, UserRow.password_hash == old)
    change = update(UserRow).where(*same).values(password_hash=new, updated_at=func.now())
    return await session.scalar(change.returning(UserRow.id)) is not None


async def set_role(
    session: AsyncSession, user_id: UUID, role: Role, *, password_hash: str | None, first: bool
) -> bool:
    """Change the role, and the password with it; say whether it was another one before.

    `first`: only where nobody has decided about it yet. Of two first visits at once one changes it.
    """
    change = update(UserRow).where(UserRow.id == user_id, UserRow.role != role)
    if first:
        change = change.where(UserRow.role_settled_at.is_(None))
    if password_hash is not None:
        change = change.values(password_hash=password_hash)
    change = change.values(role=role, role_settled_at=func.now(), updated_at=func.now())
    return await session.scalar(change.returning(UserRow.id)) is not None


async def set_disabled(session: AsyncSession, user_id: UUID, *, disabled: bool) -> bool:
    """Lock an account or unlock it; say whether there is such an account."""
    when = func.coalesce(UserRow.disabled_at, func.now()) if disabled else null()
    change = (
        update(UserRow)
        .where(UserRow.id == user_id)
        .values(disabled_at=when, updated_at=func.now())
        .returning(UserRow.id)
    )
    return await session.scalar(change) is not None


def _user(row: UserRow | None) -> User | None:
    if row is None:
        return None
    return User(
        id=row.id,
        email=row.email,
        role=_ROLES.get(row.role, "customer"),
        role_settled=row.role_settled_at is not None,
        disabled=row.disabled_at is not None,
        created_at=row.created_at,
        password_hash=row.password_hash,
    )

"""Admins as people of the service: an account of their own, so that the audit log can name them.

An account of a listed address is made when its owner first comes through Access, with a password
that nobody knows: an admin's only way in is Access. Where the address has a customer's account
already, its password is replaced and its sessions end: whoever registered it never had to prove
that the address was theirs, and must not find themselves an admin.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from payments.access.assertion import Identity
from payments.db import Database
from payments.errors import ForbiddenError
from payments.ops.client import network_of
from payments.people import audit, passwords, repository
from payments.people.repository import User
from payments.people.sessions import Sessions


@dataclass(frozen=True, kw_only=True)
class Admin:
    """Who is administering: `name` for people to read, `actor` for the audit log."""

    identity: Identity
    user_id: UUID | None

    @property
    def name(self) -> str:
        """The e-mail address, or the service token's client id."""
        return self.identity.email or self.identity.subject

    @property
    def actor(self) -> str:
        """A person's id, or the token's: no address is written into what cannot be erased."""
        return str(self.user_id) if self.user_id else f"service-token:{self.identity.subject}"


class Admins:
    """Finds and makes the accounts."""

    def __init__(self, database: Database, sessions: Callable[[], Sessions]) -> None:
        self._database = database
        self._sessions = sessions

    async def admit(self, identity: Identity, *, noted: bool, address: str) -> Admin:
        """Return the admin; `noted`: write down that they came. Raises `ForbiddenError`."""
        if identity.email is None:
            admin = Admin(identity=identity, user_id=None)
        else:
            admin = Admin(identity=identity, user_id=await self._account(identity.email))
        if noted:
            async with self._database.transaction() as transaction:
                await audit.append(
                    transaction,
                    action="admin.entered",
                    actor=admin.actor,
                    detail={"network": network_of(address)},
                )
        return admin

    async def _account(self, email: str) -> UUID:
        async with self._database.transaction() as transaction:
            user = await repository.by_email(transaction, email)
        if user is None or user.role != "admin":
            user = await self._provision(email)
        if user.disabled:
            raise ForbiddenError("Your account is locked.")
        return user.id

    async def _provision(self, email: str) -> User:
        # Hashed before the transaction: no connection waits for it.
        phc = await passwords.hash_password(secrets.token_urlsafe(32))
        async with self._database.transaction() as transaction:
            await repository.add(transaction, email=email, password_hash=phc)
            user = await self._promote(transaction, email, phc)
        await self._sessions().end_all(user.id)
        return user

    async def _promote(self, transaction: AsyncSession, email: str, phc: str) -> User:
        user = await repository.by_email(transaction, email)
        if user is None:
            raise LookupError("the account was made in this transaction")
        if await repository.set_role(transaction, user.id, "admin"):
            await repository.set_password(transaction, user.id, old=user.password_hash, new=phc)
            await audit.append(
                transaction,
                action="user.role_changed",
                actor="system",
                subject=user.id,
                detail={"role": "admin", "because": "listed, and came through access"},
            )
        return await repository.by_id(transaction, user.id) or user

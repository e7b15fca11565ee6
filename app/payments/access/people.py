"""Admins as people of the service: an account of their own, so that the audit log can name them.

An account of a listed address is made when its owner first comes through Access, with a password
that nobody knows: an admin's only way in is Access. Where the address has a customer's account
already, its password is replaced and its sessions end: whoever registered it never had to prove
that the address was theirs, and must not find themselves an admin.

Only the first visit makes an admin. From then on the role is what people made of it: one that was
taken away stays away, until an admin (page People) or `payments role` gives it back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from payments.access.assertion import Identity
from payments.access.rights import ALL, OF_ROLE, Rights
from payments.db import Database
from payments.errors import ForbiddenError
from payments.ops.client import network_of
from payments.people import audit
from payments.people.repository import User
from payments.people.service import People

_NONE: Final[Rights] = frozenset()


class RightMissingError(ForbiddenError):
    """Whoever asks was let in, and may not do this."""

    code, title = "right_missing", "You may not do this here."


class PersonNeededError(RightMissingError):
    """A program cannot do this, whatever it is granted."""

    title = "A person has to do this."


@dataclass(frozen=True, kw_only=True)
class Admin:
    """Who is administering: `name` for people to read, `actor` for the audit log."""

    identity: Identity
    user_id: UUID | None
    rights: Rights

    @property
    def name(self) -> str:
        """The e-mail address, or the service token's client id."""
        return self.identity.email or self.identity.subject

    @property
    def actor(self) -> str:
        """A person's id, or the token's: no address is written into what cannot be erased."""
        return str(self.user_id) if self.user_id else f"service-token:{self.identity.subject}"

    @property
    def role(self) -> Literal["admin", "viewer"]:
        """What pages show them: forms, or only what there is."""
        return "admin" if self.rights == ALL else "viewer"

    @property
    def person(self) -> UUID:
        """The person's id. Raises `PersonNeededError` for a program."""
        if self.user_id is None:
            raise PersonNeededError
        return self.user_id


class NotAdmittedError(ForbiddenError):
    """Somebody on the list whom we know and do not let in; `admin` is who."""

    def __init__(self, detail: str, admin: Admin) -> None:
        super().__init__(detail)
        self.admin = admin


class AccountLockedError(NotAdmittedError):
    """Their account is locked."""

    code, title = "account_locked", "Your account is locked."


class RoleTakenAwayError(NotAdmittedError):
    """They were an admin, and are none any more."""

    code, title = "role_taken_away", "Your role was taken away."


class Admins:
    """Finds and makes the accounts."""

    def __init__(self, database: Database, people: Callable[[], People]) -> None:
        self._database = database
        self._people = people

    async def admit(self, identity: Identity, email: str) -> Admin:
        """Return a listed person as the admin they are. Raises `NotAdmittedError`."""
        user = await self._known(email)
        admin = Admin(identity=identity, user_id=user.id, rights=OF_ROLE.get(user.role, _NONE))
        if user.disabled:
            raise AccountLockedError(
                "Your account is locked. Another admin can unlock it: page People.", admin
            )
        if not admin.rights:
            raise RoleTakenAwayError(
                "Your role was taken away. Another admin can give it back: page People.", admin
            )
        return admin

    async def _known(self, email: str) -> User:
        people = self._people()
        user = await people.by_email(email)
        if user is not None and (user.role_settled or user.role != "customer"):
            return user
        return await people.give_role(
            email, "admin", by="system", because="listed, and came through access", first=True
        )

    async def note(self, action: str, admin: Admin, address: str, *, because: str | None) -> None:
        """Write down that somebody came, or what they were refused for."""
        reason = {} if because is None else {"because": because}
        async with self._database.transaction() as transaction:
            await audit.append(
                transaction,
                action=action,
                actor=admin.actor,
                detail={"network": network_of(address), **reason},
            )

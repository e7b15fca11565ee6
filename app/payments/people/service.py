"""What people do with their accounts: register, log in and out, change the password.

Answers never tell whether an address has an account: registering one that exists looks and takes
the same as registering a new one, and an unknown address fails to log in like a wrong password.

No transaction is open while a password is hashed: a burst of log-ins must not hold the database's
connections.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from payments.db import Database
from payments.errors import UnauthenticatedError
from payments.ops.client import network_of
from payments.ops.metrics import LOG_INS
from payments.people import audit, passwords, repository
from payments.people.lockout import Lockout
from payments.people.repository import Role, User
from payments.people.sessions import Session, Sessions

Occasion = Literal["login", "password_check"]
"""Why a password is asked for; the audit log tells them apart."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The other end of a request: client address (trusted, see `ops.client`) and user agent."""

    address: str
    agent: str


class RefusedError(Exception):
    """The e-mail address and the password do not fit together; or there is no such account."""


class LockedError(Exception):
    """Too many attempts; try again after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"locked for {seconds:.0f} s")
        self.seconds = seconds


class People:
    """The operations, over one replica's database, sessions and lockout."""

    def __init__(self, database: Database, sessions: Sessions, lockout: Lockout) -> None:
        self.sessions = sessions
        self._database = database
        self._lockout = lockout

    async def register(self, email: str, password: str, caller: Caller) -> None:
        """Create a customer's account, unless the address has one; either way say nothing.

        Nobody proves that the address is theirs: no e-mail is sent in this release.
        """
        phc = await passwords.hash_password(password)
        async with self._database.transaction() as session:
            user_id = await repository.add(session, email=email, password_hash=phc)
            await audit.append(
                session,
                action="user.registered" if user_id else "user.registration_repeated",
                actor=user_id or "anonymous",
                subject=user_id,
                detail={"network": network_of(caller.address)},
            )

    async def log_in(
        self, email: str, password: str, caller: Caller, *, presented: str | None
    ) -> tuple[str, Session]:
        """Return a new session's cookie value and the session.

        `presented` is the session cookie that came along: it is ended, so that an id planted
        before the log-in is worth nothing after it. Raises `LockedError` or `RefusedError`.
        """
        user = await self._authenticate("login", email, password, caller)
        if old := await self.sessions.read(presented):
            await self.sessions.end(old)
        token, session = await self.sessions.open(
            user_id=user.id,
            email=user.email,
            role=user.role,
            address=caller.address,
            agent=caller.agent,
        )
        if not await self._still_fits(user, password):
            await self.sessions.end(session)
            await self._note_failure("login", user, caller)
            raise RefusedError
        LOG_INS.labels("succeeded").inc()
        return token, session

    async def log_out(self, session: Session) -> None:
        """End the session and write it down."""
        await self.sessions.end(session)
        async with self._database.transaction() as transaction:
            await audit.append(transaction, action="session.ended", actor=session.user_id)

    async def log_out_others(self, session: Session) -> int:
        """End all other sessions of this person; return how many there were."""
        ended = await self.sessions.end_all(session.user_id, but=session)
        async with self._database.transaction() as transaction:
            await audit.append(
                transaction,
                action="sessions.revoked",
                actor=session.user_id,
                detail={"ended": ended},
            )
        return ended

    async def change_password(
        self, session: Session, *, current: str, new: str, caller: Caller
    ) -> tuple[str, Session]:
        """Set a new password, end all other sessions, and give this one a new id.

        Guessing the current one counts like a log-in. Raises `LockedError` or `RefusedError`, and
        `UnauthenticatedError` where the session has ended meanwhile, or has to.
        """
        user = await self._authenticate("password_check", session.email, current, caller)
        fresh = await passwords.hash_password(new)
        async with self._database.transaction() as transaction:
            if not await repository.set_password(
                transaction, user.id, old=user.password_hash, new=fresh
            ):
                raise RefusedError
            await audit.append(transaction, action="user.password_changed", actor=user.id)
        await self.sessions.end_all(user.id, but=session)
        token, renewed = await self.sessions.rotate(session)
        if not await self._still_fits(replace(user, password_hash=fresh), new):
            await self.sessions.end(renewed)
            raise UnauthenticatedError
        return token, renewed

    async def by_email(self, email: str) -> User | None:
        """Return the account of a normalised address."""
        async with self._database.transaction() as transaction:
            return await repository.by_email(transaction, email)

    async def by_id(self, user_id: UUID) -> User | None:
        """Return an account by its id."""
        async with self._database.transaction() as transaction:
            return await repository.by_id(transaction, user_id)

    async def change_role(
        self,
        user_id: UUID,
        role: Role,
        *,
        by: UUID | str,
        because: str | None = None,
        first: bool = False,
    ) -> bool:
        """Give a person another role; say whether it changed. All their sessions end.

        A role is read once, at log-in: whoever gains or loses one logs in again. Admins and viewers
        come through Access only: their password becomes one that nobody knows. `first`: only where
        nobody has decided about the role yet.
        """
        phc = None if role == "customer" else await _nobodys_password()
        async with self._database.transaction() as transaction:
            if not await repository.set_role(
                transaction, user_id, role, password_hash=phc, first=first
            ):
                return False
            await audit.append(
                transaction,
                action="user.role_changed",
                actor=by,
                subject=user_id,
                detail={"role": role} | ({"because": because} if because else {}),
            )
        await self.sessions.end_all(user_id)
        return True

    async def give_role(
        self, email: str, role: Role, *, by: UUID | str, because: str, first: bool = False
    ) -> User:
        """As `change_role`, by the address; makes the account where there is none; returns it."""
        phc = await _nobodys_password()
        async with self._database.transaction() as transaction:
            await repository.add(transaction, email=email, password_hash=phc)
            user = await repository.by_email(transaction, email)
        if user is None:
            raise LookupError("the account was just made, and accounts are never deleted")
        await self.change_role(user.id, role, by=by, because=because, first=first)
        return await self.by_id(user.id) or user

    async def set_locked(self, user_id: UUID, *, locked: bool, by: UUID | str) -> bool:
        """Lock a person out or let them in again; False when there is no such person.

        All sessions of somebody who is locked out end.
        """
        async with self._database.transaction() as transaction:
            if not await repository.set_disabled(transaction, user_id, disabled=locked):
                return False
            await audit.append(
                transaction,
                action="user.locked" if locked else "user.unlocked",
                actor=by,
                subject=user_id,
            )
        if locked:
            await self.sessions.end_all(user_id)
        return True

    async def _authenticate(
        self, occasion: Occasion, email: str, password: str, caller: Caller
    ) -> User:
        wait = await self._lockout.begin(email, caller.address)
        if wait > 0:
            LOG_INS.labels("locked").inc()
            raise LockedError(wait)
        async with self._database.transaction() as session:
            user = await repository.by_email(session, email)
        fits = await passwords.matches(user.password_hash if user else None, password)
        if user is None or not fits or user.disabled:
            await self._note_failure(occasion, user, caller)
            raise RefusedError
        await self._lockout.succeed(email, caller.address)
        return await self._note_success(occasion, user, password, caller)

    async def _still_fits(self, user: User, password: str) -> bool:
        """Say whether an account is still what it was when its password was checked.

        To be asked once its session is there: from then on nothing looks at the account. Whoever
        locks it, or changes its role or password, commits that and then ends its sessions: either
        they find the new one, or this finds what they did.
        """
        now = await self.by_id(user.id)
        if now is None or now.disabled or now.role != user.role:
            return False
        # Another log-in at once may have hashed the very same password anew.
        return now.password_hash == user.password_hash or await passwords.matches(
            now.password_hash, password
        )

    async def _note_failure(self, occasion: Occasion, user: User | None, caller: Caller) -> None:
        async with self._database.transaction() as session:
            await audit.append(
                session,
                action=f"{occasion}.refused",
                actor="anonymous",
                subject=user.id if user else None,
                detail={"network": network_of(caller.address)},
            )
        LOG_INS.labels("refused").inc()

    async def _note_success(
        self, occasion: Occasion, user: User, password: str, caller: Caller
    ) -> User:
        """Write the success down, and hash the password anew if today's parameters are stronger.

        Return the account as it was checked, not as it is by now: its hash may be that of another
        password, and whoever goes on with it must notice.
        """
        fresh: str | None = None
        if passwords.outdated(user.password_hash):
            fresh = await passwords.hash_password(password)
        async with self._database.transaction() as session:
            if fresh and await repository.set_password(
                session, user.id, old=user.password_hash, new=fresh
            ):
                user = replace(user, password_hash=fresh)
            await audit.append(
                session,
                action=f"{occasion}.succeeded",
                actor=user.id,
                detail={"network": network_of(caller.address)},
            )
        return user


async def _nobodys_password() -> str:
    return await passwords.hash_password(secrets.token_urlsafe(32))

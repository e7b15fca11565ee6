"""Who is asking. The seam between the endpoints and whatever proves a person's identity.

An endpoint depends on `CurrentPrincipal`. `payments.people` sets `app.state.authenticator`; it
reads the session cookie, checks the CSRF token of unsafe methods, and raises a `ProblemError`
(403) where that token is wrong. Without an authenticator nobody is logged in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, Request

from payments.errors import ForbiddenError, UnauthenticatedError


@dataclass(frozen=True, kw_only=True)
class Principal:
    """The authenticated caller of one request."""

    id: UUID
    roles: frozenset[str] = field(default_factory=frozenset)

    @property
    def key(self) -> str:
        """The name under which this caller's idempotency keys and accounts are kept."""
        return f"user:{self.id}"


class Authenticator(Protocol):
    """Finds out who sent a request; None when nobody is logged in."""

    async def __call__(self, request: Request) -> Principal | None:
        """Return the caller, None without a valid login, or raise `ProblemError`."""
        ...


async def optional_principal(request: Request) -> Principal | None:
    """Return the caller, or None when nobody is logged in."""
    authenticator: Authenticator | None = getattr(request.app.state, "authenticator", None)
    return None if authenticator is None else await authenticator(request)


async def current_principal(
    principal: Annotated[Principal | None, Depends(optional_principal)],
) -> Principal:
    """Return the caller; without one the request ends with 401."""
    if principal is None:
        raise UnauthenticatedError
    return principal


class RequireRole:
    """A dependency that lets only callers with a given role pass."""

    def __init__(self, role: str) -> None:
        self.role = role

    async def __call__(
        self, principal: Annotated[Principal, Depends(current_principal)]
    ) -> Principal:
        """Return the caller, or end the request with 403."""
        if self.role not in principal.roles:
            raise ForbiddenError
        return principal


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]
OptionalPrincipal = Annotated[Principal | None, Depends(optional_principal)]

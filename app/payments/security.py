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
    scopes: frozenset[str] | None = None
    """What a program may do for its owner; None for a person, who may do all that they may."""

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


class ScopeError(ForbiddenError):
    """A key is used for something that it was not made for."""

    code, title = "insufficient_scope", "The key may not do this."


def scope_of(request: Request) -> str:
    """Return the scope that a request needs: its route's first tag, and reading or writing it.

    A route without a tag has a scope that no key can have: what nobody thought of is not allowed.
    """
    tags = getattr(request.scope.get("route"), "tags", None) or ["untagged"]
    return f"{tags[0]}:{'read' if request.method in ('GET', 'HEAD') else 'write'}"


async def current_principal(
    request: Request,
    principal: Annotated[Principal | None, Depends(optional_principal)],
) -> Principal:
    """Return the caller; without one the request ends with 401, without the scope with 403."""
    if principal is None:
        raise UnauthenticatedError
    if principal.scopes is not None and (needed := scope_of(request)) not in principal.scopes:
        raise ScopeError(f"It takes a key with the scope {needed}.")
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

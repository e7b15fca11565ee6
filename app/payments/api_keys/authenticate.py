"""Who a request with a key is from, and what it may do: nothing that its scopes do not name."""

from __future__ import annotations

from fastapi import Request

from payments.api_keys import service
from payments.errors import UnauthenticatedError
from payments.limits.callers import KEY_PREFIX, KnownKeys
from payments.ops.logs import get_logger
from payments.resources import Resources
from payments.security import Authenticator, Principal
from payments.settings import ServiceSettings

log = get_logger(__name__)


class KeyAuthenticator:
    """Takes `Authorization: Bearer pk_…`; everything else goes to the authenticator before it."""

    def __init__(self, resources: Resources, following: Authenticator | None) -> None:
        self._resources = resources
        self._following = following
        self._known = KnownKeys(resources.cache, resources.settings.session_key_bytes)

    async def __call__(self, request: Request) -> Principal | None:
        """Return the key's owner with the key's scopes. Raises 401 for a key that is none."""
        secret = _sent(request)
        if secret is None:
            return None if self._following is None else await self._following(request)
        mode = mode_of(self._resources.settings)
        if not secret.startswith(f"{KEY_PREFIX}{mode}_"):
            raise _refused(f"This is the {'sandbox' if mode == 'test' else 'live'} installation.")
        async with self._resources.database.transaction() as session:
            key = await service.find(session, secret)
        if key is None:
            await self._known.strike_out(secret)
            raise _refused("The key has ended, was revoked, or was never one of ours.")
        if getattr(request.state, "known_caller", None) is None:
            await self._known.note(secret, key.customer_id)
        request.state.session = None  # a key stands for no log-in
        return Principal(id=key.customer_id, scopes=frozenset(key.scopes))


def mode_of(settings: ServiceSettings) -> service.Mode:
    """Return the installation's mode: that of its gateways' keys; a test where there are none."""
    return "live" if settings.is_live else "test"


def _sent(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" and token.startswith(KEY_PREFIX) else None


def _refused(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(why, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})

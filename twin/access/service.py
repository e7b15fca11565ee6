"""Service tokens as requests show them: two headers, or one that the application names.

Rules: cloudflare-docs, service-tokens. Strictly (every organization made since 2026-10-05), a token
that does not authenticate is answered with 401, one that is not authorized with 403, and doubled or
incomplete headers are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from twin.access.deployed import Application, Deployed
from twin.clock import Clock
from twin.clouds.cloudflare.access import SERVICE_SECRETS
from twin.store import Store

CLIENT_ID: Final = "CF-Access-Client-Id"
CLIENT_SECRET: Final = "CF-Access-Client-Secret"  # noqa: S105  (a header's name)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a request shows: `problem` says why it cannot even be checked."""

    client_id: str = ""
    secret: str = ""
    problem: str = ""


def shown(request: web.BaseRequest, app: Application) -> Shown | None:
    """Return a request's credentials; None where it shows none."""
    ids = request.headers.getall(CLIENT_ID, [])
    secrets = request.headers.getall(CLIENT_SECRET, [])
    named = app.outputs.get("readServiceTokensFromHeader")
    single = _single(request.headers.getall(named, [])) if named else None
    if not ids and not secrets:
        return single
    if single is not None:
        return Shown(client_id=ids[0] if ids else "", problem="credentials in two places")
    if len(ids) != 1 or len(secrets) != 1:
        return Shown(client_id=ids[0] if ids else "", problem="doubled or incomplete headers")
    return Shown(client_id=ids[0].strip(), secret=secrets[0].strip())


def _single(values: list[str]) -> Shown | None:
    """Read `{"cf-access-client-id": …, "cf-access-client-secret": …}`; other content is not it."""
    for value in values:
        try:
            found: Any = json.loads(value)
        except ValueError:
            continue
        if isinstance(found, dict):
            lower = {str(key).lower(): text for key, text in found.items()}
            return Shown(
                client_id=str(lower.get("cf-access-client-id", "")),
                secret=str(lower.get("cf-access-client-secret", "")),
            )
    return None


class ServiceTokens:
    """Checks credentials against what is deployed."""

    def __init__(self, store: Store, deployed: Deployed, clock: Clock) -> None:
        self._store = store
        self._deployed = deployed
        self._clock = clock

    def authenticated(self, given: Shown) -> tuple[str, str]:
        """Return the token's id, or nothing and why it was refused."""
        if given.problem:
            return "", given.problem
        known = self._deployed.token(given.client_id)
        if known is None:
            return "", "unknown client id"
        id, outputs = known
        if outputs.get("enabled") is False:
            return "", "the token is disabled"
        now = self._clock.now()
        if _moment(outputs["expiresAt"]) <= now:
            return "", "the token has expired"
        kept = self._store.load(SERVICE_SECRETS, id) or {}
        digest = hashlib.sha256(given.secret.encode()).hexdigest()
        if _same(digest, kept.get("current", "")):
            return id, ""
        until = outputs.get("previousClientSecretExpiresAt")
        if _same(digest, kept.get("previous", "")):
            if until and now < _moment(until):
                return id, ""
            return "", "the secret was rotated, and its time is over"
        return "", "wrong secret"


def _same(digest: str, known: str) -> bool:
    return bool(known) and hmac.compare_digest(digest, known)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()

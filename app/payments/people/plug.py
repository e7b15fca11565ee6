"""Plugs people into the application."""

from __future__ import annotations

import time

from fastapi import FastAPI, Request
from fastapi.responses import Response
from redis.exceptions import ConnectionError as CacheConnectionError
from redis.exceptions import TimeoutError as CacheTimeoutError

from payments.errors import CacheUnavailableError, problem_response
from payments.ops.logs import get_logger
from payments.people.api import AccountApi
from payments.people.csrf import Csrf
from payments.people.lockout import Lockout
from payments.people.service import People
from payments.people.sessions import Sessions
from payments.people.tokens import Tokens
from payments.people.web import CookieAuthenticator
from payments.resources import Resources

log = get_logger(__name__)


def plug(app: FastAPI) -> None:
    """Set `app.state.people`, `authenticator`, `log_ins`, `clock`; add the endpoints of accounts.

    Others may put an authenticator of theirs before ours; pages go on asking `log_ins`, because
    only a person's log-in has a session.
    Without the cache the answer is 503.
    """
    resources: Resources = app.state.resources
    app.state.clock = time.time

    def clock() -> float:
        now: float = app.state.clock()
        return now

    sessions = Sessions(resources.cache, clock)
    app.state.people = People(resources.database, sessions, Lockout(resources.cache, clock))
    key, url = resources.settings.session_key_bytes, resources.settings.public_url
    tokens = Tokens(key, url, clock)
    authenticator = CookieAuthenticator(sessions, Csrf(key), url, tokens)
    app.state.authenticator = app.state.log_ins = authenticator
    app.include_router(AccountApi(app.state.people, authenticator, tokens).routes)
    app.add_exception_handler(CacheConnectionError, _on_cache)
    app.add_exception_handler(CacheTimeoutError, _on_cache)


async def _on_cache(request: Request, error: Exception) -> Response:
    """Answer 503 while the cache is away: without it nobody can be told from anybody."""
    log.warning("cache.unavailable", error=type(error).__name__)
    return problem_response(
        request,
        status=CacheUnavailableError.status,
        code=CacheUnavailableError.code,
        title=CacheUnavailableError.title,
        detail="The cache does not answer in time. Nothing was changed; try again.",
        headers={"Retry-After": "1"},
    )
